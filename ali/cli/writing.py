"""What the verbs write: rows, as pictures, tables or numbers."""

from __future__ import annotations

__all__ = ["shows", "write", "write_pairs"]

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ali.cli.reading import is_image
from ali.errors import AliError

DEFAULTS = {Path(f"{name}.png") for name in ("samples", "decoded", "reconstructions", "interpolations", "edited")}  # when --out is not said


def write(model, out: Path, pieces: Iterable[Any], columns: int | None = None, walks: bool = False) -> None:
    """Write rows; those of a table say which walk of so many columns they are on, and where."""
    import numpy as np

    from ali import files, pictures

    if out in DEFAULTS and not is_image(model) and (model.columns or model.shape != (2,)):
        out = out.with_suffix(".csv")  # rows of a table are no picture
    if is_image(model):
        files.write_images(out, pieces, model.preprocess.pixels, columns)
    elif model.columns and out.suffix != ".npy":
        files.write_table(out, _tables(model, pieces, columns if walks else None))
    elif out.suffix != ".png":
        files.write_numbers(out, pieces, "x")
    elif model.shape == (2,):
        x = np.concatenate(list(pieces))
        out.parent.mkdir(parents=True, exist_ok=True)
        pictures.cloud(x, 1.1 * float(abs(x).max())).save(out)
    else:
        raise AliError(f"{out}: rows of {model.shape[0]} numbers are no picture; write them to .csv, .parquet or .npy (--out)")
    print(f"wrote {out}")


def write_pairs(model, out: Path, x: Any, made: Any) -> None:
    """In a picture each row beside what was made of it, in other files what was made."""
    import numpy as np

    if out.suffix == ".png" and is_image(model):
        write(model, out, [np.stack([x, made], 1).reshape(-1, *x.shape[1:])], columns=12)
    else:
        write(model, out, [made])


def _tables(model, pieces: Iterable[Any], steps: int | None) -> Iterator[Any]:
    """Rows as tables, with columns that say on which walk of so many steps they are, and where."""
    import numpy as np

    from ali import files

    first = 0
    for x in files.blocks(pieces):
        table = model.table(x)
        if steps is not None:
            pair, step = np.divmod(np.arange(first, first + len(x)), steps)
            for k, (name, cells) in enumerate({"pair": pair, "step": step}.items()):
                if name not in table.column_names:
                    table = table.add_column(k, name, [cells])
        yield table
        first += len(x)


def shows(model, out: Path, n: int) -> bool:
    """Whether rows become a picture, of the first n, or another file, of all."""
    if n < 1:
        raise AliError(f"--n counts the rows: at least 1, got {n}")
    return out.suffix == ".png" and is_image(model)
