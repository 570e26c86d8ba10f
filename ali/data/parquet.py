"""Images in Parquet files, in the Hugging Face convention: a column of ``{bytes, path}`` and, if there are classes, ``label``."""

from __future__ import annotations

__all__ = ["find", "parts"]

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ali.data.pixels import Part, Picture
from ali.errors import AliError

IMAGE_COLUMNS, LABEL_COLUMNS = ("image", "img"), ("label", "labels")
ROWS = 64  # pictures in memory at a time, as they are in the file


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
    files = [_open(file) for file in find(place)]
    named = {part: [file for file in files if file.path.name.lower().startswith(part)] for part in ("train", "test", "val")}
    train, held = named["train"], named["test"] or named["val"]
    if place.is_file() or not train:
        chosen = [files]
    else:
        chosen = [train, held] if held else [train]
    left = [file.path.name for file in files if not any(file in part for part in chosen)]
    return [_part(part) for part in chosen], [f"left out: {', '.join(left)}"] if left else []


def _part(files: list[File]) -> Part:
    lacking = [file for file in files if file.label is None]
    if 0 < len(lacking) < len(files):
        raise AliError(f"{lacking[0].path}: has no column 'label', but {next(file for file in files if file.label).path} has")
    classes = max((file.classes for file in files), key=len)
    return Part(partial(_pictures, files), classes)


def _open(path: Path) -> File:
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
    label = next((name for name in LABEL_COLUMNS if name in schema.names), None)
    if label is not None:
        kind = schema.field(label).type
        named = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)
        if not (pa.types.is_integer(kind) or named):
            raise AliError(f"{path}: column {label!r} must hold a class, by number or name, in every row; it holds {kind}")
    return File(path, image, label, _class_names(schema.metadata, label))


def _pictures(files: list[File]) -> Iterator[Picture]:
    import pyarrow as pa
    from pyarrow import parquet

    for path, image, label, _ in files:
        row = 0
        try:
            with parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(ROWS, columns=[image] if label is None else [image, label]):
                    cells = batch.column(image).to_pylist()
                    labels = [None] * len(cells) if label is None else batch.column(label).to_pylist()
                    for cell, y in zip(cells, labels, strict=True):
                        where = f"{path}, row {row}"
                        if label is not None and y is None:
                            raise AliError(f"{where}: column {label!r} is empty; it must hold a class in every row")
                        yield Picture(where, (cell or {}).get("bytes"), y)
                        row += 1
        except (pa.ArrowException, OSError) as error:
            raise AliError(f"{path}: not a readable Parquet file, after row {row} ({error})") from None


def _class_names(metadata: dict | None, label: str | None) -> tuple[str, ...]:
    """Class names, from the features that ``datasets`` writes beside the schema."""
    if label is None or not metadata or b"huggingface" not in metadata:
        return ()
    try:
        return tuple(map(str, json.loads(metadata[b"huggingface"])["info"]["features"][label]["names"]))
    except (ValueError, KeyError, TypeError):
        return ()
