"""One sweep for all players gives what a backward pass for each of them gives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ali import games, sweeps
from ali.data.source import Batch
from ali.distributions import StandardNormal
from ali.layers import spectral
from ali.networks import Deterministic, Discriminator
from ali.objectives import OBJECTIVES, Objective
from ali.table import build, conv, linear, tconv

N = 6
PROGRESS = torch.tensor(0.3)


def rows(batch_norm: bool, dropout: float, spectrally: bool = False) -> Discriminator:
    """D on pairs of 3 x 5 x 5 images and 2 numbers, with batch normalisation in D(x) only, as in Tables 4 to 6."""
    d_x = build((conv(3, 1, 4, False, 0.0, "lrelu"), conv(3, 1, 6, batch_norm, dropout, "maxout")), (3, 5, 5), sigma=0.5)
    d_z = build((conv(1, 1, 3, False, dropout, "lrelu"),), (2, 1, 1), sigma=0.5)
    d_xz = build(
        (conv(1, 1, 8, False, dropout, "maxout"), conv(1, 1, 1, False, 0.0, "sigmoid")), (9, 1, 1), (1, 1, 1), sigma=0.5, logits=True
    )
    d = Discriminator(d_x, d_z, d_xz)
    if spectrally:
        spectral(d)
    return d


def game(discriminator: nn.Module, objective: Objective, apart: bool = False) -> games.ALI:
    torch.manual_seed(0)
    encoder = build((conv(5, 1, 2, False, 0.0, "linear"),), (3, 5, 5), (2,), sigma=0.3)
    decoder = build((tconv(5, 1, 3, False, 0.0, "linear"),), (2, 1, 1), (3, 5, 5), sigma=0.3)
    return games.ALI(Deterministic(encoder), Deterministic(decoder), discriminator, StandardNormal(2), objective, apart=apart)


def gradients(played: games.Game, swept: bool, x: Tensor) -> dict[str, list[Tensor]]:
    owned = {player: games.parameters(played, player) for player in played.players}
    torch.manual_seed(7)  # the same dropout masks
    if swept:
        with sweeps.record() as tape:
            losses = played.losses(Batch(x, None), PROGRESS)
        played.zero_grad()
        tape.backward(losses, owned)
        return {player: [torch.zeros_like(p) if p.grad is None else p.grad for p in owned[player]] for player in owned}
    losses = played.losses(Batch(x, None), PROGRESS)
    found = {player: torch.autograd.grad(losses[player], owned[player], retain_graph=True, allow_unused=True) for player in owned}
    return {
        player: [torch.zeros_like(p) if g is None else g for p, g in zip(owned[player], found[player], strict=True)] for player in owned
    }


def assert_same(found: dict[str, list[Tensor]], expected: dict[str, list[Tensor]], tolerance: float) -> None:
    for player in expected:
        norm = torch.cat([g.flatten() for g in expected[player]]).norm()
        error = torch.cat([(f - e).flatten() for f, e in zip(found[player], expected[player], strict=True)]).norm()
        assert norm > 0
        assert error <= tolerance * norm


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(("batch_norm", "dropout"), [(False, 0.0), (False, 0.4), (True, 0.4)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
def test_gradients_are_those_of_a_pass_for_each_player(objective, batch_norm, dropout, apart, dtype, tolerance):
    played = game(rows(batch_norm, dropout), OBJECTIVES[objective], apart).to(dtype)
    x = torch.randn(N, 3, 5, 5, dtype=dtype)
    assert_same(gradients(played, True, x), gradients(played, False, x), tolerance)


@pytest.mark.parametrize("logit", [1e2, 1e4, -1e4])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_gradients_hold_where_the_discriminator_is_sure_of_itself(objective, logit):
    """Its seeds are then 0 to the last digit, the generators' are not."""
    played = game(rows(False, 0.2), OBJECTIVES[objective]).double()
    x = torch.randn(N, 3, 5, 5, dtype=torch.float64)
    last = played.discriminator.d_xz[played.discriminator.d_xz.last]
    with torch.no_grad():
        last.weight.mul_(abs(logit) / 10)
        last.bias.fill_(logit)
    found, expected = gradients(played, True, x), gradients(played, False, x)
    for player in expected:
        for f, e in zip(found[player], expected[player], strict=True):
            torch.testing.assert_close(f, e, rtol=1e-12, atol=1e-30)


def test_single_precision_is_as_near_to_the_truth_as_two_passes_are_at_large_logits():
    played = game(rows(False, 0.0), OBJECTIVES["nonsaturating"])
    with torch.no_grad():
        played.discriminator.d_xz[played.discriminator.d_xz.last].weight.mul_(3000)
    x = torch.randn(N, 3, 5, 5)
    found, plain = gradients(played, True, x), gradients(played, False, x)
    rho = played.discriminator(x, played.encoder(x).mean)
    assert rho.abs().max() > 200
    assert all(torch.isfinite(g).all() for player in found for g in found[player])
    assert_same(found, plain, 5e-6)


class Multiplications(TorchDispatchMode):
    """Counts multiplications, in convolutions and products of matrices."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        output = function(*args, **(kwargs or {}))
        if function._overloadpacket in flop_registry:
            self.count += flop_registry[function._overloadpacket](*args, **(kwargs or {}), out_val=output)
        return output


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_discriminator_is_swept_less_often(batch_norm):
    played = game(rows(batch_norm, 0.0), OBJECTIVES["nonsaturating"])
    x = torch.randn(N, 3, 5, 5)
    counts = {}
    for swept in (True, False):
        with Multiplications() as counter:
            gradients(played, swept, x)
        counts[swept] = counter.count
    assert counts[True] < counts[False]


class Mixing(nn.Module):
    """A layer of somebody's own in which rows meet."""

    def forward(self, a: Tensor) -> Tensor:
        return a - a.mean(0)


@pytest.mark.parametrize("layer", [Mixing(), nn.BatchNorm2d(6)])
def test_layers_in_which_rows_meet_are_left_alone(layer):
    d = rows(False, 0.0)
    assert sweeps.per_row(d)
    d.d_x.append(layer)
    assert not sweeps.per_row(d)
    played = game(d, OBJECTIVES["nonsaturating"]).double()
    x = torch.randn(N, 3, 5, 5, dtype=torch.float64)
    assert_same(gradients(played, True, x), gradients(played, False, x), 1e-12)


def test_what_works_in_place_on_its_input_is_left_alone():
    d = nn.Sequential(nn.LeakyReLU(0.2, inplace=True), nn.Flatten(), nn.Linear(6, 1), nn.Flatten(0))
    assert not sweeps.per_row(d)
    assert sweeps.per_row(nn.Sequential(nn.LeakyReLU(0.2), *list(d)[1:]))
    a, b = torch.randn(4, 6, requires_grad=True), torch.randn(4, 6, requires_grad=True)
    with sweeps.record() as tape:
        games.game.judge(d, (a + 0,), (b + 0,))
    assert not tape.cuts


def test_batch_normalisation_that_does_not_learn_treats_rows_by_themselves():
    d = rows(True, 0.0)
    assert not sweeps.per_row(d)
    assert sweeps.per_row(d.eval())


def test_spectral_normalisation_is_swept_once_and_takes_one_step_per_pass():
    played = game(rows(False, 0.0, spectrally=True), OBJECTIVES["hinge"]).double()
    assert sweeps.per_row(played.discriminator)
    assert not sweeps.stateless(played.discriminator)
    state = {name: value.clone() for name, value in played.state_dict().items()}
    x = torch.randn(N, 3, 5, 5, dtype=torch.float64)
    found = gradients(played, True, x)
    played.load_state_dict(state)
    assert_same(found, gradients(played, False, x), 1e-12)


def test_whoever_owns_what_comes_before_the_discriminator_learns_from_it_too():
    """An embedding that belongs to D, in front of what is cut out: D's gradient is not scaled, the generator's is."""

    class Embedded(games.Game):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embedding, self.critic, self.made = (
                nn.Linear(3, 3),
                nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1), nn.Flatten(0)),
                nn.Linear(2, 3),
            )
            self.players = {"discriminator": [self.embedding, self.critic], "generator": [self.made]}

        def losses(self, batch, progress):
            made = self.made(batch.x[:, :2])
            rho_q, rho_p = games.game.judge(self.critic, (self.embedding(batch.x),), (self.embedding(made),))
            loss_d, loss_g = OBJECTIVES["nonsaturating"](rho_q, rho_p)
            return {"discriminator": loss_d, "generator": loss_g}

    played = Embedded().double()
    x = torch.randn(N, 3, dtype=torch.float64)
    with sweeps.record() as tape:
        played.losses(Batch(x, None), PROGRESS)
    assert len(tape.cuts) == 1
    assert_same(gradients(played, True, x), gradients(played, False, x), 1e-12)


def test_a_penalty_and_an_alternating_schedule_keep_their_gradients():
    torch.manual_seed(0)
    d = Discriminator(
        build((), (3,)),
        build((), (2,)),
        build((linear(6, False, 0.0, "lrelu"), linear(1, False, 0.0, "sigmoid")), (5,), (1,), sigma=0.5, logits=True),
    )
    encoder, decoder = (
        build((linear(2, False, 0.0, "linear"),), (3,), (2,), sigma=0.5),
        build((linear(3, False, 0.0, "linear"),), (2,), (3,), sigma=0.5),
    )
    played = games.ALI(
        Deterministic(encoder), Deterministic(decoder), d, StandardNormal(2), penalty=0.5, cycle=2.0, regression=1.0
    ).double()
    x = torch.randn(N, 3, dtype=torch.float64)
    expected = gradients(played, False, x)
    assert_same(gradients(played, True, x), expected, 1e-12)
    for player in played.players:  # a round of its own
        played.zero_grad()
        owned = {name: games.parameters(played, name) for name in played.players}
        torch.manual_seed(7)
        with sweeps.record() as tape:
            losses = played.losses(Batch(x, None), PROGRESS)
        tape.backward({player: losses[player]}, owned)
        assert_same({player: [p.grad for p in owned[player]]}, {player: expected[player]}, 1e-12)
        assert all(p.grad is None for name in owned if name != player for p in owned[name])
