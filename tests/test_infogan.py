"""InfoGAN: the prior's moments, the bound where the mutual information is known, who learns from it, and clusters of digits."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import nn

import ali
from ali import games
from ali.data.digits import digits
from ali.data.source import Batch
from ali.distributions import CodedPrior
from ali.errors import AliError
from ali.evaluation import metrics
from ali.networks import Critic, Deterministic
from ali.objectives import OBJECTIVES
from ali.table import build, linear

K, M, NOISE, X = 3, 2, 1, 4  # categories, continuous codes, numbers of noise; dimension of x


@pytest.mark.parametrize(("law", "variance"), [("uniform", 1 / 3), ("normal", 1.0)])
def test_the_prior_has_the_moments_of_its_parts(law, variance):
    n, prior = 40_000, CodedPrior(K, M, NOISE, law).double()
    torch.manual_seed(0)
    z = prior.sample(n)
    assert z.shape == (n, prior.dim) == (n, K + M + NOISE)
    chosen, code = prior.codes(z)
    assert torch.equal(chosen.sort(1).values, torch.tensor([0.0, 0.0, 1.0]).double().expand(n, K))
    if law == "uniform":
        assert code.abs().max() < 1
    mean = torch.tensor([1 / K] * K + [0.0] * (M + NOISE)).double()
    covariance = torch.diag(torch.tensor([1 / K] * K + [variance] * M + [1.0] * NOISE)).double()
    covariance[:K, :K] -= 1 / K**2
    assert (z.mean(0) - mean).abs().max() < 4 / math.sqrt(n)
    assert (torch.cov(z.T) - covariance).abs().max() < 4 * math.sqrt(2 / n)


def test_the_prior_s_entropies_are_those_of_torch():
    one = torch.distributions.Categorical(torch.ones(K)).entropy().item()
    for law, each in {
        "uniform": torch.distributions.Uniform(-1.0, 1.0).entropy().item(),
        "normal": torch.distributions.Normal(0.0, 1.0).entropy().item(),
    }.items():
        assert CodedPrior(K, M, NOISE, law).entropies == pytest.approx((one, M * each), rel=1e-6)


def small(law: str = "uniform", objective: str = "nonsaturating", **options) -> games.InfoGAN:
    """With smooth networks, in double precision."""
    torch.manual_seed(0)
    prior = CodedPrior(K, M, NOISE, law)
    g = nn.Sequential(nn.Linear(prior.dim, 6), nn.Tanh(), nn.Linear(6, X))
    rows = linear(6, False, 0.0, "tanh"), linear(1, False, 0.0, "sigmoid")
    critic = Critic(build((), (X,)), build(rows, (X,), (1,), sigma=1.0, logits=True))
    q = nn.Linear(critic.size, K + 2 * M)
    return games.InfoGAN(Deterministic(g), critic, q, prior, objective=OBJECTIVES[objective], **options).double()


def bound(law: str, recognise, features, n: int = 20_000) -> tuple[float, float]:
    """The bound for a known Q, where what it sees is a known function of z."""
    prior = CodedPrior(K, M, NOISE, law).double()
    torch.manual_seed(0)
    z = prior.sample(n)
    stub = SimpleNamespace(prior=prior, recognise=recognise)
    category, continuous = games.InfoGAN.information(stub, features(z), z)
    return category.item(), continuous.item()


def normal(mu: torch.Tensor, sigma: float):
    return ali.distributions.DiagonalNormal(mu, torch.full_like(mu, math.log(sigma)))


def test_the_bound_is_the_entropy_where_q_is_exact_and_nothing_where_it_knows_nothing():
    exact, _ = bound("normal", lambda u: (1000 * u[:, :K], normal(u[:, K : K + M], 1.0)), lambda z: z)
    assert exact == pytest.approx(math.log(K), abs=1e-12)
    nothing = bound("normal", lambda u: (0 * u[:, :K], normal(0 * u[:, K : K + M], 1.0)), lambda z: z)
    assert nothing[0] == pytest.approx(0.0, abs=1e-12)
    assert nothing[1] == pytest.approx(0.0, abs=4 * math.sqrt(M / 2 / 20_000))
    wrong, _ = bound("normal", lambda u: (5 * u[:, :K].roll(1, 1), normal(u[:, K : K + M], 1.0)), lambda z: z)
    assert wrong < -1


@pytest.mark.parametrize("noise", [0.5, 2.0])
def test_the_bound_is_the_mutual_information_where_q_is_the_posterior(noise):
    # x = c + noise: the posterior is N(x / (1 + s^2), s^2 / (1 + s^2)), and I(c; x) = log(1 + 1 / s^2) / 2 in each dimension.
    mutual = 0.5 * M * math.log(1 + 1 / noise**2)

    def seen(z):
        return z[:, K : K + M] + noise * torch.randn_like(z[:, K : K + M])

    def told(shrunk: float, sigma: float) -> float:
        return bound("normal", lambda u: (torch.zeros(len(u), K).double(), normal(shrunk * u, sigma)), seen)[1]

    shrunk, sigma = 1 / (1 + noise**2), math.sqrt(noise**2 / (1 + noise**2))
    assert told(shrunk, sigma) == pytest.approx(mutual, abs=4 * math.sqrt(M / 20_000))
    assert max(told(shrunk, 1.5 * sigma), told(shrunk, 0.7 * sigma), told(1.3 * shrunk, sigma)) < told(shrunk, sigma)


def test_a_bound_on_a_uniform_code_is_its_entropy_beside_q_s_log_density():
    _, told = bound("uniform", lambda u: (0 * u[:, :K], normal(u[:, K : K + M], 0.1)), lambda z: z)
    assert told == pytest.approx(M * (math.log(2) - 0.5 * math.log(2 * math.pi) - math.log(0.1)), rel=1e-9)


def lost(game: games.InfoGAN, x: torch.Tensor) -> dict[str, torch.Tensor]:
    torch.manual_seed(7)
    return game.losses(Batch(x), torch.tensor(0.0))


def slopes(loss: torch.Tensor, module: nn.Module) -> torch.Tensor:
    found = torch.autograd.grad(loss, list(module.parameters()), retain_graph=True, allow_unused=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for p, g in zip(module.parameters(), found, strict=True)])


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_both_players_gain_by_the_bound_and_each_part_of_it_has_its_weight(objective):
    x = torch.randn(8, X, dtype=torch.float64)
    weights = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (2.0, 0.3)]
    played = [small(objective=objective, information=a, information_continuous=b) for a, b in weights]
    losses = [lost(game, x) for game in played]
    for player, part in (("generator", "decoder"), ("discriminator", "critic"), ("discriminator", "recognition")):
        plain, category, continuous, both = (slopes(loss[player], getattr(game, part)) for loss, game in zip(losses, played, strict=True))
        assert (category - plain).abs().max() > 1e-6
        assert (continuous - plain).abs().max() > 1e-6
        torch.testing.assert_close(both - plain, 2 * (category - plain) + 0.3 * (continuous - plain))
    assert not slopes(losses[0]["discriminator"], played[0].recognition).any()

    torch.manual_seed(7)
    z = played[0].prior.sample(len(x))
    told = played[0].information(played[0].critic.features(played[0].decode(z).mean), z)
    for player in ("generator", "discriminator"):
        assert (losses[0][player] - losses[3][player]).item() == pytest.approx((2 * told[0] + 0.3 * told[1]).item(), rel=1e-9)


def test_q_learns_from_generated_rows_only():
    one, other = small(penalty=0.1), small(penalty=0.1)
    x = torch.randn(8, X, dtype=torch.float64)
    torch.testing.assert_close(
        slopes(lost(one, x)["discriminator"], one.recognition), slopes(lost(other, x + 3)["discriminator"], other.recognition)
    )


def test_clusters_have_names_and_codes_of_rows_are_refused_in_words(tmp_path):
    options = {"width": 16, "depth": 1, "epochs": 2, "clusters": 4, "continuous": 1, "latent": 3}
    model = ali.Model.train("digits", out=tmp_path / "run", recipe="infogan", **options)
    assert model.classes == ("cluster 0", "cluster 1", "cluster 2", "cluster 3")
    probabilities = model.classify(digits().test.x)
    assert probabilities.shape == (400, 4)
    assert model.sample(5, seed=0).shape == (5, 8, 8)
    assert model.latent == 4 + 1 + 3
    with pytest.raises(AliError, match="can not encode: its game has no encoder"):
        model.encode(digits().test.x)

    from ali.cli import application

    application(["classify"])(["classify", str(tmp_path / "run"), "--out", str(tmp_path / "clusters.csv")], result_action="return_value")
    table = (tmp_path / "clusters.csv").read_text().splitlines()
    assert table[0].replace('"', "") == "cluster 0,cluster 1,cluster 2,cluster 3,likeliest"
    assert table[1].split(",")[-1].strip('"') == f"cluster {probabilities[0].argmax()}"


def test_categories_must_be_two_at_least(tmp_path):
    with pytest.raises(AliError, match="clusters must be at least 2, got 1"):
        ali.Model.train("digits", out=tmp_path / "run", recipe="infogan", clusters=1)


def purity(found: np.ndarray, classes: np.ndarray) -> float:
    """Share of rows in the class that their cluster stands for, in the best one-to-one assignment."""
    counts = np.zeros((10, 10))
    np.add.at(counts, (found, classes), 1)
    return counts[linear_sum_assignment(-counts)].sum() / len(found)


def test_clusters_of_digits_are_digits(tmp_path):
    model, test = ali.Model.train("digits", out=tmp_path / "run", recipe="infogan", epochs=60), digits().test
    probabilities = model.classify(test.x)
    assert purity(probabilities.argmax(1), test.y) > 0.55
    # Each category is drawn as one cluster: Q reads it back from what it made the generator draw.
    z = model.game.prior.sample(500).numpy()
    assert (model.classify(model.decode(z)).argmax(1) == z[:, :10].argmax(1)).mean() > 0.9
    assert metrics.two_sample_accuracy(test.x, model.sample(len(test), seed=0)) < 0.88
