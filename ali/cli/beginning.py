"""The verbs that need no finished run: ``ali demo``, ``ali prepare``, and ``ali train --resume``."""

from __future__ import annotations

__all__ = ["demo", "prepare", "resume"]

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from ali.cli.flags import Moved, Out, Recipe, Seed
from ali.cli.verbs import evaluate
from ali.errors import AliError


def demo(
    *, out: Out = Path("runs/demo"), seed: Seed = 0, epochs: Annotated[int | None, Parameter(help="Passes over the rows.")] = None
) -> None:
    """Train on scikit-learn's handwritten digits, look at the result from all sides, and say what to try next."""
    from ali.cli import training

    training.make_room(out, "digits")
    length: dict[str, Any] = {} if epochs is None else {"epochs": epochs}
    training.begin("digits", None, {}, out=out, seed=seed or 0, **length)
    evaluate(out)
    print(f"""
Look at {out / "report.html"}. Then try

  ali sample {out} --n 64 --out digits.png
  ali interpolate {out} --steps 11 --how spherical --out walk.png
  ali train mixture --out runs/mixture && ali evaluate runs/mixture""")


def prepare(
    source: Annotated[str, Parameter(help="Pictures: a folder, Parquet files, or hub:owner/name.")],
    out: Annotated[Path, Parameter(help="Folder to write.")],
    /,
    *,
    size: Annotated[int | None, Parameter(help="Side in pixels, 8 to 128. Default: their own if all share one, else 64.")] = None,
    crop: Annotated[Literal["centre", "none"], Parameter(help="Images that are not square: cut out the centre, or stretch.")] = "centre",
    grey: Annotated[bool | None, Parameter(help="Make all images grey. Default: colour, if any is.")] = None,
    hold_out: Annotated[float, Parameter(help="Share of the images to hold out, where there is no test part.")] = 0.1,
    skip_bad: Annotated[bool, Parameter(help="Leave out images that can not be read.")] = False,
    label: Annotated[str | None, Parameter(help="Column of the classes, in Parquet files or metadata.csv. Default: label.")] = None,
    attributes: Annotated[Sequence[str], Parameter(help="Columns of attributes. Default: the boolean ones.")] = (),
) -> None:
    """Decode images once, for data that is larger than memory; then `ali train images OUT` reads them row by row."""
    from ali.data import images

    train, test = images.prepare(source, str(out), size, crop, grey, hold_out, skip_bad, label, attributes)
    for note in train.notes:
        print(note)
    print(f"wrote {out}: {len(train):,} images to learn from, {len(test):,} held out; train with `ali train images {out}`")


def resume(
    dataset: Annotated[str | None, Parameter(show=False)] = None,
    /,
    *,
    resume: Annotated[Path | None, Parameter(help="Run folder to go on with, after it was stopped or killed.")] = None,
    data: Moved = None,
    device: Annotated[str, Parameter(help="auto, cpu, cuda, ...")] = "auto",
    save_every: Annotated[float, Parameter(help="Seconds between checkpoints.")] = 60.0,
    tensorboard: Annotated[bool, Parameter(help="Write the losses for TensorBoard, too.")] = False,
    recipe: Recipe = None,
) -> None:
    """Train a game on a data set, or go on with a run (`--resume RUN`)."""
    from ali.cli import training

    if resume is None:
        raise AliError(training.which(dataset))
    training.go_on(resume, data, device, save_every, tensorboard, recipe)
