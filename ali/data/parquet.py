"""Images in Parquet files, in the Hugging Face convention: a column of ``{bytes, path}`` and, if there are classes, ``label``."""

from __future__ import annotations

__all__ = ["images"]

import json
from io import BytesIO
from pathlib import Path

import numpy as np

from ali.data.source import Data, Source, split
from ali.errors import AliError

IMAGE_COLUMNS, LABEL_COLUMNS = ("image", "img"), ("label", "labels")


def images(path: str, hold_out: float = 0.1) -> Data:
    """Images of one size, from one Parquet file or a folder of them.

    Arguments:
        path: a file, or a folder whose files are named by their part, ``train-*.parquet`` and ``test-*.parquet``.
        hold_out: share of the rows to hold out, where no file is named test or validation.

    Raises:
        AliError: nothing there, no column of images, or an image that can not be read; the message names file and row.
    """
    place = Path(path)
    files = [place] if place.is_file() else sorted(place.glob("*.parquet"))
    if not place.exists():
        raise AliError(f"{path}: no such file or folder")
    if not files:
        raise AliError(f"{path}: no .parquet file in this folder")
    if place.is_file():
        return split(_read(files), hold_out)
    parts = {part: [file for file in files if file.name.startswith(part)] for part in ("train", "test", "valid")}
    held = parts["test"] or parts["valid"]
    if not parts["train"]:
        return split(_read(files), hold_out)
    return Data(_read(parts["train"]), _read(held)) if held else split(_read(parts["train"]), hold_out)


def _read(files: list[Path]) -> Source:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image, UnidentifiedImageError

    pictures: list[np.ndarray] = []
    labels: list[int] = []
    classes: tuple[str, ...] = ()
    for file in files:
        try:
            table = pq.read_table(file)
        except (pa.ArrowException, OSError) as error:
            raise AliError(f"{file}: not a readable Parquet file ({error})") from None
        column = next((name for name in IMAGE_COLUMNS if name in table.column_names), None)
        if column is None or not pa.types.is_struct(table.schema.field(column).type):
            raise AliError(f"{file}: no column 'image' with bytes; its columns are {', '.join(table.column_names)}")
        for row, cell in enumerate(table.column(column).to_pylist()):
            try:
                picture = Image.open(BytesIO(cell["bytes"]))
                pictures.append(np.asarray(picture if picture.mode in ("L", "RGB") else picture.convert("RGB")))
            except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, TypeError, KeyError) as error:
                raise AliError(f"{file}, row {row}: not a readable image ({error})") from None
            if pictures[-1].shape != pictures[0].shape:
                raise AliError(f"{file}, row {row}: an image of shape {pictures[-1].shape} among images of {pictures[0].shape}")
        label = next((name for name in LABEL_COLUMNS if name in table.column_names), None)
        if label is not None:
            kind = table.column(label).type
            if not pa.types.is_integer(kind) or table.column(label).null_count:
                raise AliError(f"{file}: column {label!r} must hold a class number in every row; it holds {kind}")
            labels.extend(table.column(label).to_pylist())
            classes = _class_names(table.schema.metadata, label) or classes
    if not pictures:
        raise AliError(f"{files[0]}: no rows")
    if labels and len(labels) != len(pictures):
        raise AliError(f"{files[0].parent}: {len(pictures)} images, but {len(labels)} labels: a file lacks the label column")
    y = np.array(labels, dtype=np.int64) if labels else None
    if y is not None and not classes:
        classes = tuple(str(k) for k in range(int(y.max()) + 1))
    return Source(np.stack(pictures), y, classes)


def _class_names(metadata: dict | None, label: str) -> tuple[str, ...]:
    """Class names, from the features that ``datasets`` writes beside the schema."""
    if not metadata or b"huggingface" not in metadata:
        return ()
    try:
        return tuple(json.loads(metadata[b"huggingface"])["info"]["features"][label]["names"])
    except (ValueError, KeyError, TypeError):
        return ()
