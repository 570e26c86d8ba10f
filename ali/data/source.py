"""Rows to learn from, and the endless stream of batches over them."""

from __future__ import annotations

__all__ = ["Batch", "Data", "Source", "check_share", "split", "stream"]

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ali.errors import AliError

if TYPE_CHECKING:  # torch is loaded when rows are needed, so that the command line can read this folder's signatures at once
    import torch
    from torch import Tensor


class Batch(NamedTuple):
    """What a game sees: x, shape (n, ...), in the network's range; y, class numbers, shape (n,), -1 for unknown, or attributes, (n, k)."""

    x: Tensor
    y: Tensor | None = None


@dataclass(frozen=True)
class Source:
    """Rows in the data's own units and layout.

    Arguments:
        x: images (n, height, width) or (n, height, width, 3), or rows of numbers (n, d); an array, or rows that are read when they
            are asked for (:class:`ali.data.store.Stored`).
        y: class numbers, shape (n,), int64, -1 for unknown; or attributes, shape (n, k), float32: 0 and 1, or other numbers; or None.
        classes: names of the classes, by number.
        attributes: names of the attributes, in the order of y's columns.
        maximum: the brightest possible pixel of images; by default that of their type (255 for bytes), and 1 or 255 for
            floating point.
        columns: what each column of a table holds (:class:`ali.data.tables.Column`).
        notes: what was done to the data while it was read, a line each.
    """

    x: Any
    y: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    maximum: float | None = None
    columns: tuple[Any, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.x)

    def rows(self, index) -> Source:
        """Some of the rows."""
        x = self.x[index] if isinstance(self.x, np.ndarray) else self.x.select(index)
        return replace(self, x=x, y=None if self.y is None else self.y[index])

    def labelled(self) -> np.ndarray:
        """Numbers of the rows whose class is known."""
        return np.flatnonzero(self.y >= 0) if self.y is not None and self.y.ndim == 1 else np.array([], np.int64)

    def fingerprint(self) -> str:
        """A hash of every row, by which a resumed run knows its data again."""
        digest = hashlib.sha256(f"{self.x.dtype} {self.x.shape}".encode())
        at_once = max(1, 2**22 * len(self) // max(1, self.x.nbytes))  # rows in 4 MiB
        for first in range(0, len(self), at_once):
            digest.update(np.ascontiguousarray(self.x[first : first + at_once]).data)
        return digest.hexdigest()[:16]


class Data(NamedTuple):
    """A data set: rows to learn from, and rows that training never sees."""

    train: Source
    test: Source


def split(source: Source, hold_out: float, seed: int = 0) -> Data:
    """Hold out a share of the rows, drawn at random, always the same for the same seed.

    Arguments:
        hold_out: share of the rows, in (0, 1); at least one row is kept on either side.
    """
    if len(source) < 2:
        raise AliError(f"the data has {len(source)} row(s): training needs at least 2, one to learn from and one to hold out")
    check_share(hold_out)
    held = min(max(1, round(hold_out * len(source))), len(source) - 1)
    order = np.random.default_rng(seed).permutation(len(source))
    return Data(source.rows(np.sort(order[held:])), source.rows(np.sort(order[:held])))


def check_share(hold_out: float) -> None:
    """Refuse a share of the rows to hold out that holds out none or all of them."""
    if not 0 < hold_out < 1:
        advice = "a run is measured on rows that it never saw: take a small share, such as 0.01, or name a test part in the data"
        raise AliError(f"hold_out is a share of the rows between 0 and 1, got {hold_out}; {advice}")


def stream(
    source: Source,
    batch_size: int,
    seed: int,
    start: int = 0,
    transform: Callable[[Tensor], Tensor] = lambda x: x,
    device: torch.device | str = "cpu",
    labelled: int = 0,
) -> Iterator[Batch]:
    """Endless batches: each epoch visits the rows in a new order, and leaves out the few that fill no batch.

    The batch of a step depends on (seed, step) alone, so a stream can start anywhere.

    Arguments:
        batch_size: rows per batch, at most the rows there are.
        start: the step whose batch comes first.
        transform: from the data's units to the network's (:mod:`ali.preprocess`).
        labelled: so many rows at the beginning of each batch are drawn from those with a known class, in their own endless order;
            the others come as they come.
    """
    import torch

    x = None  # on the device as a whole, if it is in memory
    if isinstance(source.x, np.ndarray):
        x = torch.from_numpy(np.require(source.x, requirements=["C", "W"])).to(device)
    y = None if source.y is None else torch.from_numpy(source.y).to(device)
    known = np.flatnonzero(source.y >= 0) if labelled and source.y is not None else np.empty(0, np.int64)
    plain = batch_size - labelled
    per_epoch = len(source) // plain
    epoch, order = -1, torch.empty(0)
    while True:
        if start // per_epoch != epoch:
            epoch = start // per_epoch
            order = torch.from_numpy(np.random.default_rng((seed, epoch)).permutation(len(source))).to(device)
        first = start % per_epoch * plain
        rows = order[first : first + plain]
        if labelled:
            rows = torch.cat([torch.from_numpy(_cycle(known, start * labelled, labelled, seed)).to(device), rows])
        batch = torch.from_numpy(source.x[rows.cpu().numpy()]).to(device) if x is None else x[rows]
        yield Batch(transform(batch), None if y is None else y[rows])
        start += 1


def _cycle(rows: np.ndarray, first: int, n: int, seed: int) -> np.ndarray:
    """n rows of an endless sequence, from place ``first`` on: all rows in a new order, again and again."""
    places = np.arange(first, first + n)
    rounds = {k: np.random.default_rng((seed, k, 1)).permutation(rows) for k in set((places // len(rows)).tolist())}
    return np.array([rounds[place // len(rows)][place % len(rows)] for place in places.tolist()])
