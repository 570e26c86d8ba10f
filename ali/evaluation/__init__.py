"""How good is a run? Numbers (metrics.py), figures (figures.py), and both on one page (report.py)."""

from __future__ import annotations

__all__ = ["evaluate"]

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ali.data.mixtures import SIGMA, centres
from ali.data.source import Data, Source
from ali.data.tables import to_matrix
from ali.errors import AliError
from ali.evaluation import metrics
from ali.model import Model

ROWS = 10_000  # at most so many rows of each part are looked at: 1-NN costs their product


def evaluate(model: Model, data: Data, *, seed: int = 0) -> dict[str, float]:
    """Measure a model on rows that it never saw.

    Images are measured with pixels scaled to [-1, 1], points of a mixture in units of the training rows' standard deviation, tables as
    the networks see them: numbers made normal, categories as probabilities.

    Arguments:
        model: a loaded run, with encoder and decoder.
        data: its training rows, and rows held out.
        seed: of samples and draws.

    Returns:
        ``reconstruction_mse``, ``variance``, ``mse_share`` (their ratio), ``two_sample`` (0.5 is ideal), ``q_z`` (sliced
        Wasserstein distance of the training rows' codes, drawn, to the prior), ``q_z_floor`` (of as many draws from the
        prior itself); with classes ``label_kept``, ``label_kept_ceiling`` (the originals themselves), ``nn_codes`` and
        ``nn_pixels``; for a mixture what :func:`ali.evaluation.metrics.mixture_modes` returns, and ``same_mode``.
    """
    train, test = some(data.train, ROWS), some(data.test, ROWS)
    if len(test) < 2:
        raise AliError("evaluation needs at least 2 held-out rows")
    scaled = _scaler(model, train)
    x, x_hat = test.x, model.reconstruct(test.x)
    x_tilde = _matrix(model, model.sample(len(test), seed=seed))
    z = model.encode(train.x, draw=True, seed=seed)
    prior = np.random.default_rng(seed).standard_normal(z.shape)

    error = metrics.reconstruction(scaled(x), scaled(x_hat))
    values = {
        "reconstruction_mse": error["mse"],
        "variance": error["variance"],
        "mse_share": error["mse_share"],
        "two_sample": metrics.two_sample_accuracy(scaled(x), scaled(x_tilde)),
        "q_z": metrics.sliced_wasserstein(z),
        "q_z_floor": metrics.sliced_wasserstein(prior),
    }
    if train.y is not None and test.y is not None:
        near = metrics.nearest_neighbour_accuracy
        raw = near(scaled(train.x), train.y, scaled(x), test.y)
        values |= {
            "label_kept": near(scaled(train.x), train.y, scaled(x_hat), test.y),
            "label_kept_ceiling": raw,
            "nn_codes": near(model.encode(train.x), train.y, model.encode(x), test.y),
            "nn_pixels": raw,
        }
    shape = model.config["data"].get("shape") if model.config["dataset"] == "mixture" else None
    if shape is not None:
        means = centres(shape)
        values |= metrics.mixture_modes(model.sample(10_000, seed=seed), means, SIGMA)
        nearest = [((rows[:, None] - means) ** 2).sum(-1).argmin(1) for rows in (x, x_hat)]
        values["same_mode"] = float((nearest[0] == nearest[1]).mean())
    return values


def _matrix(model: Model, rows: Any) -> np.ndarray:
    """Rows as an array, whatever they came as."""
    return rows if isinstance(rows, np.ndarray) else to_matrix(rows, model.columns, "samples")


def some(source: Source, n: int) -> Source:
    """At most n rows, spread evenly."""
    chosen = source if len(source) <= n else source.rows(np.linspace(0, len(source) - 1, n).astype(int))
    return replace(chosen, x=np.asarray(chosen.x))


def _scaler(model: Model, train: Source):
    """Units in which errors of different data can be compared."""
    maximum = model.preprocess.pixels
    if maximum is not None:
        return lambda x: 2 * x.astype(np.float64) / maximum - 1
    if not model.columns:
        mean, scale = train.x.mean(0, dtype=np.float64), train.x.std(0, dtype=np.float64)
        return lambda x: (x - mean) / scale
    return lambda x: model.preprocess.forward(torch.from_numpy(np.ascontiguousarray(x))).numpy()
