"""Images in Parquet files, in the Hugging Face convention: a column of ``{bytes, path}`` and, if there are classes, ``label``."""

from __future__ import annotations

__all__ = ["batches", "by_part", "find", "parts"]

import hashlib
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ali.data.pixels import Label, Part, Picture, Rows
from ali.errors import AliError

IMAGE_COLUMNS, LABEL_COLUMNS = ("image", "img"), ("label", "labels")
ROWS, BYTES = 64, 2**23  # at most so many pictures are in memory at a time, as they are in the file, and some so many bytes


class File(NamedTuple):
    """A file, its columns of images and of labels, and the names of its classes."""

    path: Path
    image: str
    label: str | None
    classes: tuple[str, ...]


def find(place: Path) -> list[Path]:
    """A Parquet file, or those in a folder, in the order of their names."""
    files = [place] if place.is_file() else sorted(place.glob("*"))
    return [file for file in files if file.suffix.lower() == ".parquet" and not file.name.startswith(".") and file.is_file()]


def parts(place: Path) -> tuple[list[Part], list[str]]:
    """The images of one Parquet file or of a folder of them, whose names may begin with their part: ``train-*``, ``test-*``.

    Arguments:
        place: a file, or a folder with at least one; ``valid*`` stands in for ``test*``.

    Returns:
        Training part and held-out part, or one part, and what there is to say.

    Raises:
        AliError: a file that can not be read or has no column of images, labels that are none.
    """
    chosen, notes = by_part(place, find(place))
    return [_part([_open(file) for file in files]) for files in chosen], notes


def by_part(place: Path, files: list[Path]) -> tuple[list[list[Path]], list[str]]:
    """Files whose names begin with ``train``, and with ``test`` or else ``val``; or all of them, and what there is to say."""
    named = {part: [file for file in files if file.name.lower().startswith(part)] for part in ("train", "test", "val")}
    train, held = named["train"], named["test"] or named["val"]
    if place.is_file() or not train:
        return [files], []
    chosen = [train, held] if held else [train]
    left = [file.name for file in files if not any(file in part for part in chosen)]
    return chosen, [f"left out: {', '.join(left)}"] if left else []


def _part(files: list[File]) -> Part:
    lacking = [file for file in files if file.label is None]
    if 0 < len(lacking) < len(files):
        raise AliError(f"{lacking[0].path}: has no column 'label', but {next(file for file in files if file.label).path} has")
    classes = max((file.classes for file in files), key=len)
    return Part(partial(_pictures, files), classes, partial(_rows, files))


def _open(path: Path) -> File:
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
    label = next((name for name in LABEL_COLUMNS if name in schema.names), None)
    if label is not None:
        kind = schema.field(label).type
        named = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)
        if not (pa.types.is_integer(kind) or named):
            raise AliError(f"{path}: column {label!r} must hold a class, by number or name, in every row; it holds {kind}")
    return File(path, image, label, _class_names(schema.metadata, label))


def _pictures(files: list[File]) -> Iterator[Picture]:
    for path, image, label, _ in files:
        row = 0
        for batch in batches(path, [f"{image}.bytes", *([label] if label else [])]):
            cells = _bytes(batch, image)
            labels = [None] * len(cells) if label is None else _labels(batch, path, label, row)
            for cell, y in zip(cells, labels, strict=True):
                yield Picture(f"{path}, row {row}", cell, y)
                row += 1


def _rows(files: list[File]) -> Rows:
    """The pictures by row groups, which is how Parquet can be read in any order. Labels are read at once."""

    labels: list[Label] = []
    known: dict[Label, Label] = {}  # one object for each class, not for each row
    places: list[tuple[File, int, int]] = []  # file, row group, its first row in the file
    starts, sizes, digest = [], [], hashlib.sha256()
    total = 0
    for described in files:
        path, image, label, _ = described
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
        if label is None:
            labels += [None] * row
            continue
        for batch in batches(path, [label], 2**14):
            found = [known.setdefault(y, y) for y in _labels(batch, path, label, len(labels) - (total - row))]
            labels += found
            digest.update(f"{found}".encode())

    def read(block: int) -> list[Picture]:
        (path, image, _, _), number, first = places[block]
        cells = (cell for batch in batches(path, [f"{image}.bytes"], groups=[number]) for cell in _bytes(batch, image))
        return [Picture(f"{path}, row {row}", cell) for row, cell in enumerate(cells, first)]

    return Rows(labels, read, digest.digest(), np.array(starts), np.array(sizes))


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


def _labels(batch: Any, path: Path, label: str, first: int) -> list[Label]:
    """The labels of some rows, the first of which has this number in its file."""
    labels = batch.column(label).to_pylist()
    if None in labels:
        raise AliError(f"{path}, row {first + labels.index(None)}: column {label!r} is empty; it must hold a class in every row")
    return labels


def _class_names(metadata: dict | None, label: str | None) -> tuple[str, ...]:
    """Class names, from the features that ``datasets`` writes beside the schema."""
    if label is None or not metadata or b"huggingface" not in metadata:
        return ()
    try:
        return tuple(map(str, json.loads(metadata[b"huggingface"])["info"]["features"][label]["names"]))
    except (ValueError, KeyError, TypeError):
        return ()
