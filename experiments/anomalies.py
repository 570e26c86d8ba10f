"""Anomaly detection on tables: ALAD and EGBAD beside isolation forest, ECOD and, where it is installed, pyod.

Two protocols. "clean": the games and the others learn from half of the ordinary rows; the other half and all anomalies are to be told
apart. "published" (Zhai et al. 2016, Zong et al. 2018, and the papers of both games): arrhythmia is halved with its anomalies in, KDD99
learns from half of the attacks, which count as ordinary there because they are the majority, and looks at the others with a fifth of
normal connections among them. F1 calls as many rows anomalies as there are, which nobody knows in practice; "false alarms" and "found"
need no such knowledge: rows with p <= 0.05, judged by a fifth of the training rows held out.

Anomalies' labels are looked at for the scores in the table only. Columns that are constant in training rows are left out, for all.

    python -m experiments.anomalies --data FOLDER --seeds 3
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from pyarrow.csv import ReadOptions, read_csv
from sklearn.ensemble import IsolationForest
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.model_selection import train_test_split

import ali
from ali.data.tables import number_columns
from experiments.record import mean_and_spread, record

TABLES = ["4_breastw", "42_WBC", "29_Pima", "38_thyroid"]
ALPHA, HELD_OUT = 0.05, 0.2


class Task(NamedTuple):
    """Rows to learn from, rows to look at, and which of these are anomalies."""

    train: np.ndarray
    test: np.ndarray
    strange: np.ndarray


def clean(x: np.ndarray, y: np.ndarray, seed: int) -> Task:
    """Half of the ordinary rows to learn from; the other half and all anomalies to look at."""
    ordinary = np.random.default_rng(seed).permutation(np.flatnonzero(y == 0))
    half = len(ordinary) // 2
    seen = np.concatenate([ordinary[half:], np.flatnonzero(y == 1)])
    return Task(x[ordinary[:half]], x[seen], y[seen])


def arrhythmia(file: Path, seed: int) -> Task:
    """The published protocol: both halves with their anomalies."""
    from scipy.io import loadmat

    both = loadmat(file)
    x, test, _, strange = train_test_split(both["X"].astype(float), both["y"].ravel().astype(int), test_size=0.5, random_state=seed)
    return Task(x, test, strange)


def kdd99(file: Path, seed: int) -> Task:
    """The published protocol: words are one-hot, attacks are ordinary, a fifth of what is looked at is normal connections."""
    columns = read_csv(file, read_options=ReadOptions(autogenerate_column_names=True)).columns
    words = (1, 2, 3, 6, 11, 20, 21)
    cells = [np.array(column.to_pylist()) for column in columns]
    x = np.column_stack([(c[:, None] == np.unique(c)).astype(np.float32) if k in words else c for k, c in enumerate(cells[:41])])
    strange = (cells[41] == "normal.").astype(int)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))
    learn, look = order[: len(x) // 2], order[len(x) // 2 :]
    attacks, normal = look[strange[look] == 0], look[strange[look] == 1]
    seen = np.concatenate([attacks, normal[: len(attacks) // 4]])
    return Task(x[learn[strange[learn] == 0]], x[seen], strange[seen])


def game(recipe: str, steps: int) -> Callable[[Task, int], tuple[np.ndarray, np.ndarray]]:
    """One of this package's recipes with its defaults for tables, trained for so many steps."""

    def scores(task: Task, seed: int) -> tuple[np.ndarray, np.ndarray]:
        kept = int(len(task.train) * (1 - HELD_OUT))
        epochs = max(1, round(steps / max(1, kept // min(128, kept))))
        order = np.random.default_rng(seed).permutation(len(task.train))
        fit, held_out, test = (rows.astype(np.float32) for rows in (task.train[order[:kept]], task.train[order[kept:]], task.test))
        several = np.flatnonzero((fit != fit[0]).any(0))
        data = ali.Data(*(ali.Source(rows[:, several], columns=number_columns(len(several))) for rows in (fit, held_out)))
        with tempfile.TemporaryDirectory() as folder:
            model = ali.Model.train("table", data, out=Path(folder) / "run", recipe=recipe, seed=seed, epochs=epochs)
        found = model.score(test[:, several])
        return found, ali.p_values(found, model.score(data.test.x))

    return scores


def forest(task: Task, seed: int) -> tuple[np.ndarray, None]:
    """Isolation forest (Liu et al. 2008) with scikit-learn's defaults."""
    return -IsolationForest(random_state=seed).fit(task.train).score_samples(task.test), None


def ecod(task: Task, seed: int) -> tuple[np.ndarray, None]:
    r"""Empirical cumulative distributions of the training rows (Li et al. 2022, arXiv:2201.00382), as the paper writes it.

    Tail probabilities of each column, left, right, and that side on which the training rows are skewed:
    :math:`O(x) = \max(-\sum_j \log F_j(x_j), -\sum_j \log \bar F_j(x_j), \text{skewed})`.
    """
    x, n = np.sort(task.train, 0), len(task.train)
    left = np.stack([np.searchsorted(x[:, k], task.test[:, k], side="right") for k in range(x.shape[1])], 1)
    right = n - np.stack([np.searchsorted(x[:, k], task.test[:, k], side="left") for k in range(x.shape[1])], 1)
    # A value beyond all training rows counts as one row in n + 1.
    left, right = (-np.log((count + 1) / (n + 1)) for count in (left, right))
    centred = x - x.mean(0)
    skewed = np.where((centred**3).mean(0) < 0, left, right)
    return np.maximum.reduce([tails.sum(1) for tails in (left, right, skewed)]), None


def pyod_ecod(task: Task, seed: int) -> tuple[np.ndarray, None]:
    """pyod's ECOD: it takes the rows to be scored into its distributions, and the maximum column by column."""
    return import_module("pyod.models.ecod").ECOD().fit(task.train).decision_function(task.test), None


def pyod_alad(task: Task, seed: int) -> tuple[np.ndarray, None]:
    """pyod's ALAD with its defaults."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    return import_module("pyod.models.alad").ALAD(device="cpu", verbose=0).fit(task.train).decision_function(task.test), None


def tasks(folder: Path, tables: list[str]) -> dict[tuple[str, str], Callable[[int], Task]]:
    """What is to be measured, by table and protocol."""
    found: dict[tuple[str, str], Callable[[int], Task]] = {}
    for name in tables:
        if name == "arrhythmia":
            found[name, "published"] = lambda seed: arrhythmia(folder / "arrhythmia.mat", seed)
        elif name == "kdd99":
            found[name, "published"] = lambda seed: kdd99(folder / "kddcup.data_10_percent.gz", seed)
        else:
            both = np.load(folder / f"{name}.npz")
            x, y = both["X"].astype(float), both["y"].ravel().astype(int)
            found[name, "clean"] = lambda seed, x=x, y=y: clean(x, y, seed)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with .npz files of X and y, arrhythmia.mat, kddcup.data_10_percent.gz"
    )
    parser.add_argument("--tables", nargs="+", default=TABLES, help="file names without .npz; arrhythmia; kdd99")
    parser.add_argument("--seeds", type=int, default=3, help="how many runs, seeds 0, 1, ...")
    parser.add_argument("--steps", type=int, default=2000, help="training steps of the games, at least")
    given = parser.parse_args()
    methods = {"ALAD": game("alad", given.steps), "EGBAD": game("egbad", given.steps), "isolation forest": forest, "ECOD": ecod}
    if find_spec("pyod"):
        methods |= {"pyod's ECOD": pyod_ecod, "pyod's ALAD": pyod_alad}

    began = time.monotonic()
    table = [f"| table | protocol | method | AUROC, mean ± sd (n = {given.seeds}) | F1 | false alarms | found | CPU s |"]
    table.append("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for (name, protocol), make in tasks(given.data, given.tables).items():
        split = [usable(make(seed)) for seed in range(given.seeds)]
        for method, scores in methods.items():
            rows = []
            for seed, task in enumerate(split):
                start = time.process_time()
                found, p = scores(task, seed)
                rows.append((*measures(task, found, p), time.process_time() - start))
            auroc, f1, alarms, caught, cpu = zip(*rows, strict=True)
            cells = [mean_and_spread(list(values), ".3f") for values in (auroc, f1)]
            cells += ["" if np.isnan(values).any() else mean_and_spread(list(values), ".1%") for values in (alarms, caught)]
            table.append(f"| {name} | {protocol} | {method} | {' | '.join(cells)} | {np.mean(cpu):.0f} |")
            print(table[-1], flush=True)
    command = f"python -m experiments.anomalies --data FOLDER --tables {' '.join(given.tables)} --seeds {given.seeds} --steps {given.steps}"
    notes = (
        "F1 calls as many rows anomalies as there are. False alarms and found: shares of ordinary rows and of anomalies with "
        f"p <= {ALPHA}, where {HELD_OUT:.0%} of the training rows were held out for p."
    )
    record(f"Anomalies: {', '.join(given.tables)}", command, time.monotonic() - began, table, notes)


def usable(task: Task) -> Task:
    """Without the columns that are constant in the training rows."""
    kept = np.flatnonzero((task.train != task.train[0]).any(0))
    return Task(task.train[:, kept], task.test[:, kept], task.strange)


def measures(task: Task, scores: np.ndarray, p: np.ndarray | None) -> tuple[float, float, float, float]:
    """AUROC, F1 at the known number of anomalies, and what p <= alpha calls by mistake and finds."""
    called = np.zeros(len(scores), int)
    called[np.argsort(-scores, kind="stable")[: task.strange.sum()]] = 1
    alarms, caught = ((p[task.strange == k] <= ALPHA).mean() if p is not None else float("nan") for k in (0, 1))
    return float(roc_auc_score(task.strange, scores)), float(f1_score(task.strange, called)), float(alarms), float(caught)


if __name__ == "__main__":
    main()
