"""Images from the Hugging Face hub, through the library ``datasets``."""

from __future__ import annotations

__all__ = ["parts"]

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ali.data.parquet import IMAGE_COLUMNS, LABEL_COLUMNS
from ali.data.pixels import Part, Picture
from ali.errors import AliError

# Which of its several configurations a known data set means.
CONFIGURATIONS = {"ufldl-stanford/svhn": "cropped_digits"}


def parts(name: str) -> tuple[list[Part], list[str]]:
    """The images of a data set on the hub.

    Arguments:
        name: ``owner/name``, or ``owner/name:configuration``.

    Returns:
        Training part and held-out part (``test``, or else ``validation``), or one part, and what there is to say.

    Raises:
        AliError: ``datasets`` is not installed, the hub has no such data set or is out of reach, no column of images.
    """
    try:
        import datasets  # pyrefly: ignore[missing-import]
    except ImportError:
        raise AliError(f"hub:{name}: the hub is read with the library datasets: pip install 'ali[hub]'") from None
    known, _, configuration = name.partition(":")
    try:
        splits: Mapping[str, Any] = datasets.load_dataset(known, configuration or CONFIGURATIONS.get(known))
    except Exception as error:  # of the network, the hub, the file system
        words = (str(error).splitlines() or [""])[0]
        raise AliError(
            f"hub:{name}: can not be loaded ({type(error).__name__}: {words}); write hub:owner/name, or hub:owner/name:configuration"
        ) from None
    held = next((split for split in ("test", "validation", "valid", "val") if split in splits), None)
    if "train" in splits:
        chosen = [["train"], [held]] if held else [["train"]]
    else:
        chosen = [list(splits)]
    left = [split for split in splits if not any(split in part for part in chosen)]
    made = [_part(name, [(split, splits[split]) for split in part], datasets.Image(decode=False)) for part in chosen]
    return made, [f"left out: {', '.join(left)}"] if left else []


def _part(name: str, splits: list[tuple[str, Any]], encoded: Any) -> Part:
    """Some splits together; their images are left as bytes for :mod:`ali.data.pixels`."""
    rows, classes = [], ()
    for split, table in splits:
        columns = table.column_names
        image = next((column for column in IMAGE_COLUMNS if column in columns), None)
        if image is None or type(table.features[image]) is not type(encoded):
            raise AliError(f"hub:{name}, {split}: no column 'image' of images; its columns are {', '.join(columns)}")
        label = next((column for column in LABEL_COLUMNS if column in columns), None)
        if label is not None:
            classes = tuple(getattr(table.features[label], "names", None) or classes)
        table = table.select_columns([image] if label is None else [image, label]).cast_column(image, encoded)
        rows.append((f"hub:{name}, {split}", table, image, label))
    return Part(partial(_pictures, rows), classes)


def _pictures(rows: list[tuple[str, Any, str, str | None]]) -> Iterator[Picture]:
    for where, table, image, label in rows:
        for number, row in enumerate(table):
            cell, y = row[image] or {}, None if label is None else row[label]
            if label is not None and not isinstance(y, int | str):
                raise AliError(f"{where}, row {number}: column {label!r} must hold a class, by number or name; it holds {y!r}")
            file = cell.get("bytes") or (Path(cell["path"]) if cell.get("path") else None)
            yield Picture(f"{where}, row {number}", file, y)
