"""The demo's numbers over several seeds: ALI on scikit-learn's handwritten digits, 400 of them held out.

The recipe was chosen on 200 of the training rows, held out for that; the 400 test rows were looked at here only.

    python -m experiments.digits --seeds 5
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import ali
from ali.data.digits import digits
from ali.evaluation.report import LINES
from experiments.record import mean_and_spread, record

SHOWN = ("reconstruction_mse", "mse_share", "label_kept", "label_kept_ceiling", "two_sample", "q_z", "q_z_floor", "nn_codes", "nn_pixels")
PROTOTYPE = {"reconstruction_mse": ".035", "label_kept": "93.5 %", "two_sample": ".64", "q_z": ".041"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="how many runs, seeds 0, 1, ...")
    n = parser.parse_args().seeds
    began, values, cpu = time.monotonic(), [], []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(n):
            start = time.process_time()
            model = ali.Model.train("digits", out=Path(folder) / str(seed), seed=seed)
            cpu.append(time.process_time() - start)
            values.append(ali.evaluate(model, digits(), seed=seed))
            print(f"seed {seed}:", {key: round(values[-1][key], 4) for key in SHOWN}, f"{cpu[-1]:.0f} CPU s", flush=True)
    table = [f"| measure | mean ± sd (n = {n}) | worst | prototype, 1 seed | how to read it |", "| --- | --- | --- | --- | --- |"]
    for key in SHOWN:
        name, form, words = LINES[key]
        every = [value[key] for value in values]
        worst = min(every) if key in ("label_kept", "label_kept_ceiling", "nn_codes", "nn_pixels") else max(every)
        table.append(f"| {name} | {mean_and_spread(every, form)} | {worst:{form}} | {PROTOTYPE.get(key, '')} | {words} |")
    table.append(f"| training time, CPU s | {mean_and_spread(cpu, '.0f')} | {max(cpu):.0f} | 42 | both threads together |")
    record("Digits", f"python -m experiments.digits --seeds {n}", time.monotonic() - began, table)


if __name__ == "__main__":
    main()
