r"""Propositions 1 to 3 of the paper (sections 2.4 to 2.6), where everything is known: one-dimensional Gaussian joints.

.. math:: q(x, z) = N(x | m, s^2) N(z | a x + b, e^2), \quad p(x, z) = N(z | 0, 1) N(x | c z + d, f^2)
"""

from __future__ import annotations

import copy
import math
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from ali import games
from ali.data.source import Batch
from ali.distributions import StandardNormal
from ali.networks import Deterministic, Discriminator, Gaussian
from ali.objectives import minimax
from ali.table import build, linear
from ali.train import hold_then_cosine, play

LOG4 = math.log(4)


class Joints(NamedTuple):
    """Two bivariate normals: data and encoder, prior and decoder."""

    m: float = 0.5  # x ~ N(m, s^2)
    s: float = 1.2
    a: float = -0.4  # z | x ~ N(a x + b, e^2)
    b: float = 0.6
    e: float = 0.8
    c: float = 0.9  # x | z ~ N(c z + d, f^2)
    d: float = -0.2
    f: float = 0.7

    @classmethod
    def matched(cls, c: float, d: float, f: float) -> Joints:
        """The encoder is the decoder's posterior, and the data are what the decoder generates: q(x, z) = p(x, z)."""
        variance = c * c + f * f
        return cls(d, variance**0.5, c / variance, -c * d / variance, f / variance**0.5, c, d, f)

    def game(self, discriminator: nn.Module, **options) -> games.ALI:
        """ALI with exactly these conditionals."""

        def gaussian(slope: float, shift: float, sigma: float) -> Gaussian:
            network = build((linear(2, False, 0.0, "linear"),), (1,), (2,)).double()
            network[0].weight.data.copy_(torch.tensor([[slope], [0.0]], dtype=torch.float64))
            network[0].bias.data.copy_(torch.tensor([shift, math.log(sigma)], dtype=torch.float64))
            return Gaussian(network)

        encoder, decoder = gaussian(self.a, self.b, self.e), gaussian(self.c, self.d, self.f)
        return games.ALI(encoder, decoder, discriminator, StandardNormal(1), **options).double()

    def data(self, n: int, seed: int):
        """An endless stream of batches of x."""
        generator = torch.Generator().manual_seed(seed)
        while True:
            yield Batch(self.m + self.s * torch.randn(n, 1, generator=generator, dtype=torch.float64))

    def pairs(self, n: int) -> tuple[Tensor, Tensor]:
        """Pairs that no training saw, n from q and n from p."""
        torch.manual_seed(1234)
        noise = torch.randn(4, n, 1, dtype=torch.float64)
        x, z = self.m + self.s * noise[0], noise[1]
        return torch.cat([x, self.c * z + self.d + self.f * noise[2]]), torch.cat([self.a * x + self.b + self.e * noise[3], z])


def log_normal(v: Tensor, mean: Tensor | float, sigma: Tensor | float) -> Tensor:
    sigma = torch.as_tensor(sigma, dtype=torch.float64)
    return -0.5 * ((v - mean) / sigma) ** 2 - sigma.log() - 0.5 * math.log(2 * math.pi)


def log_q(joints: Joints, x: Tensor, z: Tensor) -> Tensor:
    return log_normal(x, joints.m, joints.s) + log_normal(z, joints.a * x + joints.b, joints.e)


def log_p(joints: Joints, x: Tensor, z: Tensor) -> Tensor:
    return log_normal(z, 0, 1) + log_normal(x, joints.c * z + joints.d, joints.f)


class Optimal(nn.Module):
    """The discriminator of eq. 5, as a logit: log q(x, z) - log p(x, z)."""

    def __init__(self, joints: Joints):
        super().__init__()
        self.joints = joints

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return (log_q(self.joints, x, z) - log_p(self.joints, x, z)).flatten()


class Quadratic(nn.Module):
    """Logistic regression on x, z, x^2, xz and z^2: the log ratio of two normals is of this form."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, 1)
        nn.init.normal_(self.layer.weight)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.layer(torch.cat([x, z, x * x, x * z, z * z], 1)).flatten()


def perceptron(size: int = 1, width: int = 32) -> Discriminator:
    rows = (linear(width, False, 0.0, "lrelu"), linear(width, False, 0.0, "lrelu"), linear(1, False, 0.0, "sigmoid"))
    return Discriminator(build((), (size,)), build((), (size,)), build(rows, (2 * size,), (1,), sigma=None, logits=True))


def train_discriminator(joints: Joints, make, *, n: int, steps: int, lr: float, seed: int) -> nn.Module:
    """Play the game in which the generators never move."""
    torch.manual_seed(seed)
    discriminator = make()
    game = joints.game(discriminator, schedule=(("discriminator",),))
    adam = {"discriminator": torch.optim.Adam(discriminator.parameters(), lr=lr, betas=(0.9, 0.99))}
    for _ in play(game, joints.data(n, seed), adam, steps=steps, seed=seed, rate=hold_then_cosine):
        pass
    return discriminator


# A grid far into the tails: for smooth densities that vanish at its edge the sum is exact to many digits.
LINE = torch.linspace(-9, 9, 601, dtype=torch.float64)
GRID_X, GRID_Z = (axis.reshape(-1, 1) for axis in torch.meshgrid(LINE, LINE, indexing="ij"))
CELL = float(LINE[1] - LINE[0]) ** 2


def jensen_shannon(joints: Joints) -> Tensor:
    """JSD(q || p) = (KL(q || (q + p) / 2) + KL(p || (q + p) / 2)) / 2, summed over the grid."""
    lq, lp = log_q(joints, GRID_X, GRID_Z), log_p(joints, GRID_X, GRID_Z)
    middle = torch.logaddexp(lq, lp) - math.log(2)
    return 0.5 * (lq.exp() * (lq - middle) + lp.exp() * (lp - middle)).sum() * CELL


def value_on_grid(joints: Joints, discriminator: nn.Module) -> float:
    """V(D, G) of eq. 6, with any D, integrated on the grid."""
    with torch.no_grad():
        rho = discriminator(GRID_X, GRID_Z).reshape(-1, 1)
        q, p = log_q(joints, GRID_X, GRID_Z).exp(), log_p(joints, GRID_X, GRID_Z).exp()
        return float((q * nn.functional.logsigmoid(rho) + p * nn.functional.logsigmoid(-rho)).sum() * CELL)


# Proposition 1


@pytest.mark.parametrize("seed", range(2))
def test_the_trained_logit_is_the_log_ratio_of_the_joints(seed):
    joints = Joints(a=0.2)
    discriminator = train_discriminator(joints, perceptron, n=500, steps=1500, lr=1e-2, seed=seed)
    x, z = joints.pairs(5000)
    with torch.no_grad():
        logit, ratio = discriminator(x, z), Optimal(joints)(x, z)
    assert ratio.std() > 1.5  # there is something to learn
    assert torch.corrcoef(torch.stack([logit, ratio]))[0, 1] > 0.99
    assert (logit - ratio).abs().mean() < 0.09
    assert (logit.sigmoid() - ratio.sigmoid()).abs().mean() < 0.01  # eq. 5 itself
    best = value_on_grid(joints, Optimal(joints))
    assert best - 1e-3 < value_on_grid(joints, discriminator) < best


@pytest.mark.parametrize("joints", [Joints(), Joints(m=-0.5, a=0.7, b=-0.3), Joints.matched(0.9, -0.2, 0.7)])
def test_the_exact_family_of_discriminators_finds_the_coefficients_of_the_log_ratio(joints):
    discriminator = train_discriminator(joints, Quadratic, n=2000, steps=1200, lr=0.05, seed=0)
    m, s, a, b, e, c, d, f = joints
    # log q - log p, term by term.
    want = [
        m / s**2 - a * b / e**2 - d / f**2,  # x
        b / e**2 + c * d / f**2,  # z
        -1 / (2 * s**2) - a**2 / (2 * e**2) + 1 / (2 * f**2),  # x^2
        a / e**2 - c / f**2,  # x z
        -1 / (2 * e**2) + 1 / 2 + c**2 / (2 * f**2),  # z^2
    ]
    free = -math.log(s * e) - m**2 / (2 * s**2) - b**2 / (2 * e**2) + math.log(f) + d**2 / (2 * f**2)
    found = [*discriminator.layer.weight[0].tolist(), discriminator.layer.bias.item()]
    assert found == pytest.approx([*want, free], abs=0.03)
    # V has its maximum at eq. 5 and is flat there: above it is impossible, below it only by the square of the error.
    best = value_on_grid(joints, Optimal(joints))
    assert best - 2e-4 < value_on_grid(joints, discriminator) <= best


# Proposition 2

MATCHED = [Joints.matched(0.9, -0.2, 0.7), Joints.matched(-1.5, 1.0, 0.4)]
MISMATCHED = {
    "everything": Joints(),
    "data elsewhere": Joints.matched(0.9, -0.2, 0.7)._replace(m=0.3),
    "encoder without information": Joints(m=0, s=math.hypot(0.9, 0.7), a=0, b=0, e=1, c=0.9, d=0, f=0.7),  # marginals match
    "encoder of the other sign": Joints.matched(0.9, 0, 0.7)._replace(a=-Joints.matched(0.9, 0, 0.7).a),
    "encoder too certain": Joints.matched(0.9, -0.2, 0.7)._replace(e=0.4),
    "decoder too noisy": Joints.matched(0.9, -0.2, 0.7)._replace(f=1.0),
}


def value_of_the_game(joints: Joints, n: int = 200_000) -> tuple[float, float]:
    """V from the losses of the game under the optimal D, with its standard error (of independent batches)."""
    game = joints.game(Optimal(joints), objective=minimax)
    torch.manual_seed(0)
    values = [
        game.losses(batch, torch.tensor(0.0))["generator"].item() for _, batch in zip(range(20), joints.data(n // 20, 0), strict=False)
    ]
    return sum(values) / 20, float(torch.tensor(values).std() / 20**0.5)


@pytest.mark.parametrize("joints", MATCHED)
def test_value_is_minus_log_4_where_the_joints_match(joints):
    assert jensen_shannon(joints).item() == pytest.approx(0, abs=1e-12)
    value, error = value_of_the_game(joints, 1000)
    assert value == pytest.approx(-LOG4, abs=1e-12)  # the optimal D says 1/2 everywhere: no noise
    assert error < 1e-12


@pytest.mark.parametrize("joints", MISMATCHED.values(), ids=MISMATCHED.keys())
def test_value_exceeds_minus_log_4_by_twice_the_divergence(joints):
    divergence = jensen_shannon(joints).item()
    assert 0.005 < divergence < math.log(2)
    assert value_on_grid(joints, Optimal(joints)) == pytest.approx(-LOG4 + 2 * divergence, abs=1e-10)
    value, error = value_of_the_game(joints)
    assert error < 0.003
    assert value == pytest.approx(-LOG4 + 2 * divergence, abs=4 * error)
    assert value > -LOG4 + 4 * error


@pytest.mark.parametrize("joints", [MISMATCHED["everything"], MISMATCHED["encoder of the other sign"], MATCHED[0]])
def test_under_the_optimal_discriminator_the_generators_descend_the_divergence(joints):
    """By the envelope theorem V's gradient, with D* held, is that of -log 4 + 2 JSD; it vanishes where the joints match."""
    free = {name: torch.tensor(getattr(joints, name), dtype=torch.float64, requires_grad=True) for name in "abcd"}
    logs = {name: torch.tensor(math.log(getattr(joints, name)), dtype=torch.float64, requires_grad=True) for name in "ef"}
    moving = joints._replace(**free, **{name: log.exp() for name, log in logs.items()})
    want = torch.stack(torch.autograd.grad(2 * jensen_shannon(moving), [*free.values(), *logs.values()]))

    game = joints.game(Optimal(joints), objective=minimax)
    layers = game.encoder.network[0], game.decoder.network[0]
    torch.manual_seed(0)
    found = []
    for _, batch in zip(range(40), joints.data(10_000, 0), strict=False):
        loss = game.losses(batch, torch.tensor(0.0))["generator"]
        w_e, b_e, w_d, b_d = torch.autograd.grad(loss, [p for layer in layers for p in (layer.weight, layer.bias)])
        found.append(torch.stack([w_e[0, 0], b_e[0], w_d[0, 0], b_d[0], b_e[1], b_d[1]]))
    found = torch.stack(found)
    error = found.std(0) / len(found) ** 0.5
    assert error.max() < 0.02
    assert ((found.mean(0) - want).abs() <= 4 * error + 1e-9).all()
    assert (want.abs().max() < 1e-9) == (joints in MATCHED)


# Proposition 3


def invert(mean: Tensor, root: Tensor, discriminator: nn.Module, start: tuple[float, float] | None, *, n: int, steps: int, seed: int):
    """Play BiGAN with linear encoder and decoder on x = mean + root u, u ~ N(0, I); returns (A, C, d, x, C(A x + b) + d)."""
    size = len(mean)
    encoder, decoder = (Deterministic(build((linear(size, False, 0.0, "linear"),), (size,), (size,), sigma=0.5)) for _ in range(2))
    if start is not None:
        nn.init.constant_(encoder.network[0].weight, start[0])
        nn.init.constant_(decoder.network[0].weight, start[1])
    game = games.BiGAN(encoder, decoder, discriminator, StandardNormal(size), penalty=0.3, penalty_end=0.1)
    average = copy.deepcopy(game)
    generator = torch.Generator().manual_seed(seed)

    def rows(n: int) -> Tensor:
        return mean + torch.randn(n, size, generator=generator) @ root.T

    adams = {player: torch.optim.Adam(games.parameters(game, player), lr=1e-2, betas=(0.0, 0.99)) for player in game.players}
    stream = (Batch(rows(n)) for _ in range(steps))
    for _ in play(game, stream, adams, steps=steps, seed=seed, rate=hold_then_cosine, average=average, decay=0.99):
        pass
    x = rows(2000)
    average.requires_grad_(False)
    linear_e, linear_g = average.encoder.network[0], average.decoder.network[0]
    return linear_e.weight, linear_g.weight, linear_g.bias, x, average.decode(average.encode(x).mean).mean


@pytest.mark.parametrize("start", [(0.5, 0.5), (-0.5, -0.5), (0.5, -0.5)], ids=["rising", "falling", "contrary"])
def test_a_deterministic_linear_game_inverts_itself(start):
    """x = 2 + 1.5 u: the decoder is 2 + 1.5 z or 2 - 1.5 z, and the encoder its inverse."""
    torch.manual_seed(0)
    A, C, d, x, again = invert(torch.tensor([2.0]), torch.tensor([[1.5]]), perceptron(), start, n=128, steps=800, seed=0)
    assert (A * C).item() == pytest.approx(1, abs=0.04)
    assert abs(C.item()) == pytest.approx(1.5, abs=0.06)
    assert d.item() == pytest.approx(2, abs=0.06)
    assert (x - again).abs().max() < 0.04 * (x - 2).abs().max()
    if start[0] == start[1]:
        assert C.item() * start[1] > 0  # both signs are solutions; a game that begins near one ends there


@pytest.mark.parametrize("seed", range(2))
def test_a_deterministic_linear_game_in_the_plane_inverts_itself(seed):
    """The decoder is any square root of the covariance, the encoder its inverse."""
    mean, root = torch.tensor([1.0, -0.5]), torch.tensor([[1.5, 0.0], [0.8, 0.6]])
    torch.manual_seed(seed)
    A, C, d, x, again = invert(mean, root, perceptron(2), None, n=256, steps=1200, seed=seed)
    torch.testing.assert_close(C @ A, torch.eye(2), rtol=0, atol=0.08)
    torch.testing.assert_close(C @ C.T, root @ root.T, rtol=0, atol=0.12)
    torch.testing.assert_close(d, mean, rtol=0, atol=0.06)
    assert (x - again).square().mean() < 0.002 * x.var(0).mean()


class Marginals(nn.Module):
    """A discriminator that looks at x and at z, but never at how they go together."""

    def __init__(self):
        super().__init__()
        self.d_x, self.d_z = (
            build((linear(32, False, 0.0, "lrelu"),) * 2 + (linear(1, False, 0.0, "linear"),), (1,), (1,), sigma=None) for _ in "xz"
        )

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return (self.d_x(x) + self.d_z(z)).flatten()


def test_without_a_joint_discriminator_nothing_is_inverted():
    """The control: marginals match as well, and contrary signs stay contrary."""
    torch.manual_seed(0)
    A, C, *_ = invert(torch.tensor([2.0]), torch.tensor([[1.5]]), Marginals(), (0.5, -0.5), n=128, steps=800, seed=0)
    assert (A * C).item() == pytest.approx(-1, abs=0.1)
    assert abs(C.item()) == pytest.approx(1.5, abs=0.1)
