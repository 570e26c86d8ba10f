"""VAE: the bound against the closed form that a linear one has, its distributions against PyTorch's."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import ali
from ali import games, recipes
from ali.data.digits import digits
from ali.data.source import Batch
from ali.distributions import Bernoulli, DiagonalNormal, StandardNormal
from ali.errors import AliError
from ali.networks import BernoulliConditional, Deterministic, Gaussian, Homoscedastic
from ali.recipes import Spec

D, Z = 5, 2  # dimensions of the rows and of the codes in linear models


# Distributions.


@pytest.mark.parametrize("shape", [(4, 3), (4, 1, 2, 3)])
def test_kl_to_the_prior_is_that_of_torch(shape):
    torch.manual_seed(0)
    mu, log_sigma = 3 * torch.randn(shape, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)
    normal = torch.distributions.Normal
    wanted = torch.distributions.kl_divergence(normal(mu, log_sigma.exp()), normal(torch.zeros_like(mu), torch.ones_like(mu)))
    torch.testing.assert_close(DiagonalNormal(mu, log_sigma).kl(), wanted.flatten(1).sum(1))


def test_density_of_images_is_that_of_torch():
    torch.manual_seed(0)
    mu, log_sigma, x = torch.randn(3, 4, 1, 2, 3, dtype=torch.float64)
    wanted = torch.distributions.Normal(mu, log_sigma.exp()).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(DiagonalNormal(mu, log_sigma).log_prob(x), wanted)


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_bernoulli_is_that_of_torch_in_the_range_of_pixels(low):
    torch.manual_seed(0)
    logits = 3 * torch.randn(4, 1, 2, 3, dtype=torch.float64)
    p, theirs = Bernoulli(logits, low), torch.distributions.Bernoulli(logits=logits)
    on = theirs.sample()
    torch.testing.assert_close(p.log_prob(low + (1 - low) * on), theirs.log_prob(on).flatten(1).sum(1))
    torch.testing.assert_close(p.mean, low + (1 - low) * theirs.probs)


def test_bernoulli_of_grey_pixels_is_largest_where_the_mean_is_the_pixel():
    x = torch.tensor([[-0.6, 0.2, 0.9]], dtype=torch.float64)
    logits = torch.logit((x + 1) / 2).requires_grad_()
    p = Bernoulli(logits, -1.0)
    torch.testing.assert_close(p.mean, x)
    (slope,) = torch.autograd.grad(p.log_prob(x).sum(), logits)
    torch.testing.assert_close(slope, torch.zeros_like(slope))


def test_bernoulli_stays_finite_where_it_is_sure_and_wrong():
    logits = torch.tensor([[-200.0, 200.0]], requires_grad=True)
    lost = -Bernoulli(logits, -1.0).log_prob(torch.tensor([[1.0, -1.0]]))
    lost.sum().backward()
    assert lost.item() == 400
    torch.testing.assert_close(logits.grad, torch.tensor([[-1.0, 1.0]]))


def test_bernoulli_draws_are_off_or_on_with_the_right_share():
    n = 40_000
    torch.manual_seed(0)
    p = Bernoulli(torch.tensor([-2.0, 0.0, 1.0]).expand(n, 3).clone().requires_grad_(), -1.0)
    x = p.rsample()
    assert set(x.unique().tolist()) == {-1.0, 1.0}
    assert not x.requires_grad
    assert (x.mean(0) - p.mean[0]).abs().max() < 4 / math.sqrt(n)


# VAE.


def linear_rows(n: int = 400) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(n, D, generator=generator, dtype=torch.float64) @ torch.diag(torch.tensor([3.0, 1.5, 0.5, 0.4, 0.3]).double())
    return x @ torch.linalg.qr(torch.randn(D, D, generator=generator, dtype=torch.float64))[0]


def probabilistic_pca(x: torch.Tensor) -> tuple[float, torch.Tensor, torch.Tensor, float]:
    """Largest mean log likelihood of a linear Gaussian model, its leading eigenvalues and axes, and its noise's variance.

    Source: Tipping and Bishop 1999, eq. 8.
    """
    values, vectors = torch.linalg.eigh(torch.cov(x.T, correction=0))
    values, vectors = values.flip(0), vectors.flip(1)
    noise = values[Z:].mean()
    likelihood = -0.5 * (D * math.log(2 * math.pi) + values[:Z].log().sum() + (D - Z) * noise.log() + D)
    return likelihood.item(), values[:Z], vectors[:, :Z], noise.item()


def linear_vae(**options) -> games.VAE:
    torch.manual_seed(0)
    e, g = nn.Linear(D, 2 * Z), nn.Linear(Z, D)
    return games.VAE(Gaussian(e), Homoscedastic(g), StandardNormal(Z), **options).double()


def test_the_bound_is_the_likelihood_where_the_encoder_is_the_posterior():
    x = linear_rows()
    x = x - x.mean(0)
    likelihood, values, axes, noise = probabilistic_pca(x)
    game = linear_vae()
    # Axes that are not rotated have W^T W diagonal, and so a diagonal posterior: q can be exact.
    w = axes * (values - noise).sqrt()
    for p in game.parameters():
        p.data.zero_()
    game.decoder.network.weight.data.copy_(w)
    game.decoder.log_sigma.data.fill_(0.5 * math.log(noise))
    game.encoder.network.weight.data[:Z] = w.T / values[:, None]  # mean of p(z | x): (W^T W + noise I)^-1 W^T x
    game.encoder.network.bias.data[Z:] = 0.5 * (noise / values).log()  # its variance: noise (W^T W + noise I)^-1

    torch.manual_seed(1)
    elbo = torch.stack([game.elbo(x).mean() for _ in range(2000)])
    assert elbo.mean().item() == pytest.approx(likelihood, abs=4 * elbo.std().item() / math.sqrt(len(elbo)))
    assert elbo.std().item() / math.sqrt(len(elbo)) < 2e-3
    # A beta of 3 counts the same KL thrice, and it is one that no draw changes.
    kl = game.encoder(x).kl().mean().item()
    torch.manual_seed(1)
    once = game.elbo(x).mean().item()
    game.beta = 3.0
    torch.manual_seed(1)
    assert game.losses(Batch(x), torch.tensor(0.0))["autoencoder"].item() == pytest.approx(2 * kl - once, rel=1e-12)


def test_a_linear_vae_learns_probabilistic_pca():
    x = linear_rows()
    likelihood, _, axes, noise = probabilistic_pca(x)
    game = linear_vae()
    optimizer = torch.optim.Adam(game.parameters(), lr=0.02)
    steps, mean = 1500, 0.0
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.03 * (1 - step / steps)
        loss = game.losses(Batch(x), torch.tensor(step / steps))["autoencoder"]
        optimizer.zero_grad(), loss.backward(), optimizer.step()
        mean += loss.item() / 200 if step >= steps - 200 else 0.0
    assert -mean == pytest.approx(likelihood, abs=0.02)
    assert game.decoder.log_sigma.exp().item() ** 2 == pytest.approx(noise, rel=0.03)
    found = torch.linalg.qr(game.decoder.network.weight.data)[0]
    assert torch.linalg.svdvals(found.T @ axes).min() > 0.999  # the same plane


def test_a_vae_refuses_parts_without_a_density_in_words():
    e, g, prior = nn.Linear(D, 2 * Z), nn.Linear(Z, D), StandardNormal(Z)
    with pytest.raises(AliError, match=r"encoder is Gaussian.*got Deterministic"):
        games.VAE(Deterministic(e), Homoscedastic(g), prior)
    with pytest.raises(AliError, match=r"decoder needs a density.*got Deterministic"):
        games.VAE(Gaussian(e), Deterministic(g), prior)


@pytest.mark.parametrize(("face", "low"), [("modern", -1.0), ("paper", 0.0)])
def test_a_bernoulli_decoder_has_the_range_of_pixels(face, low):
    game = recipes.RECIPES["vae"](Spec((1, 8, 8)), face=face, networks="mlp", width=8, latent=Z, likelihood="bernoulli").game.eval()
    assert isinstance(game.decoder, BernoulliConditional)
    for p in game.decoder.parameters():
        p.data.normal_()
    wide = game.decode(1e4 * torch.randn(200, Z)).mean
    assert wide.min().item() == pytest.approx(low, abs=1e-3)
    assert wide.max().item() == pytest.approx(1.0, abs=1e-3)
    with pytest.raises(AliError, match=r"for the pixels of images.*take likelihood 'gaussian'"):
        recipes.RECIPES["vae"](Spec((3,)), networks="mlp", likelihood="bernoulli")


def test_a_vae_learns_digits(tmp_path):
    model = ali.Model.train("digits", out=tmp_path / "run", recipe="vae", epochs=50)
    values = ali.evaluate(model, digits())
    assert values["mse_share"] < 0.14 < values["pca_share"]
    assert values["label_kept"] > 0.94
    assert values["q_z"] < 0.07
    assert values["two_sample"] < 0.87
    assert np.asarray(model.sample(3)).shape == (3, 8, 8)
