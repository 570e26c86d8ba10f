"""CSV files as cells of text: found out are delimiter, encoding and decimal mark; where a file is broken is said."""

from __future__ import annotations

__all__ = ["MARKS", "finite", "looks_marked", "read"]

import csv
import re
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ali.errors import AliError

if TYPE_CHECKING:
    import pyarrow as pa

MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}
MARKS = ",;\t|"
# A number that is written with a decimal comma, or with marks between its thousands, and which no program reads as it stands.
MARKED = re.compile(r"[-+]?(\d+,\d+|\d{1,3}((,\d{3})+(\.\d+)?|(\.\d{3})+(,\d+)?|([ '\u00a0\u202f]\d{3})+([.,]\d+)?))")
UNSURE = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")  # 1,234 is 1234 to some and 1.234 to others


def read(file: Path, delimiter: str | None, encoding: str | None, decimal: str | None, commas: bool) -> tuple[pa.Table, tuple[str, ...]]:
    """Cells as text, empty ones as null; what they hold is decided once the whole column has been seen.

    Arguments:
        file: a CSV file.
        delimiter, encoding: found out if not given.
        decimal: "." or ","; found out if not given: the comma is taken where it makes whole columns numbers.
        commas: take the comma also where it could be one between thousands.

    Returns:
        The cells, and what there is to say of them.

    Raises:
        AliError: not text, a line of another length than the header, no names; the message says where.
    """
    import pyarrow as pa

    text = _text(file, encoding)
    delimiter = _delimiter(text) if delimiter is None else delimiter
    if len(delimiter) != 1:
        raise AliError(f"a delimiter is one character, got {delimiter!r}")
    names, lines = _lines(file, text, delimiter)
    if len(names) > 1 and all(finite(name) is not None for name in names):
        raise AliError(
            f"{file}: the first line holds numbers ({', '.join(names[:3])}, ...), not the names of columns: put a header above it"
        )
    nameless = [k for k, name in enumerate(names) if not name]
    if nameless:
        raise AliError(f"{file}: column {nameless[0]} has no name in the header")
    cells = [[None if cell.strip().lower() in MISSING else cell.strip() for cell in line] for line in lines]
    columns: list[list[str | None]] = [list(column) for column in zip(*cells, strict=True)] or [[] for _ in names]
    notes = _pointed(file, names, columns, delimiter, decimal, commas)
    return pa.Table.from_arrays([pa.array(column, pa.string()) for column in columns], names=names), notes


def finite(cell: Any) -> float | None:
    """A finite number, or None."""
    if isinstance(cell, bool) or (isinstance(cell, str) and "_" in cell):
        return None
    try:
        value = float(cell)
    except (TypeError, ValueError, OverflowError):
        return None
    return value if np.isfinite(value) else None


def looks_marked(cells: list[Any]) -> bool:
    """Whether all cells are numbers, once commas and marks between thousands are understood, and some are not without."""
    return all(isinstance(cell, str) and (finite(cell) is not None or MARKED.fullmatch(cell)) for cell in cells)


def _text(file: Path, encoding: str | None) -> str:
    raw = file.read_bytes()
    if not raw.strip():
        raise AliError(f"{file}: the file is empty")
    marked = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
    if encoding is None and not marked and b"\0" in raw:
        raise AliError(f"{file}: not a CSV file, it holds binary data (if it is text in UTF-16: --encoding utf-16)")
    tried = [encoding] if encoding else ["utf-16"] if marked else ["utf-8-sig", "cp1252"]
    for name in tried:
        try:
            text = raw.decode(name)
        except LookupError:
            raise AliError(f"{file}: there is no encoding {name!r}; usual ones are utf-8, utf-16, cp1252, latin-1") from None
        except UnicodeError:
            continue
        if "\0" in text:
            raise AliError(f"{file}: not a CSV file, it holds binary data")
        return text
    if encoding:
        raise AliError(f"{file}: not text in encoding {encoding}; leave --encoding out to have it found out, or say another")
    raise AliError(f"{file}: not a CSV file: not text in UTF-8, UTF-16 or Windows-1252; if it is text all the same, say its --encoding")


def _lines(file: Path, text: str, delimiter: str) -> tuple[list[str], list[list[str]]]:
    """The header and the lines below it, all of one length."""
    reader, found, first = csv.reader(StringIO(text, newline=""), delimiter=delimiter), [], 1
    try:
        for line in reader:
            if line:
                found.append((first, line))
            first = reader.line_num + 1
    except (csv.Error, ValueError) as error:
        raise AliError(f"{file}: not a readable CSV file ({error})") from None
    if not found:
        raise AliError(f"{file}: the file is empty")
    names = [name.strip() for name in found[0][1]]
    for number, line in found:
        if len(line) != len(names):
            why = f"if the delimiter is not {delimiter!r}, say which with --delimiter"
            if "\n" in line[-1]:
                why = f"a quotation mark opens in this line and goes on for {line[-1].count(chr(10)) + 1} lines: is one never closed?"
            raise AliError(f"{file}, line {number}: {len(line)} cells, but the header has {len(names)}; {why}")
    return names, [line for _, line in found[1:]]


def _pointed(
    file: Path, names: list[str], columns: list[list[str | None]], delimiter: str, decimal: str | None, commas: bool
) -> tuple[str, ...]:
    """Give decimal commas a point, in place; says where."""
    if decimal not in (None, ".", ","):
        raise AliError(f"the decimal mark is . or , , got {decimal!r}")
    if decimal == "." or (decimal is None and delimiter == ","):
        return ()
    present = [[cell for cell in column if cell is not None] for column in columns]
    found = [k for k, cells in enumerate(present) if any("," in c for c in cells) and all(_comma(c) is not None for c in cells)]
    chosen = range(len(names)) if decimal == "," else found
    points = next(((k, c) for k in range(len(names)) if k not in found for c in present[k] if "." in c and finite(c) is not None), None)
    if points and (found or decimal == ","):
        raise AliError(
            f"{file}: column {names[points[0]]!r} holds {points[1]!r}, with a point, "
            + (f"and column {names[found[0]]!r} decimal commas: " if found else "and the decimal mark is to be the comma: ")
            + "take marks between thousands out of the file, write all decimals alike, or say --decimal . for points"
        )
    unsure = [k for k in found if all(UNSURE.fullmatch(c) for c in present[k] if "," in c)]
    if unsure and decimal is None and not commas and len(unsure) == len(found):
        cell = next(c for c in present[unsure[0]] if "," in c)
        raise AliError(
            f"{file}: column {names[unsure[0]]!r} holds {cell!r}: is the comma a decimal mark? Then say --decimal , "
            "If it stands between thousands, take it out of the file"
        )
    for k in chosen:
        columns[k] = [c if c is None or _comma(c) is None else c.replace(",", ".") for c in columns[k]]
    return (f"decimal commas read as such in {', '.join(names[k] for k in found)} (--decimal . if they are none)",) if found else ()


def _comma(cell: str) -> float | None:
    """The number that a cell stands for, if the comma is the decimal mark."""
    return None if "." in cell else finite(cell.replace(",", "."))


def _delimiter(text: str) -> str:
    """The delimiter that splits the first lines into the most, and equally many, cells."""
    first = [line for line in text.splitlines()[:20] if line]
    counts = {mark: {len(line) for line in csv.reader(first, delimiter=mark)} for mark in MARKS}
    fitting = {mark: max(found) for mark, found in counts.items() if len(found) == 1 and max(found) > 1}
    return max(fitting or counts, key=lambda mark: max(counts[mark], default=0))
