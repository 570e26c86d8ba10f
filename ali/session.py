"""A run folder being written: from a recipe and data to a trained game, stoppable at any moment.

A session consumes the loop (:func:`ali.train.play`): it logs, draws samples, checkpoints, and watches for losses that are no
longer numbers. It is itself a generator of :class:`Report`, so a progress bar is a line of whoever consumes *it*.
"""

from __future__ import annotations

__all__ = ["Session", "Stopped", "named"]

import copy
import json
import math
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ali import __version__, card, checkpoint, health, machine, pictures, preprocess, process, ready, recipes
from ali.data.source import Batch, Data, hide, known_counts, stream
from ali.errors import AliError
from ali.games.game import Conditions, Generates
from ali.log import Log, Pace, Report
from ali.process import device_named, few_threads, threads
from ali.recipes import parents
from ali.recipes.arguments import check_arguments
from ali.recipes.effort import arranged, chosen, length_said
from ali.recovery import Guard
from ali.train import play

FRAMES = 32  # pictures of samples while it learns
LINES = 400  # lines of the log


class Stopped(AliError):
    """Training ended early, on purpose or because a loss was no longer a number; says how to go on."""

    def __init__(self, words: str, status: int = 1):
        super().__init__(words)
        self.status = status


class Session:
    """A recipe applied to data, and the folder that the run is written to.

    Arguments:
        config: what ``config.json`` holds.
        data: rows to learn from and rows held out.
        recipe: the function that ``config["recipe"]`` names.
        device: "auto", or what torch calls it.
        folder: of the run; nothing is written before it is played.
        path: where the data was read from, for resuming.
        parent: folder of the run whose decoder this one begins with.
    """

    def __init__(
        self,
        config: dict[str, Any],
        data: Data,
        recipe: Callable[..., recipes.Run],
        device: str,
        folder: Path,
        path: str | None = None,
        parent: Path | None = None,
    ):
        if config.get("labels") is not None:
            data = data._replace(train=hide(data.train, config["labels"], config["seed"]))
        self.config, self.data, self.folder, self.path, self.device = config, data, folder, path, device_named(device)
        self.parent, known = parent, folder / "preprocess.json"
        if known.exists():
            self.preprocess = preprocess.from_json(checkpoint.read_json(known))
        else:
            fitted = preprocess.fit(data.train, config.get("face", "modern"))
            preprocess.refuse_dark(data.train, fitted)
            self.preprocess = parents.inherited(parent, fitted, np.array(data.train.x[:2000])) if parent else fitted
        spec = recipes.Spec(self.preprocess.network_shape, data.train.classes, self.preprocess.heads, data.train.attributes)
        config["spec"] = spec.to_json()
        torch.manual_seed(config["seed"])
        self.run = recipe(replace(spec, mean=self._mean(), y=data.train.y), **config["arguments"])
        if not isinstance(self.run, recipes.Run):
            raise AliError(f"recipe {config['recipe']}: must return an ali.recipes.Run, returned {type(self.run).__name__}")
        if self.run.optimizers.keys() != self.run.game.players.keys():
            raise AliError(
                f"recipe {config['recipe']}: its optimizers are for {sorted(self.run.optimizers)}, the game's players are "
                f"{sorted(self.run.game.players)}: each needs one"
            )
        if parent:
            parents.pour(parent, self.run.game)
        self.run.game.to(self.device)
        self.average = copy.deepcopy(self.run.game).eval() if self.run.decay else None
        self.guard = Guard(self.run.game, self.average, self.run.optimizers, config.get("face", "modern") == "modern")
        if len(data.train) < 2:
            raise AliError("training needs at least 2 rows to learn from")
        self.batch_size = min(self.run.batch_size, len(data.train))
        config.setdefault("precision", "float32")
        machine.check_precision(config["precision"], self.device)
        config.setdefault("threads", few_threads(self.run.game, self.batch_size))
        self.labelled = self._labelled()
        self.steps = self.run.epochs * (len(data.train) // (self.batch_size - self.labelled))
        self.step = 0
        self._stop, self._status = False, 0

    @classmethod
    def start(
        cls,
        dataset: str,
        data: Data,
        out: Path | str,
        *,
        recipe: str | Callable[..., recipes.Run] = "ali",
        face: str = "modern",
        seed: int = 0,
        labels: int | None = None,
        device: str = "auto",
        path: str | None = None,
        options: dict[str, Any] | None = None,
        threads: int | None = None,
        precision: machine.Precision = "float32",
        graph: bool = False,
        effort: str | None = None,
        **arguments: Any,
    ) -> Session:
        """Begin a run.

        Arguments:
            dataset: a name in ``recipes.DATASETS``, for its defaults.
            data: the rows.
            out: folder of the run; it must not exist yet.
            recipe: a name in ``recipes.RECIPES``, or a function.
            face: "modern" or "paper".
            seed: of the initial weights, the noise and the order of the rows, and of the labels that are kept.
            labels: keep so many labels of the training rows, equally many of each class, and hide the others; by default all.
            device: "auto", "cpu", "cuda", ...
            path: where the data was read from, for ``resume``; it stays in ``resume/``, which is nobody else's business.
            options: what the data was opened with.
            threads: of the CPU; by default 1 for small fully connected games, else as many as the machine has idle.
            precision: of products and convolutions: "float32", or "bfloat16", about 1.7 times as fast on processors that have it; what
                is learned is then noisier, and not measured for every game.
            graph: capture the step as a CUDA graph (:mod:`ali.graphs`): on GPUs, where small networks mostly wait for launches.
            effort: "quick", "normal" (the default) or "best": length, width and batch, where they are not said (:mod:`ali.recipes.effort`).
            arguments: of the recipe.

        Raises:
            AliError: an unknown name, an argument out of range, or a folder that exists.
        """
        function = recipe if callable(recipe) else named(recipe)
        name = next((name for name, known in recipes.RECIPES.items() if known is function), f"custom:{function.__name__}")
        if dataset not in recipes.DATASETS:
            raise AliError(f"unknown data set {dataset!r}: choose one of {', '.join(recipes.DATASETS)}")
        if face not in ("modern", "paper"):
            raise AliError(f"unknown face {face!r}: choose modern or paper")
        if isinstance(function, recipes.Recipe) and face != function.said.get("face", face):
            raise AliError(f"{name} has one face only: leave face out, got {face!r}")
        known = recipes.defaults(function, dataset, face, data.train.x.shape)
        if isinstance(given := arguments.get("parent") or None, str | os.PathLike):
            arguments["parent"] = os.fspath(ready.found(os.fspath(given)))
        for argument in arguments:
            if argument not in known:
                raise AliError(f"{name} has no argument {argument!r}; it has {', '.join(known)}")
        if not 0 <= seed < 2**63:
            raise AliError(f"seed must be at least 0 and below 2^63, got {seed}")
        check_arguments(name, function, arguments)
        effort = chosen(effort, function, face)
        parent = arguments.get("parent") or None
        if parent is not None:
            arguments |= parents.settled(parent, arguments)
        if effort is not None:
            sized, cuda = length_said(function, dataset), device_named(device).type == "cuda"
            known |= arranged(effort, known, arguments, rows=len(data.train), shape=data.train.x.shape[1:], sized=sized, cuda=cuda)
        config = {
            "ali": __version__,
            "torch": torch.__version__.split("+")[0],
            "commit": process.commit(),
            "recipe": name,
            "dataset": dataset,
            "face": face,
            "seed": seed,
            "effort": effort,
            "labels": labels,
            "precision": precision,
            "graph": graph,
            "rows": len(data.train),
            "fingerprint": data.train.fingerprint(),
            "data": (options or {}) | data.train.chosen,
            "arguments": known | arguments,
        }
        if threads is not None:
            if not 1 <= threads <= 1024:
                raise AliError(f"threads must be at least 1 and at most 1024, got {threads}")
            config["threads"] = threads
        if graph and device_named(device).type != "cuda":
            raise AliError(f"graph captures a step for a GPU with CUDA, and this device is {device_named(device)}: leave it out")
        folder = Path(out)
        if folder.exists():
            how = f"resume it with `ali train --resume {folder}`, " if (folder / "config.json").exists() else ""
            raise AliError(f"{folder}: exists already; {how}choose another --out, or remove it")
        session = cls(config, data, function, device, folder, path, None if parent is None else Path(parent))
        if parent and checkpoint.read_json(Path(parent) / "config.json").get("fingerprint") != config["fingerprint"]:
            warnings.warn(f"{parent} was trained on other rows: rows held out here may be among them", stacklevel=2)
        return session

    @classmethod
    def resume(cls, folder: Path | str, data: Data, *, recipe: Callable[..., recipes.Run] | None = None, device: str = "auto") -> Session:
        """Go on with a run that was stopped, killed, or never got to its first checkpoint.

        Arguments:
            folder: of the run.
            data: the same rows as before.
            recipe: the function, if it is none of this package's.

        Raises:
            AliError: not a run folder, a broken one, an edited config.json, or other data.
        """
        folder = ready.found(folder)
        if not folder.is_dir():
            raise AliError(f"{folder}: no such run folder")
        config = checkpoint.read_json(folder / "config.json")
        if ready.parts(config):
            raise AliError(f"{folder.name}: only its {' and '.join(ready.parts(config))} were kept, so it can not go on; train anew")
        if config.get("fingerprint") != data.train.fingerprint():
            raise AliError(
                f"{folder}: was trained on other rows ({config.get('rows')} of them; here are {len(data.train)}): give it the same data"
            )
        state, began = folder / "resume" / "state.safetensors", folder / "resume" / "data.json"
        for key, value in (checkpoint.read_json(began).get("game", {}) if began.exists() else {}).items():
            if config.get(key) != value:
                raise AliError(
                    f"{folder}: its config.json was edited since training began: {_changed(key, value, config.get(key))}. A run goes on as "
                    "it began: put it back, or train anew"
                )
        try:
            session = cls(config, data, recipe or named(config["recipe"]), device, folder)
        except (KeyError, TypeError) as error:
            raise AliError(f"{folder}: its config.json is not one that this version of ali can read ({error})") from None
        # A frozen decoder is nowhere but in the weights, so they are there from the start.
        if not state.exists() and ((folder / "model.safetensors").exists() or config["arguments"].get("parent")):
            raise AliError(f"{folder}: its {state.name} in resume/ is gone, so there is nothing to go on from; train anew")
        if state.exists():
            session.step, best, guarded = checkpoint.read_state(state, session.run.game, session.average, session.run.optimizers)
            if guarded:
                session.guard.restore(best, guarded)
        return session

    def verdict(self) -> str:
        """The last word on a run that was played, without labels."""
        return self.guard.verdict()

    def stop(self, status: int = 0) -> None:
        """Ask for a stop after the current step; safe to call from a signal handler.

        Arguments:
            status: exit status for the command line.
        """
        self._stop, self._status = True, status

    @property
    def graph(self) -> bool:
        """Is the step captured? A run that was begun on a GPU may be resumed elsewhere."""
        return self.config.get("graph", False) and self.device.type == "cuda"

    def play(self, save_every: float = 60.0) -> Iterator[Report]:
        """Train to the end, writing the folder.

        Arguments:
            save_every: seconds between checkpoints.

        Raises:
            Stopped: a stop was asked for (a checkpoint is written first), or a loss is no longer a number (the last
                checkpoint is left as it is).
        """
        run = self.run
        with threads(self.config["threads"]), self.opened(save_every):
            for done, losses in play(
                run.game, self.batches(), run.optimizers, steps=self.steps, seed=self.config["seed"], start=self.step,
                rate=run.rate, average=self.average, decay=run.decay, precision=self.config["precision"],
                graph=self.graph,
            ):  # fmt: skip
                yield from self.follow(done, losses)
            self.save()

    @contextmanager
    def opened(self, save_every: float = 60.0) -> Iterator[None]:
        """Hold the folder, made if there is none, while the game is played; :meth:`follow` is for the steps."""
        if save_every < 0:
            raise AliError(f"save_every counts seconds: at least 0, got {save_every}")
        if not (self.folder / "config.json").exists():
            self._create()
        machine.keep_memory()
        with self._alone():
            self._log, self._frames, self._looks = Log(self.folder, self.step), health.evenly(self.steps, FRAMES), self._gauge()
            self._lines = {*health.evenly(self.steps, LINES), *self._looks}
            self._pace, self._saved, self._save_every = Pace(self.step), time.monotonic(), save_every
            self._sums, self._count, self._lost = {}, 0, {}
            if self.step == 0:
                self._draw()
            self.run.game.train()
            yield

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two processes that trained one run would write over each other's checkpoints. A killed one leaves no lock behind."""
        from filelock import FileLock, Timeout

        try:
            with FileLock(self.folder / "resume" / ".lock", timeout=0):
                yield
        except Timeout:
            raise AliError(f"{self.folder}: another process is training this run; wait until it is done, or stop it") from None

    def _mean(self) -> torch.Tensor | None:
        """The mean training image, over at most 20,000 of them: what the paper's decoders begin with."""
        if self.config.get("face") != "paper" or self.preprocess.pixels is None:
            return None
        x, places = self.data.train.x, np.arange(0, len(self.data.train), max(1, len(self.data.train) // 20_000))
        chunks = (self.preprocess.forward(torch.from_numpy(x[places[k : k + 1000]])) for k in range(0, len(places), 1000))
        return torch.stack([chunk.sum(0) for chunk in chunks]).sum(0) / len(places)

    def _labelled(self) -> int:
        """Rows of each batch that are drawn from those with a known class: at most half, if there are fewer rows than a batch has."""
        if not self.run.labelled:
            return 0
        known_counts(self.data.train.y, self.data.train.classes)  # says what is wrong with them
        return min(self.run.labelled, self.batch_size // 2)

    def batches(self) -> Iterator[Batch]:
        """The batches from the current step on, as the networks see them."""
        prepared = replace(self.data.train, x=self.preprocess.prepare(self.data.train.x))
        return stream(prepared, self.batch_size, self.config["seed"], self.step, self.preprocess.dither, self.device, self.labelled)

    def follow(self, done: int, losses: Mapping[str, torch.Tensor]) -> Iterator[Report]:
        """What a step that was played leads to: a line of the log, a look at the networks, a picture, a checkpoint, a step back.

        Arguments:
            done: steps that are done.
            losses: what each player lost in this one.

        Raises:
            Stopped: as for :meth:`play`.
        """
        self.step, guard = done, self.guard
        if done in self._lines or len(self._pace.marks) == 1:
            self._pace.mark(done)
        # On the CPU each loss is looked at; on a GPU that would wait for the device, so every report.
        bad = self._bad(losses) if self.device.type == "cpu" or done in self._lines else None
        if done == self.steps:
            bad = bad or self._broken()
        if bad is None:
            self._sums = {player: self._sums.get(player, 0.0) + loss for player, loss in losses.items()}
            self._count += 1
        else:
            self._sums, self._count = {}, 0
            if not guard.go_back(done, bad):
                raise Stopped(self._words(bad))
        if done in self._lines:
            yield self._report(done)
        if done in self._frames:
            self._draw()
        # Weights that are no numbers are not saved; a run that can go back does so as soon as a loss shows them.
        due = time.monotonic() - self._saved >= self._save_every and not (guard.can_go_back and self._broken())
        if self._stop or due:
            self.save()
            self._saved = time.monotonic()
            if self._stop and done < self.steps:
                words = f"stopped after step {done:,} of {self.steps:,}, saved; go on with `ali train --resume {self.folder}{self._own()}`"
                raise Stopped(words, self._status)

    def _report(self, done: int) -> Report:
        guard, looked = self.guard, done in self._looks
        self._lost = {player: float(total) / self._count for player, total in self._sums.items()} or self._lost
        guard.watch.hear(self._lost)
        if looked:
            guard.look(done, self.steps)
        if done == self.steps:
            guard.finish(done)
        rate = self._pace.rate() * self.batch_size
        report = Report(done, self.steps, done * self.batch_size, rate, self._lost, dict(guard.values), tuple(guard.words))
        self._sums, self._count, guard.words = {}, 0, []
        self._log.write(report, looked, guard.verdict() if done == self.steps else None)
        return report

    def _gauge(self) -> list[int]:
        """Make ready to measure the networks; returns after which steps."""
        told = isinstance(self.run.game, Conditions)  # pyrefly: ignore
        looks, n = health.moments(self.steps, self.batch_size, health.most(self.data, self.preprocess.network_shape))
        x, y, learned = health.rows(self.data, self.preprocess, n, told)
        if len(x) > 1:
            self.guard.gauge = health.Gauge(x.to(self.device), None if y is None else y.to(self.device), self.batch_size, learned)
        if not self.guard.best:
            self.guard.begin(self.step)
        return looks

    def save(self, folder: Path | None = None) -> None:
        """Write a checkpoint: first what going on needs, then what using the model needs.

        Arguments:
            folder: where to; by default the run folder.

        Raises:
            Stopped: a weight is no longer a number; nothing is written.
        """
        if broken := self._broken():
            raise Stopped(self._words(broken))
        folder = folder or self.folder
        state, guard = folder / "resume" / "state.safetensors", self.guard
        checkpoint.write_state(state, self.run.game, self.average, self.run.optimizers, self.step, guard.best, guard.to_json())
        checkpoint.write_weights(folder / "model.safetensors", guard.best if guard.ends_with_best else guard.networks.state_dict())

    def _create(self) -> None:
        """Fill a folder under a temporary name, then give it its own: it appears whole or not at all."""
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=f".{self.folder.name}.", dir=self.folder.parent))
        except OSError as error:
            raise AliError(f"{self.folder}: can not be written ({error.strerror}); choose another --out") from None
        try:
            checkpoint.write_json(temporary / "config.json", self.config)
            checkpoint.write_json(temporary / "preprocess.json", self.preprocess.to_json())
            checkpoint.write_text(temporary / "README.md", card.card(self.config, self.run.game))
            # A name on a hub is no place on this machine, and stays as it is.
            place = os.path.abspath(self.path) if self.path and os.path.exists(self.path) else self.path
            game = json.loads(json.dumps({key: self.config[key] for key in ("recipe", "face", "seed", "arguments")}))
            checkpoint.write_json(temporary / "resume" / "data.json", {"path": place, "game": game})
            if self.parent:
                self.save(temporary)
            temporary.chmod(0o755)
            os.rename(temporary, self.folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _broken(self) -> str | None:
        """What to say of a weight that is no longer a number."""
        weights = self.run.game.state_dict().items()
        bad = (name for name, weight in weights if weight.is_floating_point() and not torch.isfinite(weight).all())
        return next((f"the weight {name} is no longer a finite number" for name in bad), None)

    def _bad(self, losses: Mapping[str, torch.Tensor]) -> str | None:
        """What to say of a loss that is no longer a number."""
        return next((f"the loss of the {player} became {float(loss)}" for player, loss in losses.items() if not math.isfinite(loss)), None)

    def _words(self, what: str) -> str:
        state = self.folder / "resume" / "state.safetensors"
        kept = "the last good checkpoint is intact" if state.exists() else "no checkpoint had been written yet"
        return f"{what} at step {self.step:,} of {self.steps:,}; {kept}. Train again with a lower --lr, or another --seed"

    def _own(self) -> str:
        """What a command must say of a recipe that is none of this package's."""
        name = self.config["recipe"]
        return f" --recipe FILE.py:{name.removeprefix('custom:')}" if name.startswith("custom:") else ""

    def _draw(self) -> None:
        """A picture of samples from the same codes and labels each time; its noise is its own, training's is not touched."""
        networks = self.average or self.run.game
        if not isinstance(networks, Generates):  # pyrefly: ignore
            return
        game: Any = networks
        training = networks.training
        networks.eval()
        n = 4000 if self.preprocess.pixels is None else 64
        with torch.no_grad(), torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(0)
            z = game.prior.sample(n)
            y = (game.labels(n),) if isinstance(game, Conditions) else ()
            x = self.preprocess.inverse(game.decode(z, *y).mean).cpu().numpy()
        networks.train(training)
        drawn = pictures.picture(x, self.preprocess.pixels, self.data.train.x)
        if drawn is not None:
            checkpoint.write_file(self.folder / "samples" / f"step-{self.step:08d}.png", lambda file: drawn.save(file, "PNG"))


def _changed(key: str, before: Any, now: Any) -> str:
    """What of a config is no longer what it was."""
    if isinstance(before, dict) and isinstance(now, dict):
        return ", ".join(_changed(name, before.get(name), now.get(name)) for name in before | now if before.get(name) != now.get(name))
    return f"{key} was {before}, now {now}"


def named(recipe: str) -> Callable[..., recipes.Run]:
    if recipe.startswith("custom:"):
        own = recipe.removeprefix("custom:")
        raise AliError(f"this run was made by a recipe of somebody's own, {own!r}: hand it over, recipe={own} or --recipe FILE.py:{own}")
    if recipe not in recipes.RECIPES:
        raise AliError(f"unknown recipe {recipe!r}: choose one of {', '.join(recipes.RECIPES)}")
    return recipes.RECIPES[recipe]
