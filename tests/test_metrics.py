"""The numbers that judge a model, against scikit-learn, scipy and closed forms."""

import math

import numpy as np
import pytest
from scipy.stats import foldnorm, norm, wasserstein_distance
from sklearn.datasets import load_digits
from sklearn.metrics import mean_squared_error, r2_score

from ali.data.mixtures import SIGMA, centres
from ali.evaluation import metrics

GRID = centres("grid")
# A round Gaussian in the plane, cut off at 3 sigma: r^2 / 2 is exponential.
WITHIN = 1 - math.exp(-4.5)
SPREAD = math.sqrt(1 - 4.5 * math.exp(-4.5) / WITHIN)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def nearest(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Index of the nearest training row, by comparing all pairs."""
    return ((test.reshape(len(test), 1, -1) - train.reshape(1, len(train), -1)) ** 2).sum(2).argmin(1)


def mixture(n: int, sigma: float = SIGMA, shares: np.ndarray | None = None, seed: int = 0) -> np.ndarray:
    """Exact draws from the grid of 25 Gaussians."""
    k = rng(seed).choice(25, size=n, p=shares)
    return GRID[k] + sigma * rng(seed + 1).standard_normal((n, 2))


def test_reconstruction_is_what_scikit_learn_says():
    x = rng(0).normal(size=(40, 6)) * np.arange(1, 7)
    x_hat = x + 0.3 * rng(1).normal(size=x.shape)
    values = metrics.reconstruction(x, x_hat)
    assert values["mse"] == pytest.approx(mean_squared_error(x, x_hat))
    assert 1 - values["mse_share"] == pytest.approx(r2_score(x, x_hat, multioutput="variance_weighted"))
    assert values["variance"] == pytest.approx(x.var(0).mean())


def test_reconstruction_counts_each_pixel_and_does_not_overflow_bytes():
    x, x_hat = np.zeros((3, 2, 2), np.uint8), np.zeros((3, 2, 2), np.uint8)
    x[0, 0, 0], x_hat[2, 1, 1] = 200, 255
    assert metrics.reconstruction(x, x_hat)["mse"] == pytest.approx((200**2 + 255**2) / 12)


def test_reconstruction_by_the_mean_row_and_of_constant_rows():
    x = rng().normal(size=(30, 4))
    assert metrics.reconstruction(x, np.tile(x.mean(0), (30, 1)))["mse_share"] == pytest.approx(1)
    assert metrics.reconstruction(x, x) == {"mse": 0.0, "variance": pytest.approx(x.var(0).mean()), "mse_share": 0.0}
    assert math.isnan(metrics.reconstruction(np.ones((3, 2)), np.zeros((3, 2)))["mse_share"])


def test_nearest_neighbour_accuracy_is_that_of_all_pairs():
    digits = load_digits()
    x, y = digits.images[:600], digits.target[:600]
    wanted = (y[:400][nearest(x[:400], x[400:])] == y[400:]).mean()
    assert 0.8 < wanted < 1
    assert metrics.nearest_neighbour_accuracy(x[:400], y[:400], x[400:], y[400:]) == pytest.approx(wanted)
    assert metrics.nearest_neighbour_accuracy(x, y, x, (y + 1) % 10) == 0
    assert metrics.nearest_neighbour_accuracy(x, y, x, y) == 1


def test_label_kept_counts_reconstructions_near_their_class():
    train, train_y = np.array([[0.0], [10.0], [20.0]]), np.array([0, 1, 2])
    x_hat, y = np.array([[1.0], [11.0], [12.0], [30.0]]), np.array([0, 1, 2, 2])
    assert metrics.nearest_neighbour_accuracy(train, train_y, x_hat, y) == 0.75


def test_two_sample_accuracy_of_one_law_is_a_coin():
    x, x_tilde = rng(0).normal(size=(2000, 3)), rng(1).normal(size=(2000, 3))
    # Leave-one-out 1-NN errors are correlated in pairs, which at most doubles the variance of 4000 coins.
    assert metrics.two_sample_accuracy(x, x_tilde) == pytest.approx(0.5, abs=3 * math.sqrt(2 * 0.25 / 4000))


def test_two_sample_accuracy_of_far_samples_and_of_a_copy():
    x = rng().normal(size=(300, 2))
    assert metrics.two_sample_accuracy(x, x + 100) == 1
    assert metrics.two_sample_accuracy(x, x + 1e-9) == 0


def test_two_sample_accuracy_by_hand_and_with_samples_of_unequal_size():
    x, x_tilde = np.array([[0.0], [1.0], [10.0]]), np.array([[1.5], [11.0], [11.4], [500.0]])
    # nearest to 0: 1 (same), 1: 1.5 (other), 10: 11 (other), 1.5: 1 (other), 11: 11.4 (same), 11.4: 11 (same); 500 is left out
    assert metrics.two_sample_accuracy(x, x_tilde) == pytest.approx(3 / 6)


def test_two_sample_accuracy_finds_a_shift_of_known_size():
    x, x_tilde = rng(0).normal(size=(3000, 1)), rng(1).normal(size=(3000, 1)) + 2
    # 1-NN of a large sample errs with E 2 p (1 - p), p the chance of a class given the point (Cover and Hart 1967).
    t = np.linspace(-8, 10, 20_001)
    p, density = norm.pdf(t) / (norm.pdf(t) + norm.pdf(t - 2)), (norm.pdf(t) + norm.pdf(t - 2)) / 2
    wanted = 1 - (2 * p * (1 - p) * density).sum() * (t[1] - t[0])
    assert metrics.two_sample_accuracy(x, x_tilde) == pytest.approx(wanted, abs=0.02)


def test_sliced_wasserstein_is_scipys_distance_on_each_slice():
    z = rng().normal(size=(1000, 3)) @ np.array([[2.0, 0, 0], [1, 0.5, 0], [0, 0, 1]]) + [0.5, 0, -1]
    theta = np.random.default_rng(7).standard_normal((3, 20))
    theta /= np.linalg.norm(theta, axis=0)
    prior = norm.ppf((np.arange(50_000) + 0.5) / 50_000)  # the normal law as a large sample
    wanted = np.mean([wasserstein_distance(z @ direction, prior) for direction in theta.T])
    assert metrics.sliced_wasserstein(z, projections=20, seed=7) == pytest.approx(wanted, abs=1.5e-3)


def test_sliced_wasserstein_in_one_dimension_is_known_for_shifts_and_scales():
    quantiles = norm.ppf((np.arange(4000) + 0.5) / 4000)[:, None]
    assert metrics.sliced_wasserstein(quantiles) == pytest.approx(0, abs=1e-12)
    assert metrics.sliced_wasserstein(rng().permutation(quantiles) + 3) == pytest.approx(3)
    assert metrics.sliced_wasserstein(2 * quantiles) == pytest.approx(math.sqrt(2 / math.pi), abs=1e-3)


def test_sliced_wasserstein_of_collapsed_codes_is_a_folded_normal():
    z = np.tile([3.0, -4.0], (2000, 1))
    directions = np.random.default_rng(0).standard_normal((2, 200))
    a = np.abs(z[0] @ (directions / np.linalg.norm(directions, axis=0)))
    assert metrics.sliced_wasserstein(z) == pytest.approx(foldnorm(a).mean().mean(), abs=1e-3)  # E |a - N(0, 1)|


def test_sliced_wasserstein_of_the_prior_falls_with_the_number_of_codes():
    floors = [np.mean([metrics.sliced_wasserstein(rng(seed).normal(size=(n, 4))) for seed in range(5)]) for n in (200, 3200)]
    assert floors[0] / floors[1] == pytest.approx(4, rel=0.25), "as the square root"
    assert metrics.sliced_wasserstein(1.2 * rng().normal(size=(3200, 4))) > 5 * floors[1]


def test_a_perfect_mixture():
    values = metrics.mixture_modes(mixture(100_000), GRID, SIGMA)
    assert values["modes"] == values["modes_strict"] == 25
    assert values["high_quality"] == pytest.approx(WITHIN, abs=4 * math.sqrt(WITHIN * (1 - WITHIN) / 1e5))
    assert round(WITHIN, 3) == 0.989
    assert values["reverse_kl"] == pytest.approx(24 / 2e5, rel=0.8)  # 2 n KL is chi squared with 24 degrees of freedom
    assert values["std_ratio"] == pytest.approx(SPREAD, abs=0.005)
    assert round(SPREAD, 2) == 0.97


def test_ten_thousand_draws_of_a_perfect_mixture_give_the_numbers_that_reports_name():
    values = metrics.mixture_modes(mixture(10_000), GRID, SIGMA)
    assert values["high_quality"] == pytest.approx(0.989, abs=0.004)
    assert values["reverse_kl"] == pytest.approx(0.0012, rel=0.8)
    assert values["std_ratio"] == pytest.approx(0.97, abs=0.015)


def test_a_collapsed_sample():
    values = metrics.mixture_modes(np.tile(GRID[7], (1000, 1)), GRID, SIGMA)
    assert values == {"modes": 1, "modes_strict": 1, "high_quality": 1, "reverse_kl": pytest.approx(math.log(25)), "std_ratio": 0}


def test_a_smeared_sample():
    n, sigma = 100_000, 0.2  # four times too wide, and still well inside its own cell
    values = metrics.mixture_modes(mixture(n, sigma), GRID, SIGMA)
    within = 1 - math.exp(-((0.15 / sigma) ** 2) / 2)
    assert values["high_quality"] == pytest.approx(within, abs=4 * math.sqrt(within * (1 - within) / n))
    c = (0.15 / sigma) ** 2 / 2  # r^2 / 2 sigma^2 is exponential, cut off at c
    assert values["std_ratio"] == pytest.approx(sigma / SIGMA * math.sqrt(1 - c * math.exp(-c) / (1 - math.exp(-c))), abs=0.01)
    assert values["modes"] == values["modes_strict"] == 25


def test_a_sample_that_is_nowhere_near():
    values = metrics.mixture_modes(np.full((50, 2), 3.0), GRID, SIGMA)  # between four centres
    assert (values["modes"], values["modes_strict"], values["high_quality"], values["reverse_kl"]) == (1, 0, 0, math.inf)
    assert math.isnan(values["std_ratio"])


@pytest.mark.parametrize(("share", "strict"), [(0.007, 24), (0.009, 25)])
def test_the_strict_count_wants_a_fifth_of_the_fair_share(share, strict):
    n = 10_000  # the fair share is 4 %, a fifth of it 0.8 %
    k = np.r_[np.zeros(int(share * n), int), np.arange(n - int(share * n)) % 24 + 1]
    values = metrics.mixture_modes(GRID[k], GRID, SIGMA)
    assert (values["modes"], values["modes_strict"]) == (25, strict)


def test_reverse_kl_of_a_known_imbalance():
    counts = np.array([300, 100] + [20] * 5 + [0] * 18)
    shares = counts[counts > 0] / counts.sum()
    values = metrics.mixture_modes(np.repeat(GRID, counts, axis=0), GRID, SIGMA)
    assert values["reverse_kl"] == pytest.approx((shares * np.log(25 * shares)).sum())
    assert values["modes"] == 7
    half = metrics.mixture_modes(np.repeat(GRID[:5], 10, axis=0), GRID, SIGMA)
    assert half["reverse_kl"] == pytest.approx(math.log(5)), "five of twenty-five, equally"


def test_high_quality_ends_at_three_sigma():
    x = GRID[0] + SIGMA * np.array([[2.99, 0], [0, -2.99], [3.01, 0], [2.2, 2.2]])
    values = metrics.mixture_modes(x, GRID, SIGMA)
    assert values["high_quality"] == 0.5
    assert values["std_ratio"] == pytest.approx(2.99 / math.sqrt(2))
