"""Images in Parquet files, in the Hugging Face convention: a column of ``{bytes, path}``; ``label``, or boolean attributes, beside it."""

from __future__ import annotations

__all__ = ["batches", "by_part", "find", "parts"]

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ali.data import labels
from ali.data.labels import NOTHING, Chosen, Kind
from ali.data.pixels import Part, Picture, Rows
from ali.errors import AliError

IMAGE_COLUMNS = ("image", "img")
METADATA = "metadata.parquet"  # stands beside pictures (:mod:`ali.data.metadata`)
ROWS, BYTES = 64, 2**23  # at most so many pictures are in memory at a time, as they are in the file, and some so many bytes


class File(NamedTuple):
    """A file, its columns of images and of classes or attributes, and the names of its classes."""

    path: Path
    image: str
    chosen: Chosen
    classes: tuple[str, ...]


def find(place: Path) -> list[Path]:
    """A Parquet file, or those in a folder, in the order of their names."""
    files = [place] if place.is_file() else [file for file in sorted(place.glob("*")) if file.name.lower() != METADATA]
    return [file for file in files if file.suffix.lower() == ".parquet" and not file.name.startswith(".") and file.is_file()]


def parts(place: Path, asked: Chosen = NOTHING, train: Sequence[str] = ("train",)) -> tuple[list[Part], list[str]]:
    """The images of one Parquet file or of a folder of them, whose names may begin with their part: ``train-*``, ``test-*``.

    Arguments:
        place: a file, or a folder with at least one; ``valid*`` stands in for ``test*``.
        asked: the columns to read, if they are named.
        train: parts to learn from, as far as they are there; if none is, everything is one part.

    Returns:
        Training part and held-out part, or one part, and what there is to say.

    Raises:
        AliError: a file that can not be read or has no column of images, labels that are none.
    """
    taken, notes = by_part(place, find(place), train)
    chosen = [[_open(file, asked) for file in part] for part in taken]
    first = chosen[0][0]
    other = next((file for part in chosen for file in part if file.chosen.attributes != first.chosen.attributes), None)
    if other is not None:
        words = f"here {other.chosen}, but in {first.path} {first.chosen}"
        raise AliError(f"{other.path}: columns to read differ: {words}; name them with --label or --attributes")
    return [_part(part) for part in chosen], notes


def by_part(place: Path, files: list[Path], train: Sequence[str] = ("train",)) -> tuple[list[list[Path]], list[str]]:
    """Files whose names begin with a part to learn from, and with ``test`` or else ``val``; or all; and what there is to say."""
    named = {part: [file for file in files if file.name.lower().startswith(part)] for part in (*train, "test", "val")}
    learned, held = [file for part in train for file in named[part]], named["test"] or named["val"]
    if place.is_file() or not learned:
        return [files], []
    chosen = [learned, held] if held else [learned]
    left = [file.name for file in files if not any(file in part for part in chosen)]
    return chosen, [f"left out: {', '.join(left)}"] if left else []


def _part(files: list[File]) -> Part:
    lacking = [file for file in files if file.chosen.label is None]
    if 0 < len(lacking) < len(files):
        raise AliError(f"{lacking[0].path}: has no column 'label', but {next(file for file in files if file.chosen.label).path} has")
    classes = max((file.classes for file in files), key=len)
    return Part(partial(_pictures, files), classes, files[0].chosen.attributes, partial(_rows, files))


def _open(path: Path, asked: Chosen) -> File:
    """What a file's schema says."""
    import pyarrow as pa

    try:
        with _reader(path) as file:
            schema = file.schema_arrow
    except (pa.ArrowException, OSError) as error:
        raise AliError(f"{path}: not a readable Parquet file ({error})") from None
    image = next((name for name in IMAGE_COLUMNS if name in schema.names), None)
    kind = pa.null() if image is None else schema.field(image).type
    if image is None or not isinstance(kind, pa.StructType) or kind.get_field_index("bytes") < 0:
        raise AliError(f"{path}: no column 'image' with bytes; its columns are {', '.join(schema.names)}")
    chosen = labels.choose({field.name: _kind(field.type) for field in schema if field.name != image}, asked, str(path))
    return File(path, image, chosen, _class_names(schema.metadata, chosen.label))


def _kind(of: Any) -> Kind:
    """What a column of this type holds."""
    from pyarrow import types

    if types.is_boolean(of):
        return "boolean"
    if types.is_integer(of):
        return "integer"
    if types.is_floating(of):
        return "number"
    if types.is_dictionary(of):
        return "text"
    return "text" if types.is_string(of) or types.is_large_string(of) else "other"


def _pictures(files: list[File]) -> Iterator[Picture]:
    for path, image, chosen, _ in files:
        row = 0
        for batch in batches(path, [f"{image}.bytes", *_columns(chosen)]):
            for cell, y in zip(_bytes(batch, image), _beside(batch, path, chosen, row), strict=True):
                yield Picture(f"{path}, row {row}", cell, y)
                row += 1


def _rows(files: list[File]) -> Rows:
    """The pictures by row groups, which is how Parquet can be read in any order. What stands beside them is read at once."""
    beside: list[Any] = []
    known: dict[Any, Any] = {}  # one object for each class, not for each row
    places: list[tuple[File, int, int]] = []  # file, row group, its first row in the file
    starts, sizes, digest = [], [], hashlib.sha256()
    total = 0
    for described in files:
        path, image, chosen, _ = described
        with _reader(path) as file:
            metadata = file.metadata
        row = 0
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            columns = (group.column(k) for k in range(group.num_columns))
            starts.append(total + row)
            sizes.append(next(column.total_uncompressed_size for column in columns if column.path_in_schema == f"{image}.bytes"))
            places.append((described, number, row))
            row += group.num_rows
        digest.update(f"{path.name} {path.stat().st_size} {metadata.num_row_groups} {row}\n".encode())
        total += row
        if chosen == NOTHING:
            beside += [None] * row
            continue
        first = 0
        for batch in batches(path, _columns(chosen), 2**14):
            found = _beside(batch, path, chosen, first)
            beside += [found] if chosen.attributes else [known.setdefault(y, y) for y in found]
            digest.update(found.tobytes() if chosen.attributes else f"{found}".encode("utf-8", "surrogateescape"))
            first += batch.num_rows

    def read(block: int) -> list[Picture]:
        (path, image, *_), number, first = places[block]
        cells = (cell for batch in batches(path, [f"{image}.bytes"], groups=[number]) for cell in _bytes(batch, image))
        return [Picture(f"{path}, row {row}", cell) for row, cell in enumerate(cells, first)]

    together = np.concatenate(beside) if files[0].chosen.attributes and beside else beside
    return Rows(together, read, digest.digest(), np.array(starts), np.array(sizes))


def _columns(chosen: Chosen) -> list[str]:
    return [chosen.label] if chosen.label else list(chosen.attributes)


def batches(path: Path, columns: list[str] | None = None, rows: int = ROWS, groups: list[int] | None = None) -> Iterator[Any]:
    """Some columns of a file, or of some of its row groups, page by page, so that no row group is in memory as a whole.

    Arguments:
        columns: their names; all of them by default.
        rows: at most so many in a batch, fewer where they are large.
        groups: row groups; all of them by default.

    Raises:
        AliError: the file can not be read.
    """
    import pyarrow as pa

    done = 0
    try:
        with _reader(path) as file:
            metadata = file.metadata
            held = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
            rows = max(1, min(rows, BYTES * metadata.num_rows // max(1, held)))
            for batch in file.iter_batches(rows, row_groups=groups, columns=columns, use_threads=False):
                yield batch
                done += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise AliError(f"{path}: not a readable Parquet file, after row {done} ({error})") from None


def _reader(path: Path) -> Any:
    """A file that is read page by page into memory of the system's own: Arrow's allocator takes a gibibyte of address space first."""
    import pyarrow as pa
    from pyarrow import parquet

    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        return parquet.ParquetFile(path, buffer_size=2**16, pre_buffer=False)
    finally:
        pa.set_memory_pool(before)


def _bytes(batch: Any, image: str) -> list[bytes | None]:
    return [(cell or {}).get("bytes") for cell in batch.column(image).to_pylist()]


def _beside(batch: Any, path: Path, chosen: Chosen, first: int) -> Any:
    """The classes or attributes of some rows, the first of which has this number in its file."""
    if chosen.attributes:
        return _attributes(batch, chosen.attributes, str(path), first)
    return [None] * batch.num_rows if chosen.label is None else [labels.class_of(y) for y in batch.column(chosen.label).to_pylist()]


def _attributes(batch: Any, names: tuple[str, ...], where: str, first: int) -> np.ndarray:
    """The attributes of some rows, float32 of shape (n, attributes)."""
    columns = []
    for name in names:
        column = np.array(batch.column(name).to_pylist(), np.float32)  # an empty cell is NaN
        bad = np.flatnonzero(~np.isfinite(column))
        if len(bad):
            found = "is empty" if batch.column(name)[int(bad[0])].as_py() is None else "is not a finite number"
            raise AliError(f"{where}, row {first + bad[0]}: column {name!r} {found}; every row needs its attributes")
        columns.append(column)
    return np.stack(columns, 1)


def _class_names(metadata: dict | None, label: str | None) -> tuple[str, ...]:
    """Class names, from the features that ``datasets`` writes beside the schema."""
    if label is None or not metadata or b"huggingface" not in metadata:
        return ()
    try:
        return tuple(map(str, json.loads(metadata[b"huggingface"])["info"]["features"][label]["names"]))
    except (ValueError, KeyError, TypeError):
        return ()
