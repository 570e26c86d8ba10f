"""Among how many codes should D choose? The same runs, their samples chosen among 1 (straight from p(z)), 2, 4 and more.

python -m experiments.candidates --seeds 3
"""

import argparse
import tempfile
import time
from pathlib import Path

import ali
from ali.evaluation.report import LINES
from ali.recipes import DATASETS
from experiments.record import mean_and_spread, record

MEASURES = {
    "mixture": ("high_quality", "reverse_kl", "two_sample"),
    "digits": ("two_sample", "precision", "recall", "coverage", "memorisation"),
}
MANY = (1, 2, 4, 8, 16, 64)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="how many runs of each, seeds 0, 1, ...")
    given = parser.parse_args()
    began, table = time.monotonic(), []
    for dataset, measures in MEASURES.items():
        data = DATASETS[dataset].open(None)
        with tempfile.TemporaryDirectory() as folder:
            models = [ali.Model.train(dataset, out=Path(folder) / str(seed), seed=seed) for seed in range(given.seeds)]
        table += [
            f"| {dataset}, codes (n = {given.seeds}) | {' | '.join(LINES[key][0] for key in measures)} |",
            f"|{' --- |' * (len(measures) + 1)}",
        ]
        for k in MANY:
            runs = [ali.evaluate(model, data, seed=seed, candidates=k) for seed, model in enumerate(models)]
            cells = (mean_and_spread([run[key] for run in runs], LINES[key][1]) for key in measures)
            table.append(f"| {k} | {' | '.join(cells)} |")
            print(table[-1], flush=True)
        table.append("")
    record("Candidates", f"python -m experiments.candidates --seeds {given.seeds}", time.monotonic() - began, table[:-1])
