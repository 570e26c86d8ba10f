"""Few labels (section 4.3): semi-supervised ALI, the K + 1 GAN with and without feature matching, and labelled rows alone.

Digits, 100 labels, drawn anew for each seed; errors on the 400 test rows. The recipes' settings were chosen on 300 of the training
rows, held out for that; the test rows were only looked at here.

    python -m experiments.semi_supervised --seeds 5
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import ali
from ali.data.digits import digits
from experiments.record import mean_and_spread, record

SYSTEMS: dict[str, dict[str, Any]] = {
    "labelled rows alone": {"recipe": "supervised"},
    "ALI, no feature matching": {"recipe": "semi_supervised"},
    "K + 1 GAN, feature matching": {"recipe": "k_plus_one", "feature_matching": True},
    "K + 1 GAN, no feature matching": {"recipe": "k_plus_one", "feature_matching": False},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="how many draws of the labels, seeds 0, 1, ...")
    parser.add_argument("--labels", type=int, default=100, help="how many labels are kept")
    given = parser.parse_args()
    test, began = digits().test, time.monotonic()
    command = f"python -m experiments.semi_supervised --seeds {given.seeds}{'' if given.labels == 100 else f' --labels {given.labels}'}"
    table = [f"| {given.labels} labels | errors, %, mean ± sd (n = {given.seeds}) | each draw | CPU s |", "| --- | --- | --- | --- |"]
    with tempfile.TemporaryDirectory() as folder:
        for name, options in SYSTEMS.items():
            errors, cpu = [], []
            for seed in range(given.seeds):
                start = time.process_time()
                model = ali.Model.train("digits", out=Path(folder) / f"{name}-{seed}", seed=seed, labels=given.labels, **options)
                cpu.append(time.process_time() - start)
                errors.append(100 * float((model.classify(test.x).argmax(1) != test.y).mean()))
                print(f"{name}, seed {seed}: {errors[-1]:.2f} % errors, {cpu[-1]:.0f} CPU s", flush=True)
            each = ", ".join(f"{error:.2f}" for error in errors)
            table.append(f"| {name} | {mean_and_spread(errors, '.2f')} | {each} | {mean_and_spread(cpu, '.0f')} |")
            # After each system, so that nothing is lost to an interruption.
            record("Few labels", command, time.monotonic() - began, table, "All see the same labelled rows; one test row is 0.25 %.")


if __name__ == "__main__":
    main()
