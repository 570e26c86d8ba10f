"""The dial: CPU time and quality of ``--effort quick``, ``normal`` and ``best`` on tables of several sizes, digits, and pictures.

The table is generated: two hidden numbers, six columns that depend on them with curves and noise, 1,000 rows held out.

    python -m experiments.effort --seeds 3 [--images FOLDER --n 300 --size 32]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import ali
from ali import recipes
from ali.data.source import Data
from ali.opening import in_memory
from ali.recipes.effort import EFFORTS
from experiments.record import mean_and_spread, record

SHOWN = {"two_sample": ".3f", "mse_share": ".1%", "q_z": ".3f", "q_z_floor": ".3f", "coverage": ".1%", "memorisation": ".2f"}
HEADER = "two-sample 1-NN | MSE / variance | q(z) to p(z) | its floor | coverage | memorisation"


def curves(n: int, seed: int) -> np.ndarray:
    """Rows of six columns that depend on two hidden numbers."""
    random = np.random.default_rng(seed)
    u, noise = random.normal(size=(2, n)), 0.1 * random.normal(size=(6, n))
    return (np.stack([u[0], u[1], np.sin(2 * u[0]), u[0] * u[1], np.exp(u[1] / 2), u[0] ** 2 - u[1]]) + noise).T


def data_sets(images: str | None, n: int, size: int) -> dict[str, tuple[str, Data]]:
    """What is trained on: a line's title, the data set's name, and its rows."""
    held_out = in_memory(curves(1000, 1), True)
    made = {f"table, {rows:,} rows": ("table", Data(in_memory(curves(rows, 0), True), held_out)) for rows in (100, 1000, 50_000)}
    made["digits"] = ("digits", recipes.DATASETS["digits"].open())
    if images:
        whole = recipes.DATASETS["images"].open(images, size=size)
        made[f"{n} pictures, {size} pixels"] = ("images", Data(whole.train.rows(slice(0, n)), whole.test.rows(slice(0, 1000))))
    return made


def measure(dataset: str, data: Data, **options: Any) -> dict[str, float]:
    """CPU seconds of one training, and the numbers of its evaluation."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        model = ali.Model.train(dataset, data, out=Path(folder) / "run", **options)
        cpu = time.process_time() - began
        return {"cpu": cpu, "epochs": model.config["arguments"]["epochs"]} | ali.evaluate(model, data)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", help="pictures to train on, too")
    parser.add_argument("--n", type=int, default=300, help="how many of them")
    parser.add_argument("--size", type=int, default=32, help="their side in pixels")
    parser.add_argument("--only", default="", help="lines whose title begins so")
    parser.add_argument("--efforts", nargs="+", choices=EFFORTS, default=EFFORTS)
    given = parser.parse_args()
    began, n = time.monotonic(), given.seeds
    table = [f"| data | effort | epochs | CPU s (n = {n}) | {HEADER} |", "| --- " * 10 + "|"]
    for title, (dataset, data) in data_sets(given.images, given.n, given.size).items():
        for effort in given.efforts if title.startswith(given.only) else ():
            runs = [measure(dataset, data, effort=effort, seed=seed) for seed in range(n)]
            cells = " | ".join(mean_and_spread([run[key] for run in runs], form) for key, form in SHOWN.items())
            cpu = mean_and_spread([run["cpu"] for run in runs], ".0f")
            table.append(f"| {title} | {effort} | {runs[0]['epochs']} | {cpu} | {cells} |")
            print(table[-1], flush=True)
    if not given.only:
        pictures = f" --images FOLDER --n {given.n} --size {given.size}" if given.images else ""
        record("Effort", f"python -m experiments.effort --seeds {n}{pictures}", time.monotonic() - began, table)
