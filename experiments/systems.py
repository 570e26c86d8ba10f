"""Every system of the package on scikit-learn's handwritten digits, its defaults and equal epochs: scores on 400 held-out rows.

Reconstruction, kept labels and q(z) need an encoder; samples need a decoder; a classifier's error is on held-out rows, with all labels
known to the conditional and semi-supervised games. InfoGAN classifies into clusters, which are named after their best matching class.

    python -m experiments.systems --seeds 3
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

import ali
from ali.data.digits import digits
from ali.games.game import Classifies
from ali.recipes import RECIPES
from experiments.record import mean_and_spread, record

MEASURES = {  # key: column, form
    "mse_share": ("reconstruction MSE / variance", ".1%"),
    "label_kept": ("label kept", ".1%"),
    "two_sample": ("two-sample 1-NN (50 % is right)", ".1%"),
    "coverage": ("coverage", ".0%"),
    "q_z": ("q(z) to p(z)", ".3f"),
    "error": ("classification error", ".1%"),
    "seconds": ("CPU s", ".0f"),
}
LEFT_OUT = {"dcgan": "for pictures of 32 pixels and more"}  # recipes that digits of 8 x 8 pixels are too small for


def error(model: ali.Model, rows: ali.Source) -> float:
    """Share of held-out rows in the wrong class; clusters are matched with classes first (Hungarian method)."""
    guess, classes = model.classify(rows.x).argmax(1), np.asarray(rows.y)
    table = np.zeros((max(guess.max(), classes.max()) + 1,) * 2)
    np.add.at(table, (guess, classes), 1)
    if model.config["recipe"] == "infogan":
        return 1 - table[linear_sum_assignment(-table)].sum() / len(classes)
    return float((guess != classes).mean())


def measure(name: str, seed: int, epochs: int, folder: Path) -> dict[str, float]:
    """Train one system, and look at what it can do."""
    data, start = digits(), time.process_time()
    options: dict[str, Any] = {"parent": str(folder / f"gan-{seed}")} if name == "post_hoc" else {}
    model = ali.Model.train("digits", out=folder / f"{name}-{seed}", recipe=name, seed=seed, epochs=epochs, **options)
    seconds = time.process_time() - start
    values = ali.evaluate(model, data, seed=seed) if model.generates or model.infers else {}
    if isinstance(model.game, Classifies):  # pyrefly: ignore
        values["error"] = error(model, data.test)
    return {key: values[key] for key in MEASURES if key in values} | {"seconds": seconds}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="how many runs of each, seeds 0, 1, ...")
    parser.add_argument("--epochs", type=int, default=40, help="passes over the 1,397 training rows")
    parser.add_argument("--systems", nargs="*", default=[name for name in RECIPES if name not in LEFT_OUT], help="only these recipes")
    given = parser.parse_args()
    began, lines = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        for name in sorted(given.systems, key=lambda name: name == "post_hoc"):  # which needs the GAN's runs
            values = [measure(name, seed, given.epochs, Path(folder)) for seed in range(given.seeds)]
            cells = [
                mean_and_spread([value[key] for value in values], form) if key in values[0] else "" for key, (_, form) in MEASURES.items()
            ]
            lines.append(f"| {name} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    head = ["system", *(column for column, _ in MEASURES.values())]
    table = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *lines]
    left = "; ".join(f"{name} is {why}" for name, why in LEFT_OUT.items())
    record(
        "Systems",
        f"python -m experiments.systems --seeds {given.seeds} --epochs {given.epochs}",
        time.monotonic() - began,
        table,
        f"Left out: {left}.",
    )
