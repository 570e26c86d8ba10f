r"""Moved copies of images: what a code should not hang on.

A copy is turned, sheared, scaled and shifted a little, at random for every row, and looked up between pixels (bilinear). What it shows
stays the same, so that codes learn without labels what a person calls similar (:class:`ali.games.ali.Terms`). It is never shown to D:
samples do not look moved.

References:
    | Simard, Steinkraus and Platt, Best Practices for Convolutional Neural Networks Applied to Visual Document Analysis, 2003
    | Jaderberg et al., Spatial Transformer Networks, 2015: the grid (arXiv:1506.02025)
"""

from __future__ import annotations

__all__ = ["moved"]

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def moved(x: Float[Tensor, "n c h w"], turn: float = 0.2, shift: float = 0.1, scale: float = 0.1) -> Float[Tensor, "n c h w"]:
    r"""A copy of each image, seen through a random affine map near the identity.

    .. math:: x'(u) = x(A u + b), \quad A = \begin{pmatrix} s_1 \cos a & r - \sin a \\ \sin a & s_2 \cos a \end{pmatrix}

    Arguments:
        x: images; beyond their edges they go on as at the edge.
        turn: largest angle :math:`|a|` and shear :math:`|r|`, radians.
        shift: largest :math:`|b|` along each axis, share of the image's size.
        scale: largest :math:`|s - 1|`.
    """

    def within(most: float, *shape: int) -> Tensor:
        return most * (2 * torch.rand(len(x), *shape, dtype=x.dtype, device=x.device) - 1)

    a, r, s = within(turn), within(turn), 1 + within(scale, 2)
    rows = torch.stack([torch.stack([s[:, 0] * a.cos(), r - a.sin()], 1), torch.stack([a.sin(), s[:, 1] * a.cos()], 1)], 1)
    # The grid's unit is half an image.
    grid = F.affine_grid(torch.cat([rows, within(2 * shift, 2, 1)], 2), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)
