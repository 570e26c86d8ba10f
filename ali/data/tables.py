"""Tables of anybody's: CSV, Parquet, ``.npy``, ``.npz``, data frames; numbers, categories, booleans, missing cells.

Inside the library a table is a matrix of float64, one column each: a number stands for itself, a category for its place among
the column's categories, an empty cell for NaN. :class:`Column` says how to go back, so that what a model generates is a table
of the same names, types and categories. In messages the first row below the header is row 1.
"""

from __future__ import annotations

__all__ = ["Column", "describe_frame", "finite", "from_matrix", "number_columns", "pieces", "read", "table", "to_matrix"]

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ali.data import arrays, labels, parquet, texts
from ali.data.source import Data, Source, split
from ali.data.texts import finite
from ali.errors import AliError

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 4096  # of a Parquet file that are in memory at a time
CATEGORIES = 100  # more different texts than this in one column are no categories
EXACT = 2**53  # whole numbers beyond it are no longer exact in float64
DATE = re.compile(r"\d{4}[-/.]\d\d?[-/.]\d\d?|\d\d?[-/.]\d\d?[-/.]\d{2,4}")
LARGEST = 1e300  # and numbers beyond it can not be subtracted


@dataclass(frozen=True)
class Column:
    """What a column holds.

    Arguments:
        name: its header.
        kind: "number", "integer" (a number that is whole), "category" or "boolean".
        categories: their names, in the order of their numbers; "false", "true" for booleans.
        missing: cells may be empty.
        decimals: of numbers, behind the point; None for more than six.
    """

    name: str
    kind: Literal["number", "integer", "category", "boolean"]
    categories: tuple[str, ...] = ()
    missing: bool = False
    decimals: int | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"categories": list(self.categories)}

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> Column:
        return cls(state["name"], state["kind"], tuple(state["categories"]), state["missing"], state["decimals"])


def table(
    path: str,
    label: str | None = None,
    drop: str = "",
    categories: str = "",
    delimiter: str | None = None,
    encoding: str | None = None,
    hold_out: float = 0.1,
    decimal: str | None = None,
) -> Data:
    """Rows of a table: numbers, categories, booleans, with or without missing cells.

    Arguments:
        path: a .csv (or .tsv, .txt), .parquet, .npy or .npz file.
        label: a column of classes: it is not learned, only used to evaluate; an empty cell is a row without a class.
        drop: columns to leave out, separated by commas.
        categories: columns of numbers that stand for categories, separated by commas.
        delimiter: between the cells of a CSV line; found out if not given.
        encoding: of a CSV file; UTF-8, else UTF-16 or Windows-1252, if not given.
        hold_out: share of the rows that training never sees.
        decimal: mark of the numbers in a CSV file, "." or ","; found out if not given.
    """
    if Path(path).suffix in (".npy", ".npz"):
        train, test = arrays.read(path, (2,), hold_out)
        columns = number_columns(train.x.shape[1])
        return Data(replace(train, columns=columns), replace(test, columns=columns))
    rows, found = _read(path, delimiter, encoding, decimal)
    for name in [*_names(drop), *_names(categories), *([label] if label else [])]:
        if name not in rows.column_names:
            raise AliError(f"{path}: no column {name!r}; its columns are {', '.join(rows.column_names)}")
    rows = rows.drop_columns(_names(drop))
    y, classes, notes = None, (), list(found)
    if label:
        y, classes = labels.numbered(rows.column(label).to_pylist())
        if not classes:
            raise AliError(f"{path}: label column {label!r} is empty in every row")
        notes, rows = notes + labels.unlabelled(y), rows.drop_columns([label])
    if not rows.column_names:
        raise AliError(f"{path}: no column is left to learn from")
    columns = _describe(rows, set(_names(categories)), path, notes)
    return split(Source(to_matrix(rows, columns, path), y, classes, columns=columns, notes=tuple(notes)), hold_out)


def number_columns(n: int) -> tuple[Column, ...]:
    """The columns of an array: numbers without names, called x0, x1, ..."""
    return tuple(Column(f"x{k}", "number") for k in range(n))


def describe_frame(rows: Any, y: np.ndarray | None = None) -> Source:
    """A source over a data frame in memory.

    Arguments:
        rows: anything that pyarrow takes for a table: a data frame of pandas or polars, a dict of lists.
        y: class numbers or names, one per row, -1 or None where it is unknown; or None.
    """
    frame = _frame(rows, "data")
    notes: list[str] = []
    columns = _describe(frame, set(), "data", notes)
    x = to_matrix(frame, columns, "data")
    if y is None:
        return Source(x, columns=columns, notes=tuple(notes))
    if len(y) != len(x):
        raise AliError(f"data: {len(x)} rows, but {len(y)} labels")
    numbers, classes = labels.numbered(None if isinstance(name, int | np.integer) and name == -1 else name for name in y)
    return Source(x, numbers, classes, columns=columns, notes=(*notes, *labels.unlabelled(numbers)))


def read(path: str, delimiter: str | None = None, encoding: str | None = None, commas: bool = False) -> pa.Table:
    """Read a CSV or Parquet file; every CSV cell that looks empty is missing.

    Arguments:
        path: of the file.
        delimiter, encoding: of a CSV file; found out if not given.
        commas: where a comma could be a decimal mark, it is one.

    Raises:
        AliError: no such file, not readable, no rows, or a header with the same name twice; the message says where.
    """
    return _read(path, delimiter, encoding, None, commas)[0]


def _read(
    path: str, delimiter: str | None, encoding: str | None, decimal: str | None, commas: bool = False
) -> tuple[pa.Table, tuple[str, ...]]:
    import pyarrow as pa

    found, notes = _pieces(path, delimiter, encoding, decimal, commas)
    return pa.concat_tables(found), notes


def pieces(path: str, delimiter: str | None = None, encoding: str | None = None, commas: bool = False) -> Iterator[pa.Table]:
    """The same as :func:`read` a few thousand rows at a time, for files that do not fit into memory; at least one row in all."""
    return _pieces(path, delimiter, encoding, None, commas)[0]


def _pieces(
    path: str, delimiter: str | None, encoding: str | None, decimal: str | None, commas: bool
) -> tuple[Iterator[pa.Table], tuple[str, ...]]:
    """Tables one below the other, and what there is to say of the file."""
    import pyarrow as pa

    file, notes = Path(path), ()
    if file.is_dir():
        raise AliError(f"{path}: is a folder; a table is one file, .csv or .parquet")
    if not file.is_file():
        raise AliError(f"{path}: no such file")
    if file.suffix == ".parquet":
        found = (pa.Table.from_batches([batch]) for batch in parquet.batches(file, rows=ROWS))
    else:
        found, notes = texts.read(file, delimiter, encoding, decimal, commas)

    def checked() -> Iterator[pa.Table]:
        seen = 0
        for rows in found:
            twice = [name for name, count in Counter(rows.column_names).items() if count > 1]
            if twice:
                raise AliError(f"{path}: {len(twice)} column name(s) stand twice in the header, {twice[0]!r} first: rename them")
            seen += rows.num_rows
            yield rows
        if not seen:
            raise AliError(f"{path}: no rows")

    return checked(), notes


def to_matrix(rows: Any, columns: tuple[Column, ...], where: str, first: int = 0) -> np.ndarray:
    """A table as float64 of shape (n, columns).

    Arguments:
        rows: a pyarrow table, or anything that pyarrow takes for one (data frames of pandas or polars, a dict of lists).
        columns: what each column must hold.
        where: what the messages call the table.
        first: the place of its first row in what they call so.

    Raises:
        AliError: a column is missing, a cell is empty where none may be, not a number, or a category never seen.
    """
    rows = _frame(rows, where)
    lacking = [column.name for column in columns if column.name not in rows.column_names]
    if lacking:
        raise AliError(f"{where}: no column {lacking[0]!r}; this run knows {', '.join(column.name for column in columns)}")
    return np.stack([_cells(rows.column(column.name), column, where, first) for column in columns], 1)


def from_matrix(x: np.ndarray, columns: tuple[Column, ...]) -> pa.Table:
    """The table that a matrix stands for: the inverse of :func:`to_matrix`."""
    import pyarrow as pa

    def cells(values: np.ndarray, column: Column) -> pa.Array:
        empty = np.isnan(values)
        if column.kind == "number":
            return pa.array(values, mask=empty)
        whole = np.where(empty, 0, values).astype(np.int64)
        if column.kind == "integer":
            return pa.array(whole, mask=empty)
        if column.kind == "boolean":
            return pa.array(whole.astype(bool), mask=empty)
        return pa.array(np.array(column.categories, dtype=object)[whole], mask=empty, type=pa.string())

    return pa.table({column.name: cells(x[:, k], column) for k, column in enumerate(columns)})


def _frame(rows: Any, where: str) -> pa.Table:
    import pyarrow as pa

    try:
        return rows if isinstance(rows, pa.Table) else pa.table(rows)
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise AliError(f"{where}: not a table ({error})") from None


def _describe(rows: pa.Table, categories: set[str], where: str, notes: list[str]) -> tuple[Column, ...]:
    """Find out what each column holds, without those that hold one value or none; what is worth saying goes to the notes.

    Raises:
        AliError: columns that hold what can not be learned, all of them named, with what to drop; a text among numbers; no column is left.
    """
    columns, useless, same = [], [], []
    for name in rows.column_names:
        cells = rows.column(name).to_pylist()
        present = [cell for cell in cells if not _is_missing(cell)]
        missing = len(present) < len(cells)
        different = set(map(str, present))
        code = name not in categories and next((c for c in present if isinstance(c, str) and re.fullmatch(r"[-+]?0\d+", c)), None)
        kind = "category" if name in categories or code else _kind(cells, present, name, where) if present else "number"
        if len(different) < 2 and not (missing and different):
            same.append(f"column {name!r} is {f'constant ({present[0]})' if present else 'empty'}")
        elif kind == "boolean":
            columns.append(Column(name, "boolean", ("false", "true"), missing))
        elif kind == "category":
            if len(different) > CATEGORIES:
                what = f"has {len(different):,} different texts among {len(cells):,} rows: no categories (at most {CATEGORIES})"
                useless.append((name, f"{what}{_advice(present, code)}"))
            elif code:
                notes.append(f"column {name!r} is taken as categories: {code!r} begins with 0, as numbers do not")
            columns.append(Column(name, "category", tuple(sorted(different)), missing))
        else:
            numbers = np.array([finite(cell) for cell in present], dtype=float)
            largest = max(present, key=lambda cell: abs(float(cell)))
            if abs(float(largest)) > (EXACT if kind == "integer" else LARGEST):
                what = f"whole numbers beyond 2^53 ({largest}), as ids are" if kind == "integer" else f"{largest}, beyond {LARGEST:g}"
                useless.append((name, f"holds {what}"))
                continue
            columns.append(Column(name, kind, (), missing, _decimals(numbers)))
    if useless:
        why = "; ".join(f"column {name!r} {reason}" for name, reason in useless)
        if rows.num_columns == 1 and any(mark in useless[0][0] for mark in texts.MARKS):
            raise AliError(f"{where}: {why}. Is the whole line one column? Then leave --delimiter out, or say another")
        names = ",".join(name for name, _ in useless)
        how = f"drop these columns: {names}" if where == "data" else f"leave out with --drop {names}"
        raise AliError(f"{where}: {why}. Nothing can be learned there: {how}")
    if not columns:
        raise AliError(f"{where}: {'; '.join(same)}. There is nothing to learn")
    notes += [f"{what}: it is left out" for what in same]
    return tuple(columns)


def _advice(present: list[Any], code: Any) -> str:
    """What texts that are too many may be, and what to make of them."""
    if code:
        return f": an id or a code? {code!r} begins with 0"
    if all(isinstance(cell, str) and DATE.match(cell) for cell in present):
        return ": dates? Make them numbers first, such as days since the first"
    return ""


def _kind(cells: list[Any], present: list[Any], name: str, where: str) -> Literal["number", "integer", "category", "boolean"]:
    if all(isinstance(cell, bool | np.bool_) for cell in present) or {str(cell).lower() for cell in present} <= {"true", "false"}:
        return "boolean"
    words = [cell for cell in present if finite(cell) is None]
    if not words:
        whole = all(re.fullmatch(r"[-+]?\d+", cell) if isinstance(cell, str) else not isinstance(cell, float) for cell in present)
        return "integer" if whole and all(float(cell).is_integer() for cell in present) else "number"
    if not all(isinstance(cell, str) for cell in words):
        what = type(words[0]).__name__
        if what in ("date", "datetime", "Timestamp"):
            raise AliError(f"{where}: column {name!r} holds dates: make them numbers first, such as days since the first, or leave it out")
        how = "drop it" if where == "data" else f"--drop {name}"
        raise AliError(f"{where}: column {name!r} holds {what}, neither numbers nor texts: {how}")
    if texts.looks_marked(present):
        raise AliError(
            f"{where}: column {name!r} holds numbers such as {words[0]!r}: take marks between thousands out of the file; a decimal comma "
            f"is read with --decimal , (if these are texts, say --categories {name})"
        )
    # A text or two in a column of numbers is a slip, not a category.
    if len(words) <= 0.1 * len(present) and len(present) - len(words) > 5:
        how = "mend or empty them" if where == "data" else f"mend or empty them, or say --categories {name}"
        raise AliError(
            f"{where}: column {name!r} holds numbers, but {len(words)} of {len(present):,} cells are not: {words[0]!r} first, in row "
            f"{cells.index(words[0]) + 1}; {how}"
        )
    return "category"


def _cells(cells: Any, column: Column, where: str, first: int) -> np.ndarray:
    """One column as float64."""
    places = {name: float(k) for k, name in enumerate(column.categories)}
    values, strange = np.empty(len(cells)), []
    for row, cell in enumerate(cells.to_pylist()):
        if _is_missing(cell):
            if not column.missing:
                raise AliError(f"{where}: column {column.name!r}, row {first + row + 1} is empty; training saw no empty cell there")
            values[row] = np.nan
        elif column.categories:
            key = str(cell).lower() if column.kind == "boolean" else str(cell)
            if key not in places:
                strange.append((first + row + 1, cell))
            values[row] = places.get(key, np.nan)
        else:
            number = finite(cell)
            if number is None:
                raise AliError(f"{where}: column {column.name!r}, row {first + row + 1}: {cell!r} is not a finite number")
            values[row] = number
    if strange:
        row, cell = strange[0]
        others = f" ({len(strange)} rows have such cells: {', '.join(str(row) for row, _ in strange[:9])})" if len(strange) > 1 else ""
        raise AliError(
            f"{where}: column {column.name!r}, row {row}: {cell!r} was never seen; it knows {', '.join(places)}{others}. "
            "Leave such rows out: they are strange by that alone"
        )
    return values


def _decimals(x: np.ndarray) -> int | None:
    """The fewest digits behind the point that say these numbers exactly."""
    if np.abs(x).max(initial=0) > EXACT:
        return None  # there, rounding changes what it is to leave
    return next((digits for digits in range(7) if (np.round(x, digits) == x).all()), None)


def _is_missing(cell: Any) -> bool:
    """No text is missing, too: it is what readers of CSV files other than ours make of an empty cell."""
    return cell is None or cell == "" or (isinstance(cell, float) and math.isnan(cell))


def _names(listed: str) -> list[str]:
    return [name.strip() for name in listed.split(",") if name.strip()]
