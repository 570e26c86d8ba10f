"""The command line: short functions around the verbs. ``ali --help`` does not load torch.

The verbs of a finished run stand here, ``ali train`` in training.py.
"""

from __future__ import annotations

__all__ = ["application", "main"]

import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from cyclopts import App, CycloptsError, Parameter, convert

from ali import __version__
from ali.cli import labelling
from ali.errors import AliError

ABOUT = "Models that generate and infer: a decoder turns a code z into data x, an encoder turns x into z, a game trains both."
ROWS = "Rows in the run's own units: .npy; images also pictures or a folder; numbers also .csv or .parquet. Default: its held-out rows."
Run = Annotated[
    Path,
    Parameter(
        help="Run folder, as `ali train` wrote it; or digits, mnist: ready models that come with ali, where no folder has that name."
    ),
]
Rows = Annotated[Path | None, Parameter(help=ROWS)]
Codes = Annotated[Path, Parameter(help="Codes: .csv, .parquet or .npy, as `ali encode` writes them.")]
Out = Annotated[Path, Parameter(help="Where to write.")]
Seed = Annotated[int | None, Parameter(help="Seed, for the same numbers again.")]
Count = Annotated[int, Parameter(help="How many rows.")]
Pairs = Annotated[int | None, Parameter(help="Pairs: row 0 with row n, row 1 with row n + 1, ... Default: 8, or as many as there are.")]
Draw = Annotated[bool, Parameter(help="Sample q(z | x) instead of taking its mean.")]
Steps = Annotated[int, Parameter(help="Points of each walk, both ends among them.")]
How = Annotated[Literal["linear", "spherical"], Parameter(help="Along a straight line, or along the sphere.")]
Label = Annotated[str | None, Parameter(help="Class of all rows, of a run that learned classes (recipe conditional).")]
Attributes = Annotated[str | None, Parameter(help="Attributes of all rows, of a run that learned some: smiling=1,blond=0.")]
LABELS = "Labels of your ROWS, one line each: .csv, .parquet (a column label, or one for each attribute) or .npy."
Labels = Annotated[Path | None, Parameter(help=LABELS)]
Strengths = Annotated[
    str | None, Parameter(help="Steps along the direction, lo:hi:n; 1 leads from without to with.", allow_leading_hyphen=True)
]
Edited = Annotated[int | None, Parameter(help="How many rows of a picture. Default: 60, along a direction 8.")]
NewLabel = Annotated[str | None, Parameter(help="Class to change into, of a conditional run.")]
NewAttributes = Annotated[str | None, Parameter(help="Attributes to change, of a conditional run: smiling=1,blond=0; the others stay.")]
Direction = Annotated[str | None, Parameter(help="Class or attribute of the run's training rows: from those without to those with.")]
Told = Annotated[Literal["mean", "classifier"], Parameter(help="Between the means of codes, or across a linear classifier's border.")]
AtLevel = Annotated[int | None, Parameter(help="Of a hierarchical run: 1 (nearest to the data) up to the top, which is the default.")]
Fixed = Annotated[int | None, Parameter(help="Of a hierarchical run: all rows share one code of this level, and those above it.")]
Moved = Annotated[str | None, Parameter(help="Where the run's data is now, if it has moved.")]
Recipe = Annotated[str | None, Parameter(help="FILE.py:FUNCTION that made the run, if it is a recipe of your own.")]
Report = Annotated[Path | None, Parameter(help="Where to write. Default: the run folder.")]


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


def sample(
    run: Run,
    *,
    out: Out = Path("samples.png"),
    n: Count = 64,
    label: Label = None,
    attributes: Attributes = None,
    fix_level: Fixed = None,
    seed: Seed = None,
    recipe: Recipe = None,
) -> None:
    """Generate new rows: a PNG grid, a folder of PNG pictures (a name without an ending), .npy, .csv or .parquet."""
    model = _load(run, recipe)
    _write(model, out, model.samples(n, y=labelling.said(label, attributes), fix_level=fix_level, seed=seed))


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
    """Infer the codes of rows: .csv, .parquet or .npy, with columns z0, z1, ..."""
    from ali import files

    model = _load(run, recipe, level)
    x, y = _labelled(model, run, rows, label, attributes, labels)
    files.write_numbers(out, model.each("encode", x, y, draw=draw, seed=seed))
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

    model = _load(run, recipe, level)
    _write(model, out, model.each("decode", files.read_numbers(codes), labelling.of_rows(model, label, attributes, labels)))


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
    model = _load(run, recipe, level)
    x, y = _labelled(model, run, rows, label, attributes, labels)
    if _shows(model, out, n):
        x, y = _first(model, x, y, n)
        _write_pairs(model, out, x, model.reconstruct(x, y, draw=draw, seed=seed))
    else:
        _write(model, out, model.each("reconstruct", x, y, draw=draw, seed=seed))


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
    model = _load(run, recipe, level)
    x, y = _labelled(model, run, rows, label, attributes, labels)
    if n is not None and n < 1:
        raise AliError(f"--n counts the pairs: at least 1, got {n}")
    x, y = _first(model, x, y, 2 * (8 if n is None else n))
    if len(x) < 2:
        raise AliError(f"a walk needs two rows, got {len(x)}")
    if n is not None and n > len(x) // 2:
        raise AliError(f"--n {n}: {len(x)} rows make {len(x) // 2} pairs")
    n = len(x) // 2 if n is None else n
    y1, y2 = (None, None) if y is None else (y[:n], y[n : 2 * n])
    walks = model.interpolate(x[:n], x[n : 2 * n], steps, how=how, y1=y1, y2=y2)
    _write(model, out, [walks.reshape(-1, *walks.shape[2:])], columns=steps, walks=True)


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
    model = _load(run, recipe)
    if rows is None:
        x, y = labelling.own(model, run, data)
    else:
        x, y = _labelled(model, run, rows, None, None, labels)
    n = n if n is not None else 60 if direction is None else 8
    x, y = _first(model, x, y, n if _shows(model, out, n) else None)
    if direction is None:
        return _write_pairs(model, out, x, model.edit(x, y, label=new) if attributes is None else model.edit(x, y, attributes=new))
    if model.conditions is not None:
        print("ali: this run is told the labels, which are held: what they say hardly moves along a direction; --label changes them",
              file=sys.stderr)  # fmt: skip
    step = labelling.direction(model, run, direction, how, data)
    edited = model.edit(x, y, direction=step, strength=steps)
    _write(model, out, [edited.reshape(-1, *x.shape[1:])], columns=len(steps))


def score(run: Run, rows: Rows = None, *, out: Out = Path("scores.csv"), data: Moved = None, recipe: Recipe = None) -> None:
    """How strange rows are: .csv, .parquet or .npy, with columns score, higher = stranger, and p.

    p says how rarely an ordinary row is as strange, judged by the run's held-out rows. Call rows with p <= 0.01 anomalies, and about
    1 % of ordinary rows are called so by mistake: no anomalies, and no share of them, need be known. Column p is left out where the
    run's data can not be opened.
    """
    import numpy as np

    from ali import files
    from ali.evaluation.metrics import p_values
    from ali.model import open_data

    model = _load(run, recipe)
    known = None
    try:
        known = open_data(run, data).test
    except AliError as error:
        if rows is None or data is not None:
            raise
        print(f"ali: no column p, because it needs the run's held-out rows: {error} (--data)", file=sys.stderr)
    if known is None:
        files.write_columns(out, model.each("score", _rows(model, run, rows)), lambda scores: {"score": scores})
        print(f"wrote {out}")
        return
    held_out = np.concatenate(list(model.each("score", known.x)))
    strange, total, least = 0, 0, 1 / (1 + len(held_out))
    level = next((share for share in (0.01, 0.05, 0.1) if share >= least), 1.0)  # few held-out rows have no small p

    def judged() -> Iterator[np.ndarray]:
        nonlocal strange, total
        for scores in [held_out] if rows is None else model.each("score", _rows(model, run, rows)):
            p = p_values(scores, None if rows is None else held_out)
            strange, total = strange + int((p <= level).sum()), total + len(p)
            yield np.stack([scores, p], 1)

    files.write_columns(out, judged(), lambda both: {"score": both[:, 0].astype(held_out.dtype), "p": both[:, 1]})
    print(f"wrote {out}")
    print(f"{strange:,} of {total:,} rows have p <= {level:g}; of ordinary rows some {level * total:,.0f} would")
    if level > 0.01:
        print(f"p is never below {least:.2g}, because the run has only {len(held_out)} held-out rows: train with a larger --hold-out")


def classify(run: Run, rows: Rows = None, *, out: Out = Path("classes.csv"), recipe: Recipe = None) -> None:
    """Probabilities of the classes, a column each, and the likeliest class: .csv or .parquet; .npy holds the probabilities alone."""
    import numpy as np

    from ali import files

    model = _load(run, recipe)
    names = np.array(model.classes)

    def columns(p: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(model.classes, p.T, strict=True)) | {"likeliest": names[p.argmax(1)]}

    files.write_columns(out, model.each("classify", _rows(model, run, rows)), columns)
    print(f"wrote {out}")


def evaluate(run: Run, data: Moved = None, *, out: Report = None, recipe: Recipe = None) -> None:
    """Measure a run on rows that it never saw: prints the numbers; writes metrics.json, figures and report.html."""
    from ali import ready
    from ali.evaluation import report, words
    from ali.model import open_data

    model, rows, run = _load(run, recipe), open_data(run, data), ready.found(run)
    if out is None and run.parent == ready.HERE:
        raise AliError(f"{run.name} is a ready model, whose folder is the package's: say where to write with --out FOLDER")
    print("Looking at the result ...", flush=True)
    values = report.write(run, model, rows, out)
    for key, value in values.items():
        name, form, about = report.LINES[key]
        print(f"  {name:<28} {value:>8{form}}   {about}")
    print("", *words.verdict(values), "", sep="\n")
    print(f"wrote {(out or run) / 'report.html'}")


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


def application(tokens: list[str]) -> App:
    """The commands, as far as these tokens need them: the flags of ``ali train`` depend on data set, recipe and face."""
    # Rendering Markdown would cost half of the time that `ali --help` takes.
    app = App(
        name="ali",
        version=__version__,
        help=ABOUT,
        help_format="plaintext",
        default_parameter=Parameter(negative=(), consume_multiple=True, converter=_convert),
    )
    for verb in (demo, prepare, sample, encode, decode, reconstruct, interpolate, edit, score, classify, evaluate):
        app.command(verb)
    train = App(name="train", help="Train a game on a data set; its flags are the recipe's arguments.")
    app.command(train)
    train.default(resume)
    if tokens[:1] == ["train"]:
        from ali.cli import training

        training.add_commands(train, tokens)
    return app


def _convert(kind: Any, tokens: Sequence[Any]) -> Any:
    """As cyclopts does, but 2.5 is no whole number: it would round."""
    if kind is int or (int in get_args(kind) and float not in get_args(kind)):
        for token in tokens:
            if "." in token.value and not float(token.value).is_integer():
                raise ValueError(f"{token.value} is not a whole number")
    return convert(kind, tokens)


def main() -> None:
    """Entry point: run a command; what a user can mend is one clear sentence, not a traceback."""
    tokens = sys.argv[1:]
    warnings.formatwarning = lambda message, *_, **__: f"ali: {message}\n"
    try:
        application(tokens)(tokens, exit_on_error=False)
    except CycloptsError:
        raise SystemExit(2) from None  # cyclopts has printed it
    except AliError as error:
        print(f"ali: {error}", file=sys.stderr)
        raise SystemExit(getattr(error, "status", 2)) from None
    except OSError as error:
        print(f"ali: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        raise SystemExit(2) from None
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "out of memory" not in str(error) and "allocate memory" not in str(error):
            raise
        print(f"ali: that does not fit into memory: {_smaller(tokens)}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _smaller(tokens: list[str]) -> str:
    """What would need less memory."""
    if tokens[:1] == ["train"]:
        images = "; images that do not fit are decoded once with `ali prepare`" if "images" in tokens[1:2] else ""
        return f"take a smaller --batch-size, --width or --latent{images}"
    return "take fewer rows (--n)" if tokens[:1] == ["sample"] else "give it fewer rows at a time"


def _load(run: Path, recipe: str | None, level: int | None = None):
    from ali.cli.training import recipe_named
    from ali.model import load

    model = load(run, recipe=None if recipe is None else recipe_named(recipe), device="auto")
    return model if level is None else model.at(level)


def _labelled(model, run: Path, rows: Path | None, label: str | None, attributes: str | None, file: Path | None) -> tuple[Any, Any]:
    """Rows and their labels, from files or as they were typed, or the run's own held-out rows."""
    if rows is not None:
        return _rows(model, run, rows), labelling.of_rows(model, label, attributes, file, rows)
    if label is not None or attributes is not None or file is not None:
        raise AliError("the run's held-out rows have labels of their own; `ali edit` changes them, and other ROWS can be given")
    return labelling.own(model, run)


def _shows(model, out: Path, n: int) -> bool:
    """Whether rows become a picture, of the first n, or another file, of all."""
    if n < 1:
        raise AliError(f"--n counts the rows: at least 1, got {n}")
    return out.suffix == ".png" and _is_image(model)


def _write_pairs(model, out: Path, x: Any, made: Any) -> None:
    """In a picture each row beside what was made of it, in other files what was made."""
    import numpy as np

    if out.suffix == ".png" and _is_image(model):
        _write(model, out, [np.stack([x, made], 1).reshape(-1, *x.shape[1:])], columns=12)
    else:
        _write(model, out, [made])


def _rows(model, run: Path, rows: Path | None) -> Any:
    """Rows from a file, piece by piece, or the run's own held-out rows, which have slices."""
    from ali import files
    from ali.model import open_data

    if rows is None:
        return open_data(run).test.x
    if _is_image(model):
        # Somebody's own pictures come in their own sizes, and are brought to the run's as in training; published sets have one size.
        crop = model.config["data"].get("crop", "centre") if model.config["dataset"] == "images" else None
        return files.read_images(rows, model.shape, model.preprocess.pixels, model.preprocess.dtype, crop)
    if model.columns and rows.suffix != ".npy":
        from ali.data import tables

        commas = model.config["data"].get("decimal") == ","
        return _matrices(model, tables.pieces(str(rows), commas=commas), str(rows))
    return files.read_numbers(rows)


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


def _first(model, rows: Any, y: Any, n: int | None) -> tuple[Any, Any]:
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


DEFAULTS = {Path(f"{name}.png") for name in ("samples", "decoded", "reconstructions", "interpolations", "edited")}


def _write(model, out: Path, pieces: Iterable[Any], columns: int | None = None, walks: bool = False) -> None:
    """Write rows; those of a table say which walk of so many columns they are on, and where."""
    import numpy as np

    from ali import files, pictures

    if out in DEFAULTS and not _is_image(model) and (model.columns or model.shape != (2,)):
        out = out.with_suffix(".csv")  # rows of a table are no picture
    if _is_image(model):
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


def _is_image(model) -> bool:
    return model.preprocess.pixels is not None
