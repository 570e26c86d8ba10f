"""VAE, adversarial autoencoder, VAE-GAN: closed forms, who learns from what, and digits."""

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
from ali.networks import BernoulliConditional, Critic, Deterministic, Gaussian, Homoscedastic
from ali.objectives import OBJECTIVES
from ali.recipes import Spec
from ali.table import build, conv, linear

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


def test_a_vae_of_a_table_means_shares_of_categories_and_draws_points_around_them():
    game = recipes.RECIPES["vae"](Spec((5,), heads=(("linear", 2), ("softmax", 3))), networks="mlp", width=8, latent=Z).game.eval()
    torch.manual_seed(0)
    p = game.decode(torch.randn(2000, Z))
    torch.testing.assert_close(p.mean[:, 2:].sum(1), torch.ones(2000))
    noise = (p.rsample() - p.mean).std(0)
    assert noise.tolist() == pytest.approx([math.exp(-1.0)] * 5, rel=0.1)  # the initial sigma, in every column


def test_a_vae_learns_digits(tmp_path):
    model = ali.Model.train("digits", out=tmp_path / "run", recipe="vae", epochs=50)
    values = ali.evaluate(model, digits())
    assert values["mse_share"] < 0.14 < values["pca_share"]
    assert values["label_kept"] > 0.94
    assert values["q_z"] < 0.07
    assert values["two_sample"] < 0.87
    assert np.asarray(model.sample(3)).shape == (3, 8, 8)


# A critic's features.


def test_features_are_what_the_last_layer_sees():
    torch.manual_seed(0)
    head = build(
        (linear(4, False, 0.0, "lrelu"), linear(3, False, 0.0, "lrelu"), linear(1, False, 0.0, "sigmoid")), (5,), (1,), logits=True
    )
    critic, u = Critic(build((), (5,)), head), torch.randn(6, 5)
    leaky = nn.LeakyReLU(0.1)
    by_hand = leaky(head[2](leaky(head[0](u))))
    torch.testing.assert_close(critic.features(u), by_hand)
    torch.testing.assert_close(critic(u), by_hand @ head[4].weight[0] + head[4].bias)
    assert critic.size == 3


def test_features_of_images_are_rows_of_numbers_and_their_verdict_is_the_critic_s():
    torch.manual_seed(0)
    body = build((conv(4, 2, 3, False, 0.0, "lrelu"), conv(3, 1, 5, False, 0.0, "lrelu")), (1, 8, 8), (5, 1, 1))
    head = build((conv(1, 1, 7, False, 0.5, "maxout"), conv(1, 1, 2, False, 0.5, "sigmoid")), (6, 1, 1), (2, 1, 1), logits=True)
    critic, x, label = Critic(body, head).eval(), torch.randn(4, 1, 8, 8), torch.randn(4, 1)
    features = critic.features(x, label)
    assert features.shape == (4, critic.size) == (4, 7)
    torch.testing.assert_close(critic.verdict(features), critic(x, label))
    assert critic(x, label).shape == (4, 2)


# Who learns from what. All in double precision, with noise that is the same each time.


def networks(codes: int = 2 * Z) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(D, 6), nn.Tanh(), nn.Linear(6, codes)), nn.Sequential(nn.Linear(Z, 6), nn.Tanh(), nn.Linear(6, D))


def critic_of(size: int) -> Critic:
    torch.manual_seed(1)
    rows = linear(6, False, 0.0, "tanh"), linear(1, False, 0.0, "sigmoid")
    return Critic(build((), (size,)), build(rows, (size,), (1,), sigma=1.0, logits=True))


def lost(game: games.Game, x: torch.Tensor) -> dict[str, torch.Tensor]:
    torch.manual_seed(7)
    return game.losses(Batch(x), torch.tensor(0.0))


def slopes(loss: torch.Tensor, module: nn.Module) -> torch.Tensor:
    found = torch.autograd.grad(loss, list(module.parameters()), retain_graph=True, allow_unused=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for p, g in zip(module.parameters(), found, strict=True)])


def aae(reconstruction: float, objective: str = "nonsaturating", **options) -> games.AAE:
    e, g = networks()
    parts = Gaussian(e), Deterministic(g), critic_of(Z), StandardNormal(Z)
    return games.AAE(*parts, reconstruction=reconstruction, objective=OBJECTIVES[objective], **options).double()


@pytest.fixture
def rows() -> torch.Tensor:
    return linear_rows(8)


def test_a_critic_that_knows_nothing_leaves_the_reconstruction_error(rows):
    game = aae(3.0)
    for p in game.critic.parameters():
        p.data.zero_()
    loss = lost(game, rows)
    torch.manual_seed(7)
    game.prior.sample(len(rows))
    error = (game.decode(game.encode(rows).rsample()).mean - rows).square().mean().item()
    assert loss["critic"].item() == pytest.approx(2 * math.log(2), rel=1e-12)
    assert loss["autoencoder"].item() == pytest.approx(3 * error + 2 * math.log(2), rel=1e-12)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_an_aae_s_encoder_has_two_wishes_its_decoder_one_and_its_critic_its_own(rows, objective):
    game = {weight: aae(weight, objective) for weight in (0.0, 1.0, 4.0)}
    loss = {weight: lost(game[weight], rows) for weight in game}

    def of(part: str, player: str) -> list[torch.Tensor]:
        return [slopes(loss[weight][player], getattr(game[weight], part)) for weight in (0.0, 1.0, 4.0)]

    fooling, both, more = of("encoder", "autoencoder")
    assert fooling.abs().max() > 1e-6
    assert (both - fooling).abs().max() > 1e-3
    torch.testing.assert_close(more - fooling, 4 * (both - fooling))
    none, once, four = of("decoder", "autoencoder")
    assert not none.any()
    assert once.any()
    torch.testing.assert_close(four, 4 * once)
    critic = of("critic", "critic")
    torch.testing.assert_close(critic[0], critic[2], rtol=0, atol=0)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_an_aae_s_critic_finds_prior_codes_and_the_encoder_makes_its_codes_pass_for_them(rows, objective):
    game, x = aae(0.0, objective), rows.repeat(8, 1)
    game.encoder.network[2].bias.data[:Z] = 2.0  # codes are not where the prior has them
    optimizers = {player: torch.optim.Adam(games.parameters(game, player), lr=0.02) for player in game.players}

    def lead() -> float:
        with torch.no_grad():
            torch.manual_seed(3)
            return (game.critic(game.prior.sample(len(x))).mean() - game.critic(game.encode(x).rsample()).mean()).item()

    leads = [lead()]
    for player, other in (("critic", "autoencoder"), ("autoencoder", "critic")):
        for _ in range(50):
            game.zero_grad()
            game.losses(Batch(x), torch.tensor(0.0))[player].backward(inputs=games.parameters(game, player))
            assert all(p.grad is None for p in games.parameters(game, other))
            optimizers[player].step()
        leads.append(lead())
    assert leads[1] > max(leads[0], 0) + 0.5
    assert leads[2] < leads[1] - 0.5


def vae_gan(gamma: float, objective: str = "minimax", **options) -> games.VAEGAN:
    e, g = networks()
    parts = Gaussian(e), Deterministic(g), critic_of(D), StandardNormal(Z)
    return games.VAEGAN(*parts, gamma=gamma, objective=OBJECTIVES[objective], **options).double()


def test_a_vae_gan_s_losses_are_those_of_algorithm_1(rows):
    game = vae_gan(0.3)
    loss = lost(game, rows)
    torch.manual_seed(7)
    z = game.prior.sample(len(rows))
    q = game.encode(rows)
    x_tilde, x_p = game.decode(q.rsample()).mean, game.decode(z).mean

    def d(x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(game.discriminator(x))

    normal = torch.distributions.Normal
    prior = torch.distributions.kl_divergence(normal(q.mu, q.log_sigma.exp()), normal(torch.zeros_like(q.mu), torch.ones_like(q.mu)))
    hidden = nn.Sequential(*list(game.discriminator.head)[:2])
    feature = -normal(hidden(x_tilde), 1.0).log_prob(hidden(rows)).sum(1).mean() - 6 * 0.5 * math.log(2 * math.pi)
    # The two kinds of generated rows weigh as much as the data together.
    gan = (d(rows).log() + 0.5 * (1 - d(x_tilde)).log() + 0.5 * (1 - d(x_p)).log()).mean()
    wanted = {"encoder": prior.sum(1).mean() + feature, "decoder": 0.3 * feature + gan, "discriminator": -gan}
    for player, value in wanted.items():
        assert loss[player].item() == pytest.approx(value.item(), rel=1e-6), player


def test_a_vae_gan_s_discriminator_never_sees_the_feature_error_and_its_encoder_never_the_gan(rows):
    one, other = vae_gan(0.0, penalty=0.5), vae_gan(5.0, "nonsaturating", penalty=0.1)
    torch.testing.assert_close(slopes(lost(one, rows)["encoder"], one.encoder), slopes(lost(other, rows)["encoder"], other.encoder))
    same = vae_gan(5.0, penalty=0.5)
    torch.testing.assert_close(
        slopes(lost(one, rows)["discriminator"], one.discriminator), slopes(lost(same, rows)["discriminator"], same.discriminator)
    )
    # The decoder has both wishes: its gradient is that of the GAN and gamma times that of the feature error.
    gan, two, five = (slopes(lost(game, rows)["decoder"], game.decoder) for game in (one, vae_gan(2.0), same))
    assert gan.abs().max() > 1e-6
    torch.testing.assert_close(5 * (two - gan), 2 * (five - gan))


def test_a_vae_gan_refuses_an_encoder_without_a_density_in_words():
    e, g = networks(Z)
    with pytest.raises(AliError, match=r"encoder is Gaussian.*got Deterministic"):
        games.VAEGAN(Deterministic(e), Deterministic(g), critic_of(D), StandardNormal(Z))


def test_an_adversarial_autoencoder_learns_digits(tmp_path):
    values = ali.evaluate(ali.Model.train("digits", out=tmp_path / "run", recipe="aae", epochs=40), digits())
    assert values["mse_share"] < 0.12 < values["pca_share"]
    assert values["label_kept"] > 0.94
    assert values["q_z"] < 0.07
    assert values["two_sample"] < 0.82


def test_a_vae_gan_learns_digits(tmp_path):
    values = ali.evaluate(ali.Model.train("digits", out=tmp_path / "run", recipe="vae_gan", epochs=40), digits())
    assert values["mse_share"] < 0.4  # in pixels, which it does not see
    assert values["label_kept"] > 0.88
    assert values["q_z"] < 0.09
    assert values["two_sample"] < 0.86
