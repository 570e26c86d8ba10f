"""CSV files as cells of text: found out are delimiter, encoding and decimal mark; where a file is broken is said."""

from __future__ import annotations

__all__ = ["MARKS", "finite", "looks_marked", "read"]

import csv
import re
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ali.errors import AliError

if TYPE_CHECKING:
    import pyarrow as pa

MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}
ROWS = 4096  # lines that are in memory at a time
MARKS = ",;\t|"
# A number that is written with a decimal comma, or with marks between its thousands, and which no program reads as it stands.
MARKED = re.compile(r"[-+]?(\d+,\d+|\d{1,3}((,\d{3})+(\.\d+)?|(\.\d{3})+(,\d+)?|([ '\u00a0\u202f]\d{3})+([.,]\d+)?))")
UNSURE = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")  # 1,234 is 1234 to some and 1.234 to others


def read(
    file: Path, delimiter: str | None, encoding: str | None, decimal: str | None, commas: bool
) -> tuple[Iterator[pa.Table], tuple[str, ...]]:
    """Cells as text, empty ones as null; what they hold is decided once the whole column has been seen.

    A few thousand lines are in memory at a time: the file is read once to find out what must be found out, and then once more.

    Arguments:
        file: a CSV file.
        delimiter, encoding: found out if not given.
        decimal: "." or ","; found out if not given: the comma is taken where it makes whole columns numbers.
        commas: take the comma also where it could be one between thousands.

    Returns:
        Tables one below the other, at least one, which may be empty; and what there is to say of them.

    Raises:
        AliError: not text, a line of another length than the header, no names; the message says where.
    """
    if decimal not in (None, ".", ","):
        raise AliError(f"the decimal mark is . or , , got {decimal!r}")
    encoding = _encoding(file, encoding)
    with open(file, encoding=encoding, newline="") as opened:
        delimiter = _delimiter("".join(islice(opened, 20))) if delimiter is None else delimiter
    if len(delimiter) != 1:
        raise AliError(f"a delimiter is one character, got {delimiter!r}")
    names, _ = next(_blocks(file, encoding, delimiter))
    if len(names) > 1 and all(finite(name) is not None for name in names):
        raise AliError(
            f"{file}: the first line holds numbers ({', '.join(names[:3])}, ...), not the names of columns: put a header above it"
        )
    nameless = [k for k, name in enumerate(names) if not name]
    if nameless:
        raise AliError(f"{file}: column {nameless[0]} has no name in the header")
    chosen, notes = [], ()
    if decimal == "," or (decimal is None and delimiter != ","):
        chosen, notes = _commas(file, names, (columns for _, columns in _blocks(file, encoding, delimiter)), decimal, commas)
    return (_table(names, columns, chosen) for _, columns in _blocks(file, encoding, delimiter)), notes


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


def _encoding(file: Path, encoding: str | None) -> str:
    """The encoding in which all of the file is text."""
    marked, empty, null = False, True, False
    with open(file, "rb") as raw:
        for number, some in enumerate(iter(lambda: raw.read(2**20), b"")):
            marked = marked or (number == 0 and some[:2] in (b"\xff\xfe", b"\xfe\xff"))
            empty, null = empty and not some.strip(), null or b"\0" in some
    if empty:
        raise AliError(f"{file}: the file is empty")
    if encoding is None and not marked and null:
        raise AliError(f"{file}: not a CSV file, it holds binary data (if it is text in UTF-16: --encoding utf-16)")
    tried = [encoding] if encoding else ["utf-16"] if marked else ["utf-8-sig", "cp1252"]
    for name in tried:
        try:
            with open(file, encoding=name, newline="") as text:
                if any("\0" in some for some in iter(lambda: text.read(2**20), "")):
                    raise AliError(f"{file}: not a CSV file, it holds binary data")
        except LookupError:
            raise AliError(f"{file}: there is no encoding {name!r}; usual ones are utf-8, utf-16, cp1252, latin-1") from None
        except UnicodeError:
            continue
        return name
    if encoding:
        raise AliError(f"{file}: not text in encoding {encoding}; leave --encoding out to have it found out, or say another")
    raise AliError(f"{file}: not a CSV file: not text in UTF-8, UTF-16 or Windows-1252; if it is text all the same, say its --encoding")


def _blocks(file: Path, encoding: str, delimiter: str) -> Iterator[tuple[list[str], list[list[str | None]]]]:
    """The header and the columns of some lines below it, all of one length; the first of them alone are none."""
    names: list[str] = []
    with open(file, encoding=encoding, newline="") as opened:
        lines = _lines(file, opened, delimiter)
        try:
            _, header = next(lines, (0, None))
            if header is None:
                raise AliError(f"{file}: the file is empty")
            names = [name.strip() for name in header]
            yield names, [[] for _ in names]
            while some := list(islice(lines, ROWS)):
                for number, line in some:
                    if len(line) != len(names):
                        why = f"if the delimiter is not {delimiter!r}, say which with --delimiter"
                        if "\n" in line[-1]:
                            turns = line[-1].count("\n") + 1
                            why = f"a quotation mark opens in this line and goes on for {turns} lines: is one never closed?"
                        raise AliError(f"{file}, line {number}: {len(line)} cells, but the header has {len(names)}; {why}")
                cells = ([None if cell.strip().lower() in MISSING else cell.strip() for cell in line] for _, line in some)
                yield names, [list(column) for column in zip(*cells, strict=True)]
        except (csv.Error, UnicodeError) as error:
            raise AliError(f"{file}: not a readable CSV file ({error})") from None


def _lines(file: Path, opened: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Lines that hold something, with the numbers at which they begin."""
    try:
        reader, first = csv.reader(opened, delimiter=delimiter), 1
    except ValueError as error:
        raise AliError(f"{file}: not a readable CSV file ({error})") from None
    for line in reader:
        if line:
            yield first, line
        first = reader.line_num + 1


def _table(names: list[str], columns: list[list[str | None]], chosen: Collection[int]) -> pa.Table:
    """Cells as a table; in the chosen columns decimal commas become points."""
    import pyarrow as pa

    for k in chosen:
        columns[k] = [c if c is None or _comma(c) is None else c.replace(",", ".") for c in columns[k]]
    return pa.Table.from_arrays([pa.array(column, pa.string()) for column in columns], names=names)


def _commas(
    file: Path, names: list[str], blocks: Iterable[list[list[str | None]]], decimal: str | None, commas: bool
) -> tuple[Collection[int], tuple[str, ...]]:
    """The columns whose commas are decimal ones, and what there is to say of them."""
    width = len(names)
    numbers, unsure = [True] * width, [True] * width
    comma: list[str | None] = [None] * width  # the first cell of each column with one
    point: list[str | None] = [None] * width  # the first number of each column with one
    for columns in blocks:
        for k, cells in enumerate(columns):
            for c in cells:
                if c is None:
                    continue
                numbers[k] = numbers[k] and _comma(c) is not None
                if "," in c:
                    comma[k] = comma[k] or c
                    unsure[k] = unsure[k] and UNSURE.fullmatch(c) is not None
                elif point[k] is None and "." in c and finite(c) is not None:
                    point[k] = c
    found = [k for k in range(width) if comma[k] and numbers[k]]
    points = next((k for k in range(width) if k not in found and point[k]), None)
    if points is not None and (found or decimal == ","):
        raise AliError(
            f"{file}: column {names[points]!r} holds {point[points]!r}, with a point, "
            + (f"and column {names[found[0]]!r} decimal commas: " if found else "and the decimal mark is to be the comma: ")
            + "take marks between thousands out of the file, write all decimals alike, or say --decimal . for points"
        )
    if found and all(unsure[k] for k in found) and decimal is None and not commas:
        raise AliError(
            f"{file}: column {names[found[0]]!r} holds {comma[found[0]]!r}: is the comma a decimal mark? Then say --decimal , "
            "If it stands between thousands, take it out of the file"
        )
    notes = (f"decimal commas read as such in {', '.join(names[k] for k in found)} (--decimal . if they are none)",) if found else ()
    return (range(width) if decimal == "," else found), notes


def _comma(cell: str) -> float | None:
    """The number that a cell stands for, if the comma is the decimal mark."""
    return None if "." in cell else finite(cell.replace(",", "."))


def _delimiter(text: str) -> str:
    """The delimiter that splits the first lines into the most, and equally many, cells."""
    first = [line for line in text.splitlines()[:20] if line]
    counts = {mark: {len(line) for line in csv.reader(first, delimiter=mark)} for mark in MARKS}
    fitting = {mark: max(found) for mark, found in counts.items() if len(found) == 1 and max(found) > 1}
    return max(fitting or counts, key=lambda mark: max(counts[mark], default=0))
