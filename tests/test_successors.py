"""ALICE and BigBiGAN: closed forms, losses by hand, and digits."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

import ali
from ali import games
from ali.data.digits import digits
from ali.data.source import Batch
from ali.distributions import StandardNormal
from ali.networks import Critic, Deterministic, Discriminator
from ali.objectives import hinge, nonsaturating
from ali.recipes import RECIPES, Spec
from ali.table import build, linear

LOG2 = math.log(2)
ROWS = torch.tensor([[1.0, 2.0], [0.5, -1.0], [3.0, 0.0]])


def scale(factor: float) -> Deterministic:
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = factor * torch.eye(2)
    return Deterministic(layer)


def head(inputs: int):
    return build((linear(1, False, 0.0, "sigmoid"),), (inputs,), (1,), sigma=1.0, logits=True)


def alice(**options) -> games.ALICE:
    d = Discriminator(build((), (2,)), build((), (2,)), head(4))
    return games.ALICE(scale(2.0), scale(0.25), d, Critic(build((), (4,)), head(4)), StandardNormal(2), **options)


def lost(game: games.Game) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return game.losses(Batch(ROWS), torch.tensor(0.0))


def test_a_constant_cycle_discriminator_knows_nothing():
    game = alice(cycle=0.5)
    nn.init.zeros_(game.cycle_discriminator.head[-1].weight)
    without = alice(cycle=0.0)
    without.load_state_dict(game.state_dict())
    assert lost(game)["cycle_discriminator"].item() == pytest.approx(2 * LOG2)
    assert (lost(game)["generator"] - lost(without)["generator"]).item() == pytest.approx(0.5 * 2 * LOG2)


def test_the_cycle_discriminator_sees_a_row_twice_or_beside_its_reconstruction():
    game = alice(cycle=0.5)
    torch.manual_seed(0)
    z = torch.randn(3, 2)
    loss_d, loss_g = nonsaturating(game.discriminator(ROWS, 2 * ROWS), game.discriminator(0.25 * z, z))
    f = game.cycle_discriminator
    loss_f, loss_cycle = nonsaturating(f(torch.cat([ROWS, ROWS], 1)), f(torch.cat([ROWS, 0.5 * ROWS], 1)))
    expected = {"discriminator": loss_d, "cycle_discriminator": loss_f, "generator": loss_g + 0.5 * loss_cycle}
    torch.testing.assert_close(lost(game), expected)
    # Half of the squared slope of a linear f is the same everywhere; R1 and R2 each ask for it.
    plain, penalised = lost(game), lost(alice_like(game, penalty=0.3))
    slope = {"discriminator": game.discriminator.d_xz, "cycle_discriminator": f.head}
    for player, network in slope.items():
        squared = network[-1].weight.square().sum()
        torch.testing.assert_close(penalised[player] - plain[player], 0.3 * squared)


def alice_like(game: games.ALICE, **options) -> games.ALICE:
    other = alice(cycle=game.cycle, **options)
    other.load_state_dict(game.state_dict())
    return other


def test_a_perfect_cycle_is_one_that_no_discriminator_can_tell():
    game = alice()
    game.decoder = scale(0.5)  # the encoder's inverse
    rho_same, rho_back = (
        game.cycle_discriminator(torch.cat([ROWS, other], 1)) for other in (ROWS, game.decode(game.encode(ROWS).mean).mean)
    )
    torch.testing.assert_close(rho_same, rho_back)


def test_bigbigan_s_losses_are_hinges_on_three_scores():
    game: Any = RECIPES["bigbigan"](Spec((2,)), networks="mlp", latent=2, width=4, depth=1, penalty=0.0).game
    for network in (game.discriminator.s_x, game.discriminator.s_z, game.discriminator.joint):
        network[-1].weight.data *= 5  # some scores beyond the margin, some within
    game.encoder, game.decoder = scale(2.0), scale(0.25)
    torch.manual_seed(0)
    z = torch.randn(3, 2)
    d, data, made = game.discriminator, game.discriminator(ROWS, 2 * ROWS), game.discriminator(0.25 * z, z)
    assert data.shape == (3, 3)
    loss_d = torch.relu(1 - data).sum(1).mean() + torch.relu(1 + made).sum(1).mean()
    loss_eg = data.sum(1).mean() - made.sum(1).mean()
    torch.testing.assert_close(lost(game), {"discriminator": loss_d, "generator": loss_eg})
    # s_x does not look at z, nor s_z at x; the joint score looks at both.
    moved_z, moved_x = d(ROWS, ROWS) != data, d(ROWS + 1, 2 * ROWS) != data
    assert moved_z.any(0).tolist() == [False, True, True]
    assert moved_x.any(0).tolist() == [True, False, True]
    game.weights = (0.0, 0.0, 1.0)
    torch.testing.assert_close(lost(game)["discriminator"], hinge(data[:, 2], made[:, 2])[0])


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16)])
def test_bigbigan_s_scores_share_features_on_images_too(shape):
    d: Any = RECIPES["bigbigan"](Spec(shape), networks="conv", latent=3, width=2).game.discriminator
    assert d(torch.randn(5, *shape), torch.randn(5, 3)).shape == (5, 3)


@pytest.mark.parametrize(("recipe", "mse_share", "label_kept", "two_sample"), [("alice", 0.3, 0.9, 0.92), ("bigbigan", 0.8, 0.5, 0.97)])
def test_digits_are_generated_and_reconstructed(tmp_path, recipe, mse_share, label_kept, two_sample):
    values = ali.evaluate(ali.Model.train("digits", out=tmp_path / "run", recipe=recipe, epochs=30), digits())
    assert values["mse_share"] < mse_share
    assert values["label_kept"] > label_kept
    assert values["two_sample"] < two_sample
    assert values["q_z"] < 0.15
