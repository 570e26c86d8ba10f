"""The mixture of 25 Gaussians under ten random draws of learning rate, momentum and initial weights, as in section 4.5's comparison.

    python -m experiments.robust --draws 10

The paper does not say its ranges. Here: learning rate log-uniform in [1e-4, 1e-2], beta1 uniform in [0, 0.9], and the initial weights'
standard deviation that of the default times a factor log-uniform in [0.2, 4]. Networks have weight normalisation, made for this; with
--plain they have not, as by default. All else, the length included, is the default. All are trained at once;
each one's time is its share.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import ali
from ali.data.mixtures import mixture
from experiments.record import mean_and_spread, record

MEASURES = {"modes_strict": ".1f", "high_quality": ".1%", "reverse_kl": ".4f", "same_mode": ".2%", "q_z": ".3f", "seconds": ".0f"}


def draws(n: int) -> list[dict[str, Any]]:
    """Random hyperparameters, always the same."""
    random = np.random.default_rng(2017)
    return [
        {"lr": float(10 ** random.uniform(-4, -2)), "beta1": float(random.uniform(0, 0.9)), "scale": float(0.2 * 20 ** random.uniform())}
        for _ in range(n)
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=10, help="how many")
    parser.add_argument("--plain", action="store_true", help="without weight normalisation")
    given = parser.parse_args()
    began, data, lines, every = time.monotonic(), mixture(), [], []
    with tempfile.TemporaryDirectory() as folder:
        runs, start = [{"seed": seed} | drawn for seed, drawn in enumerate(draws(given.draws))], time.process_time()
        models = ali.Model.train("mixture", out=Path(folder) / "runs", runs=runs, weight_norm=not given.plain)
        seconds = (time.process_time() - start) / given.draws
        for seed, (drawn, model) in enumerate(zip(draws(given.draws), models, strict=True)):
            if model is None:  # it diverged
                print(f"| {drawn} | no model", flush=True)
                lines.append(f"| {drawn['lr']:.1e} | {drawn['beta1']:.2f} | {drawn['scale']:.2f} | diverged |")
                continue
            every.append(ali.evaluate(model, data, seed=seed) | {"seconds": seconds})
            cells = [f"{drawn['lr']:.1e}", f"{drawn['beta1']:.2f}", f"{drawn['scale']:.2f}"]
            lines.append(f"| {' | '.join(cells + [f'{every[-1][key]:{form}}' for key, form in MEASURES.items()])} |")
            print(lines[-1], flush=True)
    mean = " | ".join(mean_and_spread([values[key] for values in every], form) for key, form in MEASURES.items())
    head = ["lr", "beta1", "initial sd, factor", "modes, strict", "high quality", "reverse KL", "same mode", "q(z) to p(z)", "CPU s"]
    table = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *lines, f"| mean ± sd |  |  | {mean} |"]
    title, flag = ("Random hyperparameters, plain", " --plain") if given.plain else ("Random hyperparameters", "")
    record(title, f"python -m experiments.robust --draws {given.draws}{flag}", time.monotonic() - began, table)
