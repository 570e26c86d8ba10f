"""The few layers that PyTorch lacks, each with its citation."""

from __future__ import annotations

__all__ = ["Fourier", "Heads", "Maxout", "NormedLinear", "UntiedBias", "spectral"]

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


class NormedLinear(nn.Linear):
    r"""A fully connected layer whose units have a direction and a length, learned apart.

    .. math:: u \mapsto c \, \Big( g_k \frac{v_k^\top u}{\|v_k\|} + b_k \Big)_k

    The size of v does not matter, so neither does that of the initial weights; and under Adam v grows with every step, which turns
    its direction ever less: a learning rate l works as :math:`1 / \sqrt{t + (v_0 / l)^2}` at step t, whatever it is, once
    :math:`l \sqrt t` is large against the initial :math:`v_0`.

    Arguments:
        inputs, outputs: numbers.
        length: initial :math:`c g_k`.
        pace: c, a constant; lengths and biases move so many times as fast as a learning rate says.

    Source: Salimans and Kingma, Weight Normalization, 2016 (arXiv:1602.07868); the constant: Karras et al. 2018 (arXiv:1710.10196).
    """

    def __init__(self, inputs: int, outputs: int, length: float = 1.0, pace: float = 1.0):
        super().__init__(inputs, outputs)
        nn.init.zeros_(self.bias)
        self.gain, self.pace = nn.Parameter(torch.full((outputs, 1), length / pace)), pace

    def forward(self, input: Float[Tensor, "n d"]) -> Float[Tensor, "n e"]:
        # What torch.nn.utils.parametrizations.weight_norm calls, too: one kernel.
        return F.linear(input, torch._weight_norm(self.weight, self.pace * self.gain, 0), self.pace * self.bias)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, pace={self.pace:g}"


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


def spectral(network: nn.Module) -> None:
    r"""Divide each weight matrix of a network by its largest singular value, in place: no layer stretches its input.

    .. math:: W \mapsto W / \sigma(W)

    :math:`\sigma` is followed by one step of power iteration per pass in training mode; in evaluation mode it stands.

    Source: Miyato et al., Spectral Normalization for Generative Adversarial Networks, 2018 (arXiv:1802.05957).
    """
    for layer in list(network.modules()):
        if isinstance(layer, nn.Linear | nn.Conv2d):
            spectral_norm(layer)
