r"""The row vocabulary of the paper's Tables 3 to 6, and the one function that turns rows into a network.

A row is data: its columns are the paper's columns, in the paper's order::

    #        kernel stride maps    BN?   dropout  nonlinearity
    conv(      5,     1,    32,   True,    0.0,   "lrelu"),

What the page does not say is a named argument of :func:`build`, with its source in the authors' code
(github.com/IshmaelBelghazi/ALI): dropout falls on a row's *input*, element by element; a row that feeds batch
normalisation has no bias; the last rows of encoder and decoder have a bias per pixel; convolutions are not padded.
"""

from __future__ import annotations

__all__ = ["Network", "Row", "build", "conv", "fourier", "linear", "residual", "tconv", "tresidual"]

import math
import os
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ali import layers

SMALL = 0.1  # initial weights of units with directions of their own, in those that He et al. 2015 give

Nonlinearity = Literal["lrelu", "relu", "maxout", "linear", "sigmoid", "tanh"]


class Row(NamedTuple):
    """One line of a table of hyperparameters."""

    operation: Literal["conv", "tconv", "linear", "fourier", "residual", "tresidual"]
    kernel: int
    stride: int
    maps: int
    batch_norm: bool
    dropout: float
    nonlinearity: Nonlinearity
    padding: int = 0
    frequencies: tuple[float, ...] = ()
    extra: int = 0


def conv(kernel, stride, maps, batch_norm, dropout, nonlinearity, padding=0) -> Row:
    """A convolution: kernel and stride in pixels, ``maps`` feature maps *after* the nonlinearity."""
    return Row("conv", kernel, stride, maps, batch_norm, dropout, nonlinearity, padding)


def tconv(kernel, stride, maps, batch_norm, dropout, nonlinearity, padding=0, extra=0) -> Row:
    """A transposed convolution (Dumoulin and Visin, 2016): the columns of :func:`conv`, and ``extra`` pixels on one side."""
    return Row("tconv", kernel, stride, maps, batch_norm, dropout, nonlinearity, padding, extra=extra)


def residual(kernel, stride, maps, dropout, nonlinearity, padding=0) -> Row:
    """A convolution, the nonlinearity and a convolution of 3 x 3, added to their input (:class:`ali.layers.Residual`): never normalised."""
    return Row("residual", kernel, stride, maps, False, dropout, nonlinearity, padding)


def tresidual(kernel, stride, maps, dropout, nonlinearity, padding=0) -> Row:
    """The way back: a convolution of 3 x 3, the nonlinearity and a transposed convolution, added to their input."""
    return Row("tresidual", kernel, stride, maps, False, dropout, nonlinearity, padding)


def linear(maps, batch_norm, dropout, nonlinearity) -> Row:
    """A fully connected layer with ``maps`` units *after* the nonlinearity."""
    return Row("linear", 1, 1, maps, batch_norm, dropout, nonlinearity)


def fourier(*frequencies: float) -> Row:
    """Fourier features of the input (:class:`ali.layers.Fourier`), radians per unit."""
    return Row("fourier", 1, 1, 0, False, 0.0, "linear", 0, frequencies)


class Network(nn.Sequential):
    """The layers of a table, with the shapes they announce: (n, *input_shape) to (n, *output_shape)."""

    def __init__(self, *modules: nn.Module, input_shape: tuple[int, ...], output_shape: tuple[int, ...]):
        super().__init__(*modules)
        self.input_shape, self.output_shape = tuple(input_shape), tuple(output_shape)

    @property
    def size(self) -> int:
        """Numbers, or maps of 1 x 1, in one row of the output."""
        return math.prod(self.output_shape)

    def forward(self, input: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        # Not len(input), which would fix the number of rows in an exported graph (ali.export).
        return super().forward(input.reshape(input.shape[0], *self.input_shape))

    @property
    def last(self) -> int:
        """Place of the last layer that has weights; what may follow it are a nonlinearity and a change of shape."""
        return max(k for k, layer in enumerate(self) if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d))

    def features(self, input: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        """What the last layer sees: the penultimate activations."""
        features = input.reshape(len(input), *self.input_shape)
        for layer in list(self)[: self.last]:
            features = layer(features)
        return features.flatten(1)

    def verdict(self, features: Float[Tensor, "n k"]) -> Float[Tensor, "n ..."]:
        """What the last layer makes of features of 1 x 1 maps or of numbers: the network is ``verdict(features(input))``."""
        outputs = features if isinstance(list(self)[self.last], nn.Linear) else features[..., None, None]
        for layer in list(self)[self.last :]:
            outputs = layer(outputs)
        return outputs


def build(
    rows: tuple[Row, ...],
    input: tuple[int, ...],
    output: tuple[int, ...] | None = None,
    *,
    sigma: float | None = 0.01,
    gain: float = 1.0,
    slope: float = 0.1,
    pieces: int = 2,
    untied: bool = False,
    logits: bool = False,
    pace: float | None = None,
    eps: float = 1e-4,
    momentum: float = 0.05,
) -> Network:
    """Build a network from the rows of a table.

    Arguments:
        rows: the table; no rows are the identity.
        input: announced input shape, (maps, height, width) or (features,).
        output: announced output shape: checked if given, and maps of 1 x 1 are flattened, or features unflattened, to it.
        sigma: standard deviation of the initial weights (Tables 3 to 6: 0.01); ``None`` for
            He et al. 2015, ``gain * sqrt(2 / fan_in)``.
        gain: factor on He's standard deviation.
        slope: negative slope of the leaky ReLU.
        pieces: linear pieces per maxout unit; a row counts its maps after the maximum, as Table 3 does.
        untied: the last row has a bias per pixel instead of one per map (authors' code).
        logits: leave out the last row's sigmoid; the losses are written on logits (authors' code: softplus).
        pace: fully connected layers without batch normalisation are :class:`ali.layers.NormedLinear`, with this constant, He's sizes
            as initial lengths, and initial weights ``SMALL`` times He's, so that learning soon chooses their directions.
        eps: added to batch normalisation's variance (authors' code).
        momentum: weight of the newest batch in batch normalisation's running statistics (authors' code).

    Raises:
        ValueError: the rows do not lead from ``input`` to ``output``; the message names the row.
        MemoryError: a layer that could not be trained on this machine.
    """
    modules: list[nn.Module] = []
    shape = tuple(input)
    if rows and rows[0].operation in ("linear", "fourier") and len(shape) > 1:
        modules.append(nn.Flatten())
        shape = (math.prod(shape),)

    for number, row in enumerate(rows, 1):
        last = number == len(rows)
        if row.operation == "fourier":
            modules.append(layers.Fourier(row.frequencies))
            shape = (shape[0] * (1 + 2 * len(row.frequencies)),)
            continue
        if row.dropout:
            modules.append(layers.Dropout(row.dropout))
        if row.operation in ("residual", "tresidual"):
            modules.append(_residual(row, shape, sigma=sigma, gain=gain, slope=slope, pieces=pieces))
            shape = (row.maps, *(_size(row, size) for size in shape[1:]))
            continue
        maps = row.maps * (pieces if row.nonlinearity == "maxout" else 1)
        per_pixel = untied and last
        if pace is not None and row.operation == "linear" and not (row.batch_norm or per_pixel):
            # A unit of He et al. 2015 has length sqrt(2) on average.
            layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d = layers.NormedLinear(shape[0], maps, 0.6 * math.sqrt(2), pace)
            _initialise(layer, sigma, SMALL * gain, shape)
        else:
            layer = _layer(row, shape[0], maps, bias=not (row.batch_norm or per_pixel))
            _initialise(layer, sigma, gain, shape)
        modules.append(layer)
        shape = (maps, *(_size(row, size) for size in shape[1:]))
        if min(shape) < 1:
            raise ValueError(f"row {number} ({row.operation} {row.kernel}) leaves nothing of its input: {shape}")
        if row.batch_norm:
            norm = nn.BatchNorm1d if len(shape) == 1 else nn.BatchNorm2d
            modules.append(norm(maps, eps=eps, momentum=momentum))
        if per_pixel:
            modules.append(layers.UntiedBias(shape))
        modules.extend(_nonlinearity(row.nonlinearity, slope, pieces, skip_sigmoid=logits and last))
        shape = (row.maps, *shape[1:])

    if output is not None and shape != tuple(output):
        if math.prod(shape) != math.prod(output) or min(len(shape), len(output)) > 1:
            raise ValueError(f"the rows lead from {tuple(input)} to {shape}, not to the announced {tuple(output)}")
        modules.append(nn.Flatten() if len(output) == 1 else nn.Unflatten(1, tuple(output)))
        shape = tuple(output)
    network = Network(*modules, input_shape=tuple(input), output_shape=shape)
    for module in network.modules():  # the faster layout of images, on CPUs as on GPUs
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.weight.data = module.weight.data.to(memory_format=torch.channels_last)
    return network


def _residual(row: Row, shape: tuple[int, ...], sigma: float | None, gain: float, **options: Any) -> layers.Residual:
    """The block of a row. Its last layer begins at 0: a deep network begins as its shortcuts (Zhang et al. 2019, arXiv:1901.09321)."""
    maps, name = row.maps, row.nonlinearity
    if row.operation == "residual":
        rows = (conv(row.kernel, row.stride, maps, False, 0.0, name, row.padding), conv(3, 1, maps, False, 0.0, "linear", 1))
    else:
        rows = (conv(3, 1, shape[0], False, 0.0, name, 1), tconv(row.kernel, row.stride, maps, False, 0.0, "linear", row.padding))
    branch = build(rows, shape, sigma=sigma, gain=gain, **options)
    nn.init.zeros_(branch.get_parameter(f"{branch.last}.weight"))
    if maps == shape[0]:
        return layers.Residual(branch, nn.Identity(), row.stride)
    shortcut = _layer(conv(1, 1, maps, False, 0.0, "linear"), shape[0], maps, bias=False)
    _initialise(shortcut, sigma, gain, shape)
    return layers.Residual(branch, shortcut, row.stride)


def _fits(weights: int) -> None:
    """Refuse a layer before the machine goes down under it: training holds four numbers for each weight."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else math.inf
    if 16 * weights > memory:
        raise MemoryError(f"a layer of {weights:,} weights")


def _layer(row: Row, channels: int, maps: int, bias: bool) -> nn.Linear | nn.Conv2d | nn.ConvTranspose2d:
    _fits(channels * maps * row.kernel**2)
    if row.operation == "linear":
        return nn.Linear(channels, maps, bias=bias)
    if row.operation == "tconv":
        return layers.ConvTranspose2d(channels, maps, row.kernel, row.stride, row.padding, row.extra, bias=bias)
    return layers.Conv2d(channels, maps, row.kernel, row.stride, row.padding, bias=bias)


def _size(row: Row, size: int) -> int:
    if row.operation in ("tconv", "tresidual"):
        return (size - 1) * row.stride + row.kernel - 2 * row.padding + row.extra
    return (size + 2 * row.padding - row.kernel) // row.stride + 1


def _nonlinearity(name: Nonlinearity, slope: float, pieces: int, skip_sigmoid: bool) -> list[nn.Module]:
    if name == "linear" or (name == "sigmoid" and skip_sigmoid):
        return []
    return [
        {
            "lrelu": lambda: nn.LeakyReLU(slope, inplace=True),  # nothing before it needs what it put out
            "relu": lambda: nn.ReLU(inplace=True),
            "maxout": lambda: layers.Maxout(pieces),
            "sigmoid": lambda: nn.Sigmoid(),
            "tanh": lambda: nn.Tanh(),
        }[name]()
    ]


def _initialise(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d, sigma: float | None, gain: float, shape) -> None:
    """Isotropic Gaussian weights and constant zero biases, as at the foot of Tables 3 to 6."""
    if sigma is None:
        fan_in = layer.weight[0].numel()
        if isinstance(layer, nn.ConvTranspose2d):
            # An output pixel of a transposed convolution sees (kernel / stride)^2 pixels of each input map, if it has them.
            seen = min(layer.kernel_size[0] / layer.stride[0], shape[1])
            fan_in = layer.in_channels * seen**2
        sigma = gain * math.sqrt(2 / fan_in)
    nn.init.normal_(layer.weight, std=sigma)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
