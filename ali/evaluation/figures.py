"""Figures: arrays in, matplotlib figure out. Nothing here loads, trains, saves or shows."""

from __future__ import annotations

__all__ = ["curves", "latent", "plane"]

import numpy as np
from matplotlib.figure import Figure


def latent(z: np.ndarray, y: np.ndarray | None, classes: tuple[str, ...] = ()) -> Figure:
    """Codes in the plane, coloured by class: as they are in two dimensions, else by t-SNE (van der Maaten and Hinton 2008).

    Arguments:
        z: codes, (n, d).
        y: class numbers, (n,), -1 for unknown, or None.
        classes: their names.
    """
    title = "codes z"
    if z.shape[1] == 1:
        z, title = np.concatenate([z, np.zeros_like(z)], 1), "codes z (one dimension)"
    elif z.shape[1] > 2:
        from sklearn.manifold import TSNE

        z = TSNE(perplexity=min(30, (len(z) - 1) / 3), init="pca", random_state=0).fit_transform(z)
        title = "codes z, laid out in the plane by t-SNE"
    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    axes = figure.subplots()
    _scatter(axes, z, y, len(classes))
    if y is not None and 0 < len(classes) <= 12:
        for number, name in enumerate(classes):
            axes.scatter([], [], s=30, color=_colour(np.array([number]), len(classes)), label=name)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, title="class")
    axes.set(title=title, xticks=[], yticks=[])
    return figure


def plane(panels: dict[str, tuple[np.ndarray, np.ndarray | None]], classes: int) -> Figure:
    """Points of the plane side by side: data, codes, reconstructions, prior and samples, as in Figure 8.

    Arguments:
        panels: title to (points of shape (n, 2), class numbers or None).
        classes: how many classes there are.
    """
    figure = Figure(figsize=(3.3 * len(panels), 3.5), layout="constrained")
    for axes, (title, (points, y)) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels.items(), strict=True):
        _scatter(axes, points, y, classes)
        axes.set(title=title, aspect="equal", adjustable="datalim")
    return figure


def curves(log: list[dict[str, float]]) -> Figure:
    """Learning curves: what each player lost, by rows seen.

    Arguments:
        log: lines of ``log.jsonl``.
    """
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    players = [key for key in (log[0] if log else {}) if key.startswith("loss_")]
    rows = [line["rows"] for line in log]
    for player in players:
        axes.plot(rows, [line[player] for line in log], label=player.removeprefix("loss_"), linewidth=1.2)
    axes.set(xlabel="training rows seen", ylabel="loss", title="what each player lost")
    axes.grid(alpha=0.3)
    if players:
        axes.legend(frameon=False)
    return figure


def _scatter(axes, points: np.ndarray, y: np.ndarray | None, classes: int) -> None:
    axes.scatter(points[:, 0], points[:, 1], s=6 if len(points) < 2000 else 2, linewidths=0, c="0.25" if y is None else _colour(y, classes))


def _colour(y: np.ndarray, classes: int) -> np.ndarray:
    from matplotlib import colormaps

    colours = colormaps["tab10"](y) if classes <= 10 else colormaps["Spectral"](y / max(1, classes - 1))
    colours[y < 0] = (0.8, 0.8, 0.8, 1)  # the class is not known
    return colours
