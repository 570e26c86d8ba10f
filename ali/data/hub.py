"""Images from the Hugging Face hub, through the library ``datasets``."""

from __future__ import annotations

__all__ = ["parts"]

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ali.data import labels
from ali.data.labels import Chosen, Kind
from ali.data.parquet import IMAGE_COLUMNS
from ali.data.pixels import Part, Picture
from ali.errors import AliError

# Which of its several configurations a known data set means.
CONFIGURATIONS = {"ufldl-stanford/svhn": "cropped_digits"}


def parts(name: str, asked: Chosen) -> tuple[list[Part], list[str]]:
    """The images of a data set on the hub.

    Arguments:
        name: ``owner/name``, or ``owner/name:configuration``.
        asked: the columns to read, if they are named.

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
    made = [_part(name, [(split, splits[split]) for split in part], datasets.Image(decode=False), asked) for part in chosen]
    other = next((part for part in made if part.attributes != made[0].attributes), None)
    if other is not None:
        words = f"{', '.join(other.attributes) or 'none'}, not {', '.join(made[0].attributes) or 'none'}"
        raise AliError(f"hub:{name}: a part has other attributes than the first ({words}); name them with --attributes")
    return made, [f"left out: {', '.join(left)}"] if left else []


def _part(name: str, splits: list[tuple[str, Any]], encoded: Any, asked: Chosen) -> Part:
    """Some splits together; their images are left as bytes for :mod:`ali.data.pixels`."""
    rows, classes, attributes = [], (), ()
    for split, table in splits:
        columns = table.column_names
        image = next((column for column in IMAGE_COLUMNS if column in columns), None)
        if image is None or type(table.features[image]) is not type(encoded):
            raise AliError(f"hub:{name}, {split}: no column 'image' of images; its columns are {', '.join(columns)}")
        kinds = {column: _kind(table.features[column]) for column in columns if column != image}
        label, found = labels.choose(kinds, asked, f"hub:{name}, {split}")
        if rows and found != attributes:
            raise AliError(f"hub:{name}, {split}: has other attributes than the splits before it; name them with --attributes")
        attributes = found
        if label is not None:
            classes = tuple(getattr(table.features[label], "names", None) or classes)
        table = table.select_columns([image, *([label] if label else attributes)]).cast_column(image, encoded)
        rows.append((f"hub:{name}, {split}", table, image, Chosen(label, attributes)))
    return Part(partial(_pictures, rows), classes, attributes)


def _kind(feature: Any) -> Kind:
    """What a column holds, as far as its feature says."""
    known = str(getattr(feature, "dtype", ""))
    for kind, beginnings in {"boolean": "bool", "integer": ("int", "uint"), "number": "float", "text": ("string", "large_string")}.items():
        if known.startswith(beginnings):
            return kind  # pyrefly: ignore[bad-return]
    return "any"


def _pictures(rows: list[tuple[str, Any, str, Chosen]]) -> Iterator[Picture]:
    for where, table, image, (label, attributes) in rows:
        for number, row in enumerate(table):
            cell, y = row[image] or {}, None if label is None else labels.class_of(row[label])
            if not isinstance(y, int | str | None):
                raise AliError(f"{where}, row {number}: column {label!r} must hold a class, by number or name; it holds {y!r}")
            if attributes:
                y = labels.numbers([row[column] for column in attributes], attributes, f"{where}, row {number}")
            file = cell.get("bytes") or (Path(cell["path"]) if cell.get("path") else None)
            yield Picture(f"{where}, row {number}", file, y)
