"""A trained game with verbs, and how to come by one: train it, resume its training, load it, take one level of it.

What can be asked of it stands in :mod:`ali.verbs`.
"""

from __future__ import annotations

__all__ = ["Model", "load", "open_data"]

import warnings
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any, overload

from ali import checkpoint, preprocess, ready, recipes
from ali.data.source import Data, split
from ali.ensemble import Ensemble, entries
from ali.errors import AliError
from ali.log import Report
from ali.opening import in_memory, no_folder, open_data
from ali.process import device_named, stoppable
from ali.recipes.arguments import check_arguments
from ali.session import Session, named
from ali.verbs import Verbs


class Model(Verbs):
    """Encoder and decoder of a finished run, and what they can do.

    Arguments:
        game: the trained networks.
        preprocess: between the data's units and the network's.
        config: what ``config.json`` holds.
    """

    @overload
    @staticmethod
    def train(dataset: str, data: Any = None, *, out: str | Path, runs: None = None, **options: Any) -> Model: ...

    @overload
    @staticmethod
    def train(dataset: str, data: Any = None, *, out: str | Path, runs: Any, **options: Any) -> list[Model | None]: ...

    @staticmethod
    def train(
        dataset: str,
        data: Any = None,
        *,
        out: str | Path,
        report: Callable[[Report], None] = lambda report: None,
        hold_out: float | None = None,
        runs: Any = None,
        **options: Any,
    ) -> Model | list[Model | None]:
        """Train, write the run folder, and load it; or several runs together, in ``out/0``, ``out/1``, ...

        Arguments:
            dataset: a name in ``ali.recipes.DATASETS``: "digits", "mixture", "mnist", "images", "table", ...
            data: a path, an array x, a pair (x, y), a data frame (for "table"), or ``Data``; nothing for data that is generated or
                installed.
            out: folder of the run; it must not exist yet.
            report: called some 400 times with a :class:`ali.log.Report`. What goes wrong while training is a Python warning, too.
            hold_out: share of the rows that training never sees, where the data names no test part; default 0.1.
            runs: how many, with seeds from ``seed`` on; or what each has of its own, as a list of dictionaries with some of seed, lr,
                beta1, beta2 and scale, or a JSON file of it (:mod:`ali.ensemble`).
            options: effort ("quick", "normal", "best"), seed, face, recipe, device, labels (how many to keep, the others are hidden), the
                recipe's own arguments, and with a path how to read it (size, crop, ...).

        Returns:
            A :class:`Model`; with ``runs`` a list of them, with None for a run that diverged (a warning says so).

        Raises:
            AliError: bad data, an unknown argument, or a folder that exists; says which and what to do.
        """
        if dataset not in recipes.DATASETS:
            raise AliError(f"unknown data set {dataset!r}: choose one of {', '.join(recipes.DATASETS)}")
        path = str(data) if isinstance(data, str | Path) else None
        entry, opened = recipes.DATASETS[dataset], {}
        if isinstance(data, Data):
            rows = data
        elif data is None or isinstance(data, str | Path):
            known = signature(entry.function()).parameters
            opened = {key: options.pop(key) for key in known if key in options}
            if "hold_out" in known and hold_out is not None:
                opened["hold_out"] = hold_out
            opened = {key: p.default for key, p in known.items() if p.default is not p.empty} | opened
            rows = entry.open(path, **opened)
        else:
            rows = split(in_memory(data, dataset == "table"), 0.1 if hold_out is None else hold_out)
        if runs is not None:
            together = entries(runs, options.pop("seed", 0))
            return Model._play_together(Ensemble.start(dataset, rows, out, together, path=path, options=opened, **options), report)
        session = Session.start(dataset, rows, out, path=path, options=opened, **options)
        return Model._play(session, report, options["recipe"] if callable(options.get("recipe")) else None)

    @staticmethod
    def resume(
        run: str | Path,
        data: Data | str | Path | None = None,
        *,
        recipe: Callable[..., recipes.Run] | None = None,
        device: str = "auto",
        report: Callable[[Report], None] = lambda report: None,
    ) -> Model:
        """Go on with a run that was stopped or killed, to the same weights as if it had not been, and load it.

        Arguments:
            run: the run folder.
            data: where its data is now, if it has moved; ``Data`` if it came from memory.
            recipe: the function that made it, if it is none of this package's.
            device, report: as for :meth:`train`.

        Raises:
            AliError: not a run folder, a broken one, or other data.
        """
        rows = data if isinstance(data, Data) else open_data(run, None if data is None else str(data))
        return Model._play(Session.resume(run, rows, recipe=recipe, device=device), report, recipe)

    @staticmethod
    def _play(session: Session, report: Callable[[Report], None], recipe: Callable[..., recipes.Run] | None) -> Model:
        with stoppable(session):  # Ctrl-C saves, and says how to go on
            for state in session.play():
                report(state)
                for words in state.warnings:
                    warnings.warn(f"step {state.step:,}: {words}", stacklevel=3)
        return load(session.folder, recipe=recipe, device=str(session.device))

    @staticmethod
    def _play_together(ensemble: Ensemble, report: Callable[[Report], None]) -> list[Model | None]:
        with stoppable(ensemble):
            for state in ensemble.play():
                report(state)
        for words in ensemble.ended.values():
            warnings.warn(words, stacklevel=3)
        device = str(ensemble.sessions[0].device)
        return [None if k in ensemble.ended else load(session.folder, device=device) for k, session in enumerate(ensemble.sessions)]

    def at(self, level: int) -> Model:
        """The verbs at one level of a hierarchical run: codes of that level, reconstructions and walks from it.

        Arguments:
            level: 1 (nearest to the data) to the number of levels; the run's own verbs are those of the top one.

        Raises:
            AliError: a run without levels, or a level that it does not have.
        """
        return Model(self._passes.level(level), self.preprocess, self.config)


def load(run: str | Path, *, recipe: Callable[..., recipes.Run] | None = None, device: str = "cpu") -> Model:
    """Load a finished, or half finished, run. Never opens its data, never imports what the folder names.

    Arguments:
        run: the run folder; or a ready model that comes with the package, "digits" or "mnist", where no folder has that name.
        recipe: the function that made it, if it is none of this package's.
        device: to put the networks on: "auto", "cpu", "cuda", ...

    Raises:
        AliError: not a run folder, a broken one, or one that has no weights yet.
    """
    folder = ready.found(run)
    if not folder.is_dir():
        raise no_folder(folder)
    config = checkpoint.read_json(folder / "config.json")
    try:
        function = recipe or named(config["recipe"])
        try:
            check_arguments(config["recipe"], function, config["arguments"])
        except AliError as error:
            raise AliError(f"{folder / 'config.json'}: {error}") from None
        built = function(recipes.Spec.from_json(config["spec"]), **config["arguments"])
        prepared = preprocess.from_json(checkpoint.read_json(folder / "preprocess.json"))
    except (KeyError, TypeError) as error:
        raise AliError(f"{folder}: its config.json or preprocess.json is not one that this version of ali can read ({error})") from None
    weights = folder / "model.safetensors"
    if not weights.exists():
        raise AliError(f"{folder}: has no weights yet; go on with `ali train --resume {folder}`")
    checkpoint.read_weights(weights, built.game, ready.parts(config))
    return Model(built.game.to(device_named(device)), prepared, config)
