"""The command line: short functions around the verbs. ``ali --help`` does not load torch."""

from __future__ import annotations

__all__ = ["app", "main"]

import difflib
import inspect
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter

from ali import __version__
from ali.errors import AliError

if TYPE_CHECKING:
    from ali.session import Session

app = App(
    name="ali",
    version=__version__,
    help="Models that generate and infer: a decoder turns a code z into data x, an encoder turns x into z, a game trains both.",
    help_format="plaintext",  # rendering Markdown would cost half of the time that `ali --help` takes
    default_parameter=Parameter(negative=()),
)
train = app.command(App(name="train", help="Train a game on a data set; its flags are the recipe's arguments."))

Run = Annotated[Path, Parameter(help="Run folder, as `ali train` wrote it.")]
Out = Annotated[Path, Parameter(help="Where to write.")]
Rows = Annotated[
    Path | None,
    Parameter(
        help="Rows in the run's own units: .npy, for images also a PNG or a folder of them, for numbers also .csv or .parquet. Default: the run's own held-out rows."
    ),
]
Seed = Annotated[int | None, Parameter(help="Seed, for the same numbers again.")]
Count = Annotated[int, Parameter(help="How many rows.")]


@app.command
def demo(
    *,
    out: Annotated[Path, Parameter(help="Run folder; one that is there already is replaced.")] = Path("runs/demo"),
    seed: Annotated[int, Parameter(help="Seed of weights, noise and order.")] = 0,
    epochs: Annotated[int | None, Parameter(help="Passes over the training rows. Default: those of `ali train digits`.")] = None,
) -> None:
    """Train on scikit-learn's handwritten digits, look at the result from all sides, and say what to try next."""
    import shutil

    from ali.session import Session

    if out.exists():
        if not (out / "config.json").exists():
            raise AliError(f"{out}: exists and is no run folder; choose another --out")
        shutil.rmtree(out)
    data = _dataset("digits").open()
    print(f"ALI on {len(data.train):,} handwritten digits; {len(data.test)} more are held out.")
    session = Session.start("digits", data, out, seed=seed, **({} if epochs is None else {"epochs": epochs}))
    _play(session)
    _report(out, None, None)
    print(f"""
Look at {out / "report.html"}. Then try

  ali sample {out} --n 64 --out digits.png
  ali interpolate {out} --steps 11 --how spherical --out walk.png
  ali train mixture --out runs/mixture && ali evaluate runs/mixture""")


@app.command
def sample(run: Run, *, out: Out = Path("samples.png"), n: Count = 64, seed: Seed = None) -> None:
    """Generate new rows: a PNG grid, a folder of PNG pictures (a name without an ending), .npy, .csv or .parquet."""
    model = _load(run)
    _write(model, out, model.sample(n, seed=seed))


@app.command
def encode(
    run: Run,
    rows: Rows = None,
    *,
    out: Out = Path("codes.csv"),
    draw: Annotated[bool, Parameter(help="Sample q(z | x) instead of taking its mean.")] = False,
    seed: Seed = None,
) -> None:
    """Infer the codes of rows: .csv, .parquet or .npy, with columns z0, z1, ..."""
    from ali import files

    model = _load(run)
    files.write_numbers(out, model.encode(_rows(model, run, rows), draw=draw, seed=seed))
    _wrote(out)


@app.command
def decode(
    run: Run,
    codes: Annotated[Path, Parameter(help="Codes: .csv, .parquet or .npy, as `ali encode` writes them.")],
    *,
    out: Out = Path("decoded.png"),
) -> None:
    """Generate the rows that codes stand for."""
    from ali import files

    model = _load(run)
    _write(model, out, model.decode(files.read_numbers(codes)))


@app.command
def reconstruct(
    run: Run,
    rows: Rows = None,
    *,
    out: Out = Path("reconstructions.png"),
    n: Count = 60,
    draw: Annotated[bool, Parameter(help="Sample q(z | x) instead of taking its mean.")] = False,
    seed: Seed = None,
) -> None:
    """Encode and decode; a PNG grid shows each of the first n originals beside its reconstruction, other files only the latter."""
    import numpy as np

    model = _load(run)
    x = _rows(model, run, rows)
    x = x if rows is not None and out.suffix != ".png" else x[:n]
    x_hat = model.reconstruct(x, draw=draw, seed=seed)
    if out.suffix == ".png" and _maximum(model):
        _write(model, out, np.stack([x, x_hat], 1).reshape(-1, *x.shape[1:]), columns=12)
    else:
        _write(model, out, x_hat)


@app.command
def interpolate(
    run: Run,
    rows: Rows = None,
    *,
    out: Out = Path("interpolations.png"),
    n: Annotated[int, Parameter(help="Pairs: row 0 with row n, row 1 with row n + 1, ...")] = 8,
    steps: Annotated[int, Parameter(help="Points of each walk, both ends among them.")] = 9,
    how: Annotated[Literal["linear", "spherical"], Parameter(help="Along a straight line, or along the sphere.")] = "linear",
) -> None:
    """Walk from row to row through the latent space."""
    model = _load(run)
    x = _rows(model, run, rows)
    pairs = min(n, len(x) // 2)
    if pairs < 1:
        raise AliError(f"a walk needs two rows, got {len(x)}" if len(x) < 2 else f"--n counts the pairs: at least 1, got {n}")
    walks = model.interpolate(x[:pairs], x[pairs : 2 * pairs], steps, how=how)
    _write(model, out, walks.reshape(-1, *walks.shape[2:]), columns=steps)


@app.command
def evaluate(
    run: Run,
    data: Annotated[str | None, Parameter(help="Where the run's data is now, if it has moved.")] = None,
    *,
    out: Annotated[Path | None, Parameter(help="Where to write. Default: the run folder.")] = None,
) -> None:
    """Measure a run on rows that it never saw: prints the numbers; writes metrics.json, figures and report.html."""
    _report(run, data, out)


@train.default
def resume(
    dataset: str | None = None,
    /,
    *,
    resume: Annotated[Path | None, Parameter(help="Go on with a run that was stopped or killed.")] = None,
    data: Annotated[str | None, Parameter(help="Where its data is now, if it has moved.")] = None,
    device: Annotated[str, Parameter(help="auto, cpu, cuda, ...")] = "auto",
    save_every: Annotated[float, Parameter(help="Seconds between checkpoints.")] = 60.0,
) -> None:
    """Train a game on a data set, or go on with a run (`--resume RUN`)."""
    from ali import recipes
    from ali.model import open_data
    from ali.session import Session

    if resume is None:
        names = ", ".join(_shown(name) for name in recipes.DATASETS)
        if dataset is None:
            raise AliError(f"train on what? Choose one of {names}; or give --resume RUN")
        close = difflib.get_close_matches(dataset, [_shown(name) for name in recipes.DATASETS], 1)
        raise AliError(f"unknown data set {dataset!r}{f', did you mean {close[0]!r}?' if close else ':'} Choose one of {names}")
    session = Session.resume(resume, open_data(resume, data), device=device)
    if session.step == session.steps:
        print(f"{resume} is finished: all {session.steps:,} steps are done.")
        return
    print(f"Going on with {resume} from step {session.step:,} of {session.steps:,}.")
    _play(session, save_every)


def main() -> None:
    """Entry point: run a command; what a user can mend is one clear sentence, not a traceback."""
    tokens = sys.argv[1:]
    try:
        if tokens[:1] == ["train"]:
            _add_training_commands(tokens)
        app(tokens, exit_on_error=False)
    except CycloptsError:
        raise SystemExit(2) from None  # cyclopts has printed it
    except AliError as error:
        print(f"ali: {error}", file=sys.stderr)
        raise SystemExit(getattr(error, "status", 2)) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:
        raise SystemExit(141) from None


def _add_training_commands(tokens: list[str]) -> None:
    """A command for each data set, whose flags are the arguments of the recipe that these tokens ask for."""
    from ali import recipes

    recipe = _recipe(_value(tokens, "--recipe", "ali"))
    face = _value(tokens, "--face", "modern")
    for name in recipes.DATASETS:
        train.command(_training_command(name, recipe, face if face in ("modern", "paper") else "modern"), name=_shown(name))


def _training_command(name: str, recipe, face: str):
    """A function whose signature is that of a data set and a recipe together, with the defaults of a face."""
    from docstring_parser import parse

    from ali import recipes

    entry = recipes.DATASETS[name]
    known = recipes.defaults(recipe, name, face)
    described = {p.arg_name: p.description for p in parse(inspect.getdoc(recipe) or "").params}
    flags = inspect.signature(recipe, eval_str=True).parameters
    source = inspect.signature(entry.function(), eval_str=True).parameters
    options = {p.name: p for p in source.values() if p.name != "path"}
    words = {p.arg_name: p.description for p in parse(inspect.getdoc(entry.function()) or "").params}

    def flag(parameter: str, kind: Any, default: Any, help: str) -> inspect.Parameter:
        return inspect.Parameter(
            parameter, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, Parameter(help=help)]
        )

    parameters = [
        *([inspect.Parameter("path", inspect.Parameter.POSITIONAL_ONLY, annotation=Annotated[str, Parameter(help=entry.needs)])] if entry.needs else []),
        flag("out", Path | None, None, f"Run folder to write. Default: runs/{_shown(name)}, with a number if that is taken."),
        flag("seed", int, 0, "Seed of weights, noise and order of rows."),
        flag("dry_run", bool, False, "Print networks, parameters, memory and time on this machine; train nothing."),
        flag("recipe", str, "ali", f"{', '.join(recipes.RECIPES)}, or your own: FILE.py:FUNCTION."),
        flag("device", str, "auto", "auto, cpu, cuda, ..."),
        flag("save_every", float, 60.0, "Seconds between checkpoints."),
        flag("tensorboard", bool, False, "Write the losses for TensorBoard, too (needs the extra of that name)."),
        *(flag(key, p.annotation, p.default, words.get(key) or "") for key, p in options.items()),
        *(flag(key, flags[key].annotation, default, described.get(key) or "") for key, default in known.items()),
    ]  # fmt: skip

    def command(path: str | None = None, /, **given: Any) -> None:
        # cyclopts passes what was given on the command line; the rest stands in the signature.
        flags = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY} | given
        opened = {key: flags.pop(key) for key in options}
        _train(name, path, opened, **flags | {"recipe": _recipe(flags["recipe"])})

    command.__signature__ = inspect.Signature(parameters)  # pyrefly: ignore
    command.__doc__ = f"{entry.about[0].upper()}{entry.about[1:]}."
    command.__name__ = name
    return command


def _train(
    name: str,
    path: str | None,
    opened: dict[str, Any],
    *,
    out: Path | None,
    dry_run: bool,
    save_every: float,
    tensorboard: bool,
    **options: Any,
) -> None:
    from ali.session import Session

    data = _dataset(name).open(path, **opened)
    if dry_run:
        _rehearse(Session.start(name, data, None, options=opened, **options))
        return
    out = out or _free(Path("runs") / _shown(name))
    session = Session.start(name, data, out, path=path, options=opened, **options)
    print(f"{_shown(name)}: {len(data.train):,} rows to learn from, {len(data.test):,} held out; {session.steps:,} steps into {out}")
    _play(session, save_every, tensorboard)
    print(f"Done: {out}. Next: `ali evaluate {out}`, `ali sample {out}`, `ali reconstruct {out}`")


def _play(session: Session, save_every: float = 60.0, tensorboard: bool = False) -> None:
    """Consume a session with a progress bar; Ctrl-C or SIGTERM saves and stops."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    writer = _tensorboard(session.folder) if tensorboard else None
    columns = (TextColumn("{task.percentage:>3.0f} %"), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with _stoppable(session), Progress(*columns, transient=False) as bar:
        task = bar.add_task("starting", total=session.steps, completed=session.step)
        printed = 0
        for report in session.play(save_every):
            left = f"{report.seconds_left / 60:.0f} min" if report.seconds_left >= 100 else f"{report.seconds_left:.0f} s"
            losses = ", ".join(f"{player} {loss:.3f}" for player, loss in report.losses.items())
            words = f"{report.rate:,.0f} rows/s, {left} left; losses: {losses}"
            bar.update(task, completed=report.step, description=words)
            tenth = 10 * report.step // report.steps
            if not bar.console.is_terminal and tenth > printed:
                printed = tenth
                print(f"{10 * tenth:3d} %  {words}", flush=True)
            if writer is not None:
                for player, loss in report.losses.items():
                    writer.add_scalar(f"loss/{player}", loss, report.step)
                writer.add_scalar("rows_per_second", report.rate, report.step)
    if writer is not None:
        writer.close()


@contextmanager
def _stoppable(session: Session) -> Iterator[None]:
    """SIGINT and SIGTERM ask the session to save and stop; a second one ends at once."""

    def ask(number: int, frame: Any) -> None:
        session.stop(status=128 + number)
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _rehearse(session: Session) -> None:
    """What a run would cost, measured on a few of its own steps."""
    game = session.run.game
    print(game)
    for player, modules in game.players.items():
        count = sum(p.numel() for module in modules for p in module.parameters())
        print(f"{player}: {count:,} parameters")
    print("measuring a few steps ...", flush=True)
    cost = session.rehearse()
    total = cost["seconds_per_step"] * session.steps
    time = (
        f"{total:.0f} s"
        if total < 120
        else f"{total / 60:.0f} min"
        if total < 7200
        else f"{total / 3600:.1f} h"
        if total < 172_800
        else f"{total / 86_400:.1f} days"
    )
    print(
        f"memory: {cost['memory'] / 2**20:,.0f} MiB at its highest, of which {session.data.train.x.nbytes / 2**20:,.0f} MiB are training rows"
    )
    print(
        f"time: about {time} on this machine ({session.device}): {session.steps:,} steps of {session.batch_size} rows at "
        f"{cost['seconds_per_step']:.3f} s (median of {cost['steps']:.0f} after {cost['warmup']:.0f} to warm up)"
    )


def _report(run: Path, path: str | None, out: Path | None) -> None:
    from ali.evaluation import report
    from ali.model import open_data

    model, data = _load(run), open_data(run, path)
    print("Looking at the result ...", flush=True)
    values = report.write(run, model, data, out)
    for key, value in values.items():
        name, form, words = report.LINES[key]
        print(f"  {name:<28} {value:>8{form}}   {words}")
    _wrote((out or run) / "report.html")


def _load(run: Path):
    from ali.model import load

    return load(run)


def _rows(model, run: Path, rows: Path | None):
    """Rows from a file, or the run's own held-out rows."""
    from ali import files
    from ali.model import open_data

    if rows is None:
        return open_data(run).test.x
    if _maximum(model):
        return files.read_images(rows, model.shape, model.preprocess.maximum, model.preprocess.dtype)
    return files.read_numbers(rows)


def _write(model, out: Path, x, columns: int | None = None) -> None:
    from ali import files, pictures

    if _maximum(model):
        files.write_images(out, x, model.preprocess.maximum, columns)
    elif out.suffix == ".png":
        if x.shape[1] != 2:
            raise AliError(f"{out}: rows of {x.shape[1]} numbers are no picture; write them to .csv, .parquet or .npy")
        out.parent.mkdir(parents=True, exist_ok=True)
        pictures.cloud(x, 1.1 * float(abs(x).max())).save(out)
    else:
        files.write_numbers(out, x, "x")
    _wrote(out)


def _wrote(out: Path) -> None:
    print(f"wrote {out}")


def _maximum(model) -> float | None:
    return getattr(model.preprocess, "maximum", None)


def _tensorboard(folder: Path):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except (ImportError, RuntimeError):
        raise AliError("--tensorboard needs the extra of that name: pip install 'ali[tensorboard]'") from None
    return SummaryWriter(str(folder / "tensorboard"))


def _dataset(name: str):
    from ali import recipes

    return recipes.DATASETS[name]


def _recipe(name: str):
    """A recipe of this package by name, or FILE.py:FUNCTION of somebody's own."""
    from ali import recipes

    if name in recipes.RECIPES:
        return recipes.RECIPES[name]
    file, colon, function = name.rpartition(":")
    if not colon or not file.endswith(".py"):
        raise AliError(f"unknown recipe {name!r}: choose one of {', '.join(recipes.RECIPES)}, or FILE.py:FUNCTION")
    if not Path(file).is_file():
        raise AliError(f"{file}: no such file")
    import importlib.util

    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise AliError(f"{file}: can not be loaded ({type(error).__name__}: {error})") from error
    if not callable(getattr(module, function, None)):
        raise AliError(f"{file}: has no function {function!r}")
    return getattr(module, function)


def _value(tokens: list[str], flag: str, default: str) -> str:
    """The value of a flag, looked up before the command line is parsed."""
    for position, token in enumerate(tokens):
        if token == flag and position + 1 < len(tokens):
            return tokens[position + 1]
        if token.startswith(f"{flag}="):
            return token.partition("=")[2]
    return default


def _free(folder: Path) -> Path:
    """The folder, or the same with the first free number behind it."""
    number = 1
    candidate = folder
    while candidate.exists():
        number += 1
        candidate = folder.with_name(f"{folder.name}-{number}")
    return candidate


def _shown(name: str) -> str:
    return name.replace("_", "-")
