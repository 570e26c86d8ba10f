r"""What should have similar codes: moved copies of an image, and the rows nearest to it. No label is needed.

A copy is turned, sheared, scaled and shifted a little, at random for every row, and looked up between pixels (bilinear). What it shows
stays the same, so that codes learn what a person calls similar (:class:`ali.games.ali.Terms`). It is never shown to D:
samples do not look moved.

References:
    | Simard, Steinkraus and Platt, Best Practices for Convolutional Neural Networks Applied to Visual Document Analysis, 2003
    | Jaderberg et al., Spatial Transformer Networks, 2015: the grid (arXiv:1506.02025)
    | Hinton and Roweis, Stochastic Neighbor Embedding, 2002: neighbours by probabilities
"""

from __future__ import annotations

__all__ = ["moved", "neighbours"]

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


def neighbours(x: Float[Tensor, "n ..."], sharpness: float = 6.0) -> Float[Tensor, "n n"]:
    r"""How much the rows of a batch are each one's neighbours: probabilities, measured by the distance to its nearest.

    .. math:: p_{ij} \propto \exp(-\beta \, \|x_i - x_j\|^2 / \min_{k \ne i} \|x_i - x_k\|^2), \quad p_{ii} = 0

    Arguments:
        x: rows; of a single one, it is its own.
        sharpness: :math:`\beta`; the larger, the more the nearest row counts.

    Source: Hinton and Roweis 2002, with a scale for each row that needs no search.
    """
    rows = x.detach().flatten(1)
    apart = torch.cdist(rows, rows).square().clamp(min=torch.finfo(x.dtype).tiny)  # of equal rows not 0
    own = torch.eye(len(x), dtype=torch.bool, device=x.device)
    nearest = apart.masked_fill(own, torch.inf).amin(1, keepdim=True)
    return (-sharpness * apart / nearest).masked_fill(own, torch.finfo(x.dtype).min).softmax(1)
