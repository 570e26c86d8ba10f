"""Fidelity falls with the level of a hierarchical ALI while what the data is, its class or its attributes, is kept.

On scikit-learn's digits, or on images with classes or attributes (``--data PATH``). Error: squared, of reconstructions of held-out
rows from each level, as a share of the data's variance. Kept: of digits and other classes the share of reconstructions whose nearest
training row has the right class; of attributes the mean share on which a linear probe, fitted on training pixels, says of the
reconstruction what it says of the original.

    python -m experiments.hierarchy --seeds 3
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.linear_model import RidgeClassifier

import ali
from ali.data.source import Data
from ali.evaluation import metrics
from ali.recipes import DATASETS
from experiments.record import mean_and_spread, record


def kept(data: Data, x_hat: np.ndarray) -> tuple[float, float]:
    """What reconstructions keep, and what the originals themselves score."""
    flat = [rows.reshape(len(rows), -1).astype(np.float64) for rows in (np.asarray(data.train.x[:10_000]), np.asarray(data.test.x), x_hat)]
    y, y_test = np.asarray(data.train.y)[:10_000], np.asarray(data.test.y)
    if data.train.attributes:
        said = [[probe.predict(rows) for rows in flat[1:]] for probe in (RidgeClassifier(1e4).fit(flat[0], column) for column in y.T > 0)]
        return float(np.mean([a == b for a, b in said])), 1.0
    near = metrics.nearest_neighbour_accuracy
    return near(flat[0], y, flat[2], y_test), near(flat[0], y, flat[1], y_test)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="how many runs, seeds 0, 1, ...")
    parser.add_argument("--levels", type=int, default=3)
    parser.add_argument("--data", help="images with classes or attributes; by default scikit-learn's digits")
    parser.add_argument("--epochs", type=int, help="passes over the training rows; by default the data set's")
    given = parser.parse_args()
    name = "digits" if given.data is None else "images"
    data = DATASETS[name].open(given.data)
    options = {} if given.epochs is None else {"epochs": given.epochs}
    began, found, seconds = time.monotonic(), [], []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(given.seeds):
            start = time.process_time()
            model = ali.Model.train(name, data, out=Path(folder) / str(seed), recipe="hali", seed=seed, levels=given.levels, **options)
            seconds.append(time.process_time() - start)
            x = np.asarray(data.test.x)
            for level in range(1, given.levels + 1):
                x_hat = model.at(level).reconstruct(x)
                error = metrics.reconstruction(x.astype(np.float64), x_hat.astype(np.float64))["mse_share"]
                found.append((level, model.at(level).latent, error, *kept(data, x_hat)))
                print(f"seed {seed}, level {level}: error {error:.1%}, kept {found[-1][3]:.1%}", flush=True)
    table = ["| level | numbers in its code | error, share of the variance | kept | of the originals |", "| --- | --- | --- | --- | --- |"]
    for level in range(1, given.levels + 1):
        rows = [row for row in found if row[0] == level]
        cells = [mean_and_spread([row[k] for row in rows], ".1%") for k in (2, 3, 4)]
        table.append(f"| {level} | {rows[0][1]} | {' | '.join(cells)} |")
    flags = "".join(f" --{key} {value}" for key, value in (("data", given.data and "PATH"), ("epochs", given.epochs)) if value)
    command = f"python -m experiments.hierarchy --seeds {given.seeds} --levels {given.levels}{flags}"
    title = "Hierarchy" if given.data is None else f"Hierarchy, {Path(given.data).name}"
    words = f"n = {given.seeds}; {mean_and_spread(seconds, '.0f')} CPU s a run."
    record(title, command, time.monotonic() - began, table, words)
