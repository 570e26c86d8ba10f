"""What the players want, against closed forms and eq. 1; the gradient penalty against autograd."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from ali.networks import Discriminator
from ali.objectives import OBJECTIVES, contrastive, gradient_penalty, hinge, minimax, nonsaturating, relativistic
from ali.table import build, linear


def logits(n: int = 50) -> tuple[Tensor, Tensor]:
    """Logits of encoder and decoder pairs that a D might have."""
    torch.manual_seed(0)
    return 3 * torch.randn(n, dtype=torch.float64) + 1, 3 * torch.randn(n, dtype=torch.float64) - 1


def values(objective, rho_q: Tensor, rho_p: Tensor) -> tuple[float, float]:
    loss_d, loss_g = objective(rho_q, rho_p)
    return loss_d.item(), loss_g.item()


def value_of_the_game(rho_q: Tensor, rho_p: Tensor) -> float:
    """V(D, G) of eq. 1, with D the sigmoid of the logit."""
    return (torch.sigmoid(rho_q).log().mean() + (1 - torch.sigmoid(rho_p)).log().mean()).item()


def test_every_objective_is_known_by_its_name():
    assert list(OBJECTIVES) == [objective.__name__ for objective in (nonsaturating, minimax, relativistic, hinge)]
    assert all(OBJECTIVES[objective.__name__] is objective for objective in (nonsaturating, minimax, relativistic, hinge))


@pytest.mark.parametrize(
    ("objective", "loss_d", "loss_g"),
    [
        (nonsaturating, 2 * math.log(2), 2 * math.log(2)),
        (minimax, 2 * math.log(2), -2 * math.log(2)),
        (relativistic, math.log(2), math.log(2)),
        (hinge, 2.0, 0.0),
    ],
)
def test_losses_when_d_knows_nothing(objective, loss_d, loss_g):
    assert values(objective, torch.zeros(9), torch.zeros(9)) == pytest.approx((loss_d, loss_g))


def test_minimax_is_eq_1():
    rho_q, rho_p = logits()
    assert values(minimax, rho_q, rho_p) == pytest.approx((-value_of_the_game(rho_q, rho_p), value_of_the_game(rho_q, rho_p)))


def test_nonsaturating_is_algorithm_1():
    rho_q, rho_p = logits()
    loss_d, loss_g = values(nonsaturating, rho_q, rho_p)
    assert loss_d == pytest.approx(-value_of_the_game(rho_q, rho_p))
    assert loss_g == pytest.approx(-value_of_the_game(rho_p, rho_q)), "eq. 4: the generators want the pairs exchanged"


def test_nonsaturating_and_minimax_pull_the_generators_the_same_way_but_not_equally_hard():
    for rho in (-6.0, 6.0):  # where D is sure of a decoder pair, minimax's gradient vanishes and the other's does not
        slopes = []
        for objective in (nonsaturating, minimax):
            rho_p = torch.tensor([rho], requires_grad=True)
            slopes.append(torch.autograd.grad(objective(torch.zeros(1), rho_p)[1], rho_p)[0].item())
        sigmoid = 1 / (1 + math.exp(-rho))
        assert slopes == pytest.approx([sigmoid - 1, -sigmoid])


def test_relativistic_losses_are_each_others_when_the_pairs_are_exchanged():
    rho_q, rho_p = logits()
    loss_d, loss_g = values(relativistic, rho_q, rho_p)
    assert values(relativistic, rho_p, rho_q) == pytest.approx((loss_g, loss_d))
    assert loss_g - loss_d == pytest.approx((rho_q - rho_p).mean().item()), "softplus(t) - softplus(-t) = t"


def test_relativistic_compares_and_does_not_judge():
    rho_q, rho_p = logits()
    assert values(relativistic, rho_q + 5, rho_p + 5) == pytest.approx(values(relativistic, rho_q, rho_p))
    assert values(relativistic, rho_q + 5, rho_p) != pytest.approx(values(relativistic, rho_q, rho_p))


def test_relativistic_is_a_mean_over_pairs():
    rho_q, rho_p = torch.tensor([0.0, 3.0]), torch.tensor([2.0, -1.0])
    wanted = (math.log1p(math.exp(2.0)) + math.log1p(math.exp(-4.0))) / 2
    assert values(relativistic, rho_q, rho_p)[0] == pytest.approx(wanted)


def test_hinge_has_margins_of_one():
    rho_q, rho_p = torch.tensor([3.0, 1.0, 0.5, -2.0]), torch.tensor([-3.0, -1.0, 0.25, 2.0])
    loss_d, loss_g = values(hinge, rho_q, rho_p)
    assert loss_d == pytest.approx((0 + 0 + 0.5 + 3) / 4 + (0 + 0 + 1.25 + 3) / 4)
    assert loss_g == pytest.approx(rho_q.mean().item() - rho_p.mean().item())
    beyond = torch.tensor([1.5], requires_grad=True)
    assert torch.autograd.grad(hinge(beyond, -beyond)[0], beyond)[0].item() == 0


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
def test_d_wants_encoder_pairs_high_and_the_generators_the_opposite(objective):
    rho_q, rho_p = torch.zeros(4, requires_grad=True), torch.zeros(4, requires_grad=True)
    loss_d, loss_g = objective(rho_q, rho_p)
    for loss, sign in ((loss_d, 1), (loss_g, -1)):
        slope_q, slope_p = torch.autograd.grad(loss, (rho_q, rho_p), retain_graph=True)
        assert (sign * slope_q < 0).all()
        assert (sign * slope_p > 0).all()


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_losses_and_gradients_stay_numbers_at_huge_logits(objective, signs):
    rho = [torch.full((3,), 1e4 * sign, requires_grad=True) for sign in signs]
    for loss in objective(*rho):
        assert loss.isfinite()
        assert abs(loss.item()) <= 2e4 + 2
        for slope in torch.autograd.grad(loss, rho, retain_graph=True):
            assert slope.isfinite().all()
            assert slope.abs().sum() <= 1 + 1e-6, "every objective's slope per pair is at most 1 in size"


@pytest.mark.parametrize("objective", [nonsaturating, minimax, relativistic])
def test_softplus_is_exact_at_huge_logits(objective):
    loss_d, _ = objective(torch.tensor([-1e4]), torch.tensor([1e4]))
    assert loss_d.item() == pytest.approx(2e4)


class Linear(nn.Module):
    """D(x, z) = a x + b z, whose slope is (a, b) everywhere."""

    def __init__(self, a: Tensor, b: Tensor):
        super().__init__()
        self.a, self.b = nn.Parameter(a), nn.Parameter(b)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return x.flatten(1) @ self.a + z @ self.b


class Quadratic(nn.Module):
    """D(x, z) = s/2 (|x|^2 + |z|^2), whose slope at a pair is s (x, z)."""

    def __init__(self, s: float):
        super().__init__()
        self.s = nn.Parameter(torch.tensor(s))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.s / 2 * (x.flatten(1).square().sum(1) + z.square().sum(1))


def mlp(normalised: bool = False) -> Discriminator:
    """A small smooth D, with batch normalisation or without."""
    torch.manual_seed(0)
    hidden = (linear(8, normalised, 0.0, "tanh"), linear(8, False, 0.0, "sigmoid"), linear(1, False, 0.0, "sigmoid"))
    return Discriminator(build((), (3,)), build((), (2,)), build(hidden, (5,), (1,), sigma=1.0, logits=True)).double()


def pairs(n: int = 6, shape: tuple[int, ...] = (3,)) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(n, *shape, dtype=torch.float64), torch.randn(n, 2, dtype=torch.float64)


@pytest.mark.parametrize("shape", [(4,), (1, 2, 2)])
def test_penalty_of_a_linear_discriminator_is_half_its_squared_slope(shape):
    a, b = torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=torch.float64), torch.tensor([4.0, 0.25], dtype=torch.float64)
    D = Linear(a, b)
    loss = gradient_penalty(D, *pairs(shape=shape))
    assert loss.item() == pytest.approx(0.5 * (a.square().sum() + b.square().sum()).item())
    loss.backward()
    torch.testing.assert_close(D.a.grad, a)
    torch.testing.assert_close(D.b.grad, b)


@pytest.mark.parametrize("shape", [(4,), (2, 3, 3)])
def test_penalty_of_a_quadratic_discriminator_is_the_mean_over_rows(shape):
    (x, z), D = pairs(shape=shape), Quadratic(1.5).double()
    size = (x.square().sum() + z.square().sum()).item() / len(x)
    loss = gradient_penalty(D, x, z)
    assert loss.item() == pytest.approx(0.5 * 1.5**2 * size)
    loss.backward()
    assert D.s.grad.item() == pytest.approx(1.5 * size)


def test_penalty_and_its_gradient_are_those_of_double_backward():
    D, (x, z) = mlp(), pairs()
    x_leaf, z_leaf = x.clone().requires_grad_(), z.clone().requires_grad_()
    slopes = torch.autograd.grad(D(x_leaf, z_leaf).sum(), (x_leaf, z_leaf), create_graph=True)
    wanted = 0.5 * sum(slope.square().sum(1) for slope in slopes).mean()
    loss = gradient_penalty(D, x, z)
    torch.testing.assert_close(loss, wanted)
    weights = [p for p in D.parameters()][:-1]  # the last bias has no say in a slope
    for ours, theirs in zip(torch.autograd.grad(loss, weights), torch.autograd.grad(wanted, weights), strict=True):
        assert theirs.abs().max() > 1e-4
        torch.testing.assert_close(ours, theirs)


def test_penalty_takes_the_pair_as_given():
    D, (x, z) = mlp(), pairs()
    x.requires_grad_(), z.requires_grad_()
    gradient_penalty(D, x, z).backward()
    assert x.grad is None
    assert z.grad is None
    assert all(p.grad is not None for p in list(D.parameters())[:-1])


def test_penalty_refuses_batch_normalisation_while_it_learns_and_accepts_it_frozen():
    D, (x, z) = mlp(normalised=True), pairs()
    with pytest.raises(ValueError, match="without batch normalisation"):
        gradient_penalty(D, x, z)
    D.eval()
    before = copy.deepcopy(D.state_dict())
    x_leaf, z_leaf = x.clone().requires_grad_(), z.clone().requires_grad_()
    slopes = torch.autograd.grad(D(x_leaf, z_leaf).sum(), (x_leaf, z_leaf))
    torch.testing.assert_close(gradient_penalty(D, x, z), 0.5 * sum(slope.square().sum(1) for slope in slopes).mean())
    assert all(torch.equal(before[key], value) for key, value in D.state_dict().items())


def test_penalty_judges_each_pair_on_its_own():
    D, (x, z) = mlp(), pairs()
    each = torch.stack([gradient_penalty(D, x[i : i + 1], z[i : i + 1]) for i in range(len(x))])
    torch.testing.assert_close(gradient_penalty(D, x, z), each.mean())


def test_contrast_knows_only_directions_and_has_its_closed_form():
    # Partners alike, all others at right angles: each softmax has 1 / tau once and 0 otherwise.
    a = torch.eye(4, dtype=torch.float64)
    assert contrastive(a, 7 * a, temperature=0.5).item() == pytest.approx(math.log(1 + 3 * math.exp(-2)))
    assert contrastive(a, torch.ones_like(a)).item() == pytest.approx(math.log(4))  # nothing to tell partners by
    # Partners at right angles cost 1 / tau more; half of each, half of that.
    others = torch.eye(4, dtype=torch.float64).roll(1, 0)
    assert contrastive(a, a, others, temperature=0.5).item() == pytest.approx(2 + math.log(1 + 3 * math.exp(-2)))
    assert contrastive(a, a, (a + others) / 2, temperature=0.5).item() == pytest.approx(1 + math.log(1 + 3 * math.exp(-2)))
    torch.manual_seed(0)
    a, b = torch.randn(9, 5), torch.randn(9, 5)
    assert contrastive(a, b).item() == pytest.approx(contrastive(b, 3 * a).item(), rel=1e-5)
    torch.testing.assert_close(contrastive(a, b), contrastive(a, b, torch.eye(9)))
