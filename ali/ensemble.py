"""Several runs that are trained together: one process, one stacked game, a folder for each.

What a run is, and what its folder holds, is the business of its :class:`ali.session.Session`; here the steps of all of them are
played as one (:mod:`ali.stacked`), and each session follows its own. Every run ends as it would alone, to rounding.
"""

from __future__ import annotations

__all__ = ["VARYING", "Ensemble", "entries"]

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ali.data.source import Data, stream
from ali.errors import AliError
from ali.log import Report
from ali.process import threads
from ali.session import Session, Stopped
from ali.stacked import STACKING, Stacked

VARYING = ("seed", "lr", "beta1", "beta2", "scale")  # in what runs that are trained together may differ


def entries(runs: Any, seed: int = 0) -> list[dict[str, Any]]:
    """What each of several runs has of its own.

    Arguments:
        runs: how many, with seeds from ``seed`` on; or a list of objects with some of seed, lr, beta1, beta2 and scale, or a JSON
            file that holds one.
        seed: of runs that name none.

    Raises:
        AliError: says which entry is wrong, and why.
    """
    where, example = "runs", '[{"seed": 1}, {"seed": 2, "lr": 0.001}]'
    given: Any = int(runs) if isinstance(runs, str) and runs.isdecimal() else runs
    if isinstance(given, str | Path):
        where = str(runs)
        try:
            given = json.loads(Path(given).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise AliError(f"{where}: can not be read ({why}); give a number of runs, or a JSON file like {example}") from None
    if isinstance(given, int) and not isinstance(given, bool) and given > 0:
        given = [{"seed": seed + k} for k in range(given)]
    if not isinstance(given, list | tuple) or not given:
        raise AliError(f"{where}: must be a number of runs, at least 1, or a list like {example}, got {given!r}")
    for k, entry in enumerate(given):
        if not isinstance(entry, dict):
            raise AliError(f"{where}, entry {k}: must be an object like {{'seed': 1}}, got {entry!r}")
        for name in entry:
            if name not in VARYING:
                raise AliError(f"{where}, entry {k}: runs that are trained together differ in {', '.join(VARYING)}, not in {name!r}")
        own = entry.get("seed", seed)
        if not isinstance(own, int) or isinstance(own, bool):
            raise AliError(f"{where}, entry {k}: seed must be a whole number, got {own!r}")
    return [{"seed": seed} | entry for entry in given]


class Ensemble:
    """Runs of one recipe on one data set that are trained together, each written to a folder of its own.

    Arguments:
        sessions: of the runs, all at the same step.

    Raises:
        AliError: a recipe or networks that can not be stacked, or runs that differ in more than :data:`VARYING`.
    """

    def __init__(self, sessions: Sequence[Session]):
        self.sessions, first = list(sessions), sessions[0]
        self.ended: dict[int, str] = {}  # why a run did not get to the end
        self._status: int | None = None
        recipe = first.config["recipe"]
        if recipe not in STACKING or first.parent:
            what = f"recipe {recipe}{' with a parent' if first.parent else ''}"
            raise AliError(f"{what}: its runs can not be trained together, but one after the other. Those of {', '.join(STACKING)} can")
        if first.config.get("graph"):
            raise AliError("the step of runs that are trained together is not captured: leave graph out")
        if first.config["arguments"].get("contrast"):
            raise AliError(
                "contrast compares a batch's rows with one another, which runs that are trained together can not: say contrast 0"
            )
        if first.batch_size % (thin := first.config["arguments"].get("thin", 1)):
            raise AliError(
                f"runs that are trained together share their rows, so that thin must divide the batch size: {first.batch_size} rows, "
                f"thin {thin}; say thin 1, or another batch size"
            )
        for session in self.sessions:
            for name in ("steps", "step", "batch_size"):
                if (one := getattr(first, name)) != (other := getattr(session, name)):
                    raise AliError(
                        f"{session.folder}: runs that are trained together have one {name}: here {other}, in {first.folder} {one}"
                    )
            session.guard.tied = True  # a run that goes astray ends, alone
        averages = [session.average for session in self.sessions if session.average is not None]
        self.stacked = Stacked([session.run for session in self.sessions], [session.config["seed"] for session in self.sessions], averages)

    @classmethod
    def start(cls, dataset: str, data: Data, out: Path | str, runs: Sequence[dict[str, Any]], **options: Any) -> Ensemble:
        """Begin runs in the folders ``out/0``, ``out/1``, ...

        Arguments:
            dataset, data, out, options: as for :meth:`ali.session.Session.start`.
            runs: what each has of its own (:func:`entries`).

        Raises:
            AliError: as for a session; says of which run.
        """
        if Path(out).exists():
            raise AliError(f"{out}: exists already; choose another --out, or remove it")
        sessions = []
        for k, own in enumerate(runs):
            try:
                sessions.append(Session.start(dataset, data, Path(out) / str(k), **options | own))
                options["threads"] = sessions[0].config["threads"]  # they are played on the same
            except AliError as error:
                raise AliError(f"run {k}: {error}") from None
        return cls(sessions)

    @property
    def step(self) -> int:
        """Steps that are done."""
        return max(session.step for session in self.sessions)

    @property
    def steps(self) -> int:
        """Steps of each run."""
        return self.sessions[0].steps

    def verdict(self) -> str:
        """The last words on the runs that got to the end, a line each."""
        return "\n".join(f"{session.folder}: {session.verdict()}" for _, session in self._going())

    def stop(self, status: int = 0) -> None:
        """Ask for a stop after the current step, as for a session."""
        self._status = status
        for session in self.sessions:
            session.stop(status)

    def play(self, save_every: float = 60.0) -> Iterator[Report]:
        """Train to the end, writing the folders. A run whose numbers are no longer finite ends alone, and ``ended`` says how.

        Arguments:
            save_every: seconds between checkpoints.

        Returns:
            Some 400 reports on the runs that go on: their rows and rates together, the means of their losses.

        Raises:
            Stopped: a stop was asked for (each run is saved first).
        """
        first = self.sessions[0]
        with ExitStack() as held:
            held.enter_context(threads(first.config["threads"]))
            for session in self.sessions:
                held.enter_context(session.opened(save_every))
            rows = replace(first.data.train, x=first.preprocess.prepare(first.data.train.x))
            streams = [
                stream(rows, session.batch_size, session.config["seed"], session.step, first.preprocess.dither, session.device)
                for session in self.sessions
            ]
            for done, losses in self.stacked.play(streams, steps=self.steps, start=first.step, precision=first.config["precision"]):
                own = {player: loss.unbind() for player, loss in losses.items()}
                reports: list[Report] = []
                for k, session in self._going():
                    with self._ending(k):
                        reports += session.follow(done, {player: each[k] for player, each in own.items()})
                if not self._going():
                    break
                if reports:
                    yield _together(reports)
            for k, session in self._going():
                with self._ending(k):
                    session.save()
        if self._status is not None and self.step < self.steps:
            words = ", ".join(f"`ali train --resume {session.folder}`" for session in self.sessions if session.step == self.step)
            raise Stopped(f"stopped after step {self.step:,} of {self.steps:,}; each run goes on alone: {words}", self._status)

    def _going(self) -> list[tuple[int, Session]]:
        return [(k, session) for k, session in enumerate(self.sessions) if k not in self.ended]

    @contextmanager
    def _ending(self, k: int) -> Iterator[None]:
        """What ends a run ends no other."""
        try:
            yield
        except Stopped as why:
            self.ended[k] = f"run {k} of {self.sessions[k].folder.parent}: {why}"


def _together(reports: list[Report]) -> Report:
    first, n = reports[0], len(reports)
    losses = {player: sum(report.losses[player] for report in reports) / n for player in first.losses}
    warnings = tuple(words for report in reports for words in report.warnings)
    return Report(first.step, first.steps, n * first.rows, sum(report.rate for report in reports), losses, {}, warnings)
