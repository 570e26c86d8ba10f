"""How cost grows: one size at a time, the others as in ``BASE``; the generic networks in the paper's face.

The exponent is the slope of log(ms) against log(size) over the sweep, by least squares; beside it that of the FLOPs.
"""

from __future__ import annotations

__all__ = ["lines"]

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
GAMES = ("vae", "gan", "ali", "alice", "bigbigan", "vae_gan", "alad")  # with their own terms: modern face


def step(device: str, batch: int, width: int, size: int, latent: int, face: str = "paper", **more: Any) -> Any:
    return ours("images", (1, size, size), batch, device=device, networks="conv", width=width, latent=latent, face=face, **more)


def lines(device: str = "cpu", rounds: int = 3) -> list[str]:
    """Two tables in Markdown: sizes, and games."""
    out = ["| what grows | ms / step | exponent of ms | of FLOPs |", "| --- | --- | ---: | ---: |"]
    for name, values in SWEEPS.items():
        if name == "levels":
            steps = {value: step(device, **BASE, recipe="hali", levels=value, penalty=0.0, cycle=0.0, regression=0.0) for value in values}
        else:
            steps = {value: step(device, **BASE | {name: value}) for value in values}
        times, flops = measured(steps, device, rounds)
        shown = ", ".join(f"{value}: {1e3 * times[value]:.1f}" for value in values)
        slopes = (np.polyfit(np.log(values), np.log([found[value] for value in values]), 1)[0] for found in (times, flops))
        out.append(f"| {name} | {shown} | {' | '.join(f'{slope:.2f}' for slope in slopes)} |")
    steps = {game: step(device, **BASE, face="modern", recipe=game) for game in GAMES}
    times, flops = measured(steps, device, rounds)
    out += ["", "| game (modern face) | ms / step | MFLOP / row | ms over ali's |", "| --- | ---: | ---: | ---: |"]
    for game in GAMES:
        ratio = times[game] / times["ali"]
        out.append(f"| {game} | {1e3 * times[game]:.1f} | {flops[game] / BASE['batch'] / 1e6:.1f} | {ratio:.2f} |")
    return out


def measured(steps: dict[Any, Any], device: str, rounds: int) -> tuple[dict[Any, float], dict[Any, int]]:
    """Seconds and FLOPs per step of some functions."""
    flops = {key: count(one).flops for key, one in steps.items()}
    interleaved(steps, 1, 1, clock(device))
    times = interleaved(steps, rounds, 2 if device == "cpu" else 20, clock(device))
    return {key: median(own) for key, own in times.items()}, flops
