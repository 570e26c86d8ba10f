"""Using a model: rows per second of encode, decode and score, memory against the number of rows, and how long the command starts.

python -m benchmarks.verbs RUN 2000 cpu    (peak memory of encoding so many rows of noise)
"""

from __future__ import annotations

__all__ = ["lines"]

import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

import ali
from benchmarks.cases import noise
from benchmarks.counting import count
from benchmarks.limits import clock
from benchmarks.memory import in_child, peak
from benchmarks.speed import interleaved

ROWS, SHAPE = 1000, (3, 32, 32)


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
    if find_spec("onnxruntime") and device == "cpu":
        verbs["encode in ONNX Runtime"], flops["encode in ONNX Runtime"] = exported(model, x), flops["encode"]
    steps = {name: (lambda verb=verb: verb(ROWS)) for name, verb in verbs.items()}
    interleaved(steps, 1, 1, clock(device))
    times = interleaved(steps, 3, 1 if device == "cpu" else 10, clock(device))
    yield from ("| verb | rows / s | MFLOP / row | GFLOP / s | share of limit |", "| --- | ---: | ---: | ---: | ---: |")
    for name, seconds in times.items():
        rate, speed = ROWS / median(seconds), ROWS / median(seconds) * flops[name]
        yield f"| {name} | {rate:,.0f} | {flops[name] / 1e6:.1f} | {speed / 1e9:,.0f} | {speed / limits['float32']:.0%} |"


def exported(model: Any, x: np.ndarray) -> Callable[[int], Any]:
    """The encoder's network in ONNX Runtime, on one thread."""
    import onnxruntime  # pyrefly: ignore

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    seen = model.preprocess.forward(torch.from_numpy(x))
    with tempfile.TemporaryDirectory() as place:
        program = torch.onnx.export(model.game.encoder.network, (seen,), dynamo=True, verbose=False)
        program.save(f"{place}/encoder.onnx")  # pyrefly: ignore
        run = onnxruntime.InferenceSession(f"{place}/encoder.onnx", options)
    return lambda n: run.run(None, {run.get_inputs()[0].name: seen[:n].numpy()})


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
    if not find_spec("onnxruntime"):
        yield "- ONNX Runtime is not installed here: nothing stands beside `encode`."


def main() -> None:
    run, rows, device = sys.argv[1:]
    torch.set_num_threads(1)
    model, pieces = ali.load(run, device=device), (noise(SHAPE, 500).x for _ in range(int(rows) // 500))
    print(peak(lambda: sum(len(codes) for codes in model.each("encode", pieces)), device))


if __name__ == "__main__":
    main()
