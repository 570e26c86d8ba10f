"""Ten runs trained together against the same ten one after the other: how many times as fast.

    python -m benchmarks.ensemble [--runs 10] [--rounds 5] [--threads 1 2] [--networks authors mlp-64 mlp-400]

Prints the median, over rounds, of (time of the runs one after the other) / (time of the stacked runs), both for the same number of
steps, measured in turns: process CPU time on one thread, wall time on several. Every run has its own seed, rate and beta1.
"""

from __future__ import annotations

import argparse
import statistics
import time
from itertools import islice
from typing import Any

import torch

from ali import recipes
from ali.data.mixtures import mixture
from ali.data.source import Source, stream
from ali.machine import Precision, keep_memory
from ali.stacked import Stacked
from ali.train import play

NETWORKS: dict[str, dict[str, Any]] = {
    # Section 4.5's, from the authors' code: E 4-400-400-2, G 2-400x4-2, D three maxout layers of 200 units with 5 pieces.
    "authors": recipes.defaults(recipes.ali, "mixture", "paper"),
    "mlp-64": recipes.defaults(recipes.ali, "mixture", "modern") | {"width": 64},
    # A small game without penalty, cycle or Fourier features.
    "plain-64": recipes.defaults(recipes.ali, "digits", "paper")
    | {"networks": "mlp", "face": "modern", "latent": 2, "width": 64, "depth": 2},
    "mlp-400": recipes.defaults(recipes.ali, "mixture", "modern") | {"width": 400},
}
WARM_UP = 20  # steps, until the heap has grown to what a step needs


def ratio(
    networks: str, runs: int = 10, rounds: int = 5, threads: int = 1, precision: Precision = "float32", steps: int = 4
) -> dict[str, float]:
    """Measure one case.

    Arguments:
        networks: a name in ``NETWORKS``.
        precision: of the stacked runs, "float32" or "bfloat16" .
        steps: per measurement.

    Returns:
        ``ratio`` to the runs alone in float32 (median of the rounds; ``low`` and ``high``, their range), ``same`` to the runs alone
        in the stacked runs' precision, and ``steps``, model steps per second of the stacked runs.
    """
    source = Source(mixture(n=10_000).train.x.astype("float32"))
    own = [{"seed": k, "lr": 1e-4 * (1 + 0.1 * k), "beta1": 0.2 + 0.05 * k} for k in range(runs)]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        made = _made(networks, own)
        rows = [stream(source, run.batch_size, k) for k, run in enumerate(made)]
        stacked = Stacked(made, [one["seed"] for one in own]).play(rows, steps=10**6, precision=precision)
        alone = {name: [_alone(run, source, k, name) for k, run in enumerate(_made(networks, own))] for name in {"float32", precision}}
        players = {"stacked": [stacked], **alone}
        times: dict[str, list[float]] = {name: [] for name in players}
        for turn in range(rounds + 1):
            for name, each in players.items():
                began = _now(threads)
                for player in each:
                    _ = list(islice(player, steps if turn else max(steps, WARM_UP)))
                if turn:  # the first one warms up
                    times[name].append(_now(threads) - began)
    finally:
        torch.set_num_threads(before)
    found = [one / together for one, together in zip(times["float32"], times["stacked"], strict=True)]
    same = [one / together for one, together in zip(times[precision], times["stacked"], strict=True)]
    rate = runs * steps / statistics.median(times["stacked"])
    return {"ratio": statistics.median(found), "low": min(found), "high": max(found), "same": statistics.median(same), "steps": rate}


def _made(networks: str, own: list[dict[str, Any]]) -> list[recipes.Run]:
    made = []
    for one in own:
        torch.manual_seed(one["seed"])
        made.append(recipes.ali(recipes.Spec((2,)), **NETWORKS[networks] | {name: one[name] for name in ("lr", "beta1")}))
        made[-1].game.train()
    return made


def _alone(run: recipes.Run, source: Source, seed: int, precision: Any):
    return play(run.game, stream(source, run.batch_size, seed), run.optimizers, steps=10**6, seed=seed, rate=run.rate, precision=precision)


def _now(threads: int) -> float:
    return time.process_time() if threads == 1 else time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--precision", nargs="+", choices=["float32", "bfloat16"], default=["float32", "bfloat16"])
    asked = parser.parse_args()
    keep_memory()  # as `ali train` does, for both
    print(
        f"{'networks':9} {'threads':>7} {'precision':>9} {'x alone':>8} {'range':>12} {'x alone, same precision':>24} {'model steps/s':>14}"
    )
    for networks in asked.networks:
        for threads in asked.threads:
            for precision in asked.precision:
                r = ratio(networks, asked.runs, asked.rounds, threads, precision, 20 if networks.endswith("64") else 4)
                spread = f"{r['low']:.2f}-{r['high']:.2f}"
                print(
                    f"{networks:9} {threads:7d} {precision:>9} {r['ratio']:8.2f} {spread:>12} {r['same']:24.2f} {r['steps']:14.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
