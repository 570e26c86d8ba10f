"""What a machine is asked for: threads, memory that is kept, and the precision of its products."""

from __future__ import annotations

__all__ = ["PRECISIONS", "Precision", "check_precision", "keep_memory", "precise", "threads", "threads_for"]

import ctypes
import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal

import torch
from torch import nn

from ali.errors import AliError

Precision = Literal["float32", "bfloat16"]
PRECISIONS = ("float32", "bfloat16")


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Compute on n threads for a while: sums depend on how many there are, so a resumed run takes as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threads_for(game: nn.Module, batch_size: int) -> int:
    """How many threads a game is to take: one if it is small and fully connected, else as many as are idle now.

    More are hardly faster for a small game. For any game they are far slower than one where other programs run: each waits for all.
    """
    convolutions = any(isinstance(module, nn.Conv2d | nn.ConvTranspose2d) for module in game.modules())
    if not convolutions and sum(p.numel() for p in game.parameters()) * batch_size < 5e7:
        return 1
    busy = round(os.getloadavg()[0]) if hasattr(os, "getloadavg") else 0
    return max(1, min(torch.get_num_threads(), (os.cpu_count() or 1) - busy))


def keep_memory() -> None:
    """Ask the C library to keep what was freed: a step frees and takes the same pages again, and getting them anew costs more than use.

    A seventh of a step of the networks of Table 4. It holds for the whole process; where the C library is another than glibc, nothing.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    most = 2**31 - 1
    mallopt(-3, 2**30)  # M_MMAP_THRESHOLD: blocks up to 1 GiB come from the heap ...
    mallopt(-1, most)  # M_TRIM_THRESHOLD: ... which does not shrink


def check_precision(precision: str, device: torch.device) -> None:
    """Refuse what can not be computed, and warn of what is slower than full precision.

    Raises:
        AliError: an unknown precision.
    """
    if precision not in PRECISIONS:
        raise AliError(f"unknown precision {precision!r}: choose {' or '.join(PRECISIONS)}")
    if precision == "bfloat16" and device.type == "cpu" and not torch.cpu._is_avx512_bf16_supported():
        warnings.warn("this processor has no products of bfloat16: precision float32 is faster on it", stacklevel=3)


def precise(precision: str, device: torch.device) -> AbstractContextManager:
    """Where products and convolutions are computed in a precision; weights, sums and losses stay in full precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
