"""What the verbs read: the model of a run, and rows, from files or the run's own."""

from __future__ import annotations

__all__ = ["first_rows", "is_image", "labelled", "names_of", "open_model", "rows_of"]

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ali.cli import labelling
from ali.errors import AliError


def open_model(run: Path, recipe: str | None, level: int | None = None):
    """The model of a run; of a hierarchical one, at a level."""
    from ali.cli.training import recipe_named
    from ali.model import load

    model = load(run, recipe=None if recipe is None else recipe_named(recipe), device="auto")
    return model if level is None else model.at(level)


def is_image(model) -> bool:
    """Whether the rows of a run are images."""
    return model.preprocess.pixels is not None


def labelled(model, run: Path, rows: Path | None, label: str | None, attributes: str | None, file: Path | None) -> tuple[Any, Any]:
    """Rows and their labels, from files or as they were typed, or the run's own held-out rows."""
    if rows is not None:
        return rows_of(model, run, rows), labelling.of_rows(model, label, attributes, file, rows)
    if label is not None or attributes is not None or file is not None:
        raise AliError("the run's held-out rows have labels of their own; `ali edit` changes them, and other ROWS can be given")
    return labelling.own(model, run)


def rows_of(model, run: Path, rows: Path | None) -> Any:
    """Rows from a file, piece by piece, or the run's own held-out rows, which have slices."""
    from ali import files
    from ali.model import open_data

    if rows is None:
        return open_data(run).test.x
    if is_image(model):
        # Somebody's own pictures come in their own sizes, and are brought to the run's as in training; published sets have one size.
        crop = model.config["data"].get("crop", "centre") if model.config["dataset"] == "images" else None
        return files.read_images(rows, model.shape, model.preprocess.pixels, model.preprocess.dtype, crop)
    if model.columns and rows.suffix != ".npy":
        from ali.data import tables

        commas = model.config["data"].get("decimal") == ","
        return _matrices(model, tables.pieces(str(rows), commas=commas), str(rows))
    return files.read_numbers(rows)


def names_of(model, rows: Path | None) -> list[str] | None:
    """What the pictures of a folder are called, in the order of their rows; other rows have no names."""
    from ali import files
    from ali.data import folders

    return files.picture_names(rows) if rows and is_image(model) and rows.is_dir() and folders.any_pictures(rows) else None


def _matrices(model, pieces: Iterable[Any], where: str) -> Iterator[Any]:
    """Tables as arrays; rows of a file count from 1, those of an array from 0."""
    import torch

    from ali.data import tables

    first = 0
    for rows in pieces:
        x = tables.to_matrix(rows, model.columns, where, first)
        model.preprocess.check(torch.from_numpy(x), where, first + 1)
        yield x
        first += len(x)


def first_rows(model, rows: Any, y: Any, n: int | None) -> tuple[Any, Any]:
    """The first n rows, or all, or as many as there are, and their labels."""
    import numpy as np

    each = y is not None and model.conditions.count(y) is not None  # as many labels as rows: then all of these are counted
    held, total = [], 0
    for some in [rows] if hasattr(rows, "shape") else rows:
        left = None if n is None else max(0, n - total)
        if left != 0:
            held.append(np.asarray(some[:left]))
        total += len(some)
        if n is not None and total >= n and not each:
            break
    x = np.concatenate(held)
    return x, None if y is None else model.conditions.numbers(y, total if each else len(x))[: len(x)]
