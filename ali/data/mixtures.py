"""Two-dimensional mixtures of Gaussians, generated: the toy data of section 4.5, and two more shapes."""

from __future__ import annotations

__all__ = ["SHAPES", "centres", "mixture"]

import numpy as np

from ali.data.source import Data, Source
from ali.errors import AliError

SIGMA = 0.05  # standard deviation of each component (authors' code)


def grid() -> np.ndarray:
    """25 centres on {-4, -2, 0, 2, 4}^2 (authors' code)."""
    line = np.arange(-4.0, 5.0, 2.0)
    return np.array([(a, b) for a in line for b in line])


def rings() -> np.ndarray:
    """24 centres: 8 on a circle of radius 2 and 16 on one of radius 4."""
    return np.concatenate([_circle(8, 2.0), _circle(16, 4.0)])


def spirals() -> np.ndarray:
    """24 centres on two arms that turn once around each other."""
    turn = np.linspace(0.25, 1.25, 12)
    arm = 3.5 * turn[:, None] * np.stack([np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn)], 1)
    return np.concatenate([arm, -arm])


def _circle(n: int, radius: float) -> np.ndarray:
    angle = 2 * np.pi * np.arange(n) / n
    return radius * np.stack([np.cos(angle), np.sin(angle)], 1)


SHAPES = {"grid": grid, "rings": rings, "spirals": spirals}


def centres(shape: str) -> np.ndarray:
    """The means of a mixture's components, shape (k, 2)."""
    if shape not in SHAPES:
        raise AliError(f"unknown mixture {shape!r}: choose one of {', '.join(SHAPES)}")
    return SHAPES[shape]()


def mixture(shape: str = "grid", n: int = 100_000, data_seed: int = 0) -> Data:
    r"""Draw from a mixture of equal Gaussians.

    .. math:: q(x) = \frac{1}{K} \sum_k \mathcal{N}(x | m_k, 0.05^2 I)

    Arguments:
        shape: "grid" (25 components, section 4.5), "rings" (24) or "spirals" (24).
        n: training rows (section 4.5: 100,000); 10,000 more are held out, as there.
        data_seed: of the draw.
    """
    if n < 1:
        raise AliError(f"n counts the training rows: at least 1, got {n}")
    means = centres(shape)
    generator = np.random.default_rng(data_seed)

    def draw(rows: int) -> Source:
        y = generator.integers(len(means), size=rows)
        x = means[y] + SIGMA * generator.standard_normal((rows, 2))
        return Source(x.astype(np.float32), y, tuple(str(k) for k in range(len(means))))

    return Data(draw(n), draw(10_000))
