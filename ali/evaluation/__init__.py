"""How good is a run? Numbers (metrics.py), sentences (words.py), figures (figures.py), and all on one page (report.py)."""

from __future__ import annotations

__all__ = ["evaluate"]

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA

from ali.data import labels
from ali.data.mixtures import SIGMA, centres
from ali.data.source import Data, Source
from ali.data.tables import to_matrix
from ali.errors import AliError
from ali.evaluation import metrics
from ali.model import Model
from ali.passes import CHUNK

ROWS = 10_000  # at most so many rows of each part are looked at: 1-NN costs their product
TAUGHT = 60_000  # at most so many training rows, of at most CELLS numbers, teach a 1-NN classifier: it gets better with each
PAIRS = 2_000  # at most so many rows where all pairs are compared, or forests are grown
CELLS = 50_000_000  # at most so many numbers are held for PCA, and for 1-NN: 400 MB
SPACE = 64  # principal components of pixels, in which images are compared


def evaluate(model: Model, data: Any, *, seed: int = 0, candidates: int | None = None) -> dict[str, float]:
    """Measure a model on rows that it never saw.

    Images are measured with pixels scaled to [-1, 1], points of a mixture in units of the training rows' standard deviation,
    tables as the networks see them: numbers made normal, categories as probabilities. Samples are compared with held-out rows in
    that space, images in the leading 64 principal components of every other training row ("PCA-64 of pixels": no network looked
    at them, so it is no FID or KID). At most 10,000 rows of each part are looked at, at most 2,000 where all pairs are compared, and
    at most 60,000 training rows (of 50 million numbers) teach the 1-NN classifier of labels. A conditional run is told the rows'
    labels (so that ``label_kept`` is easy for it, and ``nn_codes`` is left out), and samples with y ~ p(y). Of a run without an
    encoder there are only the numbers of its samples, of one without a decoder only those of its codes.

    Arguments:
        model: a loaded run, with decoder, encoder or both.
        data: its training rows, and rows held out: ``Data(train, test)``, or any pair, of sources, arrays, pairs (x, y) with classes
            y, or, for a table, data frames.
        seed: of samples and draws.
        candidates: as for :meth:`ali.model.Model.sample`; 1: samples are measured as they come from p(z).

    Returns:
        ``held_out`` (rows looked at), ``held_out_labelled`` (those whose class is known), ``accuracy`` (of a classifier, on these),
        ``reconstruction_mse``, ``variance``, ``mse_share`` (their ratio), ``two_sample`` (0.5 is ideal), ``q_z`` (sliced
        Wasserstein distance of the training rows' codes, drawn, to the prior), ``q_z_floor`` (of as many draws from the
        prior itself); of the rows whose class is known ``label_kept``, ``label_kept_ceiling`` (the originals themselves), ``nn_codes`` and
        ``nn_pixels``; ``pca_share`` (``mse_share`` of PCA with as many components as the code has, ``pca_components``; where
        that is fewer than the data has); of the samples ``frechet``, ``kernel``, ``precision``, ``recall``, ``density`` and ``coverage``
        (:func:`ali.evaluation.metrics.prdc`), ``memorisation`` (nearest training rows; 1 is right), with what as many
        training rows get in their place (``frechet_floor``, ``kernel_floor``, ``precision_ceiling``, ``recall_ceiling``) and what a
        fitted normal law gets (``coverage_gaussian``); for images ``pixel_components`` (of that space); for a table
        ``marginals``, ``marginals_worst``, ``marginals_floor`` (per column), what
        :func:`ali.evaluation.metrics.empty_cells` returns, ``lost_categories``, ``correlations``, ``correlations_floor``, and ``tstr``,
        ``trtr``, ``tstr_ratio`` (:func:`ali.evaluation.metrics.train_on_synthetic`); for a mixture what
        :func:`ali.evaluation.metrics.mixture_modes` returns, and ``same_mode``.
    """
    generates, infers = model.generates, model.infers
    if not (generates or infers or model.classifies):
        raise AliError(f"this run ({model.config['recipe']}) can not be evaluated: its game has no decoder, no encoder and no classifier")
    whole, held_out = _parts(model, data)
    train, test = some(whole, ROWS), some(held_out, ROWS)
    if len(test) < 2:
        raise AliError("evaluation needs at least 2 held-out rows")
    scaled = _scaler(model, train)
    x_hat = model.reconstruct(test.x, model.labels_of(test)) if generates and infers else None
    x_tilde = _matrix(model, model.sample(len(test), seed=seed, candidates=candidates)) if generates else None

    values: dict[str, float] = {"held_out": float(len(test))}
    if x_hat is not None:
        values |= _reconstruction(model, train, test.x, x_hat, scaled)
    if x_tilde is not None:
        values["two_sample"] = metrics.two_sample_accuracy(scaled(test.x), scaled(x_tilde))
    if infers:
        z = model.encode(train.x, model.labels_of(train), draw=True, seed=seed)
        prior = np.random.default_rng(seed).standard_normal(z.shape)
        values |= {"q_z": metrics.sliced_wasserstein(z), "q_z_floor": metrics.sliced_wasserstein(prior)}
    if x_tilde is not None:
        values |= _samples(model, train, test, x_tilde, scaled, seed)
        if model.columns:
            values |= _table(model, train, test, x_tilde, scaled, seed, candidates)
    asked = test.labelled()
    if test.y is not None and len(asked) and len(model.classes):
        values["held_out_labelled"] = float(len(asked))
        if model.classifies and model.classes == test.classes:
            values["accuracy"] = float((model.classify(test.x[asked]).argmax(1) == test.y[asked]).mean())
    if infers and len(taught := whole.labelled()) and len(asked):
        teacher, unseen = some(whole.rows(taught), max(ROWS, min(TAUGHT, CELLS // test.x[0].size))), test.rows(asked)
        near = partial(metrics.nearest_neighbour_accuracy, train_y=np.asarray(teacher.y), test_y=np.asarray(unseen.y))
        known, unseen = teacher.x, unseen.x
        raw = near(scaled(known), test=scaled(unseen))
        if x_hat is not None:
            values |= {"label_kept": near(scaled(known), test=scaled(x_hat[asked])), "label_kept_ceiling": raw}
        if model.conditions is None:  # an encoder that is told the class shows nothing by knowing it
            values |= {"nn_codes": near(model.encode(known), test=model.encode(unseen)), "nn_pixels": raw}
    shape = model.config["data"].get("shape") if model.config["dataset"] == "mixture" else None
    if shape is not None:
        means = centres(shape)
        if generates:
            values |= metrics.mixture_modes(model.sample(10_000, seed=seed, candidates=candidates), means, SIGMA)
        if x_hat is not None:
            nearest = [((rows[:, None] - means) ** 2).sum(-1).argmin(1) for rows in (test.x, x_hat)]
            values["same_mode"] = float((nearest[0] == nearest[1]).mean())
    return values


def _parts(model: Model, data: Any) -> Data:
    """Training rows and held-out rows, whatever they came as."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise AliError("data: expected training rows and held-out rows, ali.Data(train, test)")
    pairs = [part if isinstance(part, tuple) and len(part) == 2 else (part, None) for part in data]
    classes = labels.numbered(None if y in (None, -1) else str(y) for part in data if isinstance(part, tuple) for y in part[1])[1]
    made = []
    for what, (x, y) in zip(("train", "test"), pairs, strict=True):
        if isinstance(x, Source):
            made.append(x)
            continue
        rows = _matrix(model, x.numpy() if isinstance(x, torch.Tensor) else x)
        if len(rows) == 0 or (y is not None and len(y) != len(rows)):
            raise AliError(f"data: {what} has {len(rows)} rows" + ("" if y is None else f", and {len(y)} labels"))
        model.preprocess.check(torch.from_numpy(np.require(rows, requirements=["C", "W"])), f"data: {what}")
        known = None if y is None else np.array([-1 if cell in (None, -1) else classes.index(str(cell)) for cell in y], np.int64)
        made.append(Source(rows, known, classes if y is not None else ()))
    return Data(*made)


Scale = Callable[[np.ndarray], np.ndarray]


def _reconstruction(model: Model, train: Source, x: np.ndarray, x_hat: np.ndarray, scaled: Scale) -> dict[str, float]:
    """Held-out rows beside their reconstructions, and beside what PCA leaves of them."""
    error = metrics.reconstruction(scaled(x), scaled(x_hat))
    values = {"reconstruction_mse": error["mse"], "variance": error["variance"], "mse_share": error["mse_share"]}
    width = scaled(x[:1]).size
    if model.latent < width:
        share = metrics.pca_reconstruction(scaled(some(train, max(PAIRS, CELLS // width)).x), scaled(x), model.latent)
        values |= {"pca_share": share, "pca_components": float(model.latent)}
    return values


def _samples(model: Model, train: Source, test: Source, x_tilde: np.ndarray, scaled: Scale, seed: int) -> dict[str, float]:
    """Samples beside held-out rows, and training rows beside them, in the space where rows are compared."""
    if len(train) < 4:
        return {}
    space, others, values = scaled, train, {}
    if model.preprocess.pixels is not None:
        # The axes are fitted to every other training row and stretch those: the rest stand beside held-out rows.
        fitted, others = train.rows(slice(0, None, 2)), train.rows(slice(1, None, 2))
        pixels = scaled(some(fitted, PAIRS).x)
        pca = PCA(min(SPACE, len(pixels), pixels[0].size), random_state=0).fit(pixels.reshape(len(pixels), -1))
        values = {"pixel_components": float(pca.n_components_)}

        def space(x: np.ndarray) -> np.ndarray:
            chunks = (x[k : k + CHUNK] for k in range(0, len(x), CHUNK))
            return np.concatenate([pca.transform(scaled(chunk).reshape(len(chunk), -1)) for chunk in chunks])

    n = min(PAIRS, len(others), len(test))
    known, real, more, fake = space(train.x), space(some(test, n).x), space(some(others, n).x), space(x_tilde[:n])
    normal = metrics.gaussian(space(some(others, PAIRS).x), n, seed)
    if model.columns:  # a table, like what is compared with it: numbers as they can be, one category a cell
        normal = space(model.preprocess.inverse(torch.from_numpy(normal)).numpy())
    ceiling = metrics.prdc(real, more)
    values |= {
        "frechet": metrics.frechet_distance(real, fake),
        "frechet_floor": metrics.frechet_distance(real, more),
        "kernel": metrics.kernel_distance(real, fake),
        "kernel_floor": metrics.kernel_distance(real, more),
        **metrics.prdc(real, fake),
        "precision_ceiling": ceiling["precision"],
        "recall_ceiling": ceiling["recall"],
        "coverage_gaussian": metrics.prdc(real, normal)["coverage"],
        "memorisation": metrics.memorisation(known, real, fake),
    }
    return _known(values)


def _table(
    model: Model, train: Source, test: Source, x_tilde: np.ndarray, scaled: Scale, seed: int, candidates: int | None
) -> dict[str, float]:
    """Columns, pairs of columns, and what a model learns from samples instead of rows."""
    choices = [k for k, column in enumerate(model.columns) if column.categories]
    numbers = [k for k in range(len(model.columns)) if k not in choices]
    more = some(train, min(len(train), len(test))).x
    off = metrics.marginals(test.x, x_tilde, choices)

    def cells(x: np.ndarray) -> np.ndarray:
        """Numbers on the network's scale, which has no heavy tails; categories and empty cells as they are."""
        y = np.array(x, dtype=np.float64)
        y[:, numbers] = scaled(x)[:, : len(numbers)]
        return np.where(np.isnan(x), np.nan, y)

    taught = some(train, PAIRS).x
    samples = _matrix(model, model.sample(len(taught), seed=seed, candidates=candidates))
    return _known(
        {
            **(metrics.empty_cells(taught, samples) if any(column.missing for column in model.columns) else {}),
            **({"lost_categories": metrics.lost_categories(taught, samples, choices)} if choices else {}),
            "marginals": float(np.mean(off)),
            "marginals_worst": float(np.max(off)),
            "marginals_floor": float(np.mean(metrics.marginals(test.x, more, choices))),
            "correlations": metrics.correlation_error(scaled(test.x), scaled(x_tilde)),
            "correlations_floor": metrics.correlation_error(scaled(test.x), scaled(more)),
            **metrics.train_on_synthetic(cells(taught), cells(some(test, PAIRS).x), cells(samples), choices, seed=seed),
        }
    )


def _known(values: dict[str, float]) -> dict[str, float]:
    """Without the numbers that this data can not give."""
    return {key: value for key, value in values.items() if np.isfinite(value)}


def _matrix(model: Model, rows: Any) -> np.ndarray:
    """Rows as an array, whatever they came as."""
    return rows if isinstance(rows, np.ndarray) or not model.columns else to_matrix(rows, model.columns, "rows")


def some(source: Source, n: int) -> Source:
    """At most n rows, spread evenly."""
    chosen = source if len(source) <= n else source.rows(np.linspace(0, len(source) - 1, n).astype(int))
    return replace(chosen, x=np.asarray(chosen.x))


def _scaler(model: Model, train: Source) -> Scale:
    """Units in which errors of different data can be compared."""
    maximum = model.preprocess.pixels
    if maximum is not None:
        return lambda x: 2 * x.astype(np.float64) / maximum - 1
    if not model.columns:
        mean, scale = train.x.mean(0, dtype=np.float64), train.x.std(0, dtype=np.float64)
        return lambda x: (x - mean) / scale
    return lambda x: model.preprocess.forward(torch.from_numpy(np.ascontiguousarray(x))).numpy()
