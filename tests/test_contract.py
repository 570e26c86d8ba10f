"""The contract of a game, held against what every recipe of the package makes, on vectors and on small images.

A new recipe is under it by being in ``RECIPES``. What a recipe's game can not do by construction is said in ``BLIND`` and ``NEEDS``.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ali import games
from ali.data.source import Batch
from ali.distributions import Distribution
from ali.games.game import Classifies, Generates, Infers, Scores
from ali.recipes import RECIPES, Run, Spec
from ali.train import play

N, K = 6, 3
KINDS = {"vectors": ((4,), "mlp"), "images": ((1, 8, 8), "conv")}
# Parameters whose gradient is zero by construction, as a pattern: a relativistic objective sees only differences of logits.
BLIND = {"ali": r"discriminator\.d_xz\.\d+\.bias", "bigan": r"discriminator\.d_xz\.\d+\.bias", "hali": r"discriminator\.joint\.\d+\.bias"}
NEEDS: dict[str, dict[str, Any]] = {}  # arguments without which a recipe can not be made

CASES = [(name, kind) for name in RECIPES for kind in KINDS]


def make(name: str, kind: str, seed: int = 0) -> Run:
    torch.manual_seed(seed)
    shape, networks = KINDS[kind]
    labels = np.arange(60) % K
    spec = Spec(shape, tuple("abc"), y=labels.astype(np.int64))
    return RECIPES[name](spec, networks=networks, latent=2, width=4, depth=1, epochs=1, batch_size=N, **NEEDS.get(name, {}))


def batch(kind: str) -> Batch:
    generator = torch.Generator().manual_seed(1)
    return Batch(torch.rand(N, *KINDS[kind][0], generator=generator) * 2 - 1, torch.arange(N) % K)


def losses(game: games.Game, kind: str) -> dict[str, Tensor]:
    torch.manual_seed(7)
    return game.losses(batch(kind), torch.tensor(0.3))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_recipe_makes_a_game_that_keeps_the_contract(name, kind):
    run = make(name, kind)
    game = run.game

    # Every trainable parameter has exactly one owner; those who move are players, and every player moves and has an optimiser.
    owned = [id(p) for player in game.players for p in games.parameters(game, player)]
    assert sorted(owned) == sorted(id(p) for p in game.parameters() if p.requires_grad)
    assert {player for players in game.schedule for player in players} == set(game.players) == set(run.optimizers)

    # A finite scalar for each player, whose gradient reaches all that the player owns.
    lost = losses(game, kind)
    assert lost.keys() == game.players.keys()
    assert all(loss.shape == () and torch.isfinite(loss) for loss in lost.values())
    names = {id(p): name for name, p in game.named_parameters()}
    for player, loss in lost.items():
        mine = games.parameters(game, player)
        game.zero_grad()
        loss.backward(inputs=mine, retain_graph=True)
        unmoved = {names[id(p)] for p in mine if p.grad is None or p.grad.abs().max() < 1e-12}
        assert [p for p in unmoved if not re.fullmatch(BLIND.get(name, "never"), p)] == []

    # Weights saved and loaded give the same losses under the same seed; other weights do not.
    other = make(name, kind, seed=1).game
    assert losses(other, kind) != lost
    other.load_state_dict(game.state_dict())
    assert losses(other, kind) == lost


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_recipe_s_game_is_played_and_its_verbs_answer(name, kind):
    run = make(name, kind)
    before = {name: p.clone() for name, p in run.game.named_parameters()}
    for step in play(run.game, iter([batch(kind)] * 3), run.optimizers, steps=3, seed=0):
        assert all(torch.isfinite(loss) for loss in step.losses.values())
    moved = {name for name, p in run.game.named_parameters() if not torch.equal(p, before[name])}
    assert len(moved) > 0.5 * sum(p.requires_grad for p in run.game.parameters())

    game: Any = run.game.eval()
    x, y = batch(kind)
    labels = (y,) if "y" in game.decode.__code__.co_varnames[: game.decode.__code__.co_argcount] else ()
    with torch.no_grad():
        if isinstance(game, Generates):
            z = game.prior.sample(N)
            assert z.shape == (N, game.prior.dim)
            made = game.decode(z, *labels)
            assert isinstance(made, Distribution)
            assert made.mean.shape == made.rsample().shape == x.shape
        if isinstance(game, Infers):
            code = game.encode(x, *labels)
            assert isinstance(code, Distribution)
            assert code.mean.shape == code.rsample().shape == (N, game.prior.dim)
        if isinstance(game, Classifies):
            probabilities = game.classify(x)
            assert len(probabilities) == N
            torch.testing.assert_close(probabilities.sum(1), torch.ones(N))
        if isinstance(game, Scores):
            scores = game.score(x)
            assert scores.shape == (N,)
            # A row's score is its own: what else is in the batch does not matter.
            torch.testing.assert_close(game.score(x[:2]), scores[:2])
