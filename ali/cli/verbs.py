"""The verbs of a finished run: short functions around those of a model; their arguments are those of the command line."""

from __future__ import annotations

__all__ = ["classify", "decode", "edit", "encode", "evaluate", "export", "interpolate", "reconstruct", "sample", "score"]

import sys
from collections.abc import Iterator
from pathlib import Path

from ali.cli import labelling
from ali.cli.flags import (
    AtLevel,
    Attributes,
    Candidates,
    Codes,
    Count,
    Direction,
    Draw,
    Edited,
    Fixed,
    Folder,
    How,
    Label,
    Labels,
    Moved,
    NewAttributes,
    NewLabel,
    Out,
    Pairs,
    Recipe,
    Report,
    Rows,
    Run,
    Seed,
    Steps,
    Strengths,
    Told,
)
from ali.cli.reading import first_rows, labelled, names_of, open_model, rows_of
from ali.cli.writing import shows, write, write_pairs
from ali.errors import AliError


def sample(
    run: Run,
    *,
    out: Out = Path("samples.png"),
    n: Count = 64,
    label: Label = None,
    attributes: Attributes = None,
    fix_level: Fixed = None,
    seed: Seed = None,
    candidates: Candidates = None,
    recipe: Recipe = None,
) -> None:
    """Generate new rows: a PNG grid, a folder of PNG pictures (a name without an ending), .npy, .csv or .parquet."""
    model = open_model(run, recipe)
    y = labelling.said(label, attributes)
    write(model, out, model.samples(n, y=y, fix_level=fix_level, seed=seed, candidates=candidates))


def encode(
    run: Run,
    rows: Rows = None,
    *,
    out: Out = Path("codes.csv"),
    draw: Draw = False,
    label: Label = None,
    attributes: Attributes = None,
    labels: Labels = None,
    seed: Seed = None,
    level: AtLevel = None,
    recipe: Recipe = None,
) -> None:
    """Infer the codes of rows: .csv, .parquet or .npy, with columns z0, z1, ..., and of a folder of pictures file_name."""
    from ali import files

    model = open_model(run, recipe, level)
    x, y = labelled(model, run, rows, label, attributes, labels)
    files.write_numbers(out, model.each("encode", x, y, draw=draw, seed=seed), names=names_of(model, rows))
    print(f"wrote {out}")


def decode(
    run: Run,
    codes: Codes,
    *,
    out: Out = Path("decoded.png"),
    label: Label = None,
    attributes: Attributes = None,
    labels: Labels = None,
    level: AtLevel = None,
    recipe: Recipe = None,
) -> None:
    """Generate the rows that codes stand for."""
    from ali import files

    model = open_model(run, recipe, level)
    write(model, out, model.each("decode", files.read_numbers(codes), labelling.of_rows(model, label, attributes, labels)))


def reconstruct(
    run: Run,
    rows: Rows = None,
    *,
    out: Out = Path("reconstructions.png"),
    n: Count = 60,
    draw: Draw = False,
    label: Label = None,
    attributes: Attributes = None,
    labels: Labels = None,
    seed: Seed = None,
    level: AtLevel = None,
    recipe: Recipe = None,
) -> None:
    """Encode and decode. A PNG grid shows the first n originals, each with its reconstruction; other files hold all reconstructions."""
    model = open_model(run, recipe, level)
    x, y = labelled(model, run, rows, label, attributes, labels)
    if shows(model, out, n):
        x, y = first_rows(model, x, y, n)
        write_pairs(model, out, x, model.reconstruct(x, y, draw=draw, seed=seed))
    else:
        write(model, out, model.each("reconstruct", x, y, draw=draw, seed=seed))


def interpolate(
    run: Run,
    rows: Rows = None,
    *,
    out: Out = Path("interpolations.png"),
    n: Pairs = None,
    steps: Steps = 9,
    how: How = "linear",
    label: Label = None,
    attributes: Attributes = None,
    labels: Labels = None,
    level: AtLevel = None,
    recipe: Recipe = None,
) -> None:
    """Walk from row to row through the latent space."""
    model = open_model(run, recipe, level)
    x, y = labelled(model, run, rows, label, attributes, labels)
    if n is not None and n < 1:
        raise AliError(f"--n counts the pairs: at least 1, got {n}")
    x, y = first_rows(model, x, y, 2 * (8 if n is None else n))
    if len(x) < 2:
        raise AliError(f"a walk needs two rows, got {len(x)}")
    if n is not None and n > len(x) // 2:
        raise AliError(f"--n {n}: {len(x)} rows make {len(x) // 2} pairs")
    n = len(x) // 2 if n is None else n
    y1, y2 = (None, None) if y is None else (y[:n], y[n : 2 * n])
    walks = model.interpolate(x[:n], x[n : 2 * n], steps, how=how, y1=y1, y2=y2)
    write(model, out, [walks.reshape(-1, *walks.shape[2:])], columns=steps, walks=True)


def edit(
    run: Run,
    rows: Rows = None,
    *,
    out: Out = Path("edited.png"),
    n: Edited = None,
    label: NewLabel = None,
    attributes: NewAttributes = None,
    direction: Direction = None,
    strength: Strengths = None,
    how: Told = "mean",
    labels: Labels = None,
    data: Moved = None,
    recipe: Recipe = None,
) -> None:
    """Change rows: the label of a conditional run, or the code along a direction that the labels of any run's training rows name.

    A new label: a PNG grid shows originals, each with what it became. A direction: a line for each row, a column for each strength.
    """
    from ali import lines

    new = labelling.said(label, attributes)
    if (direction is None) == (new is None):
        raise AliError("edit what? Say one of --label, --attributes and --direction")
    if rows is None and labels is not None:
        raise AliError("--labels are those of your ROWS, and the run's held-out rows have labels of their own: give ROWS, or leave it out")
    if direction is None and strength is not None:
        raise AliError("--strength says how far to go along a --direction; a label is changed as a whole")
    steps = lines.strengths("-2:2:7" if strength is None else strength)
    model = open_model(run, recipe)
    if rows is None:
        x, y = labelling.own(model, run, data)
    else:
        x, y = labelled(model, run, rows, None, None, labels)
    n = n if n is not None else 60 if direction is None else 8
    x, y = first_rows(model, x, y, n if shows(model, out, n) else None)
    if direction is None:
        return write_pairs(model, out, x, model.edit(x, y, label=new) if attributes is None else model.edit(x, y, attributes=new))
    if model.conditions is not None:
        print("ali: this run is told the labels, which are held: what they say hardly moves along a direction; --label changes them",
              file=sys.stderr)  # fmt: skip
    step = labelling.direction(model, run, direction, how, data)
    edited = model.edit(x, y, direction=step, strength=steps)
    write(model, out, [edited.reshape(-1, *x.shape[1:])], columns=len(steps))


def score(run: Run, rows: Rows = None, *, out: Out = Path("scores.csv"), data: Moved = None, recipe: Recipe = None) -> None:
    """How strange rows are: .csv, .parquet or .npy, with columns score, higher = stranger, and p, and of a folder of pictures file_name.

    p says how rarely an ordinary row is as strange, judged by the run's held-out rows. Call rows with p <= 0.01 anomalies, and about
    1 % of ordinary rows are called so by mistake: no anomalies, and no share of them, need be known. Column p is left out where the
    run's data can not be opened.
    """
    import numpy as np

    from ali import files
    from ali.evaluation.metrics import p_values
    from ali.model import open_data

    model, known = open_model(run, recipe), None
    names = names_of(model, rows)
    try:
        known = open_data(run, data).test
    except AliError as error:
        if rows is None or data is not None:
            raise
        print(f"ali: no column p, because it needs the run's held-out rows: {error} (--data)", file=sys.stderr)
    if known is None:
        files.write_columns(out, model.each("score", rows_of(model, run, rows)), lambda scores: {"score": scores}, names)
        print(f"wrote {out}")
        return
    held_out = np.concatenate(list(model.each("score", known.x)))
    strange, total, least = 0, 0, 1 / (1 + len(held_out))
    level = next((share for share in (0.01, 0.05, 0.1) if share >= least), 1.0)  # few held-out rows have no small p

    def judged() -> Iterator[np.ndarray]:
        nonlocal strange, total
        for scores in [held_out] if rows is None else model.each("score", rows_of(model, run, rows)):
            p = p_values(scores, None if rows is None else held_out)
            strange, total = strange + int((p <= level).sum()), total + len(p)
            yield np.stack([scores, p], 1)

    files.write_columns(out, judged(), lambda both: {"score": both[:, 0].astype(held_out.dtype), "p": both[:, 1]}, names)
    print(f"wrote {out}")
    print(f"{strange:,} of {total:,} rows have p <= {level:g}; of ordinary rows some {level * total:,.0f} would")
    if level > 0.01:
        print(f"p is never below {least:.2g}, because the run has only {len(held_out)} held-out rows: train with a larger --hold-out")


def classify(run: Run, rows: Rows = None, *, out: Out = Path("classes.csv"), recipe: Recipe = None) -> None:
    """Probabilities of the classes, a column each, and the likeliest class: .csv or .parquet; .npy holds the probabilities alone.

    Of a folder of pictures, the first column is file_name.
    """
    import numpy as np

    from ali import files

    model = open_model(run, recipe)
    classes = np.array(model.classes)

    def columns(p: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(model.classes, p.T, strict=True)) | {"likeliest": classes[p.argmax(1)]}

    files.write_columns(out, model.each("classify", rows_of(model, run, rows)), columns, names_of(model, rows))
    print(f"wrote {out}")


def evaluate(run: Run, data: Moved = None, *, out: Report = None, recipe: Recipe = None) -> None:
    """Measure a run on rows that it never saw: prints the numbers; writes metrics.json, figures and report.html."""
    from ali import ready
    from ali.evaluation import report, words
    from ali.model import open_data

    model, rows, run = open_model(run, recipe), open_data(run, data), ready.found(run)
    if out is None and run.parent == ready.HERE:
        raise AliError(f"{run.name} is a ready model, whose folder is the package's: say where to write with --out FOLDER")
    print("Looking at the result ...", flush=True)
    values = report.write(run, model, rows, out)
    for key, value in values.items():
        name, form, about = report.LINES[key]
        print(f"  {name:<28} {value:>8{form}}   {about}")
    print("", *words.verdict(values), "", sep="\n")
    print(f"wrote {(out or run) / 'report.html'}")


def export(run: Run, *, out: Folder = Path("onnx"), level: AtLevel = None, recipe: Recipe = None) -> None:
    """Write encoder and decoder as ONNX files, which run without PyTorch; the README beside them says what they take and give."""
    for file in open_model(run, recipe, level).export(out):
        print(f"wrote {file}")
