"""Labels on the command line: as they were typed, from files, or those of a run's own rows."""

from __future__ import annotations

__all__ = ["direction", "of_rows", "own", "said"]

from pathlib import Path
from typing import Any, Literal

from ali.errors import AliError

MOST = 10_000  # training rows that a direction is computed from


def said(label: str | None, attributes: str | None) -> Any:
    """A label as it was typed; None if none was."""
    from ali.conditions import of_text

    if label is not None and attributes is not None:
        raise AliError("--label and --attributes exclude one another: a run knows classes or attributes")
    return label if attributes is None else of_text(attributes)


def of_rows(model, label: str | None, attributes: str | None, file: Path | None, rows: Path | None = None) -> Any:
    """One label for all rows of somebody's own, or one for each, however many there are; None for a run that takes none."""
    from ali import files

    typed = said(label, attributes)
    if typed is not None and file is not None:
        raise AliError("--labels says the labels row by row, --label and --attributes those of all rows: give one of them")
    if model.conditions is None:
        if typed is not None or file is not None:
            raise AliError(f"this run ({model.config['recipe']}) takes no labels; `ali train --recipe conditional` makes one that does")
        return None
    if file is not None:
        typed = files.read_labels(file, model.attributes, model.config["data"].get("label") or "label", rows)
    if typed is None:
        raise AliError(
            f"this run ({model.config['recipe']}) needs labels, too: --label or --attributes for all rows alike, or --labels FILE; "
            f"it knows {model.conditions.choice}"
        )
    return typed


def own(model, run: Path, data: str | None = None) -> tuple[Any, Any]:
    """The run's own held-out rows, and their labels."""
    from ali.model import open_data

    test = open_data(run, data).test
    return test.x, model.labels_of(test)


def direction(model, run: Path, name: str, how: Literal["mean", "classifier"], data: str | None) -> Any:
    """A direction that a class or an attribute of the run's own training rows names."""
    import numpy as np

    from ali.conditions import having
    from ali.model import open_data

    train, mask = having(open_data(run, data).train, name)
    some = np.linspace(0, len(train) - 1, min(len(train), MOST)).astype(int)
    train = train.rows(some)
    return model.direction(train.x, mask[some], model.labels_of(train), how=how)
