"""Where training stands, and the file that keeps it: ``log.jsonl``."""

from __future__ import annotations

__all__ = ["Log", "Pace", "Report"]

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

from ali import checkpoint


class Report(NamedTuple):
    """Where training stands.

    Arguments:
        step, steps: steps done, and in all.
        rows: training rows seen so far.
        rate: rows per second of late (:class:`Pace`).
        losses: what each player lost, averaged since the last report.
        health: numbers measured last (:class:`ali.health.Gauge`); empty before the first.
        warnings: what has gone wrong since the last report, and what was done about it, in words.
    """

    step: int
    steps: int
    rows: int
    rate: float
    losses: dict[str, float]
    health: dict[str, float]
    warnings: tuple[str, ...]

    @property
    def seconds_left(self) -> float:
        return (self.steps - self.step) * self.rows / self.step / self.rate


class Pace:
    """Steps per second of late: over the second half of the time since the first step was done, which takes longer than others.

    Arguments:
        step: steps done when the clock is started.
    """

    def __init__(self, step: int):
        # Not monotonic, whose ticks are longer than a small step on some systems: two marks would have one time.
        self.marks = [(time.perf_counter(), step)]

    def mark(self, done: int) -> None:
        """Keep in mind that so many steps are done now."""
        if done > self.marks[-1][1]:
            self.marks.append((time.perf_counter(), done))

    def rate(self) -> float:
        """Steps per second between the last mark and the latest one of the first half."""
        *before, (now, done) = self.marks
        half = (before[min(1, len(before) - 1)][0] + now) / 2
        then, step = [mark for mark in before if mark[0] <= half][-1]
        return (done - step) / (now - then)


class Log:
    """``log.jsonl``; on resuming, lines of steps that are about to be done again are dropped.

    Arguments:
        folder: of the run.
        step: steps done.
    """

    def __init__(self, folder: Path, step: int):
        self.file = folder / "log.jsonl"
        kept = [line for line in checkpoint.read_log(self.file) if line["step"] <= step]
        checkpoint.write_text(self.file, "".join(json.dumps(line) + "\n" for line in kept))
        self.before, self.began = (kept[-1]["seconds"] if kept else 0.0), time.monotonic()

    def write(self, report: Report, measured: bool = False, verdict: str | None = None) -> None:
        """Add a line.

        Arguments:
            measured: is the report's health new?
            verdict: the last word on the run, if it ends here.
        """
        seconds = self.before + time.monotonic() - self.began
        line: dict[str, Any] = {"step": report.step, "rows": report.rows, "seconds": round(seconds, 2)}
        line |= {"rows_per_second": round(report.rate, 1), **{f"loss_{player}": loss for player, loss in report.losses.items()}}
        line |= {f"health_{name}": value for name, value in report.health.items() if measured}
        line |= ({"warnings": report.warnings} if report.warnings else {}) | ({"verdict": verdict} if verdict else {})
        with open(self.file, "a") as log:
            log.write(json.dumps(line) + "\n")
