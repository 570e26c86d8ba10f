"""Rows and codes in files: ``.npy``, ``.csv``, ``.parquet``, a picture, or a folder of pictures."""

from __future__ import annotations

__all__ = ["read_images", "read_labels", "read_numbers", "write_columns", "write_images", "write_numbers", "write_table"]

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ali import pictures
from ali.data import folders, pixels, tables
from ali.errors import AliError

if TYPE_CHECKING:
    import pyarrow as pa


def write_numbers(file: Path, z: np.ndarray, name: str = "z") -> None:
    """Write rows of numbers; the columns of a table are called z0, z1, ...

    Arguments:
        file: ``.npy``, ``.csv`` or ``.parquet``.
        z: shape (n, d).
        name: of the columns.

    Raises:
        AliError: another ending.
    """
    write_columns(file, {f"{name}{k}": column for k, column in enumerate(z.T)})


def write_columns(file: Path, columns: dict[str, np.ndarray], **words: np.ndarray) -> None:
    """Write named columns of numbers, and in tables also columns of words.

    Arguments:
        file: ``.npy`` (the numbers alone, (n, d)), ``.csv`` or ``.parquet``.
        columns: numbers, (n,) each.
        words: texts, (n,) each.

    Raises:
        AliError: another ending.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".npy":
        np.save(file, np.stack(list(columns.values()), 1))
        return
    import pyarrow as pa

    write_table(file, pa.table({name: np.ascontiguousarray(column) for name, column in (columns | words).items()}))


def write_table(file: Path, table: pa.Table) -> None:
    """Write a table to ``.csv`` or ``.parquet``.

    Raises:
        AliError: another ending.
    """
    from pyarrow import csv, parquet

    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".csv":
        csv.write_csv(_with_points(table), file)
    elif file.suffix == ".parquet":
        parquet.write_table(table, file)
    else:
        raise AliError(f"{file}: numbers are written to .csv, .parquet or .npy")


def _with_points(table: pa.Table) -> pa.Table:
    """Whole numbers in a column of fractions keep their point, by which readers know that it is one."""
    import pyarrow as pa

    for k, column in enumerate(table.columns):
        if pa.types.is_floating(column.type):
            x = column.drop_null().to_numpy()
            if len(x) and (np.abs(x) < 1e15).all() and (x == np.round(x)).all():
                table = table.set_column(k, table.column_names[k], column.cast(pa.decimal128(17, 1)))
    return table


def read_numbers(file: Path) -> np.ndarray:
    """Read rows of numbers, float32 of shape (n, d).

    Raises:
        AliError: no such file, another ending, a broken file, or a cell that is no number; the message says where.
    """
    if not file.is_file():
        raise AliError(f"{file}: no such file")
    import pyarrow as pa
    from pyarrow import csv, parquet

    try:
        if file.suffix == ".npy":
            rows = np.load(file, allow_pickle=False)
            if not isinstance(rows, np.ndarray) or rows.dtype.kind not in "iuf":
                raise AliError(f"{file}: expected one array of numbers")
            return rows.astype(np.float32)
        if file.suffix not in (".csv", ".parquet"):
            raise AliError(f"{file}: numbers are read from .csv, .parquet or .npy")
        table = csv.read_csv(file) if file.suffix == ".csv" else parquet.read_table(file)
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, AliError):
            raise
        raise AliError(f"{file}: not readable as {file.suffix} ({error})") from None
    if file.suffix == ".csv" and table.column_names and all(re.fullmatch(r"[-+.\deE]+", name) for name in table.column_names):
        raise AliError(f"{file}: the first line holds numbers, not the names of columns: put a header above it")
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            raise AliError(f"{file}: column {name!r} holds {column.type}, not numbers")
        if column.null_count:
            row = next(k for k, cell in enumerate(column) if not cell.is_valid)
            raise AliError(f"{file}: column {name!r}, row {row} is empty")
    # Columns as write_numbers names them go by their numbers, in whatever order they stand.
    numbered = [re.fullmatch(r"[xz](\d+)", name) for name in table.column_names]
    places = [int(match[1]) for match in numbered if match]
    order = np.argsort(places) if sorted(places) == list(range(table.num_columns)) else range(table.num_columns)
    return np.stack([table.column(int(k)).to_numpy().astype(np.float32) for k in order], 1)


def read_labels(file: Path, attributes: tuple[str, ...], label: str) -> np.ndarray:
    """Read the labels of rows: names of classes, (n,), or attributes, float32 (n, k).

    Arguments:
        file: ``.csv`` or ``.parquet`` with a column for each attribute, or with one of classes, alone or of a known name; or ``.npy``.
        attributes: those that the run knows; none if it knows classes.
        label: the name of the column of classes.

    Raises:
        AliError: no such file, a broken one, no such column, an empty cell; the message says which.
    """
    if file.suffix == ".npy":
        try:
            return np.load(file, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise AliError(f"{file}: not readable as .npy ({error})") from None
    table = tables.read(str(file))
    if attributes:
        missing = [name for name in attributes if name not in table.column_names]
        if missing:
            raise AliError(f"{file}: has no column {missing[0]!r} ({len(missing)} of the run's {len(attributes)} attributes are missing)")
        wanted = list(attributes)
    else:
        names = table.column_names
        if len(names) > 1 and label not in names:
            raise AliError(f"{file}: which column holds the classes? Call it {label}; there are {', '.join(names)}")
        wanted = [label if label in names else names[0]]
    columns = {name: table.column(name).to_pylist() for name in wanted}
    for name, cells in columns.items():
        if None in cells:
            raise AliError(f"{file}: column {name!r}, row {cells.index(None)} is empty")
    if not attributes:
        return np.array([str(cell) for cell in columns[wanted[0]]])
    try:
        return np.array([[float(cell) for cell in cells] for cells in columns.values()], np.float32).T
    except ValueError as error:
        raise AliError(f"{file}: attributes are numbers ({error})") from None


def write_images(out: Path, x: np.ndarray, maximum: float, columns: int | None = None) -> None:
    """Write images: ``.png`` is one grid, ``.npy`` the array, anything without an ending a folder of one PNG each.

    Arguments:
        x: (n, height, width[, channels]), pixels in [0, maximum].
        columns: images per line of a grid.

    Raises:
        AliError: another ending.
    """
    if out.suffix == ".png":
        out.parent.mkdir(parents=True, exist_ok=True)
        pictures.grid(x, maximum, columns, height=320).save(out)
    elif out.suffix == ".npy":
        out.parent.mkdir(parents=True, exist_ok=True)
        np.save(out, x)
    elif not out.suffix:
        pictures.save_folder(x, maximum, out)
    else:
        raise AliError(f"{out}: images are written to a .png grid, an .npy array, or a folder (a name without an ending)")


def read_images(place: Path, shape: tuple[int, ...], maximum: float, dtype: str) -> np.ndarray:
    """Read images as a run knows them: an ``.npy`` array, one picture, or a folder of pictures in the order of their names.

    Arguments:
        shape: of one image, (height, width) or (height, width, 3).
        maximum: the run's brightest pixel; pictures go from 0 to 255.
        dtype: the run's type of pixels.

    Raises:
        AliError: nothing there, or a picture of another size or kind.
    """
    if place.suffix == ".npy":
        try:
            return np.load(place, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise AliError(f"{place}: not readable as .npy ({error})") from None
    if not place.exists():
        raise AliError(f"{place}: no such file or folder")
    rows = []
    for file in folders.find(place) if place.is_dir() else [place]:
        try:
            with pixels.Picture(str(file), file).open() as opened:
                picture = np.asarray(pixels.bytes_of(opened, grey=shape[2:] != (3,))[0])
        except Exception as error:  # damaged bytes raise anything: of Pillow, zlib, struct
            other = "" if file.suffix.lower() in folders.SUFFIXES else "; images are read from .npy, a picture, or a folder of pictures"
            raise AliError(f"{file}: not a readable picture ({error}){other}") from None
        if picture.shape[:2] != tuple(shape[:2]):
            raise AliError(
                f"{file}: {picture.shape[1]} x {picture.shape[0]} pixels; this run knows {shape[1]} x {shape[0]}: resize it first"
            )
        rows.append(picture.reshape(shape))
    x = np.stack(rows) * (maximum / 255)
    return (np.round(x) if np.dtype(dtype).kind in "iu" else x).astype(dtype)
