"""What conditionals return: densities against torch.distributions, moments and gradients against closed forms."""

import math

import pytest
import torch
from scipy.stats import kstest
from torch import Tensor

from ali.distributions import DiagonalNormal, Dirac, Distribution, Implicit, StandardNormal


def normal(n: int = 5, d: int = 3, dtype=torch.float32) -> DiagonalNormal:
    """Some diagonal normal, whose parameters are leaves."""
    torch.manual_seed(0)
    mu, log_sigma = 3 * torch.randn(n, d, dtype=dtype), torch.randn(n, d, dtype=dtype)
    return DiagonalNormal(mu.requires_grad_(), log_sigma.requires_grad_())


def linear_map(a: Tensor, b: Tensor, u: Tensor):
    """f(epsilon) = u A + epsilon B: an implicit law that is in fact a normal."""
    return lambda epsilon: u @ a + epsilon @ b


def test_density_is_that_of_torch():
    q = normal(dtype=torch.float64)
    z = 10 * torch.randn(5, 3, dtype=torch.float64)
    wanted = torch.distributions.Independent(torch.distributions.Normal(q.mu, q.log_sigma.exp()), 1).log_prob(z)
    torch.testing.assert_close(q.log_prob(z), wanted)


def test_density_of_a_standard_normal_at_its_mean():
    q = DiagonalNormal(torch.zeros(2, 4), torch.zeros(2, 4))
    torch.testing.assert_close(q.log_prob(torch.zeros(2, 4)), torch.full((2,), -2 * math.log(2 * math.pi)))


def test_density_and_its_gradient_stay_finite_for_very_small_sigma():
    log_sigma = torch.full((1, 1), -30.0, requires_grad=True)
    DiagonalNormal(torch.zeros(1, 1), log_sigma).log_prob(torch.full((1, 1), 1e-13)).sum().backward()
    # d/d log sigma of the density is ((z - mu) / sigma)^2 - 1
    torch.testing.assert_close(log_sigma.grad, torch.full((1, 1), (1e-13 * math.exp(30)) ** 2 - 1))


def test_samples_have_the_moments_of_a_normal():
    mu, sigma, n = torch.tensor([-2.0, 0.0, 5.0]), torch.tensor([0.1, 1.0, 3.0]), 40_000
    torch.manual_seed(0)
    z = DiagonalNormal(mu.expand(n, 3), sigma.log().expand(n, 3)).rsample()
    whitened = (z - mu) / sigma
    assert whitened.mean(0).abs().max() < 4 / math.sqrt(n)
    assert (torch.cov(whitened.T) - torch.eye(3)).abs().max() < 4 * math.sqrt(2 / n)
    assert all(kstest(column.numpy(), "norm").pvalue > 1e-3 for column in whitened.T)


def test_gradients_flow_through_a_sample():
    q = normal(dtype=torch.float64)
    torch.manual_seed(7)
    z = q.rsample()
    torch.manual_seed(7)
    epsilon = torch.randn_like(q.mu)
    torch.testing.assert_close(z, q.mu + q.log_sigma.exp() * epsilon)
    dz = torch.autograd.grad(z.sum(), (q.mu, q.log_sigma))
    torch.testing.assert_close(dz[0], torch.ones_like(q.mu))
    torch.testing.assert_close(dz[1], q.log_sigma.exp() * epsilon)


def test_a_dirac_is_its_point_and_lets_gradients_through():
    point = torch.randn(4, 2, requires_grad=True)
    p = Dirac(point)
    assert torch.equal(p.mean, point)
    assert torch.equal(p.rsample(), point)
    (p.rsample() ** 2).sum().backward()
    torch.testing.assert_close(point.grad, 2 * point.detach())


def test_mean_of_an_implicit_law_is_always_the_same_and_leaves_torchs_noise_alone():
    torch.manual_seed(0)
    q = Implicit(linear_map(torch.randn(3, 2), torch.randn(4, 2), torch.randn(6, 3)), torch.zeros(6, 4))
    state = torch.get_rng_state()
    first = q.mean
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert torch.equal(q.mean, first)
    assert not torch.equal(q.rsample(), q.rsample())


@pytest.mark.parametrize("draws", [64, 20_000])
def test_mean_of_an_implicit_law_for_a_linear_map(draws):
    torch.manual_seed(0)
    a, b, u = torch.randn(3, 2, dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    q = Implicit(linear_map(a, b, u), torch.zeros(6, 4, dtype=torch.float64), draws=draws)
    assert q.mean.dtype == torch.float64
    error = (q.mean - u @ a) / (b.square().sum(0).sqrt() / math.sqrt(draws))  # in standard errors, the same for every row
    assert error.abs().max() < 4
    torch.testing.assert_close(error, error[:1].expand_as(error))
    assert error.abs().max() > 0, "a Monte Carlo mean"


def test_mean_of_an_implicit_law_averages_outputs_not_noise():
    q = Implicit(lambda epsilon: epsilon.square(), torch.zeros(2, 3), draws=4000)
    torch.testing.assert_close(q.mean, torch.ones(2, 3), atol=4 * math.sqrt(2 / 4000), rtol=0)


def test_samples_of_an_implicit_law_for_a_linear_map_are_normal():
    torch.manual_seed(0)
    n, b = 20_000, torch.tensor([[2.0, 0.0], [1.0, 0.5]])
    q = Implicit(linear_map(torch.eye(2), b, torch.tensor([[3.0, -1.0]]).expand(n, 2)), torch.zeros(n, 2))
    z = q.rsample()
    assert ((z.mean(0) - torch.tensor([3.0, -1.0])).abs() < 4 * b.square().sum(0).sqrt() / math.sqrt(n)).all()
    torch.testing.assert_close(torch.cov(z.T), b.T @ b, atol=0.15, rtol=0)


def test_implicit_noise_may_be_maps():
    q = Implicit(lambda epsilon: epsilon.mean((2, 3)), torch.zeros(2, 1, 5, 5), draws=16)
    assert q.rsample().shape == (2, 1)
    assert torch.equal(q.mean[0], q.mean[1]), "every row sees the same noise"


def test_gradients_flow_through_an_implicit_sample():
    b = torch.randn(4, 2, requires_grad=True)
    q = Implicit(linear_map(torch.zeros(3, 2), b, torch.zeros(6, 3)), torch.zeros(6, 4))
    torch.manual_seed(3)
    q.rsample().sum().backward()
    torch.manual_seed(3)
    epsilon = torch.randn(6, 4)
    torch.testing.assert_close(b.grad, epsilon.sum(0)[:, None].expand(4, 2))


def test_the_prior_is_a_standard_normal():
    torch.manual_seed(0)
    n = 40_000
    z = StandardNormal(4).sample(n)
    assert z.shape == (n, 4)
    assert z.mean(0).abs().max() < 4 / math.sqrt(n)
    assert (torch.cov(z.T) - torch.eye(4)).abs().max() < 4 * math.sqrt(2 / n)
    assert all(kstest(column.numpy(), "norm").pvalue > 1e-3 for column in z.T)


def test_the_prior_moves_with_its_owner_and_has_no_state():
    prior = StandardNormal(2)
    assert prior.sample(3).dtype == torch.float32
    assert prior.double().sample(3).dtype == torch.float64
    assert prior.to("meta").sample(3).device.type == "meta"
    assert list(prior.parameters()) == []
    assert prior.state_dict() == {}


FAMILIES = {
    "normal": lambda u: DiagonalNormal(u, torch.zeros_like(u)),
    "implicit": lambda u: Implicit(lambda epsilon: u + epsilon, torch.zeros_like(u)),
    "dirac": Dirac,
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_a_distribution_and_has_the_mean_it_samples_around(family):
    torch.manual_seed(0)
    u = torch.randn(1, 3).expand(10_000, 3)
    q = FAMILIES[family](u)
    assert isinstance(q, Distribution)
    torch.testing.assert_close(q.rsample().mean(0), u[0], atol=0.04, rtol=0)
    torch.testing.assert_close(q.mean, u, atol=0.5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_works_under_vmap_with_its_own_noise_for_each_entry(family):
    torch.manual_seed(0)
    u = torch.zeros(8, 5, 3)
    z = torch.func.vmap(lambda u: FAMILIES[family](u).rsample(), randomness="different")(u)
    assert z.shape == u.shape
    assert z.unique().numel() == (1 if family == "dirac" else u.numel())
    same = torch.func.vmap(lambda u: FAMILIES[family](u).rsample(), randomness="same")(u)
    assert torch.equal(same, same[:1].expand_as(same))


def test_the_prior_works_under_vmap():
    z = torch.func.vmap(lambda _: StandardNormal(3).sample(4), randomness="different")(torch.zeros(6))
    assert z.shape == (6, 4, 3)
    assert z.unique().numel() == z.numel()
