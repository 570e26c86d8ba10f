"""Runs that are trained together: each ends as it would alone, whatever its neighbours do."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from ali import recipes
from ali.data.source import Source, stream
from ali.stacked import STACKING, Stacked
from ali.train import play

STEPS, ROWS = 4, 12
OWN = ({"seed": 3}, {"seed": 8, "lr": 3e-3, "beta1": 0.2}, {"seed": 3, "scale": 0.5, "beta2": 0.9})
SHAPES = {"vector": (3,), "image": (1, 4, 4)}


def made(recipe: str, shape: tuple[int, ...], seed: int, **arguments) -> recipes.Run:
    """A run in float64, where rounding stays far below any difference."""
    torch.manual_seed(seed)
    given = {"networks": "mlp", "latent": 2, "width": 6, "depth": 2, "batch_size": ROWS, "ema": 0.9}
    run = recipes.RECIPES[recipe](recipes.Spec(shape), **given | arguments)
    run.game.double().train()
    return run


def rows(shape: tuple[int, ...]) -> Source:
    return Source(np.random.default_rng(0).normal(size=(40, *shape)))


def alone(run: recipes.Run, data: Source, seed: int):
    average = copy.deepcopy(run.game).eval()
    losses = [
        step.losses
        for step in play(
            run.game, stream(data, ROWS, seed), run.optimizers, steps=STEPS, seed=seed, rate=run.rate, average=average, decay=run.decay
        )
    ]
    return losses, average


def assert_near(one: torch.nn.Module, other: torch.nn.Module) -> None:
    a, b = one.state_dict(), other.state_dict()
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=1e-10, msg=lambda words, name=name: f"{name}: {words}")


CASES = {
    **{(recipe, kind, "modern"): {} for recipe in STACKING for kind in SHAPES},
    **{(recipe, "vector", "paper"): {"face": "paper", "penalty": 0.0} for recipe in ("ali", "gan", "aae")},
    ("ali", "vector", "annealed"): {"penalty": 0.1, "penalty_end": 0.01, "schedule": "alternating"},
    ("ali", "vector", "implicit"): {"encoder": "implicit"},
    ("ali", "vector", "fourier"): {"frequencies_x": (1.0, 3.0), "frequencies_z": (2.0,)},
    ("gan", "vector", "separate"): {"separate": True, "schedule": "alternating"},
    ("vae", "image", "bernoulli"): {"likelihood": "bernoulli"},
    ("latent_regressor", "vector", "deterministic"): {"encoder": "deterministic"},
}


@pytest.mark.parametrize(("case", "arguments"), CASES.items(), ids=lambda case: "-".join(case) if isinstance(case, tuple) else "")
def test_runs_trained_together_end_as_each_alone(case, arguments):
    recipe, kind, _ = case
    shape = SHAPES[kind]
    data = rows(shape)
    singles, together = ([made(recipe, shape, **arguments | own) for own in OWN] for _ in range(2))
    lost, kept = zip(*(alone(run, data, own["seed"]) for run, own in zip(singles, OWN, strict=True)), strict=True)

    averages = [copy.deepcopy(run.game).eval() for run in together]
    stacked = Stacked(together, [own["seed"] for own in OWN], averages)
    played = list(stacked.play([stream(data, ROWS, own["seed"]) for own in OWN], steps=STEPS))

    assert [step.done for step in played] == list(range(1, STEPS + 1))
    for k, single in enumerate(singles):
        assert_near(together[k].game, single.game)
        assert_near(averages[k], kept[k])
        for step, losses in zip(played, lost[k], strict=True):
            assert step.losses.keys() == losses.keys()
            for player, loss in losses.items():
                torch.testing.assert_close(step.losses[player][k], loss, rtol=0, atol=1e-10)
        for player, optimizer in single.optimizers.items():
            own = together[k].optimizers[player].state_dict()["state"]
            for index, state in optimizer.state_dict()["state"].items():
                for name, value in state.items():
                    torch.testing.assert_close(own[index][name], value, rtol=0, atol=1e-10)
