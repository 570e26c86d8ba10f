"""Lines in the space of codes: walks from code to code, and directions along which something changes."""

from __future__ import annotations

__all__ = ["direction", "strengths", "walk"]

import math
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ali.errors import AliError


def walk(
    z1: Float[Tensor, "n d"], z2: Float[Tensor, "n d"], steps: int, how: Literal["linear", "spherical"] = "linear"
) -> Float[Tensor, "n s d"]:
    r"""Points between codes, both ends among them.

    .. math::
        \text{linear:} \quad & (1 - t) z_1 + t z_2 \\
        \text{spherical:} \quad & \frac{\sin((1 - t) \omega)}{\sin \omega} z_1 + \frac{\sin(t \omega)}{\sin \omega} z_2,
        \quad \omega = \angle(z_1, z_2)

    Arguments:
        z1, z2: where the walks begin and end.
        steps: points on each walk, at least 2.
        how: a straight line, or along the sphere where prior codes lie (White 2016, arXiv:1609.04468).

    Raises:
        AliError: fewer steps, or another way.
    """
    if steps < 2:
        raise AliError(f"steps counts the points of a walk with both its ends: at least 2, got {steps}")
    if how not in ("linear", "spherical"):
        raise AliError(f"unknown way {how!r}: choose linear or spherical")
    z1, z2, t = z1[:, None], z2[:, None], torch.linspace(0, 1, steps, device=z1.device)[:, None]
    straight = (1 - t) * z1 + t * z2
    if how == "linear":
        return straight
    cosine = torch.nn.functional.cosine_similarity(z1, z2, dim=-1).clamp(-1, 1)[..., None]
    omega = cosine.arccos()
    sphere = ((1 - t) * omega).sin() / omega.sin() * z1 + (t * omega).sin() / omega.sin() * z2
    # Codes on one line through the origin: the limit, or where there is none, is the straight walk.
    return torch.where(omega.sin() < 1e-3, straight, sphere)


def direction(z: np.ndarray, mask: Any, how: Literal["mean", "classifier"] = "mean") -> np.ndarray:
    r"""The direction in which codes with a property lie from codes without it, one step long.

    .. math::
        \text{mean:} \quad & \delta = \bar z_1 - \bar z_0 \\
        \text{classifier:} \quad & \frac{w \cdot \delta}{w \cdot w} w

    with :math:`w` the normal of a logistic regression that tells codes with from codes without: a step along it goes as far towards
    the side with as the way between the means does, and changes nothing that the classifier does not look at.

    Arguments:
        z: codes, (n, d).
        mask: which of them have the property, (n,), bool.
        how: "mean" or "classifier".

    Returns:
        Shape (d,): a step of strength 1 leads from the mean without to the mean with (along w: to the plane through it).

    Raises:
        AliError: a mask of another length or type, or all rows on one side.

    Source: Larsen et al. 2016 (arXiv:1512.09300), attribute vectors; the authors' slides, the smile vector; Shen et al. 2020
    (arXiv:1907.10786), normals.
    """
    mask = np.asarray(mask)
    if mask.shape != (len(z),) or mask.dtype.kind not in "biu" or (mask.dtype.kind != "b" and not np.isin(mask, (0, 1)).all()):
        raise AliError(f"mask says yes or no (True or False) for each of the {len(z)} rows, got type {mask.dtype} of shape {mask.shape}")
    mask = mask.astype(bool)
    if mask.all() or not mask.any():
        raise AliError(f"a direction leads from rows without to rows with: all {len(z)} rows are {'with' if mask.any() else 'without'}")
    if how not in ("mean", "classifier"):
        raise AliError(f"unknown way {how!r}: choose mean or classifier")
    z = np.asarray(z, np.float64)
    between = z[mask].mean(0) - z[~mask].mean(0)
    if how == "mean":
        return between.astype(np.float32)
    from sklearn.linear_model import LogisticRegression

    normal = LogisticRegression(max_iter=1000).fit(z, mask).coef_[0]
    return (normal * (normal @ between) / (normal @ normal)).astype(np.float32)


def strengths(text: str) -> list[float]:
    """Steps along a direction as the command line writes them: ``-2:2:7`` are seven from -2 to 2.

    Raises:
        AliError: another form.
    """
    try:
        low, high, n = (kind(part) for kind, part in zip((float, float, int), text.split(":"), strict=True))
    except ValueError:
        low, high, n = 0.0, 0.0, 0
    if not 1 <= n <= 1000 or not math.isfinite(high - low):
        raise AliError(f"strength is written lo:hi:n, from lo to hi in n steps, 1 to 1000 (-2:2:7); got {text!r}")
    return np.linspace(low, high, int(n)).tolist()
