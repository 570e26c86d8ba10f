"""The rows of a run: in memory, or opened again where they were read from."""

from __future__ import annotations

__all__ = ["in_memory", "no_folder", "open_data"]

from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from ali import checkpoint, ready, recipes
from ali.data import arrays
from ali.data.source import Data, Source
from ali.data.tables import describe_frame, number_columns
from ali.errors import AliError


def open_data(run: str | Path, path: str | None = None) -> Data:
    """The data that a run was trained on, opened again.

    Arguments:
        run: the run folder, or a ready model.
        path: where the data is now, if it has moved.

    Raises:
        AliError: not a run folder, or data that only its trainer can open (an array in memory).
    """
    folder = ready.found(run)
    if not folder.is_dir():
        raise no_folder(folder)
    config = checkpoint.read_json(folder / "config.json")
    entry = recipes.DATASETS.get(config.get("dataset", ""))
    if entry is None:
        raise AliError(f"{folder}: its config.json names no data set that this version of ali knows")
    known = folder / "resume" / "data.json"
    path = path or (checkpoint.read_json(known).get("path") if known.exists() else None)
    if entry.needs and path is None:
        raise AliError(f"{run}: does not know where its data is; give it rows, or its path ({entry.needs})")
    known_options = signature(entry.function()).parameters
    data = entry.open(path, **{key: value for key, value in config.get("data", {}).items() if key in known_options and key != "path"})
    if data.train.fingerprint() != config.get("fingerprint"):
        raise AliError(
            f"{folder}: {path or 'the data'} holds other rows than it was trained on, so that held-out rows may be training rows; "
            "give it the same data (--data)"
        )
    return data


def in_memory(data: Any, is_table: bool) -> Source:
    """Rows in memory: an array, a pair (x, y), or a data frame."""
    x: Any
    x, y = data if isinstance(data, tuple) else (data, None)
    if is_table and not isinstance(x, np.ndarray):
        return describe_frame(x, y)
    source = arrays.check(x, y, (2,) if is_table else (3, 4), "data")
    return replace(source, columns=number_columns(source.x.shape[1])) if is_table else source


def no_folder(folder: Path) -> AliError:
    """What to say of a run that is none."""
    what = "is a file; give the run folder" if folder.exists() else f"no such run folder, and no ready model ({', '.join(ready.names())})"
    return AliError(f"{folder}: {what}")
