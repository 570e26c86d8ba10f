"""Invertible maps between a person's data and the network's range.

Fitted on training rows only, stored as JSON with the run. ``forward`` takes rows in the data's own units and layout to
what a network sees; ``inverse`` takes them back, with the data's type: whole numbers are rounded and clipped.

For training the way there has two parts: ``prepare`` once for all rows, and ``dither`` for each batch, which adds the noise
that takes the place of what is discrete. For pixels and plain numbers there is none.
"""

from __future__ import annotations

__all__ = ["Pixels", "Preprocess", "Standardise", "fit", "from_json", "refuse_dark"]

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from ali.columns import Columns
from ali.data.source import Source
from ali.data.tables import Column
from ali.errors import AliError

DARK = 0.25  # of white: images all of whose pixels are darker have another white than is thought
LARGEST = 1e30  # single precision, with room to add and to divide


@runtime_checkable
class Preprocess(Protocol):
    """An invertible map, with the shape of one row on either side."""

    def forward(self, x: Tensor, /) -> Tensor: ...
    def inverse(self, x: Tensor, /) -> Tensor: ...
    def prepare(self, x: Any, /) -> Any: ...
    def dither(self, x: Tensor, /) -> Tensor: ...
    def check(self, x: Tensor, what: str, first: int = 0) -> Tensor: ...
    def to_json(self) -> dict: ...
    @property
    def network_shape(self) -> tuple[int, ...]: ...
    @property
    def heads(self) -> tuple[tuple[str, int], ...]: ...
    @property
    def pixels(self) -> float | None: ...  # the brightest pixel, if rows are images
    @property
    def shape(self) -> tuple[int, ...]: ...  # of one row, in the data's own layout
    @property
    def columns(self) -> tuple[Column, ...]: ...  # of a table


@dataclass(frozen=True)
class Pixels:
    r"""Images: pixels 0..maximum, channels last or none, to (channels, height, width) in [low, 1].

    .. math:: x \mapsto \mathrm{low} + (1 - \mathrm{low}) \, x / \mathrm{maximum}

    Arguments:
        shape: of one image, (height, width) or (height, width, channels).
        maximum: the brightest possible pixel: 255, 16 or 1.
        low: 0 (the paper: sigmoid outputs) or -1 (tanh outputs).
        dtype: of the data, as numpy calls it.
    """

    shape: tuple[int, ...]
    maximum: float
    low: float
    dtype: str

    @property
    def heads(self) -> tuple[tuple[str, int], ...]:
        return ()

    @property
    def pixels(self) -> float:
        return self.maximum

    @property
    def columns(self) -> tuple[Column, ...]:
        return ()

    @property
    def network_shape(self) -> tuple[int, int, int]:
        height, width, *channels = self.shape
        return (channels[0] if channels else 1, height, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(-1) if len(self.shape) == 2 else x
        return self.low + (1 - self.low) / self.maximum * x.movedim(-1, 1).to(torch.get_default_dtype())

    def prepare(self, x: Any) -> Any:
        return x

    def dither(self, x: Tensor) -> Tensor:
        return self.forward(x)

    def inverse(self, x: Tensor) -> Tensor:
        x = ((x - self.low) * (self.maximum / (1 - self.low))).clamp(0.0, self.maximum).movedim(1, -1)
        return _cast(x.squeeze(-1) if len(self.shape) == 2 else x, self.dtype)

    def check(self, x: Tensor, what: str, first: int = 0) -> Tensor:
        """Refuse images of another size, and pixels out of range or not finite."""
        _check_shape(x, self.shape, what, "images")
        values = x if x.is_floating_point() or x.dtype == torch.uint8 else x.to(torch.float64)
        bad = (~((values >= 0) & (values <= self.maximum))).nonzero()
        if len(bad):
            value = values[tuple(bad[0])].item()
            found = f"of {value:g}" if math.isfinite(value) else "that is not finite"
            raise AliError(
                f"{what}: row {first + int(bad[0, 0])} has a pixel {found}; "
                f"pixels must lie in [0, {self.maximum:g}] as in the training data"
            )
        if x.is_floating_point() and self.maximum > 1 and np.dtype(self.dtype).kind in "iu" and len(x) and 0 < x.max() <= 1:
            raise AliError(f"{what}: pixels lie in [0, 1], and the training data's in [0, {self.maximum:g}]: multiply by {self.maximum:g}")
        return x

    def to_json(self) -> dict:
        return {"kind": "pixels", **asdict(self)}


@dataclass(frozen=True)
class Standardise:
    r"""Rows of numbers to mean 0 and standard deviation 1 in every column (``paper``: left as they are).

    .. math:: x_i \mapsto (x_i - \mathrm{mean}_i) / \mathrm{scale}_i
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    dtype: str

    @property
    def heads(self) -> tuple[tuple[str, int], ...]:
        return ()

    @property
    def pixels(self) -> None:
        return None

    @property
    def shape(self) -> tuple[int]:
        return self.network_shape

    @property
    def columns(self) -> tuple[Column, ...]:
        return ()

    @property
    def network_shape(self) -> tuple[int]:
        return (len(self.mean),)

    def forward(self, x: Tensor) -> Tensor:
        mean, scale = torch.tensor(self.mean, device=x.device), torch.tensor(self.scale, device=x.device)
        return (x.to(mean.dtype) - mean) / scale

    def prepare(self, x: Any) -> Any:
        return x

    def dither(self, x: Tensor) -> Tensor:
        return self.forward(x)

    def inverse(self, x: Tensor) -> Tensor:
        mean, scale = torch.tensor(self.mean, device=x.device), torch.tensor(self.scale, device=x.device)
        return _cast(x * scale + mean, self.dtype)

    def check(self, x: Tensor, what: str, first: int = 0) -> Tensor:
        """Refuse rows of another width, and numbers that are not finite."""
        _check_shape(x, self.network_shape, what, "rows")
        bad = (~torch.isfinite(x.to(torch.float64))).nonzero()
        if len(bad):
            row, column = bad[0].tolist()
            raise AliError(f"{what}: row {first + row}, column {column} is {x[row, column].item()}; every number must be finite")
        mean, scale = (torch.tensor(part, dtype=torch.float64, device=x.device) for part in (self.mean, self.scale))
        far = (((x.to(torch.float64) - mean) / scale).abs() > LARGEST).nonzero()
        if len(far):
            row, column = far[0].tolist()
            raise AliError(
                f"{what}: row {first + row}, column {column} is {x[row, column].item()}, further from the training rows than networks "
                "can see: mend it, or leave the row out"
            )
        return x

    def to_json(self) -> dict:
        return {"kind": "standardise", **asdict(self)}


def fit(source: Source, face: str) -> Preprocess:
    """Choose and fit the map for some training rows.

    Arguments:
        source: images (3 or 4 dimensions) or rows of numbers (2 dimensions).
        face: "paper" takes pixels to [0, 1] and leaves numbers as they are; "modern" takes pixels to [-1, 1] and
            standardises numbers. Tables with columns have one map for both (:class:`ali.columns.Columns`).

    Raises:
        AliError: a column is constant.
    """
    x = source.x
    if source.columns:
        return Columns.fit(x, source.columns)
    if x.ndim in (3, 4):
        maximum = source.maximum or _brightest(x)
        return Pixels(tuple(x.shape[1:]), float(maximum), 0.0 if face == "paper" else -1.0, str(x.dtype))
    mean, scale = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
    constant = np.flatnonzero((x == x[0]).all(0))
    if len(constant):
        raise AliError(f"column {constant[0]} is constant ({x[0, constant[0]]}): leave it out, there is nothing to learn in it")
    largest = np.abs(x).max(0).astype(np.float64)
    extreme = np.flatnonzero((largest > LARGEST) | (scale.astype(np.float32) == 0))
    if len(extreme):
        raise AliError(
            f"column {extreme[0]} goes up to {largest[extreme[0]]:g}, too large or too small for single precision: scale it first"
        )
    if face == "paper":
        mean, scale = np.zeros_like(mean), np.ones_like(scale)
    return Standardise(tuple(mean.tolist()), tuple(scale.tolist()), str(x.dtype))


def _brightest(x: Any) -> float:
    """The brightest possible pixel: that of a type of one or two bytes; the first that fits in a wider type or in floating point."""
    if x.dtype.kind in "iu" and x.dtype.itemsize <= 2:
        return float(np.iinfo(x.dtype).max)
    known = (1.0, 255.0) if x.dtype.kind == "f" else (255.0, 65535.0)
    for maximum in known:
        if x.max() <= maximum:
            return maximum
    raise AliError(f"the brightest pixel is {x.max():g}; pixels of type {x.dtype} go up to {known[-1]:g} at most: scale them first")


def refuse_dark(source: Source, fitted: Preprocess) -> None:
    """Refuse to learn from an array of images none of which comes near white: white is hardly what was meant.

    Raises:
        AliError: says how bright they are, and what to do.
    """
    if fitted.pixels is None or source.maximum is not None or not isinstance(source.x, np.ndarray):
        return
    found = float(source.x.max())
    if 0 < found <= DARK * fitted.pixels:
        raise AliError(
            f"the brightest pixel is {found:g}, far below {fitted.pixels:g}, which would be taken for white: if {found:g} is white, "
            f"divide by it, so that pixels lie in 0 to 1; if the images are as dark as that, divide by {fitted.pixels:g}"
        )


def from_json(state: dict) -> Preprocess:
    """The map that ``to_json`` wrote."""
    if state["kind"] == "columns":
        return Columns.from_json(state)
    kinds: dict[str, Callable[..., Preprocess]] = {"pixels": Pixels, "standardise": Standardise}
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in state.items() if key != "kind"}
    return kinds[state["kind"]](**fields)


def _cast(x: Tensor, dtype: str) -> Tensor:
    kind = np.dtype(dtype)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        x = x.round().clamp(float(limits.min), float(limits.max))
    return x.to(torch.from_numpy(np.empty(0, kind)).dtype)


def _check_shape(x: Tensor, shape: tuple[int, ...], what: str, things: str) -> None:
    if tuple(x.shape[1:]) != tuple(shape):
        given, wanted = tuple(x.shape), " x ".join(map(str, shape))
        hint = "; a single one is given as x[None]" if given == tuple(shape) else ""
        for axis, how in ((-1, "[..., 0]"), (1, "[:, 0]"), (0, "[0]")):  # channels that are none, or one axis too many
            if len(given) > 1 and given[axis] == 1 and tuple(np.delete(given, axis)[1:]) == tuple(shape):
                hint = f": give x{how}"
        if len(given) == len(shape) and (*given[1:], 1) == tuple(shape):
            hint = ": give x[..., None]"
        raise AliError(f"{what}: this run knows {things} of shape {wanted}, got {' x '.join(map(str, given[1:]))}{hint}")
