"""Rows some at a time, so that memory does not grow with them."""

from __future__ import annotations

__all__ = ["called", "cut", "noise", "regrouped"]

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from ali.errors import AliError


def cut(rows: Any, n: int) -> Iterator[Any]:
    """Slices of n rows; at least one, that may be empty."""
    return (rows[first : first + n] for first in range(0, max(1, len(rows)), n))


def regrouped(arrays: Iterable[np.ndarray], n: int) -> Iterator[np.ndarray]:
    """The same slices of arrays that come one after the other."""
    held = np.empty(0)
    for some in arrays:
        held = np.concatenate([held, some]) if len(held) else some
        while len(held) > n:
            yield held[:n]
            held = held[n:]
    yield held


def called(name: str, pieces: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """What messages, which count rows from the first of a piece, call each piece."""
    first = 0
    for piece in pieces:
        yield name if first == 0 else f"{name}, rows from {first:,} on", piece
        first += len(piece)


@contextmanager
def noise(seed: int | None) -> Iterator[None]:
    """Fix torch's noise for a while, and leave it as it was; do nothing without a seed."""
    if seed is not None and not 0 <= seed < 2**63:
        raise AliError(f"seed must be at least 0 and below 2^63, got {seed}")
    with torch.random.fork_rng(enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        yield
