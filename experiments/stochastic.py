"""Is "the additional flexibility of stochastic posteriors critical" (section 3)? Two measurements.

1. x = |z| + noise, z from the prior: the posterior of z given x has two modes, at x and at -x. The decoder is that known law, only the
   encoder learns, in the game of Algorithm 1. A Gaussian q(z | x) can not have two modes, an implicit one (eq. 3) can, a
   deterministic one has none to spare. Measured: energy distance of pairs (x, z_hat), x new, to pairs (x, z) of the true joint, and of
   codes at x = 1.5 the share near each mode.
2. ALI on digits with an encoder that begins with sigma = 1, as the authors': its mean sigma in the course of training.

    python -m experiments.stochastic --seeds 5
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.distance import cdist
from torch import Tensor

from ali import games, objectives, train
from ali.data.digits import digits
from ali.data.source import Batch
from ali.distributions import DiagonalNormal, StandardNormal
from ali.networks import Conditional
from ali.recipes import Parts, Run, Spec, recipe
from ali.recipes.arguments import SHARED
from ali.session import Session
from experiments.record import mean_and_spread, record

NOISE = 0.1


class Folded(Conditional):
    """The known law p(x | z): x = |z| + noise."""

    def forward(self, u: Tensor, *others: Tensor) -> DiagonalNormal:
        return DiagonalNormal(u.abs(), torch.full_like(u, float(np.log(NOISE))))


def draw(n: int) -> tuple[Tensor, Tensor]:
    """Pairs (x, z) of the true joint."""
    z = torch.randn(n, 1)
    return Folded()(z).rsample(), z


def infer(family: str, seed: int, steps: int = 3000) -> dict[str, float]:
    """Train an encoder of a family against the known decoder, and look at its posterior."""
    torch.manual_seed(seed)
    given = SHARED | {"face": "modern", "networks": "mlp", "latent": 1, "width": 64, "depth": 2, "frequencies_x": (), "frequencies_z": ()}
    given |= {"lr": 1e-3, "beta1": 0.5, "beta2": 0.99, "batch_size": 256, "epochs": 1, "ema": 0.0}
    parts = Parts(Spec((1,)), given)
    encoder = parts.encoder(family, log_sigma_0=0.0 if family == "gaussian" else None)
    game = games.ALI(encoder, Folded(), parts.discriminator(), StandardNormal(1), objectives.relativistic, penalty=0.1)
    run = parts.run(game)
    batches = (Batch(draw(256)[0]) for _ in range(steps))
    for _ in train.play(game, batches, run.optimizers, steps=steps, seed=seed, rate=run.rate):
        pass
    game.eval()
    torch.manual_seed(10_000 + seed)
    with torch.no_grad():
        x, _ = draw(2000)
        pairs, true = torch.cat([x, game.encode(x).rsample()], 1).numpy(), torch.cat(draw(2000), 1).numpy()
        z = game.encode(torch.full((4000, 1), 1.5)).rsample()[:, 0].numpy()
    return {
        "energy": energy(pairs, true),
        "upper": float((abs(z - 1.5) < 0.5).mean()),
        "lower": float((abs(z + 1.5) < 0.5).mean()),
    }


def energy(a: np.ndarray, b: np.ndarray) -> float:
    """Energy distance, 2 E|a - b| - E|a - a'| - E|b - b'|: 0 for the same law (Szekely and Rizzo 2013)."""
    n, m = len(a), len(b)
    return float(2 * cdist(a, b).mean() - cdist(a, a).sum() / (n * (n - 1)) - cdist(b, b).sum() / (m * (m - 1)))


@recipe()
def noisy(parts: Parts) -> Run:
    """ALI with no term beyond the paper's but the penalty, its encoder's sigma 1 at first."""
    encoder = parts.encoder("gaussian", log_sigma_0=0.0)
    return parts.run(games.ALI(encoder, parts.decoder(), parts.discriminator(), parts.prior, objectives.relativistic, penalty=0.1))


def settle(seed: int, folder: Path) -> list[float]:
    """Mean sigma of q(z | x) over held-out digits at the beginning, after a quarter, half and all of training."""
    session = Session.start("digits", digits(), folder / f"noisy-{seed}", recipe=noisy, seed=seed)
    x = session.preprocess.forward(torch.from_numpy(digits().test.x))
    moments, found = [session.steps // 4, session.steps // 2, session.steps], []

    def sigma() -> float:
        with torch.no_grad():
            return float(session.run.game.encode(x).log_sigma.exp().mean())  # pyrefly: ignore

    found.append(sigma())
    for report in session.play():
        if moments and report.step >= moments[0]:
            found.append(sigma())
            moments.pop(0)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="how many runs of each, seeds 0, 1, ...")
    given = parser.parse_args()
    torch.set_num_threads(1)
    began = time.monotonic()
    torch.manual_seed(0)
    floor = energy(torch.cat(draw(2000), 1).numpy(), torch.cat(draw(2000), 1).numpy())
    table = ["| q(z given x) | energy distance of the joints | codes of x = 1.5 near 1.5 | near -1.5 |", "| --- | --- | --- | --- |"]
    for family in ("gaussian", "implicit", "deterministic"):
        values = [infer(family, seed) for seed in range(given.seeds)]
        cells = [mean_and_spread([v[key] for v in values], form) for key, form in (("energy", ".4f"), ("upper", ".0%"), ("lower", ".0%"))]
        table.append(f"| {family} | {' | '.join(cells)} |")
        print(table[-1], flush=True)
    table.append(f"| the true posterior | {floor:.4f} | 50% | 50% |")
    with tempfile.TemporaryDirectory() as folder:
        sigmas = np.array([settle(seed, Path(folder)) for seed in range(given.seeds)])
    course = ", ".join(
        f"{when} {mean_and_spread(list(column), '.3f')}"
        for when, column in zip(("at first", "after a quarter", "after half", "at the end"), sigmas.T, strict=True)
    )
    words = f"Mean sigma of a Gaussian q(z given x) on held-out digits, trained without cycle or code term from sigma = 1: {course}."
    record("Stochastic conditionals", f"python -m experiments.stochastic --seeds {given.seeds}", time.monotonic() - began, table, words)
