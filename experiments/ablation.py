"""What matters in the default recipe: each arm changes one thing of it, on the mixture of 25 Gaussians, all with the same few steps.

python -m experiments.ablation --seeds 3 [--only ARM ...]
"""

import argparse
import shlex
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

import ali
from ali import games, layers, objectives
from ali.data.mixtures import mixture
from ali.recipes import Parts, Run, recipe
from experiments.record import mean_and_spread, record

MEASURES = {  # key: column, form
    "modes_strict": ("modes, strict", ".1f"),
    "high_quality": ("high quality", ".1%"),
    "reverse_kl": ("reverse KL", ".4f"),
    "std_ratio": ("spread", ".2f"),
    "reconstruction_mse": ("reconstruction MSE", ".4f"),
    "same_mode": ("same mode", ".2%"),
    "q_z": ("q(z) to p(z)", ".3f"),
    "seconds": ("CPU s", ".0f"),
}


class Packed(nn.Module):
    """D on two pairs at once (Lin et al. 2018, PacGAN2): each of the two has their common logit."""

    def __init__(self, discriminator: nn.Module):
        super().__init__()
        self.discriminator = discriminator

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.discriminator(x.reshape(-1, 2 * x.shape[1]), z.reshape(-1, 2 * z.shape[1])).repeat_interleave(2, 0)


class BatchNormalised(Parts):
    """The same networks with batch normalisation in the hidden layers of encoder and decoder."""

    def _rows(self, outputs: int, output: str | None = None) -> Any:
        rows = super()._rows(outputs, output)
        normalised = {
            name: tuple(row._replace(batch_norm=row.operation == "linear" and k < len(table) - 1) for k, row in enumerate(table))
            for name, table in (("G_z", rows.G_z), ("G_x", rows.G_x))
        }
        return rows._replace(**normalised)


@recipe()
def other(
    parts: Parts, *, penalty: float = 0.1, penalty_end: float | None = None, cycle: float = 1.0, thin: int = 1, what: str = "none"
) -> Run:
    """ALI with other networks than the package's."""
    discriminator = parts.discriminator()
    if what == "spectral":
        layers.spectral(discriminator)
    if what == "packed":
        # Two equal logits: the slope of their sum is twice that of one, its square four times, spread over twice the rows.
        penalty, penalty_end = penalty / 2, penalty_end and penalty_end / 2
        wide = Parts(replace(parts.spec, shape=(2 * parts.spec.shape[0],)), parts.given | {"latent": 2 * parts.latent})
        discriminator = Packed(wide.discriminator())
    if what == "batch_norm":
        parts = BatchNormalised(parts.spec, parts.given)
    terms = {"penalty": penalty, "penalty_end": penalty_end, "cycle": cycle, "regression": 1.0, "thin": thin}
    game = games.ALI(parts.encoder(), parts.decoder(), discriminator, parts.prior, objectives.relativistic, **terms)
    return parts.run(game)


ARMS: dict[str, dict[str, Any]] = {
    "the default": {},
    "non-saturating objective": {"objective": "nonsaturating"},
    "hinge objective": {"objective": "hinge"},
    "no average of the weights": {"ema": 0.0},
    "penalty on all rows": {"thin": 1},
    "no penalty": {"penalty": 0.0, "penalty_end": None},
    "penalty constant at its start": {"penalty_end": None},
    "penalty constant at its end": {"penalty": 0.001, "penalty_end": None},
    "alternating steps": {"schedule": "alternating"},
    "no cycle": {"cycle": 0.0},
    "no code regression": {"regression": 0.0},
    "neither": {"cycle": 0.0, "regression": 0.0},
    "adversarial cycle (ALICE)": {"recipe": "alice"},
    "no Fourier features of x": {"frequencies_x": ()},
    "no Fourier features of z": {"frequencies_z": ()},
    "no Fourier features": {"frequencies_x": (), "frequencies_z": ()},
    "batch normalisation in E and G": {"recipe": other, "what": "batch_norm"},
    "spectral normalisation in D": {"recipe": other, "what": "spectral"},
    "spectral normalisation, no penalty": {"recipe": other, "what": "spectral", "penalty": 0.0, "penalty_end": None},
    "packing two pairs": {"recipe": other, "what": "packed"},
    "weight normalisation": {"weight_norm": True},
    "learning rate 1e-3": {"lr": 1e-3},
    "beta1 0.5": {"beta1": 0.5},
}


def measure(arm: dict[str, Any], seeds: int, epochs: int, folder: Path) -> list[dict[str, float]]:
    """Train one arm, all seeds at once where its networks are the package's, and look at what it can do."""
    start = time.process_time()
    options: dict[str, Any] = {"epochs": epochs} | arm
    if callable(arm.get("recipe")):
        models = [ali.Model.train("mixture", out=folder / str(seed), seed=seed, **options) for seed in range(seeds)]
    else:
        models = ali.Model.train("mixture", out=folder, runs=seeds, **options)
    seconds = (time.process_time() - start) / seeds
    return [ali.evaluate(model, mixture(), seed=seed) | {"seconds": seconds} for seed, model in enumerate(models) if model]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="how many runs of each, seeds 0, 1, ...")
    parser.add_argument("--epochs", type=int, default=4, help="passes over the 100,000 training rows")
    parser.add_argument("--only", nargs="*", choices=ARMS, default=list(ARMS), help="only these arms")
    given = parser.parse_args()
    began, lines = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        for name in given.only:
            values = measure(ARMS[name], given.seeds, given.epochs, Path(folder) / name)
            cells = [mean_and_spread([value[key] for value in values], form) for key, (_, form) in MEASURES.items()]
            lines.append(f"| {name} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    table = [f"| arm | {' | '.join(column for column, _ in MEASURES.values())} |", f"|{' --- |' * (len(MEASURES) + 1)}", *lines]
    only = "" if given.only == list(ARMS) else f" --only {shlex.join(given.only)}"
    command = f"python -m experiments.ablation --seeds {given.seeds} --epochs {given.epochs}{only}"
    notes = (
        "CPU s are those of one run. Arms with networks of their own (batch and spectral normalisation, packing) train their seeds one "
        "after the other, the others at once: these two kinds do not compare."
    )
    record("Ablation", command, time.monotonic() - began, table, notes)
