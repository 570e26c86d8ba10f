"""Images in Parquet files, in the Hugging Face convention: a column of ``{bytes, path}``; ``label``, or boolean attributes, beside it."""

from __future__ import annotations

__all__ = ["find", "parts"]

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ali.data import labels
from ali.data.labels import NOTHING, Chosen, Kind
from ali.data.pixels import Part, Picture
from ali.errors import AliError

IMAGE_COLUMNS = ("image", "img")
METADATA = "metadata.parquet"  # stands beside pictures (:mod:`ali.data.metadata`)
ROWS = 64  # pictures in memory at a time, as they are in the file


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
    files = find(place)
    named = {part: [file for file in files if file.name.lower().startswith(part)] for part in (*train, "test", "val")}
    learned, held = [file for part in train for file in named[part]], named["test"] or named["val"]
    if place.is_file() or not learned:
        taken = [files]
    else:
        taken = [learned, held] if held else [learned]
    left = [file.name for file in files if not any(file in part for part in taken)]
    chosen = [[_open(file, asked) for file in part] for part in taken]
    first = chosen[0][0]
    other = next((file for part in chosen for file in part if file.chosen.attributes != first.chosen.attributes), None)
    if other is not None:
        words = f"here {other.chosen}, but in {first.path} {first.chosen}"
        raise AliError(f"{other.path}: columns to read differ: {words}; name them with --label or --attributes")
    return [_part(part) for part in chosen], [f"left out: {', '.join(left)}"] if left else []


def _part(files: list[File]) -> Part:
    lacking = [file for file in files if file.chosen.label is None]
    if 0 < len(lacking) < len(files):
        raise AliError(f"{lacking[0].path}: has no column 'label', but {next(file for file in files if file.chosen.label).path} has")
    classes = max((file.classes for file in files), key=len)
    return Part(partial(_pictures, files), classes, files[0].chosen.attributes)


def _open(path: Path, asked: Chosen) -> File:
    """What a file's schema says."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
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
    import pyarrow as pa
    from pyarrow import parquet

    for path, image, (label, attributes), _ in files:
        row = 0
        try:
            with parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(ROWS, columns=[image, *([label] if label else attributes)]):
                    cells = batch.column(image).to_pylist()
                    if attributes:
                        beside: list[Any] = list(_attributes(batch, attributes, str(path), row))
                    else:
                        beside = [None] * len(cells) if label is None else [labels.class_of(y) for y in batch.column(label).to_pylist()]
                    for cell, y in zip(cells, beside, strict=True):
                        yield Picture(f"{path}, row {row}", (cell or {}).get("bytes"), y)
                        row += 1
        except (pa.ArrowException, OSError) as error:
            raise AliError(f"{path}: not a readable Parquet file, after row {row} ({error})") from None


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
