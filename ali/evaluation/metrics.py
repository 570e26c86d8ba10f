r"""Numbers that say how good a model is: arrays in, floats out. Nothing here loads, trains, saves or shows.

Rows of any shape are flattened. "1-NN" is the nearest neighbour by Euclidean distance.
"""

from __future__ import annotations

__all__ = ["mixture_modes", "nearest_neighbour_accuracy", "reconstruction", "sliced_wasserstein", "two_sample_accuracy"]

import numpy as np
from scipy.stats import norm
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors


def reconstruction(x: np.ndarray, x_hat: np.ndarray) -> dict[str, float]:
    r"""Mean squared error per component, and what it would be if every row were answered with the mean row.

    .. math:: \mathrm{mse} = \frac{1}{nd} \sum_{ij} (x_{ij} - \hat x_{ij})^2, \quad
        \mathrm{variance} = \frac{1}{nd} \sum_{ij} (x_{ij} - \bar x_j)^2

    Arguments:
        x, x_hat: rows and their reconstructions, (n, ...), in the same unit.
    """
    x, x_hat = _flat(x), _flat(x_hat)
    mse, variance = float(((x - x_hat) ** 2).mean()), float(x.var(0).mean())
    return {"mse": mse, "variance": variance, "mse_share": mse / variance if variance else float("nan")}


def nearest_neighbour_accuracy(train: np.ndarray, train_y: np.ndarray, test: np.ndarray, test_y: np.ndarray) -> float:
    """Share of test rows whose nearest training row has their class."""
    return float(KNeighborsClassifier(1).fit(_flat(train), train_y).score(_flat(test), test_y))


def two_sample_accuracy(x: np.ndarray, x_tilde: np.ndarray) -> float:
    """Leave-one-out 1-NN accuracy at telling two equally large samples apart: 0.5 if they are alike, 1 if a child could tell.

    A value well below 0.5 says that one sample copies the other.

    Source: Lopez-Paz and Oquab, Revisiting Classifier Two-Sample Tests, 2017 (arXiv:1610.06545).
    """
    n = min(len(x), len(x_tilde))
    both = np.concatenate([_flat(x)[:n], _flat(x_tilde)[:n]])
    label = np.repeat([0, 1], n)
    neighbour = np.asarray(NearestNeighbors(n_neighbors=1).fit(both).kneighbors(return_distance=False))[:, 0]
    return float((label[neighbour] == label).mean())


def sliced_wasserstein(z: np.ndarray, projections: int = 200, seed: int = 0) -> float:
    r"""Sliced 1-Wasserstein distance of a sample to the standard normal prior, by quantiles on each slice.

    .. math:: \mathbb{E}_{\|\theta\| = 1} W_1(\theta^\top z, \mathcal{N}(0, 1)) \approx
        \frac{1}{n} \sum_i | z^\theta_{(i)} - \Phi^{-1}((i - \tfrac12) / n) |

    A sample from the prior itself has a value above 0 that falls with n: compare with that.

    Arguments:
        z: codes, (n, d).
        projections: random directions :math:`\theta`.
        seed: of the directions.
    """
    z = _flat(z)
    theta = np.random.default_rng(seed).standard_normal((z.shape[1], projections))
    theta /= np.linalg.norm(theta, axis=0)
    quantiles = norm.ppf((np.arange(len(z)) + 0.5) / len(z))
    return float(np.abs(np.sort(z @ theta, axis=0) - quantiles[:, None]).mean())


def mixture_modes(x_tilde: np.ndarray, centres: np.ndarray, sigma: float) -> dict[str, float]:
    """How a sample covers a mixture of equal, round Gaussians.

    Arguments:
        x_tilde: samples, (n, 2).
        centres: of the components, (k, 2).
        sigma: their common standard deviation, in the unit of x.

    Returns:
        ``modes``: components nearest to at least one sample (the paper's count, nearly blind);
        ``modes_strict``: components with at least 20 % of their expected share of high-quality samples;
        ``high_quality``: share of samples within 3 sigma of a centre (a perfect model: 0.989);
        ``reverse_kl``: KL divergence of the modes' shares from equal shares, over high-quality samples, in nats;
        ``std_ratio``: standard deviation of high-quality samples around their centre over sigma (a perfect model: 0.97).
    """
    squared = ((x_tilde[:, None] - centres[None]) ** 2).sum(-1)
    nearest, distance = squared.argmin(1), np.sqrt(squared.min(1))
    good = distance <= 3 * sigma
    counts, k = np.bincount(nearest[good], minlength=len(centres)), len(centres)
    shares = counts[counts > 0] / max(1, counts.sum())
    return {
        "modes": float(len(np.unique(nearest))),
        "modes_strict": float((counts >= 0.2 * len(x_tilde) / k).sum()),
        "high_quality": float(good.mean()),
        "reverse_kl": float((shares * np.log(shares * k)).sum()) if good.any() else float("inf"),
        "std_ratio": float(np.sqrt((distance[good] ** 2).mean() / 2) / sigma) if good.any() else float("nan"),
    }


def _flat(x: np.ndarray) -> np.ndarray:
    return np.asarray(x, dtype=np.float64).reshape(len(x), -1)
