"""Tables of anybody's: CSV, Parquet, ``.npy``, ``.npz``, data frames; numbers, categories, booleans, missing cells.

Inside the library a table is a matrix of float64, one column each: a number stands for itself, a category for its place among
the column's categories, an empty cell for NaN. :class:`Column` says how to go back, so that what a model generates is a table
of the same names, types and categories. In messages the first row below the header is row 1.
"""

from __future__ import annotations

__all__ = ["Column", "describe_frame", "finite", "from_matrix", "number_columns", "read", "table", "to_matrix"]

import csv
import math
from collections import Counter
from dataclasses import asdict, dataclass, replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ali.data import arrays, labels
from ali.data.source import Data, Source, split
from ali.errors import AliError

if TYPE_CHECKING:
    import pyarrow as pa

MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}
CATEGORIES = 100  # more different texts than this in one column are no categories


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
    """
    if Path(path).suffix in (".npy", ".npz"):
        train, test = arrays.read(path, (2,), hold_out)
        columns = number_columns(train.x.shape[1])
        return Data(replace(train, columns=columns), replace(test, columns=columns))
    rows = read(path, delimiter, encoding)
    for name in [*_names(drop), *_names(categories), *([label] if label else [])]:
        if name not in rows.column_names:
            raise AliError(f"{path}: no column {name!r}; its columns are {', '.join(rows.column_names)}")
    rows = rows.drop_columns(_names(drop))
    y, classes, notes = None, (), ()
    if label:
        y, classes = labels.numbered(rows.column(label).to_pylist())
        if not classes:
            raise AliError(f"{path}: label column {label!r} is empty in every row")
        notes, rows = tuple(labels.unlabelled(y)), rows.drop_columns([label])
    if not rows.column_names:
        raise AliError(f"{path}: no column is left to learn from")
    columns = _describe(rows, set(_names(categories)), path)
    return split(Source(to_matrix(rows, columns, path), y, classes, columns=columns, notes=notes), hold_out)


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
    columns = _describe(frame, set(), "data")
    x = to_matrix(frame, columns, "data")
    if y is None:
        return Source(x, columns=columns)
    if len(y) != len(x):
        raise AliError(f"data: {len(x)} rows, but {len(y)} labels")
    numbers, classes = labels.numbered(None if isinstance(name, int | np.integer) and name == -1 else name for name in y)
    return Source(x, numbers, classes, columns=columns, notes=tuple(labels.unlabelled(numbers)))


def read(path: str, delimiter: str | None = None, encoding: str | None = None) -> pa.Table:
    """Read a CSV or Parquet file; every CSV cell that looks empty is missing.

    Raises:
        AliError: no such file, not readable, no rows, or a header with the same name twice; the message says where.
    """
    import pyarrow as pa
    from pyarrow import parquet

    file = Path(path)
    if not file.is_file():
        raise AliError(f"{path}: no such file")
    if file.suffix == ".parquet":
        try:
            rows = parquet.read_table(file)
        except (pa.ArrowException, OSError) as error:
            raise AliError(f"{path}: not a readable Parquet file ({error})") from None
    else:
        rows = _read_csv(file, delimiter, encoding)
    twice = [name for name, count in Counter(rows.column_names).items() if count > 1]
    if twice:
        raise AliError(f"{path}: {len(twice)} column name(s) stand twice in the header, {twice[0]!r} first: rename them")
    if rows.num_rows == 0:
        raise AliError(f"{path}: no rows")
    return rows


def to_matrix(rows: Any, columns: tuple[Column, ...], where: str) -> np.ndarray:
    """A table as float64 of shape (n, columns).

    Arguments:
        rows: a pyarrow table, or anything that pyarrow takes for one (data frames of pandas or polars, a dict of lists).
        columns: what each column must hold.
        where: what the messages call the table.

    Raises:
        AliError: a column is missing, a cell is empty where none may be, not a number, or a category never seen.
    """
    rows = _frame(rows, where)
    lacking = [column.name for column in columns if column.name not in rows.column_names]
    if lacking:
        raise AliError(f"{where}: no column {lacking[0]!r}; this run knows {', '.join(column.name for column in columns)}")
    return np.stack([_cells(rows.column(column.name), column, where) for column in columns], 1)


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


def _read_csv(file: Path, delimiter: str | None, encoding: str | None) -> pa.Table:
    """Cells as text; what they hold is decided by :func:`_describe`, once the whole column has been seen."""
    import pyarrow as pa

    raw = file.read_bytes()
    if not raw.strip():
        raise AliError(f"{file}: the file is empty")
    if encoding is None:
        encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        try:
            raw.decode(encoding)
        except UnicodeDecodeError:
            encoding = "cp1252"
    try:
        text = raw.decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise AliError(f"{file}: not text in encoding {encoding} ({error}); say which with --encoding") from None
    if "\0" in text:
        raise AliError(f"{file}: not a CSV file, it holds binary data")
    delimiter = _delimiter(text) if delimiter is None else delimiter
    if len(delimiter) != 1:
        raise AliError(f"a delimiter is one character, got {delimiter!r}")
    try:
        lines = [(number, line) for number, line in enumerate(csv.reader(StringIO(text, newline=""), delimiter=delimiter), 1) if line]
    except (csv.Error, ValueError) as error:
        raise AliError(f"{file}: not a readable CSV file ({error})") from None
    if not lines:
        raise AliError(f"{file}: the file is empty")
    names = [name.strip() for name in lines[0][1]]
    for number, line in lines:
        if len(line) != len(names):
            raise AliError(
                f"{file}, line {number}: {len(line)} cells, but the header has {len(names)}; "
                f"if the delimiter is not {delimiter!r}, say which with --delimiter"
            )
    if len(names) > 1 and all(finite(name) is not None for name in names):
        raise AliError(
            f"{file}: the first line holds numbers ({', '.join(names[:3])}, ...), not the names of columns: put a header above it"
        )
    nameless = [k for k, name in enumerate(names) if not name]
    if nameless:
        raise AliError(f"{file}: column {nameless[0]} has no name in the header")
    cells = [[None if cell.strip().lower() in MISSING else cell.strip() for cell in line] for _, line in lines[1:]]
    return pa.Table.from_arrays([pa.array(column, pa.string()) for column in zip(*cells, strict=True)] or [[]] * len(names), names=names)


def _delimiter(text: str) -> str:
    """The delimiter that splits the first lines into the most, and equally many, cells."""
    first = [line for line in text.splitlines()[:20] if line]
    counts = {mark: {len(line) for line in csv.reader(first, delimiter=mark)} for mark in ",;\t|"}
    fitting = {mark: max(found) for mark, found in counts.items() if len(found) == 1 and max(found) > 1}
    return max(fitting or counts, key=lambda mark: max(counts[mark], default=0))


def _describe(rows: pa.Table, categories: set[str], where: str) -> tuple[Column, ...]:
    """Find out what each column holds.

    Raises:
        AliError: columns that nothing can be learned from, all of them named, with what to drop; a text among numbers.
    """
    columns, useless = [], []
    for name in rows.column_names:
        cells = rows.column(name).to_pylist()
        present = [cell for cell in cells if not _is_missing(cell)]
        missing = len(present) < len(cells)
        different = set(map(str, present))
        kind = "category" if name in categories else _kind(cells, present, name, where) if present else "number"
        if len(different) < 2 and not (missing and different):
            useless.append((name, "is empty" if not present else f"is constant ({present[0]})"))
        elif kind == "boolean":
            columns.append(Column(name, "boolean", ("false", "true"), missing))
        elif kind == "category":
            if len(different) > CATEGORIES:
                useless.append((name, f"has {len(different):,} different texts among {len(cells):,} rows: no categories"))
            columns.append(Column(name, "category", tuple(sorted(different)), missing))
        else:
            columns.append(Column(name, kind, (), missing, _decimals(np.array([finite(cell) for cell in present], dtype=float))))
    if useless:
        why = "; ".join(f"column {name!r} {reason}" for name, reason in useless)
        raise AliError(f"{where}: {why}. Nothing can be learned there: leave out with --drop {','.join(name for name, _ in useless)}")
    return tuple(columns)


def _kind(cells: list[Any], present: list[Any], name: str, where: str) -> Literal["number", "integer", "category", "boolean"]:
    if all(isinstance(cell, bool | np.bool_) for cell in present) or {str(cell).lower() for cell in present} <= {"true", "false"}:
        return "boolean"
    numbers = [finite(cell) for cell in present]
    words = [cell for cell, number in zip(present, numbers, strict=True) if number is None]
    if not words:
        return "integer" if all(float(number).is_integer() for number in numbers if number is not None) else "number"
    if not all(isinstance(cell, str) for cell in words):
        raise AliError(f"{where}: column {name!r} holds {type(words[0]).__name__}, neither numbers nor texts: --drop {name}")
    # A text or two in a column of numbers is a slip, not a category.
    if len(words) <= 0.1 * len(present) and len(present) - len(words) > 5:
        raise AliError(
            f"{where}: column {name!r} holds numbers, but {len(words)} of {len(present):,} cells are not: {words[0]!r} first, in row "
            f"{cells.index(words[0]) + 1}; mend or empty them, or say --categories {name}"
        )
    return "category"


def _cells(cells: Any, column: Column, where: str) -> np.ndarray:
    """One column as float64."""
    places = {name: float(k) for k, name in enumerate(column.categories)}
    values = np.empty(len(cells))
    for row, cell in enumerate(cells.to_pylist()):
        if _is_missing(cell):
            if not column.missing:
                raise AliError(f"{where}: column {column.name!r}, row {row + 1} is empty; training saw no empty cell there")
            values[row] = np.nan
        elif column.categories:
            key = str(cell).lower() if column.kind == "boolean" else str(cell)
            if key not in places:
                raise AliError(f"{where}: column {column.name!r}, row {row + 1}: {cell!r} was never seen; it knows {', '.join(places)}")
            values[row] = places[key]
        else:
            number = finite(cell)
            if number is None:
                raise AliError(f"{where}: column {column.name!r}, row {row + 1}: {cell!r} is not a finite number")
            values[row] = number
    return values


def finite(cell: Any) -> float | None:
    """A finite number, or None."""
    if isinstance(cell, bool):
        return None
    try:
        value = float(cell)
    except (TypeError, ValueError, OverflowError):
        return None
    return value if np.isfinite(value) else None


def _decimals(x: np.ndarray) -> int | None:
    """The fewest digits behind the point that say these numbers exactly."""
    return next((digits for digits in range(7) if (np.round(x, digits) == x).all()), None)


def _is_missing(cell: Any) -> bool:
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def _names(listed: str) -> list[str]:
    return [name.strip() for name in listed.split(",") if name.strip()]
