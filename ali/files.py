"""Rows and codes in files: ``.npy``, ``.csv``, ``.parquet``, a picture, or a folder of pictures.

All of them are read and written piece by piece, so that memory does not grow with them (but for a single picture of many rows),
and appear whole or not at all.
"""

from __future__ import annotations

__all__ = [
    "blocks",
    "picture_names",
    "read_images",
    "read_labels",
    "read_numbers",
    "whole",
    "write_columns",
    "write_images",
    "write_numbers",
    "write_table",
]

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ali import pictures
from ali.data import folders, images, metadata, parquet, pixels, tables
from ali.data.store import Writer, header
from ali.errors import AliError

if TYPE_CHECKING:
    import pyarrow as pa

NUMBERS = 2**20  # in the rows that are read together
PICTURES = 64  # that are read together


def write_numbers(file: Path, pieces: Iterable[np.ndarray], name: str = "z", names: Sequence[str] | None = None) -> None:
    """Write rows of numbers; the columns of a table are called z0, z1, ...

    Arguments:
        file: ``.npy``, ``.csv`` or ``.parquet``.
        pieces: each of shape (n, d).
        name: of the columns.
        names: of the rows, as for :func:`write_columns`.

    Raises:
        AliError: another ending.
    """
    write_columns(file, pieces, lambda z: {f"{name}{k}": column for k, column in enumerate(z.T)}, names)


def write_columns(
    file: Path,
    pieces: Iterable[np.ndarray],
    columns: Callable[[np.ndarray], dict[str, np.ndarray]],
    names: Sequence[str] | None = None,
) -> None:
    """Write rows of numbers; of a table the columns have names, and there may be more of them.

    Arguments:
        file: ``.npy`` (the numbers alone), ``.csv`` or ``.parquet``.
        pieces: each of shape (n, d).
        columns: of such rows by their names, numbers or texts, (n,) each.
        names: the picture that each row was, which the first column of a table, ``file_name``, says.

    Raises:
        AliError: another ending.
    """
    if file.suffix == ".npy":
        return _write_array(file, pieces)
    import pyarrow as pa

    def described() -> Iterator[pa.Table]:
        first = 0
        for rows in blocks(pieces):
            named = {} if names is None else {metadata.FILE: np.array(names[first : first + len(rows)], object)}
            yield pa.table({name: np.ascontiguousarray(column) for name, column in (named | columns(rows)).items()})
            first += len(rows)

    write_table(file, described())


def write_table(file: Path, pieces: Iterable[pa.Table]) -> None:
    """Write tables of the same columns, one below the other, to ``.csv`` or ``.parquet``.

    Raises:
        AliError: another ending.
    """
    from pyarrow import csv
    from pyarrow.parquet import ParquetWriter

    if file.suffix not in (".csv", ".parquet"):
        raise AliError(f"{file}: numbers are written to .csv, .parquet or .npy")
    first, pieces = _begun(pieces)
    with whole(file) as temporary:
        if file.suffix == ".parquet":
            with ParquetWriter(temporary, first.schema) as writer:
                for table in pieces:
                    writer.write_table(table)
            return
        with open(temporary, "wb") as opened:
            for number, table in enumerate(pieces):
                csv.write_csv(_with_points(table), opened, csv.WriteOptions(include_header=number == 0))


def _with_points(table: pa.Table) -> pa.Table:
    """Whole numbers in a column of fractions keep their point, by which readers know that it is one."""
    import pyarrow as pa

    for k, column in enumerate(table.columns):
        if pa.types.is_floating(column.type):
            x = column.drop_null().to_numpy()
            if len(x) and (np.abs(x) < 1e15).all() and (x == np.round(x)).all():
                table = table.set_column(k, table.column_names[k], column.cast(pa.decimal128(17, 1)))
    return table


def blocks(pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The same rows some megabytes at a time, which are row groups of a Parquet file; each is to be used up before the next.

    They are put together in place: small pieces that were kept would lie between the large ones that come and go, and leave holes
    that nothing fits into, so that memory would grow after all.
    """
    block, filled, went = np.empty((0, 0)), 0, False
    for some in pieces:
        if not len(block):
            block = np.empty((max(1, NUMBERS // max(1, int(np.prod(some.shape[1:])))), *some.shape[1:]), some.dtype)
        while len(some):
            n = min(len(block) - filled, len(some))
            block[filled : filled + n], some = some[:n], some[n:]
            filled += n
            if filled == len(block):
                yield block
                filled, went = 0, True
    if filled or not went:
        yield block[:filled]


def read_numbers(file: Path) -> Iterator[np.ndarray]:
    """Read rows of numbers, float32 of shape (n, d), piece by piece; a column ``file_name`` is passed over.

    Raises:
        AliError: no such file, another ending, a broken file, or a cell that is no number; the message says where.
    """
    if not file.is_file():
        raise AliError(f"{file}: no such file")
    if file.suffix == ".npy":
        for rows in _read_array(file):
            if rows.dtype.kind not in "iuf":
                raise AliError(f"{file}: expected one array of numbers")
            yield rows.astype(np.float32)
        return
    if file.suffix not in (".csv", ".parquet"):
        raise AliError(f"{file}: numbers are read from .csv, .parquet or .npy")
    import pyarrow as pa

    order: Any = None
    first = 0
    for batch in _read_csv(file) if file.suffix == ".csv" else parquet.batches(file, rows=NUMBERS // 64):
        batch = batch.select([name for name in batch.schema.names if name != metadata.FILE])
        if not batch.num_columns:
            raise AliError(f"{file}: has no column of numbers")
        if order is None:
            # Columns as write_numbers names them go by their numbers, in whatever order they stand.
            numbered = [re.fullmatch(r"[xz](\d+)", name) for name in batch.schema.names]
            places = [int(match[1]) for match in numbered if match]
            order = np.argsort(places) if sorted(places) == list(range(batch.num_columns)) else range(batch.num_columns)
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
                raise AliError(f"{file}: column {name!r} holds {column.type}, not numbers")
            if column.null_count:
                row = next(k for k, cell in enumerate(column) if not cell.is_valid)
                raise AliError(f"{file}: column {name!r}, row {first + row} is empty")
        yield np.stack([batch.column(int(k)).to_numpy(zero_copy_only=False).astype(np.float32) for k in order], 1)
        first += batch.num_rows
    if order is None:
        raise AliError(f"{file}: no rows")


def read_labels(file: Path, attributes: tuple[str, ...], label: str, rows: Path | None = None) -> np.ndarray:
    """Read the labels of rows: names of classes, (n,), or attributes, float32 (n, k).

    Arguments:
        file: ``.csv`` or ``.parquet`` with a column for each attribute, or with one of classes, alone or of a known name; or ``.npy``.
        attributes: those that the run knows; none if it knows classes.
        label: the name of the column of classes.
        rows: the folder of pictures whose labels they are: a column ``file_name`` says which line is whose. Without such a column, lines
            and rows have one order.

    Raises:
        AliError: no such file, a broken one, no such column, an empty cell; the message says which.
    """
    if file.suffix == ".npy":
        try:
            return np.load(file, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise AliError(f"{file}: not readable as .npy ({error})") from None
    table = tables.read(str(file))
    if metadata.FILE in table.column_names:
        table = _in_order(table, rows, file)
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
        return np.array([[_attribute(cell) for cell in cells] for cells in columns.values()], np.float32).T
    except ValueError as error:
        raise AliError(f"{file}: attributes are numbers ({error})") from None


def _attribute(cell: Any) -> float:
    """A number, or a truth as 1 or 0."""
    return {"true": 1.0, "false": 0.0}[str(cell).lower()] if str(cell).lower() in ("true", "false") else float(cell)


def _in_order(table: pa.Table, rows: Path | None, file: Path) -> pa.Table:
    """The lines of a table in the order in which the pictures that its column ``file_name`` names are read."""
    if rows is None or not rows.is_dir():
        words = "its column 'file_name' names pictures, and the rows are no folder of them: leave it out if both have one order"
        raise AliError(f"{file}: {words}")
    places = {name: place for place, name in enumerate(table.column(metadata.FILE).to_pylist())}
    names = picture_names(rows)
    missing = [name for name in names if name not in places]
    if missing:
        raise AliError(f"{file}: has no line for {missing[0]!r} ({len(missing):,} of {len(names):,} pictures have none)")
    return table.take([places[name] for name in names])


def picture_names(folder: Path) -> list[str]:
    """What the pictures of a folder are called, in the order in which they are read: their paths below it, with slashes."""
    paths = [file.relative_to(folder).as_posix() for file in folders.find(folder)]
    return [path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for path in paths]  # names may be any bytes


def write_images(out: Path, pieces: Iterable[np.ndarray], maximum: float, columns: int | None = None) -> None:
    """Write images: ``.png`` is one grid, ``.npy`` the array, anything without an ending a folder of one PNG each.

    Arguments:
        pieces: each (n, height, width[, channels]), pixels in [0, maximum].
        columns: images per line of a grid.

    Raises:
        AliError: another ending, or a folder that holds something already, which would be taken for more of the same.
    """
    if out.suffix == ".png":
        picture = pictures.grid(np.concatenate(list(pieces)), maximum, columns, height=320)
        with whole(out) as temporary:
            picture.save(temporary)
    elif out.suffix == ".npy":
        _write_array(out, pieces)
    elif not out.suffix:
        if out.exists() and any(out.iterdir()):
            raise AliError(f"{out}: holds files already; choose another --out, or empty it")
        _, pieces = _begun(pieces)
        with whole(out) as temporary:
            temporary.mkdir()
            number = 0
            for x in pieces:
                pictures.save_folder(x, maximum, temporary, number)
                number += len(x)
    else:
        raise AliError(f"{out}: images are written to a .png grid, an .npy array, or a folder (a name without an ending)")


def read_images(place: Path, shape: tuple[int, ...], maximum: float, dtype: str, crop: pixels.Crop | None = None) -> Iterator[np.ndarray]:
    """Read images as a run knows them, piece by piece.

    An ``.npy`` array; a picture; a folder of pictures, in the order of their names; or Parquet files and tar shards of them, as they lie.

    Arguments:
        shape: of one image, (height, width) or (height, width, 3).
        maximum: the run's brightest pixel; pictures go from 0 to 255.
        dtype: the run's type of pixels.
        crop: how pictures of another size are brought to the run's (:func:`ali.data.pixels.square`); None refuses them.

    Raises:
        AliError: nothing there, or a picture that can not be read, or of a size that is refused.
    """
    if place.suffix == ".npy":
        yield from _read_array(place)
        return
    if not place.exists():
        raise AliError(f"{place}: no such file or folder")
    found = images.pictures(place)
    while some := list(islice(found, PICTURES)):
        x = np.stack([_picture(picture, shape, crop) for picture in some]) * (maximum / 255)
        yield (np.round(x) if np.dtype(dtype).kind in "iu" else x).astype(dtype)


def _picture(file: pixels.Picture, shape: tuple[int, ...], crop: pixels.Crop | None) -> np.ndarray:
    try:
        with file.open() as opened:
            whole = pixels.bytes_of(opened, grey=shape[2:] != (3,))[0]
            picture = np.asarray(whole if crop is None else pixels.square(whole, shape[0], crop)[0])
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes raise anything: of Pillow, zlib, struct
        named = Path(file.where).suffix.lower() in folders.SUFFIXES or not isinstance(file.file, Path)
        other = "" if named else "; images are read from .npy, a picture, a folder of pictures, Parquet files or tar shards"
        raise AliError(f"{file.where}: not a readable picture ({error}){other}") from None
    if picture.shape[:2] != tuple(shape[:2]):
        here, known = f"{picture.shape[1]} x {picture.shape[0]}", f"{shape[1]} x {shape[0]}"
        raise AliError(f"{file.where}: {here} pixels; this run knows {known}: resize it first")
    return picture.reshape(shape)


def _read_array(file: Path) -> Iterator[np.ndarray]:
    """Rows of an ``.npy`` file, by plain reads; one whose first index runs fastest is read at once."""
    shape, fortran, dtype, start = header(file)
    try:
        if fortran or not shape or dtype.hasobject:
            rows = np.load(file, allow_pickle=False)
            if not rows.shape:
                raise AliError(f"{file}: expected rows of numbers, found a single one")
            yield rows
            return
        each = int(np.prod(shape[1:], dtype=np.int64))
        at_once = max(1, NUMBERS // max(1, each))
        with open(file, "rb") as opened:
            opened.seek(start)
            for first in range(0, max(1, shape[0]), at_once):
                n = min(at_once, shape[0] - first)
                rows = np.fromfile(opened, dtype, n * each)
                if len(rows) < n * each:
                    raise AliError(f"{file}: is shorter than its header says; copy it again")
                yield rows.reshape(n, *shape[1:])
    except (OSError, ValueError) as error:
        raise AliError(f"{file}: not readable as .npy ({error})") from None


def _read_csv(file: Path) -> Iterator[Any]:
    """Batches of a CSV file whose columns all hold numbers: a file that is read in pieces can not be asked for its types first."""
    import pyarrow as pa
    from pyarrow import csv

    names: list[str] = []
    try:
        reading = csv.ReadOptions(use_threads=False, block_size=NUMBERS)
        with csv.open_csv(file, reading) as opened:
            names = opened.schema.names
        if names and all(re.fullmatch(r"[-+.\deE]+", name) for name in names):
            raise AliError(f"{file}: the first line holds numbers, not the names of columns: put a header above it")
        kinds = csv.ConvertOptions(column_types={name: pa.string() if name == metadata.FILE else pa.float64() for name in names})
        with csv.open_csv(file, reading, convert_options=kinds) as opened:
            yield pa.RecordBatch.from_pylist([], opened.schema)
            yield from opened
    except (pa.ArrowException, OSError, ValueError) as error:
        words = str(error)
        column = re.search(r"CSV column #(\d+)", words)
        if column and "conversion error" in words:
            raise AliError(f"{file}: column {names[int(column[1])]!r} holds string, not numbers ({words})") from None
        raise AliError(f"{file}: not readable as .csv ({words})") from None


def _write_array(file: Path, pieces: Iterable[np.ndarray]) -> None:
    first, pieces = _begun(pieces)
    with whole(file) as temporary:
        writer = Writer(temporary, first.shape[1:], first.dtype)
        try:
            for rows in pieces:
                writer.extend(rows)
        finally:
            writer.close()


def _begun(pieces: Iterable[Any]) -> tuple[Any, Iterable[Any]]:
    """The first of some pieces, and all of them: what is wrong with the rows is mostly known before anything is written."""
    going = iter(pieces)
    first = next(going)
    return first, chain([first], going)


@contextmanager
def whole(out: Path) -> Iterator[Path]:
    """A neighbour to write to, which takes the place of a file, or of an empty folder, at the end."""
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.tmp{out.suffix}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        yield temporary
        os.replace(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if temporary.is_file():
            temporary.unlink()
