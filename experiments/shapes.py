"""The default recipe on shapes that it was not tuned on, nothing changed: points in the plane, longer vectors, a mixed table.

    python -m experiments.shapes --seeds 1

Coverage counts components with at least 20 % of their own share of high-quality samples; a sample is of high quality within the radius
that holds 98.9 % of a component (three standard deviations in the plane).
"""

import argparse
import shlex
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from scipy.stats import chi2
from sklearn.datasets import make_moons

import ali
from ali import Source
from ali.data.mixtures import SIGMA, centres
from ali.data.source import split
from ali.opening import in_memory
from experiments.record import mean_and_spread, record

ROWS = 50_000
MEASURES = {  # key: column, form
    "covered": ("components covered", ".0f"),
    "high_quality": ("high quality (98.9 % is perfect)", ".1%"),
    "two_sample": ("two-sample 1-NN (50 % is perfect)", ".1%"),
    "mse_share": ("reconstruction MSE / variance", ".3%"),
    "q_z": ("q(z) to p(z)", ".3f"),
    "q_z_floor": ("its floor", ".3f"),
    "seconds": ("CPU s", ".0f"),
}


class Shape(NamedTuple):
    """Rows, and what they were drawn from if that is a mixture."""

    rows: np.ndarray | pa.Table
    dataset: str = "mixture"  # whose defaults
    means: np.ndarray | None = None
    sigma: float = SIGMA
    shares: np.ndarray | None = None


def mixed(random: np.random.Generator, means: np.ndarray, sigma: float = SIGMA, weights: np.ndarray | None = None) -> Shape:
    """Draws from a mixture of round Gaussians; in the plane, the defaults are those of the package's own mixture."""
    dataset, weights = "mixture" if means.shape[1] == 2 else "table", np.ones(len(means)) if weights is None else weights
    shares = weights / weights.sum()
    y = random.choice(len(means), ROWS, p=shares)
    return Shape((means[y] + sigma * random.standard_normal((ROWS, means.shape[1]))).astype(np.float32), dataset, means, sigma, shares)


def grid(side: int) -> np.ndarray:
    line = 2.0 * np.arange(side) - (side - 1)
    return np.array([(a, b) for a in line for b in line])


def sheet(random: np.random.Generator, columns: int) -> np.ndarray:
    """Sums of sines of two numbers, with a little noise."""
    u = random.uniform(-1, 1, (ROWS, 2)) @ random.normal(0, 2, (2, 2 * columns)) + random.uniform(0, 2 * np.pi, 2 * columns)
    return (np.sin(u) @ random.normal(0, 0.3, (2 * columns, columns)) + 0.05 * random.standard_normal((ROWS, columns))).astype(np.float32)


def shapes(random: np.random.Generator) -> dict[str, Shape]:
    """Every shape by its name."""
    moons = make_moons(ROWS, noise=0.05, random_state=0)[0].astype(np.float32)
    kind, t = random.integers(3, size=ROWS), random.standard_normal(ROWS)
    age = np.where(kind == 0, random.normal(30, 3, ROWS), random.gamma(9, 6, ROWS))
    people = pa.table({
        "age": age.round(1), "kind": np.array(["red", "green", "blue"])[kind], "member": random.random(ROWS) < 0.2 + 0.3 * (kind == 1),
        "income": np.exp(random.normal(7 + 0.02 * age, 0.4)).round(2),
    })  # fmt: skip
    return {
        "rings": mixed(random, centres("rings")),
        "spirals": mixed(random, centres("spirals")),
        "moons": Shape(moons),
        "grid of 7 x 7": mixed(random, grid(7)),
        "grid of 10 x 10": mixed(random, grid(10)),
        "unequal weights, 1 to 10": mixed(random, centres("grid"), weights=np.geomspace(1, 10, 25)),
        "heavy tails (t, 3 degrees of freedom)": Shape(random.standard_t(3, (ROWS, 2)).astype(np.float32)),
        "20 Gaussians in 10-D": mixed(random, random.uniform(-4, 4, (20, 10)), 0.2),
        "20 Gaussians in 100-D": mixed(random, random.uniform(-4, 4, (20, 100)), 0.2),
        "mixed table": Shape(people, "table"),
        "moons, a table of 3,000 rows": Shape(pa.table({"a": moons[:3000, 0], "b": moons[:3000, 1]}), "table"),
        "a curve in three columns": Shape(
            pa.table({"t": t, "twice": 2 * t + 0.01 * random.standard_normal(ROWS), "sine": np.sin(3 * t)}), "table"
        ),
        "20 Gaussians in 30-D": mixed(random, random.uniform(-4, 4, (20, 30)), 0.2),
        "a curved sheet in 40-D": Shape(sheet(random, 40), "table"),
    }


def measure(shape: Shape, seed: int, folder: Path) -> dict[str, float]:
    """Train the default recipe, and look at what it can do."""
    data = split(in_memory(shape.rows, True) if shape.dataset == "table" else Source(shape.rows), 0.1)
    start = time.process_time()
    model = ali.Model.train(shape.dataset, data, out=folder, seed=seed)
    values = {"seconds": time.process_time() - start}
    values |= ali.evaluate(model, data, seed=seed)
    if shape.means is not None and shape.shares is not None:
        distance = np.sqrt(((model.sample(10_000, seed=seed)[:, None] - shape.means) ** 2).sum(-1))
        good = distance.min(1) <= shape.sigma * np.sqrt(chi2.ppf(1 - np.exp(-4.5), shape.means.shape[1]))
        counts = np.bincount(distance.argmin(1)[good], minlength=len(shape.means))
        values |= {"high_quality": float(good.mean()), "covered": float((counts >= 0.2 * 10_000 * shape.shares).sum())}
    return values


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1, help="how many runs of each, seeds 0, 1, ...")
    parser.add_argument("--only", nargs="*", help="shapes whose name begins so")
    given = parser.parse_args()
    began, lines = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        for name, shape in shapes(np.random.default_rng(0)).items():
            if given.only and not name.startswith(tuple(given.only)):
                continue
            values = [measure(shape, seed, Path(folder) / f"{name}-{seed}") for seed in range(given.seeds)]
            cells = [mean_and_spread([v[key] for v in values], form) if key in values[0] else "" for key, (_, form) in MEASURES.items()]
            cells[0] += f" of {len(shape.means)}" if shape.means is not None else ""
            lines.append(f"| {name} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    table = [f"| shape | {' | '.join(column for column, _ in MEASURES.values())} |", f"|{' --- |' * (len(MEASURES) + 1)}", *lines]
    title = "Unseen shapes" + (f": {', '.join(given.only)}" if given.only else "")
    said = f" --only {shlex.join(given.only)}" if given.only else ""
    record(title, f"python -m experiments.shapes --seeds {given.seeds}{said}", time.monotonic() - began, table)
