"""The process that trains: its device, its threads, its signals, and the checkout that it runs from."""

from __future__ import annotations

__all__ = ["commit", "device_named", "few_threads", "load", "stoppable", "threads"]

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from ali.errors import AliError


@runtime_checkable
class Stops(Protocol):
    """What can be asked to stop."""

    def stop(self, status: int = 0) -> None: ...


def few_threads(game: nn.Module, batch_size: int) -> int:
    """How many threads a game is to take: one if it is small and fully connected, else as many as the machine has idle now.

    More are hardly faster for a small game. For any game they are far slower than one where other programs run: each waits for all.
    """
    convolutions = any(isinstance(module, nn.Conv2d | nn.ConvTranspose2d) for module in game.modules())
    if not convolutions and sum(p.numel() for p in game.parameters()) * batch_size < 5e7:
        return 1
    return max(1, min(torch.get_num_threads(), (os.cpu_count() or 1) - round(load())))


def load() -> float:
    """Programs that run now, on average over the last minute; 0 where the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Compute on n threads for a while: sums depend on how many there are, so a resumed run takes as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def stoppable(session: Stops) -> Iterator[None]:
    """SIGINT and SIGTERM ask the session to save and stop; a second one ends at once. Only the main thread hears signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: Any) -> None:
        session.stop(status=128 + number)
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def device_named(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type == "meta":
            raise RuntimeError("it holds no numbers")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise AliError(f"device {name!r} can not be used here ({str(error).splitlines()[0]}); take auto or cpu") from None
    return device


def commit() -> str | None:
    """The commit of this package, where it is run from a checkout of its own."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        return subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
