"""The whole benchmark, in some ten minutes on one core of a CPU; --write puts it into benchmarks/README.md."""

from __future__ import annotations

import argparse
import datetime
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks import growth, speed, verbs
from benchmarks.cases import BATCH, NETWORKS, Case
from benchmarks.counting import BOUNDS, count
from benchmarks.limits import limits
from benchmarks.memory import in_child

PAGE = Path(__file__).parent / "README.md"
PARTS = ("training", "growth", "verbs")


def hardware(device: str) -> str:
    """The machine in words."""
    file = Path("/proc/cpuinfo")
    known = {line.split(":")[0].strip(): line.split(":")[1].strip() for line in file.read_text().splitlines() if line.count(":") == 1}
    wide = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in known.get("flags", "").split()]
    about = f"family {known.get('cpu family')} model {known.get('model')}, {', '.join(wide)}"
    words = f"{known.get('model name')} ({about}), {os.cpu_count()} cores, {torch.get_num_threads()} thread"
    return words if device == "cpu" else f"{words}, {torch.cuda.get_device_name()}"


def commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(PAGE.parent), *words], capture_output=True, text=True).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + " with changes" * bool(git("status", "--porcelain", "--", "../ali"))


def training(found: dict[str, float], given: argparse.Namespace) -> Iterator[str]:
    """The table, and which bounds are kept."""
    yield from speed.HEAD
    least: list[tuple[str, float, float]] = []  # in words, measured, bound
    most: list[tuple[str, float, float]] = []
    for network in given.networks:
        measured = speed.rows(network, found, given.device, given.batch, given.rounds)
        held: dict[Case, float] = {}
        for row in measured:
            if row.seconds and (row.case == Case(network, "alternating") or (row.case.loop == "ours" and row.case.face == "paper")):
                row.megabytes = held[row.case] = in_child("benchmarks.memory", *row.case, given.batch, given.device)
        yield from speed.lines(measured, found)
        least += speed.ratios(measured)
        usual = held.get(Case(network, "alternating"), 0.0)
        most += [(f"{network}: peak MB of {case.words}, alternating's", own, usual) for case, own in held.items() if case.loop == "ours"]
        if given.device != "cpu":
            own = [row for row in measured if row.case[:3] == ("svhn", "ours", "bfloat16")]
            least += [(f"svhn: images / s of {row.case.words}", row.batch / min(row.seconds), 80_000) for row in own if row.case.graph]
            pairs = [(row, other) for row in own for other in own if row.case.graph and other.case == row.case._replace(graph=False)]
            least += [
                (f"svhn: {row.case.words} over the same without", speed.over(row.seconds, other.seconds), 4.0) for row, other in pairs
            ]
    for (network, pairs), bound in BOUNDS.items():
        if network in given.networks:
            case = Case(network, pairs=pairs)
            most.append((f"{network}: MFLOP / image of {case.words}", count(case.step(4)).flops / 4e6, bound))
    yield from ("", "| bound | measured | | kept |", "| --- | ---: | --- | --- |")
    yield from (f"| {words} | {value:,.2f} | ≥ {bound:,} | {'yes' if value >= bound else 'no'} |" for words, value, bound in least)
    yield from (f"| {words} | {value:,.0f} | ≤ {bound:,.0f} | {'yes' if value <= bound else 'no'} |" for words, value, bound in most)


def everything(given: argparse.Namespace) -> Iterator[str]:
    """All that was asked for, line by line as it is measured."""
    found = limits(given.device)
    said = ", ".join(f"{name} {value / 1e9:,.0f} GFLOP/s" for name, value in found.items() if " " in name)
    yield from (f"The limits, measured in this run: {said}, copies {found['bytes'] / 1e9:,.0f} GB/s.", "")
    parts = {
        f"Training, batch {given.batch}": lambda: training(found, given),
        f"Growth, from {growth.BASE}": lambda: growth.lines(given.device),
        "Using a model": lambda: verbs.lines(found, given.device),
    }
    for name, (title, measure) in zip(PARTS, parts.items(), strict=True):
        if name in given.only:
            yield from (f"### {title}", "")
            yield from measure()
            yield ""


def write(section: str, text: list[str]) -> None:
    """Put a section into the page, in the place of the one of that name."""
    begin, end = f"<!-- begin {section} -->", f"<!-- end {section} -->"
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    PAGE.write_text("\n".join([before.rstrip() + "\n", begin, *text, end]) + (rest.partition(end)[2] or "\n"), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--rounds", type=int, help="of each network; by default 2 to 5")
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--only", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, choices=NETWORKS)
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        print("there is no GPU that PyTorch can use here: run `make bench-gpu` on a machine with one", file=sys.stderr)
        sys.exit(2)
    torch.set_num_threads(1)
    start, text = time.monotonic(), []
    for line in everything(given):
        print(line, flush=True)
        text.append(line)
    told = " ".join(["python -m benchmarks", *(word for word in sys.argv[1:] if word != "--write")])
    about = [f"`{told}`", str(datetime.date.today()), f"{(time.monotonic() - start) / 60:.0f} min", hardware(given.device)]
    head = " · ".join([*about, f"torch {torch.__version__}", f"commit {commit()}"])
    print(head)
    if given.write:
        write(given.device, [f"## {'On a CPU' if given.device == 'cpu' else 'On a GPU'}", "", head, "", *text])


if __name__ == "__main__":
    main()
