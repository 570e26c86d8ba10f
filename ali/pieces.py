"""Rows some at a time, so that memory does not grow with them."""

from __future__ import annotations

__all__ = ["Beside", "beside", "cut", "fitting", "regrouped", "together"]

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch

from ali.errors import AliError

Beside = tuple[int, Any, tuple[np.ndarray, ...]]  # the number of the first row of a piece, the piece, its labels if there are any


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


def together(pieces: Iterable[torch.Tensor], n: int) -> torch.Tensor:
    """Pieces as one tensor of n rows, filled in place: small ones that were kept would leave holes between large ones that come and go."""
    out, first = torch.empty(0), 0
    for some in pieces:
        if first == 0:
            out = some.new_empty((n, *some.shape[1:]))
        out[first : first + len(some)] = some
        first += len(some)
    return out


def fitting(function: Callable[..., torch.Tensor], *rows: torch.Tensor) -> torch.Tensor:
    """What a function of rows gives, each row by itself: of halves, and of their halves, where a GPU has no memory for all at once.

    Raises:
        torch.OutOfMemoryError: there is none for a single row.
    """
    try:
        return function(*rows)
    except torch.OutOfMemoryError:
        if (n := len(rows[0])) < 2:
            raise
    # Not in the handler: while the error is held, so is what was computed on the way to it.
    return torch.cat([fitting(function, *(some[half] for some in rows)) for half in (slice(n // 2), slice(n // 2, n))])


def beside(rows: Iterable[Any], y: np.ndarray | None = None, alike: bool = False, first: int = 0) -> Iterator[Beside]:
    """Pieces of rows with the numbers of their first rows, and with their labels.

    Arguments:
        y: labels, one for each row, or None.
        alike: y is a single label, (1, ...), that of all rows.
        first: number of the first row.

    Raises:
        AliError: more rows than labels, or fewer.
    """
    done = 0
    for piece in rows:
        n = len(piece)
        some = () if y is None else (y.repeat(n, 0) if alike else y[done : done + n],)
        if some and len(some[0]) < n:
            raise AliError(f"y: {len(y) if y is not None else 0} labels for at least {done + n} rows")
        yield first + done, piece, some
        done += n
    if y is not None and not alike and done < len(y):
        raise AliError(f"y: {len(y)} labels for {done} rows")
