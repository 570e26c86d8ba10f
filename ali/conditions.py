"""Labels as people write them, and as the networks of a conditional run take them.

A class is given by its name, or by its number, its place in ``model.classes``. Attributes are an array in the order of
``model.attributes``, or a dictionary of some of them, ``{"smiling": 1, "blond": 0}``.
"""

from __future__ import annotations

__all__ = ["Labels", "having", "of_text"]

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ali.data.source import Source
from ali.errors import AliError


@dataclass(frozen=True)
class Labels:
    """What y may be for a run.

    Arguments:
        classes: their names; or
        attributes: their names.
        known: attributes of some training rows, (m, k): one that is 0 or 1 in all of them takes no other number than 0 to 1.
    """

    classes: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    known: np.ndarray | None = None

    @property
    def choice(self) -> str:
        """What there is, in words."""
        return f"attributes {_some(self.attributes)}" if self.attributes else f"classes {_some(self.classes)}"

    def numbers(self, y: Any, n: int, others: np.ndarray | None = None) -> np.ndarray:
        """y of n rows: class numbers, int64 (n,), or attributes, float32 (n, k).

        Arguments:
            y: one label for all rows, or one for each.
            n: how many rows there are.
            others: attributes, (n, k), that stand where a dictionary says nothing; without it, it must name all.

        Raises:
            AliError: an unknown name or number, another length; says which, and what there is.
        """
        return self._attributes(y, n, others) if self.attributes else self._classes(y, n)

    def count(self, y: Any) -> int | None:
        """How many rows y is for; None for a single label, that of all rows."""
        if isinstance(y, Mapping):
            return next((len(value) for value in y.values() if np.ndim(value)), None)
        return None if np.ndim(y) < (2 if self.attributes else 1) else len(y)

    def one_hot(self, y: np.ndarray) -> np.ndarray:
        """The same as vectors between which one can walk."""
        return y if self.attributes else np.eye(len(self.classes), dtype=np.float32)[y]

    def _classes(self, y: Any, n: int) -> np.ndarray:
        if isinstance(y, Mapping):
            raise AliError(f"y: this run knows classes, not attributes: {_some(self.classes)}")
        cells = np.asarray(y)
        if cells.ndim > 1 or (cells.size and cells.dtype.kind not in "iuUO"):
            raise AliError(f"y: classes are names, or whole numbers of shape (n,); got {cells.dtype} of shape {cells.shape}")
        found = np.array([self._class(cell) for cell in cells.ravel().tolist()], np.int64)
        return _one_each(found if cells.ndim else found[0], n)

    def _class(self, cell: Any) -> int:
        if isinstance(cell, str):
            if cell in self.classes:
                return self.classes.index(cell)
        elif isinstance(cell, int) and 0 <= cell < len(self.classes):
            return cell
        if cell == -1:
            raise AliError("y: a row has no class (-1), and this run needs one for each: leave such rows out, or label them")
        raise AliError(f"y: unknown class {cell!r}{_close(cell, self.classes)}: there are {_some(self.classes)}")

    def _attributes(self, y: Any, n: int, others: np.ndarray | None) -> np.ndarray:
        names, k = self.attributes, len(self.attributes)
        if isinstance(y, Mapping):
            self.check_names(y)
            left = [name for name in names if name not in y]
            if left and others is None:
                raise AliError(f"y: of the {k} attributes, {_some(left)} {'is' if len(left) == 1 else 'are'} not said; say all")
            rows = np.zeros((n, k), np.float32) if others is None else np.array(others, np.float32)
            for name, value in y.items():
                rows[:, names.index(name)] = _one_each(_floats(value, f"attribute {name!r}"), n)
        else:
            if isinstance(y, str):
                raise AliError(f"y: this run knows attributes, not classes: give an array, or a dictionary of {_some(names)}")
            rows = _floats(y, "y")
            if rows.shape[-1:] != (k,) or rows.ndim > 2:
                raise AliError(f"y: this run knows {k} attributes, so that y has shape (n, {k}); got {rows.shape}")
            rows = _one_each(rows, n, 2)
        for place, name in enumerate(names):
            column = rows[:, place]
            if not np.isfinite(column).all():
                raise AliError(f"y: attribute {name!r} of row {int((~np.isfinite(column)).argmax())} is not a finite number")
            yes_no = self.known is not None and np.isin(self.known[:, place], (0, 1)).all()
            beyond = column[(column < 0) | (column > 1)]
            if yes_no and len(beyond):
                raise AliError(f"y: attribute {name!r} is 0 or 1 in the training rows (between is possible, too); got {beyond[0]:g}")
        return rows

    def check_names(self, given: Mapping[str, Any]) -> None:
        """Refuse attributes that there are not.

        Raises:
            AliError: says which there are.
        """
        for name in given:
            if name not in self.attributes:
                raise AliError(f"unknown attribute {name!r}{_close(name, self.attributes)}: there are {_some(self.attributes)}")


def having(source: Source, name: str) -> tuple[Source, np.ndarray]:
    """The rows whose label is known, and which of them are of a class, or have an attribute: more of it than the mean row.

    Arguments:
        source: rows with classes or attributes.
        name: of one.

    Raises:
        AliError: there is none of that name, or no label at all.
    """
    names = source.attributes or source.classes
    if source.y is None or not names:
        raise AliError(f"direction {name!r}: the run's data has neither classes nor attributes that could name one")
    if name not in names:
        what = "attributes" if source.attributes else "classes"
        raise AliError(f"direction {name!r}: the run's data has no such label{_close(name, names)}: its {what} are {_some(names)}")
    place = names.index(name)
    if not source.attributes:
        known = source.rows(np.flatnonzero(source.y >= 0))
        return known, source.y[source.y >= 0] == place
    known = source.rows(np.flatnonzero(np.isfinite(source.y[:, place])))
    values = source.y[np.isfinite(source.y[:, place]), place]
    return known, values > values.mean()


def of_text(text: str) -> dict[str, float]:
    """Attributes as the command line writes them: ``smiling=1,blond=0``.

    Raises:
        AliError: another form, or one said twice.
    """
    said: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = (word.strip() for word in part.partition("="))
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not name or not equals or not np.isfinite(number):
            raise AliError(f"attributes are written name=number, with commas between them (smiling=1,blond=0); got {part.strip()!r}")
        if name in said:
            raise AliError(f"attribute {name!r} is said twice")
        said[name] = number
    return said


def _floats(value: Any, what: str) -> np.ndarray:
    cells = np.asarray(value)
    if cells.dtype.kind not in "biuf":
        raise AliError(f"{what}: expected numbers, got type {cells.dtype}")
    return cells.astype(np.float32)


def _one_each(found: Any, n: int, full: int = 1) -> np.ndarray:
    """One label for each of n rows; one alone is that of all."""
    found = np.asarray(found)
    if found.ndim < full:
        return np.broadcast_to(found, (n, *found.shape)).copy()
    if len(found) != n:
        raise AliError(f"y: {len(found)} labels for {n} rows")
    return found


def _some(names: Sequence[str], most: int = 50) -> str:
    return ", ".join(names[:most]) + (f", and {len(names) - most} more" if len(names) > most else "")


def _close(name: Any, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(str(name), names, 1)
    return f", did you mean {close[0]!r}?" if close else ""
