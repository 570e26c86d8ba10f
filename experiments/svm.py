"""What features are worth (Table 1's "L2-SVM" rows): few labelled rows, an SVM, 100 draws; beside it 1-NN, a linear probe, k-means.

On digits with 100 labels, or on other images with classes:

    python -m experiments.svm --seeds 2
    python -m experiments.svm --dataset svhn --data PATH --labels 1000 --seeds 1
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
from ali.evaluation import probes
from ali.games.game import Infers
from experiments.record import mean_and_spread, record

FEATURES = {
    "encoder: code and last 3 layers": probes.encoder_features,
    "encoder: code alone": lambda model, x: probes.encoder_features(model, x, layers=()),
    "D(x): layers pooled to 4 x 4": probes.discriminator_features,
}
# Digits' default networks have no layers of D that see x alone; these do, and are small. Other sets: the recipe's own.
OPTIONS: dict[str, dict[str, Any]] = {"digits": {"networks": "conv", "width": 16, "lr": 1e-3, "epochs": 40}}
COLUMNS = {
    "svm_error": "SVM, errors, %", "svm_error_sd": "its sd over draws", "nearest": "1-NN, errors, %", "linear": "linear probe, errors, %",
    "cluster_accuracy": "k-means, right, %",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="digits", help="digits, or a data set that needs --data")
    parser.add_argument("--data", default=None, help="where it is")
    parser.add_argument("--recipes", nargs="+", default=["ali"], help="whose encoders and discriminators are looked at")
    parser.add_argument("--labels", type=int, default=100, help="labelled rows of each SVM")
    parser.add_argument("--draws", type=int, default=100, help="SVMs per run")
    parser.add_argument("--seeds", type=int, default=2, help="runs, seeds 0, 1, ...")
    parser.add_argument("--epochs", type=int, default=None, help="passes over the training rows; by default the recipe's")
    given = parser.parse_args()
    data, began = recipes.DATASETS[given.dataset].open(given.data), time.monotonic()
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    found["none", "pixels"] = [_probe(_flat(data.train.x), _flat(data.test.x), data, given)]
    options: dict[str, Any] = OPTIONS.get(given.dataset, {}) | ({} if given.epochs is None else {"epochs": given.epochs})
    with tempfile.TemporaryDirectory() as folder:
        for name in given.recipes:
            for seed in range(given.seeds):
                out = Path(folder) / f"{name}-{seed}"
                model = ali.Model.train(given.dataset, data, out=out, recipe=name, seed=seed, **options)
                for what, features in FEATURES.items():
                    if isinstance(model.game, Infers) or what.startswith("D"):  # pyrefly: ignore
                        values = _probe(features(model, data.train.x), features(model, data.test.x), data, given, seed)
                        found.setdefault((name, what), []).append(values)
                        print(f"{name}, seed {seed}, {what}:", {key: round(value, 4) for key, value in values.items()}, flush=True)

    table = [f"| recipe | features | {' | '.join(COLUMNS.values())} |", f"| {' | '.join(['---'] * (len(COLUMNS) + 2))} |"]
    for (name, what), every in found.items():
        cells = [mean_and_spread([100 * values[key] for values in every], ".1f") for key in COLUMNS]
        table.append(f"| {name} | {what} ({every[0]['features']:.0f}) | {' | '.join(cells)} |")
    command = f"python -m experiments.svm --labels {given.labels} --draws {given.draws} --seeds {given.seeds}"
    if given.dataset != "digits":
        command += f" --dataset {given.dataset} --data PATH"
    command += "" if given.recipes == ["ali"] else f" --recipes {' '.join(given.recipes)}"
    command += "" if given.epochs is None else f" --epochs {given.epochs}"
    notes = (
        f"SVM: {given.labels} labelled rows, {given.draws} draws, C chosen on a fifth of the training rows. "
        "The linear probe and 1-NN see the labels of all training rows."
    )
    record(f"Features, {given.dataset}", command, time.monotonic() - began, table, notes)


def _flat(x) -> np.ndarray:
    return np.asarray(x, np.float32).reshape(len(x), -1)


def _probe(train: np.ndarray, test: np.ndarray, data, given, seed: int = 0) -> dict[str, float]:
    sets = (train, data.train.y, test, data.test.y)
    return {
        **probes.svm(*sets, data.train.classes, labels=given.labels, draws=given.draws, seed=seed),
        "nearest": probes.nearest(*sets),
        "linear": probes.linear_probe(*sets),
        **probes.clusters(test, data.test.y, len(data.train.classes), seed),
        "features": float(train.shape[1]),
    }


if __name__ == "__main__":
    main()
