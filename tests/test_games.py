"""The contract, held against every game, and the closed forms of the adversarial pair.

To put a new game under the contract, add lines to ``ZOO``: how to build it with small networks and, if it differs, what else a Case says.
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from ali import games
from ali.data.source import Batch
from ali.distributions import DiagonalNormal, Dirac, Distribution, StandardNormal
from ali.errors import AliError
from ali.games.ali import _surprise
from ali.games.game import Generates, Infers, judge
from ali.networks import Deterministic, Discriminator, Gaussian, ImplicitConditional
from ali.objectives import OBJECTIVES
from ali.table import build, linear
from ali.tables import generic

N, X, Z, NOISE = 6, 3, 2, 1
SIMULTANEOUS, ALTERNATING = (("discriminator", "generator"),), (("discriminator",), ("generator",))
LOG2 = math.log(2)


class Case(NamedTuple):
    """A game to hold the contract against."""

    game: Callable  # its entry in games.GAMES
    build: Callable[[], games.Game]
    shape: tuple[int, ...] = (X,)  # of one row of x
    protocols: tuple[type, ...] = (Generates, Infers)
    blind: frozenset | set = frozenset()  # parameters whose gradient is zero by construction


def mlp(encoder: str) -> tuple[nn.Module, nn.Module, nn.Module, StandardNormal]:
    """Encoder of a family, decoder and a smooth D for vectors, with weights so large that logits spread over several units."""
    codes = 2 * Z if encoder == "gaussian" else Z
    rows = generic.mlp(X, codes, width=5, depth=1)
    rows = rows._replace(D_xz=(linear(5, False, 0.0, "tanh"), rows.D_xz[-1]))  # smooth, so that D's slope depends on the pair
    sees = X + NOISE if encoder == "implicit" else X
    e, g = build(rows.G_z, (sees,), (codes,), sigma=0.7), build(rows.G_x, (Z,), (X,), sigma=0.7)
    d = Discriminator(build(rows.D_x, (X,)), build(rows.D_z, (Z,)), build(rows.D_xz, (X + Z,), (1,), sigma=2.0, logits=True))
    wrap = {"gaussian": Gaussian, "implicit": lambda network: ImplicitConditional(network, NOISE), "deterministic": Deterministic}
    return wrap[encoder](e), Deterministic(g), d, StandardNormal(Z)


def images() -> tuple[nn.Module, nn.Module, nn.Module, StandardNormal]:
    """The same for images of 8 x 8 pixels, with convolutions, and batch normalisation in encoder and decoder."""
    rows = generic.image((1, 8, 8), 2 * Z, width=2, batch_norm=True)
    e, g = build(rows.G_z, (1, 8, 8), (2 * Z,), sigma=None), build(rows.G_x, (Z, 1, 1), (1, 8, 8), sigma=None)
    d_x, d_z = build(rows.D_x, (1, 8, 8), sigma=None), build(rows.D_z, (Z, 1, 1), sigma=None)
    d_xz = build(rows.D_xz, (d_x.size + d_z.size, 1, 1), (1, 1, 1), sigma=None, logits=True)
    return Gaussian(e), Deterministic(g), Discriminator(d_x, d_z, d_xz), StandardNormal(Z)


TERMS = {
    "plain": {},
    "penalty": {"penalty": 0.5, "penalty_end": 0.1},
    "cycle": {"cycle": 2.0},
    "regression": {"regression": 0.5},
    "all terms": {"penalty": 0.5, "cycle": 2.0, "regression": 0.5},
}
SCHEDULES = {"simultaneous": SIMULTANEOUS, "alternating": ALTERNATING}


def of_pairs(game: Callable, networks: Callable, shape: tuple[int, ...] = (X,), last: int = 2) -> dict[str, Case]:
    """A game of pairs (x, z), whose D ends in layer ``last``, with every objective, schedule and optional term."""
    cases = {}
    for objective, schedule, terms in itertools.product(OBJECTIVES, SCHEDULES, TERMS):
        options = {"objective": OBJECTIVES[objective], "schedule": SCHEDULES[schedule], **TERMS[terms]}
        # The relativistic objective sees only differences of logits: D's last bias cancels.
        blind = {f"discriminator.d_xz.{last}.bias"} if objective == "relativistic" else set()
        cases[f"{objective}, {schedule}, {terms}"] = Case(game, lambda options=options: game(*networks(), **options), shape, blind=blind)
    return cases


ZOO = {
    "ALI, Gaussian encoder": of_pairs(games.ALI, lambda: mlp("gaussian")),
    "ALI, implicit encoder": of_pairs(games.ALI, lambda: mlp("implicit")),
    "ALI, deterministic encoder": of_pairs(games.ALI, lambda: mlp("deterministic")),
    "ALI, images": of_pairs(games.ALI, images, (1, 8, 8), last=4),
    "BiGAN": of_pairs(games.BiGAN, lambda: mlp("deterministic")),
}
CASES = {f"{name}, {how}": case for name, cases in ZOO.items() for how, case in cases.items()}


def seeded(make: Callable[[], games.Game], seed: int) -> games.Game:
    torch.manual_seed(seed)
    return make().double()


def losses(game: games.Game, x: Tensor, progress: float = 0.3, seed: int = 7) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return game.losses(Batch(x), torch.tensor(progress))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_contract(case: Case):
    game, x = seeded(case.build, 0), torch.rand(N, *case.shape, generator=torch.Generator().manual_seed(1)).double()

    # Every trainable parameter has exactly one owner; those who move are players, and every player moves.
    owned = [id(p) for player in game.players for p in games.parameters(game, player)]
    trainable = [id(p) for p in game.parameters() if p.requires_grad]
    assert sorted(owned) == sorted(trainable)
    assert {player for players in game.schedule for player in players} == set(game.players)

    # A finite scalar for each player.
    lost = losses(game, x)
    assert lost.keys() == game.players.keys()
    assert all(loss.shape == () and torch.isfinite(loss) for loss in lost.values())

    # Each player's gradient, as the loop takes it, reaches all of that player's parameters and nobody else's.
    names = {id(p): name for name, p in game.named_parameters()}
    for player, loss in lost.items():
        mine = games.parameters(game, player)
        game.zero_grad()
        loss.backward(inputs=mine, retain_graph=True)
        assert {id(p) for p in game.parameters() if p.grad is not None} == {id(p) for p in mine}
        assert {names[id(p)] for p in mine if p.grad.abs().max() < 1e-12} == case.blind & {names[id(p)] for p in mine}

    # Weights saved and loaded give the same losses under the same seed; other weights do not.
    other = seeded(case.build, 1)
    assert losses(other, x) != lost
    other.load_state_dict(game.state_dict())
    assert losses(other, x) == lost

    # The verbs that it offers, and no other.
    game.eval()
    assert [protocol for protocol in (Generates, Infers) if isinstance(game, protocol)] == list(case.protocols)
    if Generates in case.protocols:
        z = game.prior.sample(N)
        assert isinstance(game.decode(z), Distribution)
        assert z.shape == (N, game.prior.dim)
        assert game.decode(z).mean.shape == game.decode(z).rsample().shape == x.shape
    if Infers in case.protocols:
        assert isinstance(game.encode(x), Distribution)
        assert game.encode(x).mean.shape == game.encode(x).rsample().shape == (N, Z)


class Known(StandardNormal):
    """A prior whose draws are known."""

    def __init__(self, z: Tensor):
        super().__init__(z.shape[1])
        self.z = z

    def sample(self, n: int) -> Tensor:
        return self.z[:n]


def affine(inputs: int, slope: tuple[float, ...], shift: float = 0.0, logits: bool = False) -> nn.Module:
    """The network u -> slope u + shift, to one number."""
    network = build((linear(1, False, 0.0, "sigmoid" if logits else "linear"),), (inputs,), (1,), logits=logits).double()
    network[0].weight.data.copy_(torch.tensor([slope], dtype=torch.float64))
    network[0].bias.data.fill_(shift)
    return network


class Line(NamedTuple):
    """The one-layer game: z_hat = a x + e, x_tilde = b z + f, D = u x + v z + c."""

    a: float = 0.8
    e: float = -0.3
    b: float = -1.1
    f: float = 0.4
    u: float = 0.7
    v: float = -0.5
    c: float = 0.2

    def game(self, z: Tensor, make: Callable = games.BiGAN, **options) -> games.Game:
        d = Discriminator(build((), (1,)), build((), (1,)), affine(2, (self.u, self.v), self.c, logits=True))
        e, g = Deterministic(affine(1, (self.a,), self.e)), Deterministic(affine(1, (self.b,), self.f))
        return make(e, g, d, Known(z), **options).double()


@pytest.fixture
def xz() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(50, 1, generator=generator, dtype=torch.float64), torch.randn(50, 1, generator=generator, dtype=torch.float64)


def indifferent(rho_q: Tensor, rho_p: Tensor) -> tuple[Tensor, Tensor]:
    """An objective without a wish: what is left of the losses are the optional terms."""
    return 0 * rho_q.sum(), 0 * rho_p.sum()


def gradient(loss: Tensor, module: nn.Module) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(module.parameters()), retain_graph=True, allow_unused=True, materialize_grads=True))


@pytest.mark.parametrize(
    ("objective", "loss_d", "loss_g"),
    [("nonsaturating", 2 * LOG2, 2 * LOG2), ("minimax", 2 * LOG2, -2 * LOG2), ("relativistic", LOG2, LOG2), ("hinge", 2.0, 0.0)],
)
@pytest.mark.parametrize("make", [games.ALI, games.BiGAN])
def test_losses_of_a_discriminator_that_knows_nothing(make, objective, loss_d, loss_g, xz):
    x, z = xz
    lost = losses(Line(u=0, v=0, c=0).game(z, make, objective=OBJECTIVES[objective]), x)
    assert lost["discriminator"].item() == pytest.approx(loss_d, abs=1e-14)
    assert lost["generator"].item() == pytest.approx(loss_g, abs=1e-14)


@pytest.mark.parametrize("make", [games.ALI, games.BiGAN])
def test_gradient_of_the_one_layer_game_is_that_derived_by_hand(make, xz):
    (x, z), line, gamma, cycle, regression = xz, Line(), 0.25, 2.0, 0.7
    game = line.game(z, make, penalty=gamma, cycle=cycle, regression=regression)
    lost = losses(game, x)

    a, e, b, f, u, v, c = line
    z_hat, x_tilde = a * x + e, b * z + f
    q, p = u * x + v * z_hat + c, u * x_tilde + v * z + c  # logits
    # L_d = E softplus(-q) + E softplus(p) + gamma (u^2 + v^2): R1 and R2 are both half of D's squared slope.
    to_q, to_p = -torch.sigmoid(-q), torch.sigmoid(p)
    by_u = (to_q * x + to_p * x_tilde).mean() + 2 * gamma * u
    by_v = (to_q * z_hat + to_p * z).mean() + 2 * gamma * v
    by_c = (to_q + to_p).mean()
    # L_g = E softplus(q) + E softplus(-p) + cycle E (b z_hat + f - x)^2 + regression E (a x_tilde + e - z)^2, x_tilde held in the last.
    to_q, to_p = torch.sigmoid(q), -torch.sigmoid(-p)
    missed_x, missed_z = 2 * cycle * (b * z_hat + f - x), 2 * regression * (a * x_tilde + e - z)
    by_a = (to_q * v * x + missed_x * b * x + missed_z * x_tilde).mean()
    by_e = (to_q * v + missed_x * b + missed_z).mean()
    by_b = (to_p * u * z + missed_x * z_hat).mean()
    by_f = (to_p * u + missed_x).mean()

    found = {name: torch.cat([g.flatten() for g in gradient(lost[player], getattr(game, name))])
             for name, player in (("discriminator", "discriminator"), ("encoder", "generator"), ("decoder", "generator"))}  # fmt: skip
    torch.testing.assert_close(found["discriminator"], torch.stack([by_u, by_v, by_c]), rtol=0, atol=1e-14)
    torch.testing.assert_close(found["encoder"], torch.stack([by_a, by_e]), rtol=0, atol=1e-14)
    torch.testing.assert_close(found["decoder"], torch.stack([by_b, by_f]), rtol=0, atol=1e-14)
    value = -(logsigmoid(q).mean() + logsigmoid(-p).mean()) + gamma * (u**2 + v**2)
    assert lost["discriminator"].item() == pytest.approx(value.item(), abs=1e-14)


@pytest.mark.parametrize("encoder", ["gaussian", "implicit", "deterministic"])
def test_regression_moves_the_encoder_and_never_the_decoder(encoder):
    game = seeded(lambda: games.ALI(*mlp(encoder), objective=indifferent, regression=1.0), 0)
    loss = losses(game, torch.randn(N, X, dtype=torch.float64))["generator"]
    assert all(g.abs().max() > 1e-6 for g in gradient(loss, game.encoder))
    assert all(not g.any() for g in gradient(loss, game.decoder))


@pytest.mark.parametrize("encoder", ["gaussian", "implicit", "deterministic"])
def test_penalty_moves_the_discriminator_and_never_the_generators(encoder):
    game = seeded(lambda: games.ALI(*mlp(encoder), objective=indifferent, penalty=1.0), 0)
    lost = losses(game, torch.randn(N, X, dtype=torch.float64))
    assert any(g.abs().max() > 1e-6 for g in gradient(lost["discriminator"], game.discriminator))
    assert all(not g.any() for g in gradient(lost["discriminator"], game.encoder) + gradient(lost["discriminator"], game.decoder))
    assert lost["generator"] == 0


@pytest.mark.parametrize(
    ("progress", "gamma"), [(0.0, 0.4), (0.175, 0.4 * 40 ** (-1 / 4)), (0.35, 0.4 / 40**0.5), (0.7, 0.01), (0.85, 0.01), (1.0, 0.01)]
)
def test_penalty_anneals_geometrically_over_the_first_70_percent(progress, gamma, xz):
    x, z = xz
    game = Line(u=3.0, v=4.0).game(z, objective=indifferent, penalty=0.4, penalty_end=0.01)
    assert losses(game, x, progress)["discriminator"].item() == pytest.approx(gamma * 25, rel=1e-6)  # progress is float32


def test_penalty_stays_where_it_is_without_an_end(xz):
    x, z = xz
    game = Line(u=3.0, v=4.0).game(z, objective=indifferent, penalty=0.5)
    assert [losses(game, x, progress)["discriminator"].item() for progress in (0.0, 0.4, 1.0)] == pytest.approx([12.5] * 3, rel=1e-12)


def test_likelihood_is_that_of_the_normal_law_and_moves_the_encoder_alone():
    e, g, d, prior = mlp("gaussian")
    game = games.ALI(e, g, d, prior, objective=indifferent, likelihood=0.5).double()
    x = torch.randn(N, X, dtype=torch.float64)
    loss = losses(game, x, seed=1)["generator"]
    torch.manual_seed(1)
    z = prior.sample(N)
    e(x).rsample()
    law = e(g(z).rsample())
    expected = -0.5 * (torch.distributions.Normal(law.mu, law.log_sigma.clamp(min=-2.5).exp()).log_prob(z) + 0.5 * math.log(2 * math.pi))
    torch.testing.assert_close(loss, expected.mean())
    assert all(g.abs().max() > 1e-6 for g in gradient(loss, game.encoder))
    assert all(not g.any() for g in gradient(loss, game.decoder))


def test_likelihood_is_least_where_sigma_is_what_the_encoder_misses():
    torch.manual_seed(0)
    missed = 0.3 * torch.randn(100_000, 1)
    surprise = {
        sigma: _surprise(DiagonalNormal(0 * missed, torch.full_like(missed, math.log(sigma))), missed) for sigma in (0.2, 0.3, 0.45)
    }
    assert min(surprise, key=lambda sigma: surprise[sigma].item()) == 0.3
    assert _surprise(Dirac(missed), missed - 2).item() == pytest.approx(2)


def test_contrast_wants_images_and_moves_encoder_and_decoder():
    game = games.ALI(*mlp("gaussian"), objective=indifferent, contrast=1.0).double()
    with pytest.raises(AliError, match="contrast is for images"):
        losses(game, torch.randn(N, X, dtype=torch.float64))
    game = games.ALI(*images(), objective=indifferent, contrast=1.0, cycle=1.0).double()
    loss = losses(game, torch.randn(N, 1, 8, 8, dtype=torch.float64))["generator"]
    assert all(any(g.abs().max() > 1e-9 for g in gradient(loss, module)) for module in (game.encoder, game.decoder))


def test_copies_that_are_not_reconstructed_leave_the_cycle_to_the_rows():
    x, networks = torch.rand(N, 1, 8, 8, dtype=torch.float64), [network.double() for network in images()]

    def lost(**terms) -> torch.Tensor:
        return losses(games.ALI(*networks, objective=indifferent, **terms), x)["generator"]

    torch.testing.assert_close(lost(cycle=3.0, contrast=0.5, copies=False), lost(cycle=3.0) + lost(contrast=0.5))
    assert lost(cycle=3.0, contrast=0.5) > lost(cycle=3.0, contrast=0.5, copies=False) + 0.01
    # Neighbours and the row's own copy share the contrast.
    shares = [lost(contrast=1.0, neighbours=share) for share in (0.0, 0.25, 0.75)]
    torch.testing.assert_close(shares[1] - shares[0], (shares[2] - shares[0]) / 3)
    assert (shares[2] - shares[0]).abs() > 1e-3


@pytest.mark.parametrize(("thin", "rows"), [(1, N), (2, N // 2), (N, 1), (10 * N, 1)])
def test_a_thin_penalty_sees_the_first_rows_only(thin, rows):
    torch.manual_seed(0)
    networks, x, z = mlp("deterministic")[:3], torch.randn(N, X), torch.randn(N, Z)
    lost = [
        losses(games.ALI(*networks, Known(z[:n]), objective=indifferent, penalty=0.5, thin=t), x[:n])["discriminator"]
        for n, t in ((N, thin), (rows, 1))
    ]
    torch.testing.assert_close(*lost)


def test_judge_scores_both_kinds_of_pair_in_one_pass():
    rows = generic.mlp(X + Z, 1, width=7, depth=2, batch_norm=True, output="sigmoid").G_x
    torch.manual_seed(0)
    d = Discriminator(build((), (X,)), build((), (Z,)), build((*rows[:-1], linear(1, True, 0.0, "sigmoid")), (X + Z,), (1,), logits=True))
    x, z_hat, x_tilde, z = torch.randn(N, X), torch.randn(N, Z), 3 + torch.randn(N, X), 3 + torch.randn(N, Z)
    calls = []
    d.register_forward_hook(lambda *_: calls.append(1))

    rho_q, rho_p = judge(d, (x, z_hat), (x_tilde, z))
    assert len(calls) == 1
    torch.testing.assert_close(torch.cat([rho_q, rho_p]), d(torch.cat([x, x_tilde]), torch.cat([z_hat, z])), rtol=0, atol=0)
    assert (rho_q - d(x, z_hat)).abs().max() > 0.1  # two passes would be another model
    d.eval()
    rho_q, rho_p = judge(d, (x, z_hat), (x_tilde, z))
    torch.testing.assert_close(rho_q, d(x, z_hat))
    torch.testing.assert_close(rho_p, d(x_tilde, z))


def test_a_whole_step_of_losses_passes_through_the_discriminator_once(xz):
    x, z = xz
    game, calls = Line().game(z, cycle=1.0, regression=1.0), []
    game.discriminator.register_forward_hook(lambda *_: calls.append(1))
    losses(game, x)
    assert len(calls) == 1


@pytest.mark.parametrize(("encoder", "named"), [("gaussian", "Gaussian"), ("implicit", "ImplicitConditional")])
def test_bigan_refuses_a_stochastic_conditional_in_words(encoder, named):
    e, g, d, prior = mlp(encoder)
    make = inspect.unwrap(games.BiGAN)  # the tests' type checker would refuse first, in words of its own
    with pytest.raises(ValueError, match=f"BiGAN's encoder is deterministic; got {named}: take games.ALI"):
        make(e, g, d, prior)
    with pytest.raises(ValueError, match=f"BiGAN's decoder is deterministic; got {named}: take games.ALI"):
        make(g, e, d, prior)


def test_a_frozen_part_belongs_to_nobody():
    game = games.ALI(*mlp("gaussian"))
    game.decoder.requires_grad_(False)
    assert {id(p) for p in games.parameters(game, "generator")} == {id(p) for p in game.encoder.parameters()}


def test_a_game_without_the_verbs_does_not_offer_them():
    class Mute(games.Game):
        def losses(self, batch, progress):
            return {}

    assert not isinstance(Mute(), Generates)
    assert not isinstance(Mute(), Infers)
