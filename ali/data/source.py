"""Rows to learn from, and the endless stream of batches over them."""

from __future__ import annotations

__all__ = ["Batch", "Data", "Source", "balanced", "check_share", "hide", "known_counts", "split", "stream"]

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from ali.errors import AliError

if TYPE_CHECKING:  # torch is loaded when rows are needed, so that the command line can read this folder's signatures at once
    import torch
    from torch import Tensor


class Batch(NamedTuple):
    """What a game sees: x, shape (n, ...), in the network's range; y, class numbers, shape (n,), -1 for unknown, or attributes, (n, k)."""

    x: Tensor
    y: Tensor | None = None


@runtime_checkable
class Ordered(Protocol):
    """Rows that say in which order an epoch can visit them at little cost, and what they are without reading them all.

    ``order`` is told how many orders are followed at the same time, and share what is held in memory.
    """

    def order(self, generator: np.random.Generator, among: int = 1) -> np.ndarray: ...
    def fingerprint(self) -> str: ...


@dataclass(frozen=True)
class Source:
    """Rows in the data's own units and layout.

    Arguments:
        x: images (n, height, width) or (n, height, width, 3), or rows of numbers (n, d); an array, or rows that are read when they
            are asked for (:class:`ali.data.store.Stored`, :class:`ali.data.streams.Streamed`).
        y: class numbers, shape (n,), int64, -1 for unknown; or attributes, shape (n, k), float32: 0 and 1, or other numbers; or None.
        classes: names of the classes, by number.
        attributes: names of the attributes, in the order of y's columns.
        maximum: the brightest possible pixel of images; by default that of their type (255 for bytes), and 1 or 255 for
            floating point.
        columns: what each column of a table holds (:class:`ali.data.tables.Column`).
        notes: what was done to the data while it was read, a line each.
        chosen: arguments that the reader settled for itself; a run remembers them, and its data is opened the same way again.
    """

    x: Any
    y: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    maximum: float | None = None
    columns: tuple[Any, ...] = ()
    notes: tuple[str, ...] = ()
    chosen: dict[str, Any] = field(default_factory=dict)

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
        """A hash of every row, by which a resumed run knows its data again; rows that are streamed have one of their own."""
        if isinstance(self.x, Ordered):
            return self.x.fingerprint()
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


def hide(source: Source, labels: int, seed: int) -> Source:
    """Keep few labels, drawn as :func:`balanced` says, always the same for the same seed; the others become -1.

    Arguments:
        source: rows with classes.
        labels: how many to keep.

    Raises:
        AliError: no classes, or too few labels to keep so many.
    """
    kept = balanced(source.y, source.classes, labels, seed)
    y = np.full(len(source), -1, np.int64)
    y[kept] = np.asarray(source.y)[kept]
    return replace(source, y=y)


def balanced(y: np.ndarray | None, classes: tuple[str, ...], n: int, seed: int) -> np.ndarray:
    """Places of n labelled rows, drawn at random: equally many of each class; if n can not be divided evenly, one more of some.

    Arguments:
        y: class numbers, -1 for unknown.
        classes: their names.

    Raises:
        AliError: no classes, n too large or too small, or a class that has fewer rows than its share.
    """
    counts = known_counts(y, classes)
    k, known = len(counts), sum(counts)
    if not k <= n <= known:
        what = f"at least one for each of the {k} classes" if n < k else f"at most the {known:,} rows whose class is known"
        raise AliError(f"labels says how many labels are kept: {what}, got {n:,}")
    random = np.random.default_rng((seed, 2))
    share = np.full(k, n // k)
    share[random.permutation(k)[: n % k]] += 1
    for c in np.flatnonzero(counts < share):
        raise AliError(
            f"labels: {n:,} are {share[c]:,} for each class, but class {classes[c]!r} has {counts[c]:,} row(s): "
            f"keep at most {k * min(counts):,}"
        )
    return np.sort(np.concatenate([random.permutation(np.flatnonzero(y == c))[: share[c]] for c in range(k)]))


def known_counts(y: np.ndarray | None, classes: tuple[str, ...]) -> list[int]:
    """Rows of each class, at least one.

    Raises:
        AliError: the rows have no classes, one that has no name, or a class without rows.
    """
    if y is None or y.ndim != 1 or not classes:
        raise AliError("the rows of this data have no classes: see `--help` for how to give them")
    strange = np.flatnonzero((y < -1) | (y >= len(classes)))
    if len(strange):
        where, c = strange[0], y[strange[0]]
        raise AliError(f"row {where} has class number {c}, but classes are numbered 0 to {len(classes) - 1}, -1 for unknown")
    counts = np.bincount(y[y >= 0], minlength=len(classes)).tolist()
    if 0 in counts:
        raise AliError(f"class {classes[counts.index(0)]!r} has no labelled row to learn it from: label some, or leave the class out")
    return counts


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
    share = 2 if labelled else 1  # of what a source can hold: labelled rows have an order of their own
    plain = batch_size - labelled
    per_epoch = len(source) // plain

    @lru_cache(2)  # a batch may end one round and begin the next
    def labelled_round(number: int) -> np.ndarray:
        generator = np.random.default_rng((seed, number, 1))
        if isinstance(source.x, Ordered):
            return source.rows(known).x.order(generator, share)
        return generator.permutation(len(known))

    epoch, order = -1, torch.empty(0)
    while True:
        if start // per_epoch != epoch:
            epoch = start // per_epoch
            generator = np.random.default_rng((seed, epoch))
            drawn = source.x.order(generator, share) if isinstance(source.x, Ordered) else generator.permutation(len(source))
            order = torch.from_numpy(drawn).to(device)
        first = start % per_epoch * plain
        rows = order[first : first + plain]
        if labelled:
            rows = torch.cat([torch.from_numpy(_cycle(known, labelled_round, start * labelled, labelled)).to(device), rows])
        batch = torch.from_numpy(source.x[rows.cpu().numpy()]).to(device) if x is None else x[rows]
        yield Batch(transform(batch), None if y is None else y[rows])
        start += 1


def _cycle(rows: np.ndarray, order: Callable[[int], np.ndarray], first: int, n: int) -> np.ndarray:
    """n rows of an endless sequence, from place ``first`` on: all rows in a new order, again and again."""
    return np.array([rows[order(place // len(rows))[place % len(rows)]] for place in range(first, first + n)])
