"""Classes and attributes of pictures in the Hugging Face image-folder convention: ``metadata.csv`` (``.jsonl``, ``.parquet``) beside them.

Its column ``file_name`` says, relative to the folder that it lies in, which picture a row is about. In messages the first row is
row 1.
"""

from __future__ import annotations

__all__ = ["Metadata", "read"]

import json
import os
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from ali.data import labels, tables
from ali.data.labels import NOTHING, Chosen, Kind, Label
from ali.errors import AliError

NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
FILE = "file_name"


class Metadata(NamedTuple):
    """What metadata files say of pictures.

    Arguments:
        files: that were read.
        labels: the class or the attributes of each picture, by its path.
        attributes: their names, if there are no classes.
        notes: what there is to say.
    """

    files: list[Path]
    labels: dict[str, Label]
    attributes: tuple[str, ...]
    notes: list[str]

    def of(self, picture: Path) -> Label:
        """The class of a picture, None if it has no row; or its attributes.

        Raises:
            AliError: attributes are known, but not of this picture.
        """
        key = os.path.normpath(picture)
        if self.attributes and key not in self.labels:
            raise AliError(f"{picture}: has no row in {' or '.join(map(str, self.files))}; every picture needs its attributes")
        return self.labels.get(key)


def read(folder: Path, pictures: Iterable[Path], asked: Chosen) -> Metadata | None:
    """The metadata files in a folder of pictures and below it; None if they say nothing of classes or attributes.

    Arguments:
        folder: that is read.
        pictures: that lie in it, at any depth.
        asked: the columns to read, if they are named.

    Raises:
        AliError: a file that can not be read or lacks a column that is named, an attribute that is no number, a picture with two rows.
    """
    pictures = list(pictures)
    below = {picture.parent for picture in pictures}
    places = sorted({place for lowest in below for place in (lowest, *lowest.parents) if place.is_relative_to(folder)})
    files = [place / name for place in places for name in NAMES if (place / name).is_file()]
    twice = next((a for a, b in pairwise(files) if a.parent == b.parent), None)
    if twice is not None:
        raise AliError(f"{twice.parent}: several files of metadata lie here, {twice.name} first: keep one of them")
    if not files and asked != NOTHING:
        raise AliError(f"{folder}: no metadata.csv, .jsonl or .parquet lies beside the pictures, to hold {asked}")
    known, notes = {os.path.normpath(picture) for picture in pictures}, []
    found: dict[str, Label] = {}
    chosen: dict[Path, Chosen] = {}
    for file in files:
        columns = _columns(file)
        if FILE not in columns:
            if asked != NOTHING:
                raise AliError(f"{file}: no column {FILE!r}, which names the pictures; its columns are {', '.join(columns)}")
            notes.append(f"{file} was not read: it has no column {FILE!r}, which names the pictures")
            continue
        kinds = {name: _kind(cells) for name, cells in columns.items() if name != FILE}
        chosen[file] = labels.choose(kinds, asked, str(file))
        one = next(iter(chosen))
        if chosen[file] != chosen[one]:
            raise AliError(
                f"{file}: columns to read differ: here {chosen[file]}, but in {one} {chosen[one]}; name them with --label or --attributes"
            )
        idle = _rows(file, columns, kinds, chosen[file], known, found)
        if idle and chosen[file] != NOTHING:
            notes.append(f"rows of {file} whose picture is not there: {idle:,}")
    if not any(one != NOTHING for one in chosen.values()):
        return Metadata([], {}, (), notes) if notes else None
    attributes = next(iter(chosen.values())).attributes
    return Metadata(list(chosen), found, attributes, notes)


def _rows(file: Path, columns: dict[str, list], kinds: dict[str, Kind], chosen: Chosen, known: set[str], found: dict[str, Label]) -> int:
    """Add the labels of a file's rows to those that were found; returns how many rows name no picture."""
    idle, here = 0, {}
    for row, name in enumerate(columns[FILE], 1):
        if labels.class_of(name) is None:
            raise AliError(f"{file}, row {row}: column {FILE!r} is empty")
        picture = os.path.normpath(os.path.join(file.parent, str(name)))
        if picture not in known:
            idle += 1
            continue
        if picture in here or picture in found:
            where = f"in row {here[picture]}" if picture in here else "in another file"
            raise AliError(f"{file}, row {row}: {name} has a row already, {where}")
        here[picture] = row
        if chosen.attributes:
            cells = [columns[column][row - 1] for column in chosen.attributes]
            found[picture] = labels.numbers(cells, chosen.attributes, f"{file}, row {row}")
        elif chosen.label is not None:
            found[picture] = _class(columns[chosen.label][row - 1], kinds[chosen.label])
    return idle


def _class(cell: Any, kind: Kind) -> int | str | None:
    """A class by number, if all cells of its column are whole numbers, else by name."""
    label = labels.class_of(cell)
    if label is None or isinstance(cell, bool):
        return label
    try:
        return int(float(label)) if kind in ("boolean", "integer") else str(label)
    except ValueError:  # true and false, in words
        return str(label).lower()


def _columns(file: Path) -> dict[str, list[Any]]:
    if file.suffix != ".jsonl":
        return tables.read(str(file)).to_pydict()
    rows: list[dict[str, Any]] = []
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise AliError(f"{file}: can not be read ({error})") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise AliError(f"{file}, line {number}: not JSON ({error})") from None
        if not isinstance(row, dict):
            raise AliError(f"{file}, line {number}: expected an object, {{...}}, found {type(row).__name__}")
        rows.append(row)
    if not rows:
        raise AliError(f"{file}: no rows")
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _kind(cells: list[Any]) -> Kind:
    """What a column holds; 0 and 1 are as good as booleans."""
    present = [cell for cell in cells if labels.class_of(cell) is not None]
    if not all(isinstance(cell, bool | int | float | str) for cell in present):
        return "other"
    words = {str(cell).strip().lower() for cell in present}
    if words and (words <= {"true", "false"} or words <= {"0", "1"} or words <= {"0.0", "1.0"}):
        return "boolean"
    values = [None if isinstance(cell, bool) else tables.finite(cell) for cell in present]
    words_of = [cell for cell, value in zip(present, values, strict=True) if value is None]
    if words_of:
        return "text" if all(isinstance(cell, bool | str) for cell in words_of) else "other"
    return "integer" if all(float(value).is_integer() for value in values if value is not None) else "number"
