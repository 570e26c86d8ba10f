"""What ALI's defaults for pictures rest on: rate, momentum and how many rows the penalty sees, each put back to what the recipe has;
and the networks that are the default of MNIST.

The defaults were chosen on training rows of CelebA and of SVHN, held out for that; take other pictures here.

    python -m experiments.pictures PATH [--seeds 3 --n 4000 --size 32 --effort quick]
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from ali import recipes
from ali.data.source import Data
from ali.recipes.effort import EFFORTS
from experiments.effort import measure
from experiments.record import mean_and_spread, record

PLAIN = {name: recipes.ali.defaults[name] for name in ("lr", "beta1", "thin")}
ARMS: dict[str, dict[str, Any]] = {
    "the default": {},
    **{f"{name} {value:g}": {name: value} for name, value in PLAIN.items()},
    "all three": PLAIN,
    "compact networks": {"networks": "compact"},
}
SHOWN = {
    "cpu": ("CPU s", ".0f"),
    "two_sample": ("two-sample 1-NN", ".3f"),
    "frechet": ("Frechet distance in PCA-64", ".3g"),
    "frechet_floor": ("of training rows", ".3g"),
    "coverage": ("coverage", ".1%"),
    "recall": ("recall", ".3f"),
    "mse_share": ("MSE / variance", ".1%"),
    "q_z": ("q(z) to p(z)", ".3f"),
    "q_z_floor": ("of draws", ".3f"),
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", help="pictures, as for `ali train images`")
    parser.add_argument("--seeds", type=int, default=3, help="how many runs of each, seeds 0, 1, ...")
    parser.add_argument("--n", type=int, default=4000, help="training pictures; 1,000 are held out")
    parser.add_argument("--size", type=int, default=32, help="their side in pixels")
    parser.add_argument("--effort", choices=EFFORTS, default="quick")
    parser.add_argument("--only", nargs="*", choices=ARMS, default=list(ARMS), help="only these arms")
    given = parser.parse_args()
    began, n = time.monotonic(), given.seeds
    whole = recipes.DATASETS["images"].open(given.path, size=given.size)
    data = Data(whole.train.rows(slice(0, given.n)), whole.test.rows(slice(0, 1000)))
    table = [f"| arm (n = {n}) | {' | '.join(title for title, _ in SHOWN.values())} |", "| --- " * (len(SHOWN) + 1) + "|"]
    for arm in given.only:
        runs = [measure("images", data, effort=given.effort, seed=seed, **ARMS[arm]) for seed in range(n)]
        cells = " | ".join(mean_and_spread([run[key] for run in runs], form) for key, (_, form) in SHOWN.items())
        table.append(f"| {arm} | {cells} |")
        print(table[-1], flush=True)
    only = f" --only {' '.join(map(repr, given.only))}" if given.only != list(ARMS) else ""
    options = f"--seeds {n} --n {given.n} --size {given.size} --effort {given.effort}{only}"
    title = f"Pictures, {given.effort}" + (f": {', '.join(given.only)}" if only else "")
    record(title, f"python -m experiments.pictures PATH {options}", time.monotonic() - began, table)
