"""The table: every case of a network in one process, round after round (A B C A B C ...).

Two steps warm up; a ratio is the median of the rounds' own ratios, so that what disturbs a round disturbs both its sides.
"""

from __future__ import annotations

__all__ = ["HEAD", "RATIOS", "Row", "cases", "interleaved", "lines", "over", "ratios", "rows"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeVar

from benchmarks.cases import BATCH, Case
from benchmarks.counting import Counter, count
from benchmarks.limits import clock

Key = TypeVar("Key")
ROUNDS = {"svhn": 4, "cifar10": 4, "tiny_imagenet": 2}  # else 5: an alternating step of the last takes a quarter of a minute
STEPS = {"digits": 5, "mixture": 10}  # of small networks, so that a time is long enough to be measured; else 1

# How many times faster ours must be: network, precision, than which stand-in, in which precision, times.
RATIOS = (
    ("svhn", "float32", "fastest", "float32", 1.75),
    ("svhn", "bfloat16", "fastest", "float32", 3.0),
    ("svhn", "bfloat16", "fastest", "bfloat16", 1.8),
    ("cifar10", "float32", "alternating", "float32", 2.2),
    ("cifar10", "bfloat16", "alternating", "float32", 3.6),
    ("tiny_imagenet", "float32", "alternating", "float32", 2.6),
    ("tiny_imagenet", "bfloat16", "alternating", "float32", 4.5),
)
COLUMNS = "MFLOP / image|kernels / step|ms / step|images / s|GFLOP / s|share of limit|over alternating|over fastest|peak MB".split("|")
HEAD = [f"| network | loop | {' | '.join(COLUMNS)} |", f"| --- | --- |{' ---: |' * len(COLUMNS)}"]


@dataclass
class Row:
    """A case, what a step of it takes, and its seconds in each round; none if it was only counted."""

    case: Case
    counted: Counter
    batch: int
    seconds: list[float]
    megabytes: float | None = None


def cases(network: str, graphs: bool = False) -> list[Case]:
    """The rows of a network, ours first; stand-ins judge pairs apart. With captured steps of ours, if asked for."""
    own = [Case(network), Case(network, pairs="apart"), Case(network, precision="bfloat16", pairs="apart")]
    own += [case._replace(graph=True) for case in own[1:] if graphs]
    own += [Case(network, face="modern")] if network not in ("cifar10", "tiny_imagenet") else []  # as SVHN's, as CelebA's
    precisions = ("float32", "bfloat16") if network == "svhn" else ("float32",)
    loops = ("alternating", "one_forward") if network != "tiny_imagenet" else ("alternating",)  # a minute more, and no gate asks
    return own + [Case(network, loop, precision) for precision in precisions for loop in loops]


def interleaved(steps: Mapping[Key, Callable[[], Any]], rounds: int, each: int, now: Callable[[], float]) -> dict[Key, list[float]]:
    """Seconds per step of each function in each round, of which it does ``each``; ``now`` is the clock."""
    times: dict[Key, list[float]] = {key: [] for key in steps}
    for _ in range(rounds):
        for key, step in steps.items():
            start = now()
            for _ in range(each):
                step()
            times[key].append((now() - start) / each)
    return times


def over(fast: list[float], slow: list[float]) -> float:
    """How many times faster the one is than the other: the median over the rounds."""
    return median(b / a for a, b in zip(fast, slow, strict=True))


def rows(network: str, limits: dict[str, float], device: str = "cpu", batch: int = BATCH, rounds: int | None = None) -> list[Row]:
    """Measure a network; CelebA, of which a step takes half a minute on a CPU, is only counted there, on few images."""
    cpu = device == "cpu"
    few = 4 if network == "celeba" and cpu else batch
    steps = {case: case.step(few, device) for case in cases(network, graphs=not cpu)}
    counted = {case: count(step, limits) if cpu else count(case._replace(graph=False).step(4)) for case, step in steps.items()}
    if not cpu:  # a captured graph hides what it does from the counter: few images were counted on the CPU
        for counter in counted.values():
            counter.flops = counter.flops * batch // 4
    times: dict[Case, list[float]] = {case: [] for case in steps}
    if few == batch:
        interleaved(steps, 1, 1 if cpu else 5, clock(device))  # the second warm-up: counting was the first
        times = interleaved(steps, rounds or ROUNDS.get(network, 5), STEPS.get(network, 1) if cpu else 20, clock(device))
    return [Row(case, counted[case], few, times[case]) for case in steps]


def standin(measured: list[Row], which: str, precision: str) -> Row | None:
    """The timed row of a stand-in: "alternating", or the fastest."""
    known = [row for row in measured if row.case.loop != "ours" and row.case.precision == precision and row.seconds]
    return min((row for row in known if which in ("fastest", row.case.loop)), key=lambda row: median(row.seconds), default=None)


def ratios(measured: list[Row]) -> list[tuple[str, float, float]]:
    """The bounds on the rows of a network: in words, what was measured, the bound. Ours judges pairs apart."""
    found = []
    for network, precision, which, other, bound in RATIOS:
        slow = standin(measured, which, other)
        own = [row for row in measured if row.case[:3] == (network, "ours", precision) and row.case.face == "paper" and not row.case.graph]
        if slow and own:
            words = f"{network}: {own[-1].case.words} over {which} stand-in{' in bfloat16' * (other == 'bfloat16')}"
            found.append((words, over(own[-1].seconds, slow.seconds), bound))
    return found


def lines(measured: list[Row], limits: dict[str, float]) -> list[str]:
    """The rows in Markdown. The share of the limit is that of the least time; on a GPU, of the FLOP/s."""
    out, others = [], [standin(measured, which, "float32") for which in ("alternating", "fastest")]
    for row in measured:
        flops, cells = row.counted.flops, [""] * 6
        if row.seconds:
            seconds = median(row.seconds)
            least = row.counted.seconds or flops / limits[row.case.precision]
            cells = [f"{1e3 * seconds:,.1f}", f"{row.batch / seconds:,.1f}", f"{flops / seconds / 1e9:,.0f}", f"{least / seconds:.0%}"]
            cells += [f"{over(row.seconds, other.seconds):.2f}" for other in others if other]
        held = "" if row.megabytes is None else f"{row.megabytes:,.0f}"
        said = [row.case.network, row.case.words, f"{flops / row.batch / 1e6:,.1f}", str(row.counted.kernels), *cells, held]
        out.append(f"| {' | '.join(said)} |")
    return out
