"""Using a model: rows per second of encode, decode and score, the first two also of the exported files in ONNX Runtime, memory against
the number of rows, and how long the command starts.

python -m benchmarks.verbs RUN 2000 cpu    (peak memory of encoding so many rows of noise)
"""

from __future__ import annotations

__all__ = ["lines"]

import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

import ali
from ali.passes import at_once
from ali.pieces import cut
from benchmarks.cases import noise
from benchmarks.counting import count
from benchmarks.limits import clock
from benchmarks.memory import in_child, peak
from benchmarks.speed import interleaved, over

ROWS, SHAPE = 1000, (3, 32, 32)
RUNTIME = all(find_spec(package) for package in ("onnx", "onnxscript", "onnxruntime"))


def untrained(dataset: str, shape: tuple[int, ...], folder: Path) -> Path:
    """A run of one step, in the paper's face."""
    rows = noise(shape, 2)
    ali.Model.train(dataset, ali.Data(rows, rows), out=folder, face="paper", batch_size=2, epochs=1, device="cpu")
    return folder


def per_second(model: Any, limits: dict[str, float], device: str) -> Iterator[str]:
    """The verbs on rows in memory."""
    x, z = noise(SHAPE, ROWS).x, np.random.default_rng(0).standard_normal((ROWS, model.latent), np.float32)
    verbs: dict[str, Callable[[int], Any]] = {
        "encode": lambda n: model.encode(x[:n]),
        "decode": lambda n: model.decode(z[:n]),
        "score": lambda n: model.score(x[:n]),
    }
    flops = {name: count(lambda verb=verb: verb(4)).flops / 4 for name, verb in verbs.items()}
    theirs = exported(model, {"encode": x, "decode": z}) if RUNTIME and device == "cpu" else {}
    for name, verb in theirs.items():
        verbs[f"{name} in ONNX Runtime"], flops[f"{name} in ONNX Runtime"] = verb, flops[name]
    steps = {name: (lambda verb=verb: verb(ROWS)) for name, verb in verbs.items()}
    interleaved(steps, 1, 1, clock(device))
    times = interleaved(steps, 3, 1 if device == "cpu" else 10, clock(device))
    yield from ("| verb | rows / s | MFLOP / row | GFLOP / s | share of limit |", "| --- | ---: | ---: | ---: | ---: |")
    for name, seconds in times.items():
        rate, speed = ROWS / median(seconds), ROWS / median(seconds) * flops[name]
        yield f"| {name} | {rate:,.0f} | {flops[name] / 1e6:.1f} | {speed / 1e9:,.0f} | {speed / limits['float32']:.0%} |"
    ratios = [f"{name} {over(times[f'{name} in ONNX Runtime'], times[name]):.2f}" for name in theirs]
    if ratios:
        yield from ("", f"- ONNX Runtime's rows / s over ours, the median of each round's ratio: {', '.join(ratios)}")


def exported(model: Any, rows: dict[str, np.ndarray]) -> dict[str, Callable[[int], Any]]:
    """What ``model.export`` writes, in ONNX Runtime, on one thread, for as many rows at a time as the verbs take."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as place:
        model.export(place)
        runs = {verb: onnxruntime.InferenceSession(f"{place}/{verb}r.onnx", options) for verb in rows}  # encode: encoder.onnx

    def answer(verb: str, n: int) -> list[Any]:
        run = runs[verb]
        return [run.run(None, {run.get_inputs()[0].name: some})[0] for some in cut(rows[verb][:n], at_once(model.shape))]

    return {verb: partial(answer, verb) for verb in rows}


def starts(*arguments: str) -> float:
    """CPU seconds of the command, user and system; the median of five."""

    def spent() -> float:
        return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])

    times = []
    for _ in range(5):
        before = spent()
        subprocess.run([sys.executable, "-m", "ali.cli", *arguments], check=True, capture_output=True)
        times.append(spent() - before)
    return median(times)


def lines(limits: dict[str, float], device: str = "cpu") -> Iterator[str]:
    """Markdown."""
    with tempfile.TemporaryDirectory() as place:
        run, small = untrained("svhn", SHAPE, Path(place, "svhn")), untrained("digits", (1, 8, 8), Path(place, "digits"))
        yield from (f"SVHN networks, {ROWS} rows in memory:", "", *per_second(ali.load(run, device=device), limits, device), "")
        peaks = (f"{in_child('benchmarks.verbs', run, n, device):,.0f} MB for {n:,} rows" for n in (ROWS, 4 * ROWS))
        yield f'- peak memory of `model.each("encode", rows)`, rows that come in pieces: {", ".join(peaks)}'
        sample = starts("sample", str(small), "--n", "64", "--out", f"{place}/samples.png")
        yield f"- `ali --help`: {starts('--help'):.2f} CPU s; `ali sample RUN --n 64` (digits): {sample:.2f} CPU s (medians of 5)"
    if not RUNTIME:
        yield "- ONNX Runtime is not installed here (`pip install 'ali[onnx]'`): nothing stands beside `encode` and `decode`."


def main() -> None:
    run, rows, device = sys.argv[1:]
    torch.set_num_threads(1)
    model, pieces = ali.load(run, device=device), (noise(SHAPE, 500).x for _ in range(int(rows) // 500))
    print(peak(lambda: sum(len(codes) for codes in model.each("encode", pieces)), device))


if __name__ == "__main__":
    main()
