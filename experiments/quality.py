"""Train a data set's default recipe over several seeds, evaluate each on held-out rows, and record mean, spread and worst."""

from __future__ import annotations

__all__ = ["quality"]

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import ali
from ali import recipes
from ali.evaluation.report import LINES
from experiments.record import mean_and_spread, record

HIGHER_IS_BETTER = {"label_kept", "label_kept_ceiling", "nn_codes", "nn_pixels", "modes", "modes_strict", "high_quality", "same_mode"}
HIGHER_IS_BETTER |= {"precision", "recall", "density", "coverage", "tstr", "trtr", "tstr_ratio"}


def quality(dataset: str, title: str, about: str, quick: dict[str, Any] | None = None) -> None:
    """Parse the command line of an experiment and run it.

    Arguments:
        dataset: a name in ``ali.recipes.DATASETS``.
        title: of the section in ``experiments/README.md``.
        about: the experiment's docstring.
        quick: arguments of a short training, for ``--quick``.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    entry = recipes.DATASETS[dataset]
    if entry.needs:
        parser.add_argument("path", help=entry.needs)
    parser.add_argument("--seeds", type=int, default=5, help="how many runs, seeds 0, 1, ...")
    if quick:
        parser.add_argument("--quick", action="store_true", help=f"a short training: {quick}")
    parser.add_argument("--epochs", type=int, help="in place of the default length")
    parser.add_argument("--together", action="store_true", help="train all runs at once; each run's time is its share")
    given = parser.parse_args()
    said = (quick if quick and given.quick else {}) | ({"epochs": given.epochs} if given.epochs else {})
    data = entry.open(getattr(given, "path", None))
    began, values, plain, cpu = time.monotonic(), [], [], []
    with tempfile.TemporaryDirectory() as folder:
        rows, start, together = data if entry.needs else None, time.process_time(), []
        if given.together:
            together = ali.Model.train(dataset, rows, out=Path(folder) / "runs", runs=given.seeds, **said)
            cpu = given.seeds * [(time.process_time() - start) / given.seeds]
        for seed in range(given.seeds):
            if together:
                model = together[seed]
            else:
                start = time.process_time()
                model = ali.Model.train(dataset, rows, out=Path(folder) / str(seed), seed=seed, **said)
                cpu.append(time.process_time() - start)
            values.append(ali.evaluate(model, data, seed=seed))
            plain.append(ali.evaluate(model, data, seed=seed, candidates=1))
            print(f"seed {seed}:", {key: round(value, 4) for key, value in values[-1].items()}, f"{cpu[-1]:.0f} CPU s", flush=True)

    head = f"| measure | mean ± sd (n = {given.seeds}) | worst | the same, codes straight from p(z) | worst | how to read it |"
    table = [head, f"|{' --- |' * 6}"]
    for key, (name, form, words) in LINES.items():
        if key in values[0]:
            every, straight = ([one[key] for one in some] for some in (values, plain))
            worst = min if key in HIGHER_IS_BETTER else max
            cells = f"{mean_and_spread(every, form)} | {worst(every):{form}}"
            others = f"{mean_and_spread(straight, form)} | {worst(straight):{form}}" if straight != every else " | "
            table.append(f"| {name} | {cells} | {others} | {words} |")
    table.append(f"| training time, CPU s | {mean_and_spread(cpu, '.0f')} | {max(cpu):.0f} |  |  | all threads together |")
    path = " PATH" if entry.needs else ""
    flags = (
        " --quick" * bool(quick and given.quick) + (f" --epochs {given.epochs}" if given.epochs else "") + " --together" * given.together
    )
    title += f"; {flags.strip()}" if flags else ""
    record(title, f"python -m experiments.{dataset}{path} --seeds {given.seeds}{flags}", time.monotonic() - began, table)
