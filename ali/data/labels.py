"""What stands beside a row, its class or its attributes: which columns hold it, and what becomes of it."""

from __future__ import annotations

__all__ = ["NOTHING", "Chosen", "Kind", "Label", "asked", "choose", "class_of", "finish", "numbered", "numbers", "unlabelled"]

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from ali.errors import AliError

if TYPE_CHECKING:
    from ali.data.pixels import Part

LABEL_COLUMNS = ("label", "labels")
HOLDS = {"number": "numbers with fractions", "text": "texts", "other": "neither numbers nor texts"}
MOST_CLASSES = 100_000
Kind = Literal["boolean", "integer", "number", "text", "any", "other"]  # of a column; "any" where it is not known
Label = int | str | np.ndarray | None  # a class by number or name, the attributes of a row, or nothing


class Chosen(NamedTuple):
    """The columns of classes or of attributes: those that somebody asks for, or those that a file has."""

    label: str | None = None
    attributes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"the class {self.label!r}" if self.label else f"attributes {', '.join(self.attributes)}" if self.attributes else "none"


NOTHING = Chosen()


def asked(label: str | None, attributes: Sequence[str]) -> Chosen:
    """The columns that a user names.

    Raises:
        AliError: both a class and attributes, or a name twice.
    """
    names = (attributes,) if isinstance(attributes, str) else tuple(attributes or ())
    if label is not None and names:
        raise AliError("a row has a class or attributes, not both: name columns as --label or as --attributes")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise AliError(f"attribute {twice!r} is named twice")
    return Chosen(label, names)


def choose(kinds: Mapping[str, Kind], asked: Chosen, where: str) -> Chosen:
    """The columns that are read: those asked for; else ``label`` or ``labels``; else all that are boolean.

    Arguments:
        kinds: what each column holds.
        where: what the messages call the file.

    Raises:
        AliError: there is no such column, or it holds no classes or no numbers.
    """
    lacking = next((name for name in (asked.label, *asked.attributes) if name is not None and name not in kinds), None)
    if lacking is not None:
        raise AliError(f"{where}: no column {lacking!r}; its columns are {', '.join(kinds)}")
    if asked.attributes:
        bad = next((name for name in asked.attributes if kinds[name] not in ("boolean", "integer", "number", "any")), None)
        if bad is not None:
            raise AliError(f"{where}: column {bad!r} must hold numbers or booleans, to be an attribute; it holds {HOLDS[kinds[bad]]}")
        return asked
    label = asked.label or next((name for name in LABEL_COLUMNS if name in kinds), None)
    if label is not None:
        if kinds[label] not in ("boolean", "integer", "text", "any"):
            raise AliError(f"{where}: column {label!r} must hold a class, by number or name; it holds {HOLDS[kinds[label]]}")
        return Chosen(label)
    return Chosen(None, tuple(name for name, kind in kinds.items() if kind == "boolean"))


def class_of(cell: Any) -> Any:
    """The class that a cell names; None for an empty one."""
    if cell is None or (isinstance(cell, str) and not cell.strip()) or (isinstance(cell, float) and math.isnan(cell)):
        return None
    return str(cell).lower() if isinstance(cell, bool | np.bool_) else cell


def numbers(cells: Sequence[Any], names: Sequence[str], where: str) -> np.ndarray:
    """The attributes of a row, float32.

    Arguments:
        cells: numbers, booleans, or words for them.
        names: of the attributes.
        where: what the messages call the row.

    Raises:
        AliError: a cell is empty, or no finite number.
    """
    row = np.empty(len(names), np.float32)
    for k, (cell, name) in enumerate(zip(cells, names, strict=True)):
        if class_of(cell) is None:
            raise AliError(f"{where}: column {name!r} is empty; every row needs its attributes")
        word = str(cell).strip().lower()
        try:
            row[k] = float({"true": 1, "false": 0}.get(word, word))
        except ValueError:
            row[k] = np.nan
        if not np.isfinite(row[k]):
            raise AliError(f"{where}: column {name!r} holds {cell!r}, not a finite number")
    return row


def finish(path: str, parts: list[Part], found: Sequence[Sequence[Label] | np.ndarray]) -> tuple[list[dict[str, Any]], list[str]]:
    """What sources have beside their rows, numbered alike in all parts.

    Arguments:
        path: what the messages call the data.
        parts: where the rows come from.
        found: of each source the labels of its rows.

    Returns:
        Of each source ``y``, ``classes`` and ``attributes``; and what there is to say.

    Raises:
        AliError: a class number that is none.
    """
    names = parts[0].attributes
    if names:
        return [{"y": np.asarray(rows, np.float32), "attributes": names} for rows in found], []
    classes, numbers = _classes(path, {label for labels in found for label in labels}, max((part.classes for part in parts), key=len))
    ys = [np.array([numbers[label] for label in labels], np.int64) for labels in found]
    some = [y if (y >= 0).any() else None for y in ys]
    return [{"y": y, "classes": classes} for y in some], unlabelled(np.concatenate(ys))


def unlabelled(y: np.ndarray) -> list[str]:
    """A line that says how many rows have no class, if some have."""
    count = int((y < 0).sum())
    return [f"rows without a class (-1): {count:,} of {len(y):,}"] if 0 < count < len(y) else []


def numbered(cells: Iterable[Any]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Cells as class numbers, -1 for an empty one, and the names of the classes, sorted."""
    labels = [None if label is None else str(label) for label in map(class_of, cells)]
    classes = tuple(sorted({label for label in labels if label is not None}))
    places = {name: k for k, name in enumerate(classes)}
    return np.array([-1 if label is None else places[label] for label in labels], np.int64), classes


def _classes(path: str, labels: set[Any], names: tuple[str, ...]) -> tuple[tuple[str, ...], dict[Any, int]]:
    """Names of the classes by number, and the number of each label: -1 where it is unknown."""
    found = labels - {None}
    if any(isinstance(label, str) for label in found):
        classes = tuple(sorted({str(label) for label in found if label != -1}))
        return classes, {None: -1, -1: -1} | {label: classes.index(str(label)) for label in found if label != -1}
    numbers = {int(label) for label in found}
    if any(not -1 <= number < MOST_CLASSES for number in numbers):
        raise AliError(f"{path}: labels go from {min(numbers)} to {max(numbers)}; classes are numbered from 0 (-1: unknown)")
    if numbers and max(numbers) >= len(names):
        names = tuple(str(k) for k in range(max(numbers) + 1))
    return names if numbers else (), {label: -1 if label is None else int(label) for label in (None, *found)}
