r"""What frozen features are worth: simple classifiers on what an encoder, or a discriminator, makes of the rows.

The protocol of section 4.3 and of Radford et al. (2015), Table 1 of the paper: an L2-SVM (squared hinge) on the features of few
labelled rows, its C chosen on rows held out of the training part, its error measured over many draws of those few rows.

References:
    | Dumoulin et al., Adversarially Learned Inference, ICLR 2017, section 4.3 (arXiv:1606.00704), and the authors' code
    | Radford, Metz and Chintala, DCGAN, 2015, section 5.2 (arXiv:1511.06434), and the code of its SVHN experiment
"""

from __future__ import annotations

__all__ = ["C_GRID", "clusters", "discriminator_features", "encoder_features", "linear_probe", "nearest", "svm"]

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import normalized_mutual_info_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import Tensor, nn

from ali.data.source import balanced
from ali.errors import AliError
from ali.evaluation import metrics
from ali.games.game import Infers
from ali.layers import Maxout
from ali.model import Model
from ali.networks import Critic, Discriminator

C_GRID = tuple(np.exp(np.linspace(-20, 20, 50)).tolist())  # the authors' code
AT_ONCE = 500  # rows
GRID = 4  # pixels to a side, to which a discriminator's maps are pooled

LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
NONLINEAR = (nn.LeakyReLU, nn.ReLU, Maxout)


def encoder_features(model: Model, x: np.ndarray, layers: Sequence[int] = (-3, -2, -1), code: bool = True) -> np.ndarray:
    """What the encoder makes of rows: the mean of q(z | x), then pre-activations of hidden layers.

    Pre-activations, batch-normalised where the layer is, as in the authors' code. For the paper's SVHN table they are 5,376
    numbers; the 8,960 that the paper names can not be reconciled with that table.

    Arguments:
        model: a loaded run with an encoder.
        x: rows in the data's own units, (n, ...).
        layers: places among the encoder's hidden layers, the last one being -1; an encoder that has fewer gives what it has.
        code: with the mean of q(z | x)?

    Returns:
        Shape (n, features).

    Raises:
        AliError: the run has no encoder, or nothing is asked for.
    """
    game: Any = model.game
    if not isinstance(model.game, Infers):  # pyrefly: ignore
        raise AliError(f"this run ({model.config['recipe']}) has no encoder: take discriminator_features")
    hidden = [row[-1] if isinstance(row[-1], NORMS) else row[0] for row in _rows(game.encoder, activations=False)[:-1]]
    chosen = [hidden[place] for place in layers if -len(hidden) <= place < len(hidden)]
    if not chosen and not code:
        raise AliError(f"no features are left: the encoder has {len(hidden)} hidden layers, numbered -{len(hidden)} to -1")

    def see(rows: Tensor) -> list[Tensor]:
        mean, seen = _watched(chosen, lambda: game.encode(rows).mean)
        return [*([mean] if code else []), *seen]

    return _in_chunks(model, x, see)


def discriminator_features(model: Model, x: np.ndarray, grid: int = GRID) -> np.ndarray:
    """What a discriminator's layers on x make of rows: their activations, maps pooled to a grid by the maximum, side by side.

    Radford et al. take all convolutions of a DCGAN's D, pooled to 4 x 4. Maps that are no larger than the grid stay as they are.

    Arguments:
        model: a loaded run with a discriminator of x, or of pairs: then its stack on x is looked at.
        x: rows in the data's own units, (n, ...).
        grid: pixels to a side.

    Returns:
        Shape (n, features).

    Raises:
        AliError: the run has no discriminator that looks at x alone in its first layers.
    """
    critic = getattr(model.game, "discriminator", None)
    body = critic.d_x if isinstance(critic, Discriminator) else critic.body if isinstance(critic, Critic) else None
    if body is None or not _rows(body):
        raise AliError(f"this run ({model.config['recipe']}) has no discriminator with layers on x alone: train one with convolutions")
    stack, last = body, [row[-1] for row in _rows(body)]

    def see(rows: Tensor) -> list[Tensor]:
        _, seen = _watched(last, lambda: stack(rows))
        return [F.adaptive_max_pool2d(h, tuple(min(grid, size) for size in h.shape[2:])) if h.ndim == 4 else h for h in seen]

    return _in_chunks(model, x, see)


def svm(
    train: np.ndarray,
    train_y: np.ndarray,
    test: np.ndarray,
    test_y: np.ndarray,
    classes: tuple[str, ...],
    *,
    labels: int = 1000,
    draws: int = 100,
    grid: Sequence[float] = C_GRID,
    validation: float = 0.2,
    seed: int = 0,
) -> dict[str, float]:
    """Test error of an L2-SVM on few labelled rows, over many draws of them.

    C is the one with the lowest error on validation rows, drawn from the training part (of several the smallest), for the first
    draw of labelled rows from the others; then every draw is taught with that C.

    Arguments:
        train, train_y, test, test_y: features, (n, features), and class numbers, -1 for unknown.
        classes: names of the classes.
        labels: rows that are learned from, equally many of each class.
        draws: how many times they are drawn.
        grid: C to choose from.
        validation: share of the training rows to choose it on; the authors take 10,000 of 73,257.
        seed: of the draws.

    Returns:
        ``svm_error``, ``svm_error_sd`` (of the draws, n - 1), ``svm_c``, ``svm_validation_error`` (of that C).

    Raises:
        AliError: too few labelled rows.
    """
    order = np.random.default_rng((seed, 3)).permutation(np.flatnonzero(train_y >= 0))
    held, rest = np.split(order, [max(1, round(validation * len(order)))])
    if not len(rest):
        raise AliError(f"an SVM needs labelled rows to learn from and to choose C on, got {len(order)}")

    def taught(c: float, draw: int) -> Any:
        rows = rest[balanced(train_y[rest], classes, labels, seed + draw)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # at the grid's upper end; the validation rows see what it is worth
            return LinearSVC(C=c, random_state=0).fit(train[rows], train_y[rows])

    errors = [1 - taught(c, 0).score(train[held], train_y[held]) for c in grid]
    best = int(np.argmin(errors))
    known = test_y >= 0
    tested = [1 - taught(grid[best], draw).score(test[known], test_y[known]) for draw in range(draws)]
    return {
        "svm_error": float(np.mean(tested)),
        "svm_error_sd": float(np.std(tested, ddof=1)) if draws > 1 else 0.0,
        "svm_c": float(grid[best]),
        "svm_validation_error": float(errors[best]),
    }


def linear_probe(train: np.ndarray, train_y: np.ndarray, test: np.ndarray, test_y: np.ndarray) -> float:
    """Test error of logistic regression on standardised features, taught by all training rows."""
    return 1 - float(make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(train, train_y).score(test, test_y))


def nearest(train: np.ndarray, train_y: np.ndarray, test: np.ndarray, test_y: np.ndarray) -> float:
    """Test error of the nearest training row's class."""
    return 1 - metrics.nearest_neighbour_accuracy(train, train_y, test, test_y)


def clusters(features: np.ndarray, y: np.ndarray, k: int, seed: int = 0) -> dict[str, float]:
    r"""How well k-means, which sees no label, finds the classes.

    .. math:: \mathrm{accuracy} = \max_\pi \frac{1}{n} |\{i : \pi(c_i) = y_i\}|

    over all one-to-one maps :math:`\pi` of clusters to classes (Hungarian method).

    Arguments:
        features: (n, features).
        y: class numbers, (n,).
        k: clusters, as many as there are classes.
        seed: of the first centres.

    Returns:
        ``cluster_accuracy``, ``cluster_nmi`` (normalised mutual information, arithmetic mean).
    """
    found = KMeans(k, n_init=10, random_state=seed).fit_predict(features)
    table = np.zeros((k, k), np.int64)
    np.add.at(table, (found, y), 1)
    return {
        "cluster_accuracy": float(table[linear_sum_assignment(-table)].sum() / len(y)),
        "cluster_nmi": float(normalized_mutual_info_score(y, found)),
    }


def _rows(network: nn.Module, activations: bool = True) -> list[list[nn.Module]]:
    """A network's layers, each with its normalisation and, if asked for, its nonlinearity."""
    rows: list[list[nn.Module]] = []
    for module in network.modules():
        if isinstance(module, LAYERS):
            rows.append([module])
        elif isinstance(module, NORMS) or (activations and isinstance(module, NONLINEAR)):
            rows[-1].append(module)
    return rows


def _watched(modules: list[nn.Module], call: Any) -> tuple[Tensor, list[Tensor]]:
    """The result of a call, and what modules put out meanwhile, in their order."""
    seen: dict[int, Tensor] = {}
    hooks = [m.register_forward_hook(lambda module, given, output: seen.__setitem__(id(module), output.clone())) for m in modules]
    try:
        return call(), [seen[id(m)] for m in modules]
    finally:
        for hook in hooks:
            hook.remove()


def _in_chunks(model: Model, x: np.ndarray, see: Any) -> np.ndarray:
    features = []
    for first in range(0, len(x), AT_ONCE):
        rows = model.preprocess.check(torch.from_numpy(np.array(x[first : first + AT_ONCE])), "x").to(model.device)
        with torch.no_grad():
            features.append(torch.cat([h.flatten(1) for h in see(model.preprocess.forward(rows))], 1).cpu().numpy())
    return np.concatenate(features)
