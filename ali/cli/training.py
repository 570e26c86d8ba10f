"""``ali train``: commands whose flags are the arguments of a recipe, a progress bar, signals, and the dry run."""

from __future__ import annotations

__all__ = ["add_commands", "begin", "go_on", "make_room", "recipe_named", "which"]

import difflib
import importlib.util
import inspect
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from ali import recipes
from ali.cli import rehearsal
from ali.cli.rehearsal import duration
from ali.errors import AliError
from ali.machine import Precision
from ali.recipes.effort import EFFORTS, Effort, length_said

if TYPE_CHECKING:
    from ali.data.source import Data
    from ali.ensemble import Ensemble
    from ali.log import Report
    from ali.session import Session

OWN = (
    "out",
    "effort",
    "seed",
    "runs",
    "labels",
    "dry_run",
    "recipe",
    "device",
    "threads",
    "precision",
    "graph",
    "save_every",
    "tensorboard",
)  # flags of every training command

EFFORT = "quick, normal or best: about 1/3, 1 and 3 of the time; sets length, width and batch where you do not. Default: normal."


def which(dataset: str | None) -> str:
    """What to say when no known data set is named."""
    names = [_shown(name) for name in recipes.DATASETS]
    if dataset is None:
        return f"train on what? Choose one of {', '.join(names)}; or give --resume RUN"
    close = difflib.get_close_matches(dataset, names, 1)
    return f"unknown data set {dataset!r}{f', did you mean {close[0]!r}?' if close else '.'} Choose one of {', '.join(names)}"


def add_commands(train: App, tokens: list[str]) -> None:
    """Give ``ali train`` a command for each data set, its flags those of the recipe and the face that the tokens ask for."""
    if tokens[1:] and not tokens[1].startswith("-") and tokens[1] not in map(_shown, recipes.DATASETS):
        raise AliError(which(tokens[1]))  # before its flags are read: they would be said to be unknown
    recipe, face = recipe_named(_value(tokens, "--recipe", "ali")), _value(tokens, "--face", "modern")
    for name in recipes.DATASETS:
        train.command(_command(name, recipe, "paper" if face == "paper" else "modern"), name=_shown(name))


def begin(
    name: str,
    path: str | None,
    opened: dict[str, Any],
    *,
    out: Path | None,
    dry_run: bool = False,
    save_every: float = 60.0,
    tensorboard: bool = False,
    runs: str | None = None,
    **options: Any,
) -> None:
    """Start a run, or several together, and play it to the end, or only measure what it would cost."""
    from ali.session import Session

    data = recipes.DATASETS[name].open(path, **opened)
    out = out or _free(Path("runs") / _shown(name))
    if runs is not None:
        return _begin_together(runs, name, data, out, dry_run, save_every, tensorboard, path=path, options=opened, **options)
    session = Session.start(name, data, out, path=path, options=opened, **options)
    for note in data.train.notes:
        print(note)
    if dry_run:
        rehearsal.show(session)
        others = [effort for effort in EFFORTS if effort != session.config["effort"]] if session.config["effort"] else []
        for effort in others:
            rehearsal.compare(effort, Session.start(name, data, out, path=path, options=opened, **options | {"effort": effort}))
        return
    print(f"{_shown(name)}: {len(data.train):,} rows to learn from, {len(data.test):,} held out; {session.steps:,} steps into {out}")
    _play(session, save_every, tensorboard)
    print(f"Done: {out}. Next: {', '.join(f'`ali {verb} {out}`' for verb in _verbs(session.run.game))}")


def _begin_together(
    runs: str, name: str, data: Data, out: Path, dry_run: bool, save_every: float, tensorboard: bool, *, seed: int = 0, **options: Any
) -> None:
    """Several runs in one process, each in a folder of its own."""
    from ali.ensemble import Ensemble, entries
    from ali.session import Stopped

    for flag, given in (("--dry-run", dry_run), ("--tensorboard", tensorboard)):
        if given:
            raise AliError(f"{flag} is of one run: leave out --runs, or {flag}")
    ensemble = Ensemble.start(name, data, out, entries(runs, seed), **options)
    for note in data.train.notes:
        print(note)
    n, steps = len(ensemble.sessions), ensemble.steps
    print(f"{_shown(name)}: {len(data.train):,} rows to learn from, {len(data.test):,} held out; {n} runs of {steps:,} steps into {out}")
    _play(ensemble, save_every, False)
    for words in ensemble.ended.values():
        print(words)
    if ensemble.ended:
        raise Stopped(f"{len(ensemble.ended)} of the {n} runs in {out} did not get to the end; the others are done")
    print(f"Done: {n} runs in {out}. Next: `ali evaluate {out}/0`")


def go_on(run: Path, data: str | None, device: str, save_every: float, tensorboard: bool, recipe: str | None) -> None:
    """Go on with a run that was stopped or killed."""
    from ali.model import open_data
    from ali.session import Session

    function = None if recipe is None else recipe_named(recipe)
    session = Session.resume(run, open_data(run, data), recipe=function, device=device)
    if session.step == session.steps:
        print(f"{run} is finished: all {session.steps:,} steps are done.")
        return
    print(f"Going on with {run} from step {session.step:,} of {session.steps:,}.")
    _play(session, save_every, tensorboard)
    print(f"Done: {run}.")


def make_room(out: Path, dataset: str) -> None:
    """Remove an earlier run of the same data set, so that it can be written again; anything else is left alone.

    Raises:
        AliError: the folder is no such run, or holds files that no run writes.
    """
    if not out.exists():
        return
    from ali import checkpoint

    ours = {"README.md", "config.json", "log.jsonl", "metrics.json", "model.safetensors", "preprocess.json", "report.html", "resume"}
    ours |= {"samples", "samples.gif", *(f"{name}.png" for name in ("curves", "interpolations", "latent", "reconstructions", "samples"))}
    known = (out / "config.json").exists() and {"ali", "recipe", "fingerprint"} <= checkpoint.read_json(out / "config.json").keys()
    if not known or checkpoint.read_json(out / "config.json").get("dataset") != dataset:
        raise AliError(f"{out}: exists and is no run on {dataset}; choose another --out")
    strange = sorted(path.name for path in out.iterdir() if path.name not in ours and not path.name.startswith("."))
    if strange:
        raise AliError(f"{out}: holds {strange[0]}, which no run wrote; move it away, or choose another --out")
    shutil.rmtree(out)


def _command(name: str, recipe: Callable[..., recipes.Run], face: str) -> Callable[..., None]:
    """A function whose signature is that of a data set and of a recipe together, with the defaults of a face."""
    from docstring_parser import parse

    entry = recipes.DATASETS[name]
    reader = entry.function()
    options = {key: p for key, p in inspect.signature(reader, eval_str=True).parameters.items() if key != "path"}
    arguments = inspect.signature(recipe, eval_str=True).parameters
    for key, parameter in list(arguments.items())[1:]:
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            if parameter.default is parameter.empty:
                raise AliError(f"recipe {recipe.__name__}: its argument {key!r} needs a default")
            if key in OWN or key in options:
                raise AliError(f"recipe {recipe.__name__}: every run has {key!r} already; call its argument something else")
    words = {
        p.arg_name: p.description or ""
        for f in (recipes.shared, recipes.ali, recipe, reader)
        for p in parse(inspect.getdoc(f) or "").params
    }

    def flag(name: str, kind: Any, default: Any, help: str, told: bool = True) -> inspect.Parameter:
        no = f"--no-{name.replace('_', '-')}" if default is True else ()  # what is on must have a way to be off
        shown = Parameter(help=help if told else f"{help} Default: as the rows and --effort want it.", show_default=told, negative=no)
        return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, shown])

    defaults = recipes.defaults(recipe, name, face)
    free = face == "modern" and isinstance(recipe, recipes.Recipe) and not length_said(recipe, name)
    follows = {*(("epochs", "batch_size", "width") if free else ())}
    if face == "modern" and entry.fine:
        follows |= {"latent", *entry.fine.get(recipe.__name__, ())}
    path = inspect.Parameter("path", inspect.Parameter.POSITIONAL_ONLY, annotation=Annotated[str, Parameter(help=entry.needs)])
    parameters = [
        *([path] if entry.needs else []),
        flag("out", Path | None, None, f"Run folder to write. Default: runs/{_shown(name)}, with a number if that is taken."),
        flag("effort", Effort | None, None, EFFORT),
        flag("seed", int, 0, "Seed of weights, noise and order of rows."),
        flag(
            "runs", str | None, None, "Train so many runs at once, seeds from --seed on; or FILE.json: a list of objects with seed, lr, ..."
        ),
        flag("labels", int | None, None, "Keep so many labels, equally many of each class, hide the others. Default: keep all."),
        flag("dry_run", bool, False, "Print networks, parameters, memory and time on this machine; train nothing."),
        flag("recipe", str, "ali", f"{', '.join(recipes.RECIPES)}, or your own: FILE.py:FUNCTION."),
        flag("device", str, "auto", "auto, cpu, cuda, ..."),
        flag("threads", int | None, None, "Threads of the CPU. Default: 1 for small fully connected games, else as many as are idle."),
        flag("precision", Precision, "float32", "float32, or bfloat16: faster on processors and GPUs that have it, and noisier."),
        flag("graph", bool, False, "Capture the step as a CUDA graph: faster for small networks on a GPU."),
        flag("save_every", float, 60.0, "Seconds between checkpoints."),
        flag("tensorboard", bool, False, "Write the losses for TensorBoard, too (needs the extra of that name)."),
        *(flag(key, p.annotation, p.default, words.get(key, "")) for key, p in options.items()),
        *(flag(key, arguments[key].annotation, value, words.get(key, ""), key not in follows) for key, value in defaults.items()),
    ]

    def command(path: str | None = None, /, **given: Any) -> None:
        # cyclopts hands over what was given; what was not stands in the signature, and the recipe's defaults in the session.
        flags = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in defaults} | given
        opened = {key: flags.pop(key) for key in options}
        begin(name, path, opened, **flags | {"recipe": recipe_named(flags["recipe"])})

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__doc__ = f"{entry.about[0].upper()}{entry.about[1:]}."
    return command


def _verbs(game: Any) -> list[str]:
    """What to try on a finished run: what its game can do."""
    from ali.games.game import Generates, Infers

    generates, infers = isinstance(game, Generates), isinstance(game, Infers)
    known = {"evaluate": generates or infers, "sample": generates, "encode": infers and not generates, "reconstruct": generates and infers}
    return [verb for verb, can in known.items() if can]


def _play(session: Session | Ensemble, save_every: float, tensorboard: bool) -> None:
    """Consume a session: a progress bar on a terminal, a line early and for each tenth elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from ali.health import in_short
    from ali.process import stoppable

    columns = (TextColumn("{task.percentage:>3.0f} %"), BarColumn(24), TimeElapsedColumn(), TextColumn("{task.description}"))
    terminal = Console().is_terminal
    with _tensorboard(session, tensorboard) as write, stoppable(session), Progress(*columns, disable=not terminal) as bar:
        task, printed = bar.add_task("starting", total=session.steps, completed=session.step), 10 * session.step // session.steps
        said, began = False, time.monotonic()
        for reports, report in enumerate(session.play(save_every)):
            write(report)
            losses = ", ".join(f"{player} {loss:.3f}" for player, loss in report.losses.items())
            words = f"{report.rate:,.0f} rows/s, {duration(report.seconds_left)} left; losses: {losses}"
            words += f"; {in_short(report.health)}" if report.health else ""
            bar.update(task, completed=report.step, description=words)
            for warning in report.warnings:
                bar.console.print(f"Warning: {warning}.", markup=False, highlight=False, soft_wrap=True)
            tenth = 10 * report.step // report.steps
            early = not said and reports and time.monotonic() - began > 2  # how long will it take? The first step does not tell
            if not terminal and (tenth > printed or early):
                printed, said = tenth, True
                print(f"{100 * report.step // report.steps if early else 10 * tenth:3d} %  {words}", flush=True)
    print(session.verdict())


@contextmanager
def _tensorboard(session: Any, wanted: bool) -> Iterator[Callable[[Report], None]]:
    """What writes a report for TensorBoard, too; nothing if that is not wanted."""
    if not wanted:
        yield lambda report: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise AliError("--tensorboard needs the extra of that name: pip install 'ali[tensorboard]'") from None
    writers: list[Any] = []  # opened at the first report, when the run folder is there

    def write(report: Report) -> None:
        if not writers:
            writers.append(SummaryWriter(str(session.folder / "tensorboard"), purge_step=report.step))
        for player, loss in report.losses.items():
            writers[0].add_scalar(f"loss/{player}", loss, report.step)
        writers[0].add_scalar("rows_per_second", report.rate, report.step)

    try:
        yield write
    finally:
        for writer in writers:
            writer.close()


def say_whose(flag: str) -> None:
    """Say which recipes have a flag that the one asked for does not."""
    argument = flag.removeprefix("--").replace("-", "_")
    having = [name for name, recipe in recipes.RECIPES.items() if argument in inspect.signature(recipe).parameters]
    if having:
        print(f"ali: {flag} is of other recipes: --recipe {' or '.join(having)}", file=sys.stderr)


def recipe_named(name: str) -> Callable[..., recipes.Run]:
    """A recipe of this package by name, or FILE.py:FUNCTION of somebody's own."""
    if name in recipes.RECIPES:
        return recipes.RECIPES[name]
    file, _, function = name.rpartition(":")
    if not file.endswith(".py"):
        raise AliError(f"unknown recipe {name!r}: choose one of {', '.join(recipes.RECIPES)}, or FILE.py:FUNCTION")
    if not Path(file).is_file():
        raise AliError(f"{file}: no such file")
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    if spec is None or spec.loader is None:
        raise AliError(f"{file}: not a Python file")
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
    candidate, number = folder, 1
    while candidate.exists():
        number += 1
        candidate = folder.with_name(f"{folder.name}-{number}")
    return candidate


def _shown(name: str) -> str:
    return name.replace("_", "-")
