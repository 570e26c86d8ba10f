"""Arrays: in memory, or from ``.npy`` and ``.npz`` files."""

from __future__ import annotations

__all__ = ["check", "read", "table"]

from dataclasses import replace
from pathlib import Path

import numpy as np

from ali.data.labels import class_of, unlabelled
from ali.data.source import Data, Source, split
from ali.errors import AliError

X_KEYS, Y_KEYS = ("x", "X", "data", "images"), ("y", "Y", "labels", "targets")


def table(path: str, hold_out: float = 0.1) -> Data:
    """Rows of numbers from ``.npy`` or ``.npz``: (n, columns).

    Arguments:
        path: a file.
        hold_out: share of the rows to hold out, where the file names no test part.
    """
    return read(path, (2,), hold_out)


def read(path: str, dimensions: tuple[int, ...], hold_out: float) -> Data:
    """Read an array file.

    ``.npz`` files are known by their names inside: x and y, or x_train, y_train, x_test and y_test; a y of -1 is a row without
    a class. Nothing in them is ever unpickled.

    Raises:
        AliError: no such file, not an array file, no array of this many dimensions in it, or an unusable value.
    """
    file = Path(path)
    if not file.is_file():
        raise AliError(f"{path}: no such file")
    try:
        with open(file, "rb") as opened:  # NumPy leaves a broken .npz open
            loaded = np.load(opened, allow_pickle=False)
            arrays = {"x": loaded} if isinstance(loaded, np.ndarray) else {key: loaded[key] for key in loaded.files}
    except Exception as error:  # damaged bytes raise anything: of numpy, zipfile, zlib, tokenize
        raise AliError(f"{path}: not a .npy or .npz file of plain numbers ({error})") from None

    if "x_train" in arrays:
        train = check(arrays["x_train"], arrays.get("y_train"), dimensions, f"{path}: x_train")
        if "x_test" not in arrays:
            return split(train, hold_out)
        test = check(arrays["x_test"], arrays.get("y_test"), dimensions, f"{path}: x_test")
        if train.y is not None and test.y is not None:  # a class has one number in both parts
            (y, y_test), classes = _numbered([arrays["y_train"], arrays["y_test"]], path)
            train, test = replace(train, y=y, classes=classes), replace(test, y=y_test, classes=classes)
        return Data(train, test)
    x = next((arrays[key] for key in X_KEYS if key in arrays), None)
    if x is None and len(arrays) == 1:
        x = next(iter(arrays.values()))
    if x is None:
        raise AliError(f"{path}: found arrays {', '.join(sorted(arrays))}; name the data x (and classes y)")
    y = next((arrays[key] for key in Y_KEYS if key in arrays), None)
    return split(check(x, y, dimensions, path), hold_out)


def check(x: np.ndarray, y: np.ndarray | None, dimensions: tuple[int, ...], where: str) -> Source:
    """A source over arrays in memory, if they can be learned from.

    Arguments:
        x: images or rows of numbers.
        y: class numbers or names, one per row; -1, or an empty name, where it is unknown; or None.
        dimensions: allowed numbers of dimensions of x.
        where: what the messages call the data.

    Raises:
        AliError: wrong dimensions, too few rows, channels not last, a value that is not finite, labels of another length.
    """
    x = np.asarray(x)
    wanted = "(n, columns)" if dimensions == (2,) else "(n, height, width) or (n, height, width, channels)"
    if x.ndim not in dimensions:
        raise AliError(f"{where}: expected an array of shape {wanted}, found {x.shape}")
    if len(x) == 0 or 0 in x.shape:
        raise AliError(f"{where}: the array is empty, its shape is {x.shape}")
    maximum = 1.0 if x.dtype == bool else None
    if x.dtype == bool:
        x = x.astype(np.uint8)
    if x.dtype.kind not in "iuf":
        raise AliError(f"{where}: expected numbers, found type {x.dtype}")
    if x.ndim == 4 and x.shape[-1] not in (1, 3):
        hint = ": move the channels last, x.transpose(0, 2, 3, 1)" if x.shape[1] in (1, 3) else ""
        raise AliError(f"{where}: images have 1 or 3 channels, last; found shape {x.shape}{hint}")
    x = x.astype(x.dtype.newbyteorder("="), copy=False)
    if x.dtype.kind == "f":
        given = x
        with np.errstate(over="ignore"):
            x = x.astype(np.float32)
        bad = np.argwhere(~np.isfinite(x))
        if len(bad):
            value = given[tuple(bad[0])]
            raise AliError(f"{where}: {_place(bad[0])} is {value}; every number must be finite ({len(bad)} are not, in single precision)")
    if x.ndim > 2 and x.min() < 0:
        first = np.argwhere(x < 0)[0]
        raise AliError(f"{where}: {_place(first)} is {x[tuple(first)]}; pixels start at 0: shift and scale them first")
    if y is None:
        return Source(x, maximum=maximum)
    y = np.asarray(y)
    if y.shape != (len(x),):
        raise AliError(f"{where}: {len(x)} rows, but labels of shape {y.shape}")
    (numbers,), classes = _numbered([y], where)
    return Source(x, numbers if classes else None, classes, maximum=maximum, notes=tuple(unlabelled(numbers)))


def _numbered(parts: list[np.ndarray], where: str) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Labels of several parts as class numbers, -1 where they are unknown, and the names of the classes."""
    for y in parts:
        if y.dtype.kind not in "biufSUO":
            raise AliError(f"{where}: labels are numbers or names, found type {y.dtype}")
    words = [np.char.decode(y, "latin1") if y.dtype.kind == "S" else y for y in parts]
    known = [np.array([class_of(cell) is not None and cell != -1 for cell in y.tolist()], bool) for y in words]
    try:
        together = np.concatenate([y[rows] for y, rows in zip(words, known, strict=True)])
        names, numbers = np.unique(together, return_inverse=True)
    except TypeError:
        raise AliError(f"{where}: labels are all numbers or all names; these are of several types") from None
    if len(names) == 1 and names.dtype.kind in "if" and names[0] == 1 and not all(rows.all() for rows in known):
        raise AliError(f"{where}: labels are 1 and -1, and -1 means that a class is not known: number the classes from 0")
    made, first = [], 0
    for rows in known:
        y = np.full(len(rows), -1, np.int64)
        y[rows] = numbers[first : first + rows.sum()]
        first += int(rows.sum())
        made.append(y)
    return made, tuple(str(name) for name in names)


def _place(index: np.ndarray) -> str:
    """Where a value stands, in words."""
    row, *place = index.tolist()
    return f"row {row}, column {place[0]}" if len(place) == 1 else f"row {row}, pixel {tuple(place)}"
