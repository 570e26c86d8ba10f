"""How cost grows: one size at a time, the others as in ``BASE``; the generic networks in the paper's face.

The exponent is the slope of log(ms) against log(size) over the sweep, by least squares; beside it that of the FLOPs.
"""

from __future__ import annotations

__all__ = ["lines"]

from collections.abc import Iterator
from statistics import median
from typing import Any

import numpy as np

from benchmarks.cases import ours
from benchmarks.counting import count
from benchmarks.limits import clock
from benchmarks.speed import interleaved

BASE: dict[str, Any] = {"batch": 32, "width": 16, "size": 32, "latent": 32}
SWEEPS: dict[str, list[Any]] = {
    "batch": [4, 16, 64, 256],
    "width": [8, 16, 32, 64],
    "size": [16, 32, 64, 128],
    "latent": [8, 64, 512],
    "levels": [2, 3, 4],
}
GAMES = ("vae", "gan", "ali", "alice", "bigbigan", "vae_gan", "alad")  # each with its own terms: modern face


def step(device: str, batch: int, width: int, size: int, latent: int, **more: Any) -> Any:
    return ours("images", (1, size, size), batch, device=device, networks="conv", width=width, latent=latent, **more)


def lines(device: str = "cpu", rounds: int = 3) -> Iterator[str]:
    """Two tables in Markdown: sizes, and games."""
    yield from ("| what grows | ms / step | exponent of ms | of FLOPs |", "| --- | --- | ---: | ---: |")
    for name, values in SWEEPS.items():
        one = {value: {"recipe": "hali", "levels": value} if name == "levels" else {name: value} for value in values}
        times, flops, _ = measured(one, device, rounds)
        shown = ", ".join(f"{value}: {1e3 * times[value]:.1f}" for value in values)
        slopes = (np.polyfit(np.log(values), np.log([found[value] for value in values]), 1)[0] for found in (times, flops))
        yield f"| {name} | {shown} | {' | '.join(f'{slope:.2f}' for slope in slopes)} |"
    times, flops, players = measured({game: {"recipe": game, "face": "modern"} for game in GAMES}, device, rounds)
    yield from ("", "| game (modern face) | players | ms / step | MFLOP / row | ms over ali's |", "| --- | ---: | ---: | ---: | ---: |")
    for game in GAMES:
        cells = f"{players[game]} | {1e3 * times[game]:.1f} | {flops[game] / BASE['batch'] / 1e6:.1f} | {times[game] / times['ali']:.2f}"
        yield f"| {game} | {cells} |"


def measured(changes: dict[Any, dict[str, Any]], device: str, rounds: int) -> tuple[dict[Any, float], dict[Any, int], dict[Any, int]]:
    """Seconds and FLOPs per step, and how many players lose something, for each change of ``BASE``."""
    steps = {key: step(device, **BASE | change) for key, change in changes.items()}
    flops = {key: count(steps[key] if device == "cpu" else step("cpu", **BASE | change)).flops for key, change in changes.items()}
    players = {key: len(one()) for key, one in steps.items()}
    times = interleaved(steps, rounds, 2 if device == "cpu" else 20, clock(device))
    return {key: median(own) for key, own in times.items()}, flops, players
