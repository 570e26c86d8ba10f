"""The few layers that PyTorch lacks, each with its citation, and those that can be had faster (:class:`Conv2d` and its like).

The faster ones are PyTorch's own by name, weights and result; each says what it spares.
"""

from __future__ import annotations

__all__ = ["Conv2d", "ConvTranspose2d", "Dropout", "Fourier", "Heads", "Maxout", "NormedLinear", "Residual", "UntiedBias", "spectral"]

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
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
        return _Larger.apply(a)[0] if self.pieces == 2 else _Largest.apply(a.unflatten(1, (-1, self.pieces)))

    def extra_repr(self) -> str:
        return f"pieces={self.pieces}"


class _Larger(torch.autograd.Function):
    """The larger of every two channels; of equal ones the first learns. PyTorch's own way back goes over memory more often."""

    @staticmethod
    def forward(a: Float[Tensor, "n kc ..."]) -> tuple[Float[Tensor, "n c ..."], Bool[Tensor, "n c ..."]]:
        first, second = a[:, 0::2], a[:, 1::2]
        return torch.maximum(first, second), first >= second

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    def backward(ctx, *slopes) -> Float[Tensor, "n kc ..."]:  # pyrefly: ignore[bad-override]
        slope, _ = slopes
        (is_first,) = ctx.saved_tensors
        of_first = slope * is_first.to(slope.dtype)
        return torch.stack([of_first.movedim(1, -1), (slope - of_first).movedim(1, -1)], -1).flatten(-2).movedim(-1, 1)


class _Largest(torch.autograd.Function):
    """The largest along the third axis; equal ones share the slope. PyTorch's own way back counts them in 64-bit integers."""

    @staticmethod
    def forward(a: Float[Tensor, "n c k ..."]) -> Float[Tensor, "n c ..."]:
        return a.amax(2)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.save_for_backward(*inputs, output)

    @staticmethod
    def backward(ctx, slope) -> Float[Tensor, "n c k ..."]:  # pyrefly: ignore[bad-override]
        a, largest = (t.detach() for t in ctx.saved_tensors)
        share = torch.empty_like(a, dtype=slope.dtype)
        torch.eq(a, largest.unsqueeze(2), out=share)
        return share.mul_((slope / share.sum(2)).unsqueeze(2))


class Dropout(nn.Dropout):
    r"""Each number is 0 with probability p, else scaled by :math:`1 / (1 - p)`.

    On the CPU, p is rounded to a multiple of :math:`2^{-16}`, so that one draw of 64 random bits serves four numbers; the scale is
    that of the rounded p.

    Source: Srivastava et al., Dropout, 2014.
    """

    def forward(self, input: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        if not self.training or not self.p or input.device.type != "cpu" or input.numel() < 2**14:
            return F.dropout(input, self.p, self.training)
        dropped = round(self.p * 2**16)
        if dropped == 2**16:
            return F.dropout(input, self.p, True)
        bits = torch.empty(-(-input.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)[: input.numel()]
        # In the order in which the input lies in memory.
        bits = (
            bits.as_strided(input.size(), input.stride()) if input.is_contiguous(memory_format=_layout(input)) else bits.view(input.shape)
        )
        return _Masked.apply(input, bits >= dropped - 2**15, 2**16 / (2**16 - dropped))


class _Masked(torch.autograd.Function):
    r""":math:`a \odot m \cdot s`, which keeps m as bytes."""

    @staticmethod
    def forward(a: Float[Tensor, "n ..."], mask: Bool[Tensor, "n ..."], scale: float) -> Float[Tensor, "n ..."]:
        return a * mask.to(a.dtype).mul_(scale)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.save_for_backward(inputs[1])
        ctx.scale = inputs[2]

    @staticmethod
    def backward(ctx, *slopes) -> tuple[Tensor, None, None]:
        (slope,) = slopes
        kept = ctx.saved_tensors[0].to(slope.dtype).mul_(ctx.scale)
        # In place where nobody differentiates this in turn: at the end of D's sweep memory is at its highest.
        return slope * kept if torch.is_grad_enabled() else kept.mul_(slope), None, None


class Conv2d(nn.Conv2d):
    """A convolution; where it sees its whole input at once, as a product of matrices, which is faster on the CPU."""

    def forward(self, input: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d k l"]:
        if input.dim() != 4 or input.shape[2:] != self.kernel_size or self.padding != (0, 0) or self.dilation != (1, 1) or self.groups != 1:
            return super().forward(input)
        return F.linear(_pixels_first(input), _pixels_first(self.weight), self.bias)[:, :, None, None]


class ConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution; of maps of one pixel, as a product of matrices."""

    def forward(self, input: Float[Tensor, "n c h w"], output_size: list[int] | None = None) -> Float[Tensor, "n d k l"]:
        one = input.dim() == 4 and input.shape[2:] == (1, 1)
        if (
            not one
            or self.dilation != (1, 1)
            or self.padding != (0, 0)
            or self.output_padding != (0, 0)
            or self.groups != 1
            or output_size is not None
        ):
            return super().forward(input, output_size)
        maps = (input.flatten(1) @ _pixels_first(self.weight)).unflatten(1, (*self.kernel_size, self.out_channels)).permute(0, 3, 1, 2)
        return maps if self.bias is None else maps + self.bias.to(maps.dtype)[:, None, None]


def _pixels_first(a: Float[Tensor, "n c h w"]) -> Float[Tensor, "n hwc"]:
    """In the order of memory where channels lie last, which is how :func:`ali.table.build` lays weights."""
    return a.permute(0, 2, 3, 1).flatten(1)


def _layout(a: Tensor) -> torch.memory_format:
    return torch.channels_last if a.dim() == 4 and not a.is_contiguous() else torch.contiguous_format


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
