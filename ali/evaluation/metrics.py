r"""Numbers that say how good a model is: arrays in, floats out. Nothing here loads, trains, saves or shows.

Rows of any shape are flattened. "1-NN" is the nearest neighbour by Euclidean distance.
"""

from __future__ import annotations

__all__ = [
    "correlation_error",
    "empty_cells",
    "frechet_distance",
    "gaussian",
    "kernel_distance",
    "lost_categories",
    "marginals",
    "memorisation",
    "mixture_modes",
    "nearest_neighbour_accuracy",
    "p_values",
    "pca_reconstruction",
    "prdc",
    "reconstruction",
    "sliced_wasserstein",
    "train_on_synthetic",
    "two_sample_accuracy",
]

from collections.abc import Sequence

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import norm
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.metrics import r2_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from ali.errors import AliError


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


def pca_reconstruction(train: np.ndarray, test: np.ndarray, dimension: int) -> float:
    r"""What PCA leaves of the variance: the ``mse_share`` of :func:`reconstruction` for the simplest encoder and decoder.

    .. math:: \hat x = \bar x + W W^\top (x - \bar x), \quad W: \text{the leading principal axes of the training rows}

    Arguments:
        train, test: rows that PCA is fitted to and rows that it is measured on, (n, ...), (m, ...), in the same unit.
        dimension: components; never more than the data has.
    """
    train, test = _flat(train), _flat(test)
    pca = PCA(min(dimension, *train.shape), random_state=0).fit(train)
    return reconstruction(test, pca.inverse_transform(pca.transform(test)))["mse_share"]


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    r"""Squared Frechet (2-Wasserstein) distance of the normal laws fitted to two samples.

    .. math:: \|\mu_a - \mu_b\|^2 + \operatorname{tr}(\Sigma_a + \Sigma_b - 2 (\Sigma_a \Sigma_b)^{1/2})

    The trace of the root is the sum of the roots of the eigenvalues of
    :math:`\Sigma_a^{1/2} \Sigma_b \Sigma_a^{1/2}`, which are real. It is biased upwards for few rows: compare equally many.

    Arguments:
        a, b: rows in the same space, (n, d), (m, d), at least 2 of each.

    Source: Dowson and Landau 1982; on Inception features it is the FID of Heusel et al. 2017 (arXiv:1706.08500).
    """
    a, b = _flat(a), _flat(b)
    first, second = (np.atleast_2d(np.cov(rows, rowvar=False)) for rows in (a, b))
    values, vectors = np.linalg.eigh(first)
    root = vectors * np.sqrt(values.clip(0))
    cross = np.sqrt(np.linalg.eigvalsh(root.T @ second @ root).clip(0)).sum()
    return float(max(0.0, ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first) + np.trace(second) - 2 * cross))


def kernel_distance(a: np.ndarray, b: np.ndarray) -> float:
    r"""Unbiased estimate of the squared maximum mean discrepancy under a cubic kernel: around 0 for one law, and then also below.

    .. math:: \frac{1}{n(n - 1)} \sum_{i \ne j} k(a_i, a_j) + \frac{1}{m(m - 1)} \sum_{i \ne j} k(b_i, b_j)
        - \frac{2}{nm} \sum_{ij} k(a_i, b_j), \quad k(x, y) = (x^\top y / d + 1)^3

    Arguments:
        a, b: rows in the same space, (n, d), (m, d), at least 2 of each; costs n x m.

    Source: Binkowski et al. 2018 (arXiv:1801.01401); on Inception features it is their KID.
    """
    a, b = _flat(a), _flat(b)

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def within(x: np.ndarray) -> float:
        k = kernel(x, x)
        return (k.sum() - np.trace(k)) / (len(x) * (len(x) - 1))

    return float(within(a) + within(b) - 2 * kernel(a, b).mean())


def prdc(real: np.ndarray, fake: np.ndarray, k: int = 5) -> dict[str, float]:
    r"""Fidelity and variety apart, by balls around rows that reach to their k-th nearest neighbour of the same sample.

    .. math::
        \text{precision} &= \text{share of fake rows in the ball of a real one} \\
        \text{recall} &= \text{share of real rows in the ball of a fake one} \\
        \text{density} &= \frac{1}{k m} \sum_{ij} [\text{fake row } j \text{ in the ball of real row } i] \\
        \text{coverage} &= \text{share of real rows whose ball holds a fake row}

    For one law and equally many rows density is 1 and coverage :math:`1 - 2^{-k}` on average; precision and recall
    depend on law and dimension: compare with real rows in the place of fake ones.

    Arguments:
        real, fake: rows in the same space, (n, d), (m, d), at least 2 of each; costs n x m.
        k: neighbours; never more than a sample has.

    Source: Kynkaanniemi et al. 2019 (arXiv:1904.06991); Naeem et al. 2020 (arXiv:2002.09797). Balls are closed, so that equal
    rows of a discrete table count.
    """
    real, fake = _flat(real), _flat(fake)

    def radii(x: np.ndarray) -> tuple[np.ndarray, int]:
        near = min(k, len(x) - 1)
        return np.partition(cdist(x, x), near, axis=1)[:, near], near

    (around_real, near), (around_fake, _) = radii(real), radii(fake)
    distance = cdist(real, fake)
    inside = distance <= around_real[:, None]
    return {
        "precision": float(inside.any(0).mean()),
        "recall": float((distance <= around_fake).any(1).mean()),
        "density": float(inside.sum() / (near * len(fake))),
        "coverage": float(inside.any(1).mean()),
    }


def memorisation(train: np.ndarray, test: np.ndarray, samples: np.ndarray) -> float:
    r"""How far samples lie from training rows, in units of how far unseen rows lie: 1 is right, near 0 are copies.

    .. math:: \frac{\operatorname{median}_i \min_j \|\tilde x_i - x_j\|}{\operatorname{median}_i \min_j \|x'_i - x_j\|},
        \quad x: \text{training rows}, \; x': \text{unseen rows}

    It sees copying by most samples, not by a few; samples that are only smoother than the data also fall below 1.

    Arguments:
        train, test, samples: rows in the same space, (n, d), (m, d), (l, d).

    Returns:
        The ratio; NaN where most unseen rows equal a training row, so that copies are no sign of anything.
    """
    neighbours = NearestNeighbors(n_neighbors=1).fit(_flat(train))
    far = [float(np.median(neighbours.kneighbors(_flat(rows))[0])) for rows in (samples, test)]
    return far[0] / far[1] if far[1] else float("nan")


def gaussian(train: np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    """Draw rows from the normal law fitted to training rows: the simplest generator, to compare with.

    Arguments:
        train: rows, (m, d), at least 2.
        n: how many to draw.
        seed: of the draw.
    """
    train = _flat(train)
    mean = train.mean(0)
    weights = np.random.default_rng(seed).standard_normal((n, len(train)))  # sums of centred rows have just their covariance
    return mean + weights @ (train - mean) / np.sqrt(len(train) - 1)


def marginals(real: np.ndarray, fake: np.ndarray, categories: Sequence[int] = ()) -> list[float]:
    r"""How far each column's own distribution is off: 0 is perfect, 1 is worst.

    .. math:: \text{numbers (Kolmogorov-Smirnov):} \; \sup_t |F(t) - \tilde F(t)|, \quad
        \text{categories (total variation):} \; \frac12 \sum_c |p_c - \tilde p_c|

    An empty cell (NaN) is a value above all others among numbers, and one more category among categories.

    Arguments:
        real, fake: matrices, (n, columns), (m, columns), categories by number.
        categories: places of the columns of categories.

    Returns:
        One number for each column.
    """
    errors = []
    for k in range(real.shape[1]):
        a, b = (np.sort(np.where(np.isnan(rows[:, k]), np.inf, rows[:, k])) for rows in (real, fake))
        at = np.unique(np.concatenate([a, b]))
        upto = [np.searchsorted(cells, at, side="right") / len(cells) for cells in (a, b)]
        if k in categories:
            errors.append(float(np.abs(np.diff(upto[0] - upto[1], prepend=0)).sum() / 2))
        else:
            errors.append(float(np.abs(upto[0] - upto[1]).max()))
    return errors


def lost_categories(real: np.ndarray, fake: np.ndarray, categories: Sequence[int], least: float = 10) -> int:
    r"""How many categories samples never have that they ought to have several times; an empty cell is none of them.

    .. math:: |\{(k, c): m \, p_{kc} \ge \text{least}, \, \tilde p_{kc} = 0\}|

    Arguments:
        real, fake: matrices, (n, columns), (m, columns), categories by number.
        categories: places of the columns of categories.
        least: how often a right model would have it; with 10, one in 20,000 such categories is lost by chance.
    """

    def lost(k: int) -> int:
        values, counts = np.unique(real[:, k][~np.isnan(real[:, k])], return_counts=True)
        return int((~np.isin(values[counts * len(fake) >= least * len(real)], fake[:, k])).sum())

    return sum(map(lost, categories))


def empty_cells(real: np.ndarray, fake: np.ndarray, least: float = 10) -> dict[str, float]:
    r"""Are as many cells of samples empty?

    Arguments:
        real, fake: matrices, (n, columns), (m, columns), empty cells NaN.
        least: of a column nothing is said where neither the samples nor a right model would leave so many cells empty.

    Returns:
        ``empty`` and ``empty_samples``, shares of all cells, in [0, 1]; ``empty_wrong``, how many columns have more than twice as many
        as they ought to have, or less than half.
    """
    right, got = np.isnan(real).mean(0), np.isnan(fake).mean(0)
    wrong = ((got < right / 2) | (got > 2 * right)) & (np.maximum(right, got) * len(fake) >= least)
    return {"empty": float(right.mean()), "empty_samples": float(got.mean()), "empty_wrong": float(wrong.sum())}


def correlation_error(real: np.ndarray, fake: np.ndarray) -> float:
    r"""Mean absolute difference of the correlations of all pairs of columns; a constant column correlates with none.

    .. math:: \frac{2}{d(d - 1)} \sum_{j < k} |\rho_{jk} - \tilde\rho_{jk}|

    Arguments:
        real, fake: rows on the same scale, (n, d), (m, d).

    Returns:
        0 is perfect; NaN for a single column.
    """

    def correlations(x: np.ndarray) -> np.ndarray:
        x = _flat(x) - _flat(x).mean(0)
        length = np.sqrt((x**2).sum(0))
        x = x / np.where(length > 1e-9 * np.sqrt(len(x)), length, np.inf)
        return x.T @ x

    pairs = np.triu_indices(real.shape[1], 1)
    return float(np.abs(correlations(real) - correlations(fake))[pairs].mean()) if len(pairs[0]) else float("nan")


def train_on_synthetic(
    train: np.ndarray, test: np.ndarray, samples: np.ndarray, categories: Sequence[int] = (), targets: int = 5, seed: int = 0
) -> dict[str, float]:
    r"""Train on synthetic, test on real: how well a random forest taught by samples foretells cells of unseen rows.

    Each of a few columns, evenly spread, is foretold from the others. The score is 0 for a guess that knows nothing, 1 for
    perfection: :math:`R^2` for numbers, for categories the mean recall of the classes, rescaled from [1/classes, 1]. Columns
    that a forest taught by real rows can not foretell either (score below 0.05) say nothing and are left out.

    Arguments:
        train, test, samples: matrices, (n, columns), NaN for empty cells; numbers on a scale that has no heavy tails, categories
            by number.
        categories: places of the columns of categories.
        targets: at most so many columns are foretold.
        seed: of the forests.

    Returns:
        ``tstr``: mean score when taught by samples; ``trtr``: when taught by as many real rows; ``tstr_ratio``. All NaN where
        nothing can be foretold.

    Source: Esteban et al. 2017 (arXiv:1706.02633).
    """
    n = min(len(train), len(samples))
    width = train.shape[1]
    scores = []
    for k in np.unique(np.linspace(0, width - 1, min(targets, width)).round().astype(int)) if width > 1 else ():
        real = _forecast(train[:n], test, int(k), k in categories, seed)
        if real >= 0.05:
            scores.append((_forecast(samples[:n], test, int(k), k in categories, seed), real))
    tstr, trtr = np.mean(scores, axis=0) if scores else (float("nan"), float("nan"))
    return {"tstr": float(tstr), "trtr": float(trtr), "tstr_ratio": float(tstr / trtr)}


def _forecast(train: np.ndarray, test: np.ndarray, k: int, category: bool, seed: int) -> float:
    """Score of a forest that foretells column k from the others; NaN if there is too little to judge by."""
    if category:  # an empty cell is one more category
        train, test = (np.where((np.arange(rows.shape[1]) == k) & np.isnan(rows), -1.0, rows) for rows in (train, test))
    train, test = (rows[~np.isnan(rows[:, k])] for rows in (train, test))
    if len(np.unique(test[:, k])) < 2:
        return float("nan")
    if len(train) == 0:
        return 0.0
    forest = (RandomForestClassifier if category else RandomForestRegressor)(30, min_samples_leaf=3, random_state=seed)
    guess = forest.fit(np.delete(train, k, 1), train[:, k]).predict(np.delete(test, k, 1))
    if not category:
        return float(r2_score(test[:, k], guess))
    classes = np.unique(test[:, k])
    recall = np.mean([(guess[test[:, k] == c] == c).mean() for c in classes])
    return float((recall - 1 / len(classes)) / (1 - 1 / len(classes)))


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


def p_values(scores: np.ndarray, held_out: np.ndarray | None = None) -> np.ndarray:
    r"""How rarely an ordinary row is as strange as this one: a threshold that needs neither anomalies nor their share.

    .. math:: p(x) = \frac{1 + \#\{j : A(x_j) \ge A(x)\}}{m + 1}

    over m ordinary rows that training never saw. Call a row an anomaly if its p is at most :math:`\alpha`, and no more than a
    share :math:`\alpha` of rows that are drawn like the held-out ones is called so on average, whatever the game and the data (the
    conformal p-value). It says nothing of how many anomalies are found: that is the score's part. Anomalies among the held-out
    rows make p larger, never smaller. The smallest p is 1 / (m + 1): for :math:`\alpha` = 0.01, hold out at least 99 rows.

    Arguments:
        scores: anomaly scores, (n,), higher = stranger.
        held_out: scores of the m held-out rows by the same run. None: ``scores`` are these, each is compared with all others.

    Returns:
        p, (n,), in (0, 1].

    Raises:
        AliError: a score that is no number, or nothing to compare with.

    Source: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005; for anomalies Laxhammar and Falkman 2010.
    """
    scores, known = np.asarray(scores, np.float64), np.sort(np.asarray(scores if held_out is None else held_out, np.float64))
    others = len(known) - (held_out is None)
    if scores.ndim != 1 or known.ndim != 1 or others < 1:
        raise AliError(f"p-values compare scores (n,) with those of held-out rows (m,), m at least 1: got {scores.shape}, {known.shape}")
    if np.isnan(scores).any() or np.isnan(known).any():
        raise AliError("p-values: a score is no number (NaN)")
    as_strange = len(known) - np.searchsorted(known, scores, side="left")
    return (as_strange + (held_out is not None)) / (others + 1)


def _flat(x: np.ndarray) -> np.ndarray:
    return np.asarray(x, dtype=np.float64).reshape(len(x), -1)
