"""The few layers that PyTorch lacks, each with its citation."""

from __future__ import annotations

__all__ = ["Fourier", "Heads", "Maxout", "Residual", "UntiedBias", "spectral"]

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class Maxout(nn.Module):
    r"""Maximum over groups of ``pieces`` consecutive channels.

    .. math:: h_i = \max_{j < k} a_{ik + j}

    Arguments:
        pieces: group size :math:`k`; the input's channels must be a multiple of it.

    Source: Goodfellow et al., Maxout Networks, 2013 (arXiv:1302.4389).
    """

    def __init__(self, pieces: int):
        super().__init__()
        self.pieces = pieces

    def forward(self, a: Float[Tensor, "n kc ..."]) -> Float[Tensor, "n c ..."]:
        return a.unflatten(1, (-1, self.pieces)).amax(2)

    def extra_repr(self) -> str:
        return f"pieces={self.pieces}"


class UntiedBias(nn.Module):
    """A bias for each pixel of each map (the authors' code: ``tied_biases=False``).

    Arguments:
        shape: (maps, height, width).
    """

    def __init__(self, shape: tuple[int, ...]):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, a: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        return a + self.bias

    def extra_repr(self) -> str:
        return f"shape={tuple(self.bias.shape)}"


class Fourier(nn.Module):
    r"""The input beside its sines and cosines, so that a small network can draw sharp edges.

    .. math:: u \mapsto [u, \sin(f_1 u), \sin(f_2 u), \dots, \cos(f_1 u), \cos(f_2 u), \dots]

    Arguments:
        frequencies: :math:`f_i`, in radians per unit of the input.

    Source: Tancik et al., Fourier Features Let Networks Learn High Frequency Functions, 2020 (arXiv:2006.10739).
    """

    def __init__(self, frequencies: tuple[float, ...]):
        super().__init__()
        self.register_buffer("frequencies", torch.tensor(frequencies), persistent=False)

    def forward(self, u: Float[Tensor, "n d"]) -> Float[Tensor, "n e"]:
        angles = (u[:, None, :] * self.frequencies[:, None]).flatten(1)
        return torch.cat([u, angles.sin(), angles.cos()], 1)

    def extra_repr(self) -> str:
        return f"frequencies={self.frequencies.tolist()}"


class Heads(nn.Module):
    """Output nonlinearities side by side: numbers as they are, flags by a sigmoid, each group of categories by a softmax.

    ALI needs gradients through its samples, so that categories can not be drawn (section 2.3): their probabilities are put out.

    Arguments:
        heads: (nonlinearity, width) for each part, in order: "linear", "sigmoid" or "softmax".
    """

    def __init__(self, heads: tuple[tuple[str, int], ...]):
        super().__init__()
        self.heads = heads

    def forward(self, a: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        apply = {"linear": lambda part: part, "sigmoid": torch.sigmoid, "softmax": lambda part: part.softmax(1)}
        parts = a.split([width for _, width in self.heads], 1)
        return torch.cat([apply[kind](part) for (kind, _), part in zip(self.heads, parts, strict=True)], 1)

    def extra_repr(self) -> str:
        return f"heads={self.heads}"


class Residual(nn.Module):
    r"""A branch, added to a shortcut that is resampled to the branch's size: by averages to a smaller one, by copies to a larger one.

    .. math:: u \mapsto f(u) + s(u)

    Arguments:
        branch: f, (n, c, h, w) to (n, c', h', w').
        shortcut: s before resampling, (n, c, h, w) to (n, c', h, w).
        stride: h / h' or h' / h, for an odd size rounded down.

    Source: He et al., Identity Mappings in Deep Residual Networks, 2016 (arXiv:1603.05027).
    """

    def __init__(self, branch: nn.Module, shortcut: nn.Module, stride: int):
        super().__init__()
        self.branch, self.shortcut, self.stride = branch, shortcut, stride

    def forward(self, u: Float[Tensor, "n c h w"]) -> Float[Tensor, "n _ _ _"]:
        a = self.branch(u)
        if a.shape[-1] < u.shape[-1]:
            return a + self.shortcut(F.avg_pool2d(u, self.stride))
        s = self.shortcut(u)  # of the small image, as above
        return a + (F.interpolate(s, a.shape[2:]) if a.shape[-1] > u.shape[-1] else s)

    def extra_repr(self) -> str:
        return f"stride={self.stride}"


def spectral(network: nn.Module) -> None:
    r"""Divide each weight matrix of a network by its largest singular value, in place: no layer stretches its input.

    .. math:: W \mapsto W / \sigma(W)

    :math:`\sigma` is followed by one step of power iteration per pass in training mode; in evaluation mode it stands.

    Source: Miyato et al., Spectral Normalization for Generative Adversarial Networks, 2018 (arXiv:1802.05957).
    """
    for layer in list(network.modules()):
        if isinstance(layer, nn.Linear | nn.Conv2d):
            spectral_norm(layer)
