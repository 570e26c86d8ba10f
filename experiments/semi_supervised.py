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

import ali
from ali.data.digits import digits
from experiments.record import mean_and_spread, record

SYSTEMS = {
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
    errors: dict[str, list[float]] = {name: [] for name in SYSTEMS}
    cpu: dict[str, list[float]] = {name: [] for name in SYSTEMS}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(given.seeds):
            for name, options in SYSTEMS.items():
                start, out = time.process_time(), Path(folder) / f"{len(errors[name])}-{name}"
                model = ali.Model.train("digits", out=out, seed=seed, labels=given.labels, **options)
                cpu[name].append(time.process_time() - start)
                errors[name].append(100 * float((model.classify(test.x).argmax(1) != test.y).mean()))
                print(f"seed {seed}, {name}: {errors[name][-1]:.2f} % errors, {cpu[name][-1]:.0f} CPU s", flush=True)

    table = [
        f"| {given.labels} labels | errors, %, mean ± sd (n = {given.seeds}) | each draw | CPU s |",
        "| --- | --- | --- | --- |",
    ]
    for name in SYSTEMS:
        each = ", ".join(f"{error:.2f}" for error in errors[name])
        table.append(f"| {name} | {mean_and_spread(errors[name], '.2f')} | {each} | {mean_and_spread(cpu[name], '.0f')} |")
    command = f"python -m experiments.semi_supervised --seeds {given.seeds}"
    record("Few labels", command, time.monotonic() - began, table, "All four see the same labelled rows; one test row is 0.25 %.")


if __name__ == "__main__":
    main()
