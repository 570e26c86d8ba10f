"""Make a ready model of a finished run: encoder and decoder alone, in half precision, inside the package, with what they reach.

    ali train digits --out runs/digits && python -m experiments.ready digits runs/digits
    ali train mnist PATH --out runs/mnist && python -m experiments.ready mnist runs/mnist

Both together are to stay below 2 MB.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

import ali
from ali import checkpoint, ready
from ali.errors import AliError
from ali.evaluation import words
from ali.evaluation.report import LINES
from ali.model import open_data

PARTS = ("encoder", "decoder")
SHOWN = ("mse_share", "pca_share", "two_sample", "coverage", "q_z", "q_z_floor", "memorisation", "nn_codes")


def make(run: Path, out: Path) -> Path:
    """Write the run folder of a ready model.

    Arguments:
        run: a finished run of a game with one encoder and one decoder.
        out: the folder to write; an earlier one is replaced.

    Raises:
        AliError: no finished run, or one that has no such parts.
    """
    config, game = checkpoint.read_json(run / "config.json"), ali.load(run).game
    weights = {name: weight for name, weight in game.state_dict().items() if name.split(".")[0] in PARTS}
    if {name.split(".")[0] for name in weights} != set(PARTS):
        raise AliError(f"{run}: a ready model is made of a game with one encoder and one decoder, and this is {config['recipe']}")
    halved = {name: weight.half().contiguous() if weight.dtype == torch.float32 else weight for name, weight in weights.items()}
    shutil.rmtree(out, ignore_errors=True)
    checkpoint.write_file(out / "model.safetensors", lambda file: save_file(halved, file, {"format": "pt"}))
    checkpoint.write_json(out / "config.json", config | {"parts": list(PARTS)})
    checkpoint.write_json(out / "preprocess.json", checkpoint.read_json(run / "preprocess.json"))
    return out


def size(folder: Path) -> int:
    """Bytes of all files of a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def card(name: str, out: Path, values: dict[str, float]) -> str:
    """The model card, with what the shipped weights reach on rows that they never saw."""
    config = checkpoint.read_json(out / "config.json")
    length = f"{config['arguments']['epochs']} epochs, seed {config['seed']}, ali {config['ali']}, commit {config['commit'] or 'unknown'}"
    rows = "\n".join(f"| {LINES[key][0]} | {values[key]:{LINES[key][1]}} | {LINES[key][2]} |" for key in SHOWN if key in values)
    verdict = "\n".join(f"- {sentence}" for sentence in words.verdict(values))
    return f"""---
library_name: ali
tags: [adversarially-learned-inference, generative, encoder]
---

# {name}, ready

Encoder and decoder of `ali train {name}` ({config["recipe"]}, {config["rows"]:,} rows, {length}), in half precision; no
discriminator, so that it can not score, and training can not go on. It comes with the package: `ali sample {name}`, `ali.load("{name}")`.

On {values["held_out"]:,.0f} rows that it never saw:

{verdict}

| measure | | how to read it |
| --- | --- | --- |
{rows}

Written by `python -m experiments.ready {name} RUN`.
"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="that it is found by; of the data set")
    parser.add_argument("run", type=Path, help="finished run folder")
    parser.add_argument("--data", help="where the run's data is now, if it has moved")
    given = parser.parse_args()
    data, out = open_data(given.run, given.data), make(given.run, ready.HERE / given.name)
    checkpoint.write_text(out / "README.md", card(given.name, out, ali.evaluate(ali.load(out), data)))
    total = sum(size(ready.HERE / name) for name in ready.names())
    print(f"wrote {out.name}: {size(out) / 1e6:.2f} MB; all ready models: {total / 1e6:.2f} MB")
