"""One dial: how much to train. ``quick``, ``normal`` or ``best`` sets length, width and batch for the data and the machine.

A data set with defaults of its own (digits, MNIST, ...) keeps them at ``normal``; the others' factors apply to them. For tables and
images of anybody's the length is counted in steps, because what is learned comes with steps: a fixed number of epochs would be
far too few of them for 300 rows, and far too many for a million. What a person says wins, and what was resolved is stored with the run.
"""

from __future__ import annotations

__all__ = ["EFFORTS", "Effort", "arranged", "chosen", "length_said"]

from collections.abc import Callable
from typing import Any, Literal, get_args

from ali.errors import AliError
from ali.recipes.arguments import Recipe
from ali.recipes.datasets import DATASETS

Effort = Literal["quick", "normal", "best"]
EFFORTS: tuple[Effort, ...] = get_args(Effort)

LENGTH = {"quick": 0.25, "normal": 1.0, "best": 2.0}  # of the training
WIDTH = {"quick": 1.0, "normal": 1.0, "best": 1.5}  # of the networks
STEPS = {"rows": 4000, "images": 3000}  # at normal, where the data set says no length
PASSES = 600  # over the rows: a longer training at best than at normal makes no more of them, since it learns few rows by heart
STEADY: dict[str, dict[str, Any]] = {"residual": {"lr": 5e-4}}  # networks that break down at others' rates: docs/recipe_images.md
LARGE = 28  # pixels from which on convolutions cost so much that their width depends on the machine
SMALLEST, LARGEST = 16, 1024  # rows per step that the number of rows may lead to


def chosen(effort: str | None, recipe: Callable[..., Any], face: str) -> Effort | None:
    """The effort that a run is made with: normal by default; None where there is no such choice.

    Raises:
        AliError: an unknown effort; or one for the paper's face, or for a recipe that is not made of this package's parts.
    """
    if effort is not None and effort not in EFFORTS:
        raise AliError(f"unknown effort {effort!r}: choose one of {', '.join(EFFORTS)}")
    if effort is not None and face == "paper":
        raise AliError("the paper's face trains as long, and networks as wide, as the paper says: leave effort out")
    if effort is not None and not isinstance(recipe, Recipe):
        raise AliError(f"{recipe.__name__} says itself how it is trained: leave effort out, or say its own arguments")
    return None if face == "paper" or not isinstance(recipe, Recipe) else next(known for known in EFFORTS if known == (effort or "normal"))


def length_said(recipe: Callable[..., Any], dataset: str) -> bool:
    """Do the data set, or the recipe, say how many epochs the modern face takes?"""
    entry = DATASETS[dataset]
    return "epochs" in entry.modern | getattr(recipe, "changed", {}) | entry.own.get(recipe.__name__, {})


def arranged(
    effort: Effort, known: dict[str, Any], said: dict[str, Any], *, rows: int, shape: tuple[int, ...], sized: bool, cuda: bool = False
) -> dict[str, Any]:
    r"""The arguments that an effort changes.

    .. math:: \text{epochs} = \text{steps} / \lfloor \text{rows} / (\text{batch} - \text{labelled}) \rfloor,
        \quad \text{batch} \le \text{rows} / 4

    Arguments:
        effort: how much to train, about 1/3, 1 and 3 of the CPU time.
        known: the recipe's arguments for this data set, when nothing is said.
        said: what a person said; it is left alone, and the rest follows from it.
        rows: training rows.
        shape: of one row: (columns,) or (height, width[, 3]).
        sized: does the data set say how long to train? Then that is the length at ``normal``, whatever the rows.
        cuda: is it trained on a GPU? There convolutions on images of anybody's are four times as wide as on a CPU.

    Returns:
        Epochs, width and batch size, and the rate that the networks need (:data:`STEADY`), as far as they change and the recipe has them.
    """
    changed = {name: value for name, value in STEADY.get(said.get("networks", ""), {}).items() if name in known and name not in said}
    now = known | said
    free = {name for name in ("epochs", "width", "batch_size") if name in known and name not in said}
    if "width" in free:
        costly = not sized and now.get("networks") in ("conv", "compact") and shape[0] >= LARGE
        wide = 1 if not costly else 2 if cuda else 0.5
        changed["width"] = max(1, round(now["width"] * wide * WIDTH[effort]))
    if "epochs" in free and sized:
        changed["epochs"] = max(1, round(now["epochs"] * LENGTH[effort]))
    elif "epochs" in free:
        steps, batch = STEPS["rows" if len(shape) == 1 else "images"] * LENGTH[effort], now["batch_size"]
        if "batch_size" in free:
            batch = _batch(batch, rows, steps)
            changed["batch_size"] = batch
        batch = min(batch, rows)
        labelled = min(now["labelled"] or batch, batch // 2) if "labelled" in now else 0  # drawn beside, as a session draws them
        epochs = steps / max(1, rows // (batch - labelled))
        longest = max(PASSES, epochs / LENGTH[effort])  # never shorter than normal
        changed["epochs"] = max(1, round(min(epochs, longest)))
    return {name: value for name, value in changed.items() if value != known[name]}


def _batch(batch: int, rows: int, steps: float) -> int:
    """Halved until four fit into the rows, doubled until one pass over them is no more than the steps."""
    while batch > max(SMALLEST, rows // 4):
        batch //= 2
    while rows // batch > steps and batch < LARGEST:
        batch *= 2
    return batch
