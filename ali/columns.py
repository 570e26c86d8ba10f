r"""The map between a table and the network's range: what :mod:`ali.preprocess` is for columns of several kinds.

ALI is not directly applicable to discrete data (section 2.3): its generators need a gradient through their samples, and a
discriminator that sees a whole number, an exact zero or a 1 among decimals has won. So everything discrete is spread:

* A number :math:`x` becomes normal by its distributional transform (Rueschendorf 2009), which is exact for heavy tails,
  whole numbers and values that many rows share alike:

  .. math:: z = \Phi^{-1}(u), \quad u = F(x^-) + v \, (F(x) - F(x^-)), \quad v \sim U(0, 1)

  It is inverted by the quantile function, :math:`x = F^{-1}(\Phi(z))`, whatever :math:`v` was.
* A missing number is one of which nothing is known, :math:`u \sim U(0, 1)`, and a flag beside it says so.
* A category is a point near a corner of the simplex, the decoder's answer a softmax; the likeliest category is taken.
  A missing category is one more category.
"""

from __future__ import annotations

__all__ = ["Columns"]

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ali.data.tables import EXACT, LARGEST, Column
from ali.errors import AliError

KNOTS = 512  # values at which a column's distribution function is kept
FAR = 1e9  # standard deviations outside the training range, where networks no longer compute
SMOOTH = 0.2  # real one-hots and flags give away at most this share of their probability


@dataclass(frozen=True)
class Columns:
    """A fitted map; rows are matrices as :mod:`ali.data.tables` makes them.

    Arguments:
        columns: what each column holds.
        values: for each column of numbers, knots in rising order; for the others nothing.
        below, upto: :math:`F(x^-)` and :math:`F(x)` at the knots; linear between them.
        scale: standard deviation of each column of numbers, by which values outside the training range go on.
        dtype: of the data, as numpy calls it.
    """

    columns: tuple[Column, ...]
    values: tuple[tuple[float, ...], ...]
    below: tuple[tuple[float, ...], ...]
    upto: tuple[tuple[float, ...], ...]
    scale: tuple[float, ...]
    dtype: str

    kind: ClassVar[str] = "columns"

    @classmethod
    def fit(cls, x: np.ndarray, columns: tuple[Column, ...]) -> Columns:
        """Fit to training rows, (n, columns).

        Raises:
            AliError: a column has only one value, or none, or numbers too large to be exact.
        """
        knots = []
        for k, column in enumerate(columns):
            present = x[:, k][~np.isnan(x[:, k])].astype(np.float64)
            whole = column.kind == "integer" or x.dtype.kind in "iu"
            if not column.categories and np.abs(present).max(initial=0) > (EXACT if whole else LARGEST):
                what = "whole numbers beyond 2^53, as ids are" if whole else f"numbers beyond {LARGEST:g}"
                raise AliError(f"column {column.name!r} holds {what}: leave it out (--drop)")
            if len(present) == 0 or (not column.missing and (present == present[0]).all()):
                what = f"is constant ({present[0]:g})" if len(present) else "is empty"
                raise AliError(f"column {column.name!r} {what} in all of {len(x):,} training row(s), nothing is learned there: --drop it")
            knots.append(((), (), (), 1.0) if column.categories else _knots(present))
        values, below, upto, scale = zip(*knots, strict=True)
        return cls(columns, values, below, upto, scale, str(x.dtype))

    @property
    def numbers(self) -> list[int]:
        return [k for k, column in enumerate(self.columns) if not column.categories]

    @property
    def flags(self) -> list[int]:
        return [k for k in self.numbers if self.columns[k].missing]

    @property
    def choices(self) -> list[int]:
        return [k for k, column in enumerate(self.columns) if column.categories]

    @property
    def sizes(self) -> list[int]:
        """Categories of each column that has them, a missing one counted."""
        return [len(self.columns[k].categories) + self.columns[k].missing for k in self.choices]

    @property
    def heads(self) -> tuple[tuple[str, int], ...]:
        """The decoder's output: numbers, flags, and one softmax for each column of categories."""
        parts = (("linear", len(self.numbers)), ("sigmoid", len(self.flags)), *(("softmax", size) for size in self.sizes))
        return tuple(part for part in parts if part[1])

    @property
    def pixels(self) -> None:
        return None

    @property
    def network_shape(self) -> tuple[int]:
        return (sum(width for _, width in self.heads),)

    @property
    def shape(self) -> tuple[int]:
        return (len(self.columns),)

    def prepare(self, x: np.ndarray) -> np.ndarray:
        """All that does not change from epoch to epoch, float32: F(x-), F(x), distance beyond the knots, flags, categories."""
        x = np.asarray(x, dtype=np.float64)
        low, high, beyond = (np.zeros((len(x), len(self.numbers))) for _ in range(3))
        for place, k in enumerate(self.numbers):
            low[:, place], high[:, place], beyond[:, place] = self._place(x[:, k], k)
        flags = np.isnan(x[:, self.flags])
        codes = x[:, self.choices]
        codes = np.where(np.isnan(codes), np.array([len(self.columns[k].categories) for k in self.choices]).reshape(1, -1), codes)
        return np.concatenate([low, high, beyond, flags, codes], 1).astype(np.float32)

    def dither(self, prepared: Tensor) -> Tensor:
        """What D sees as real: a draw of the noise for each cell."""
        return self._spread(prepared, draw=True)

    def forward(self, x: Tensor) -> Tensor:
        """Without noise: each cell at the middle of its spread."""
        prepared = torch.from_numpy(self.prepare(x.detach().cpu().numpy())).to(x.device)
        return self._spread(prepared, draw=False)

    def inverse(self, x: Tensor) -> Tensor:
        """The likeliest table: numbers within their training range, whole where they were whole; NaN where missing."""
        parts = x.detach().to("cpu", torch.float64).split([width for _, width in self.heads], 1)
        rows = np.zeros((len(x), len(self.columns)))
        parts = list(parts)
        z = parts.pop(0).numpy() if self.numbers else None
        flags = parts.pop(0).numpy() if self.flags else None
        for place, k in enumerate(self.numbers):
            assert z is not None
            rows[:, k] = self._value(0.5 * (1 + torch.erf(torch.from_numpy(z[:, place]) / math.sqrt(2))).numpy(), k)
        for place, k in enumerate(self.flags):
            assert flags is not None
            rows[flags[:, place] > 0.5, k] = np.nan
        for k, part in zip(self.choices, parts, strict=True):
            code = part.argmax(1).numpy().astype(np.float64)
            rows[:, k] = np.where(code == len(self.columns[k].categories), np.nan, code)
        return torch.from_numpy(rows.astype(self.dtype)).to(x.device)

    def check(self, x: Tensor, what: str, first: int = 0) -> Tensor:
        """Refuse another width, empty cells where training saw none, unknown categories, and numbers too far away."""
        if x.ndim != 2 or x.shape[1] != len(self.columns):
            raise AliError(f"{what}: this run knows rows of {len(self.columns)} columns, got shape {tuple(x.shape)}")
        for k, column in enumerate(self.columns):
            cells = x[:, k].to(torch.float64)
            bad = torch.isinf(cells) | (torch.isnan(cells) & (not column.missing))
            if column.categories:
                bad |= ~torch.isnan(cells) & ((cells < 0) | (cells >= len(column.categories)) | (cells != cells.round()))
            if bad.any():
                row = int(bad.nonzero()[0])
                known = f"a category's number, 0 to {len(column.categories) - 1}" if column.categories else "a finite number"
                raise AliError(f"{what}: {self._cell(first, row, k)} is {cells[row].item()}; it must be {known}")
            if not column.categories and len(cells):
                low, high = self.values[k][0], self.values[k][-1]
                far = (torch.maximum(cells - high, low - cells) / self.scale[k] > FAR).nonzero()  # no comparison holds of NaN
                if len(far):
                    row = int(far[0])
                    raise AliError(
                        f"{what}: {self._cell(first, row, k)} is {cells[row].item()}, further than networks see from the training rows' "
                        f"{low:g} to {high:g}: mend it, or leave the row out"
                    )
        return x

    def to_json(self) -> dict[str, Any]:
        fields = {"values": self.values, "below": self.below, "upto": self.upto, "scale": self.scale, "dtype": self.dtype}
        return {"kind": self.kind, "columns": [column.to_json() for column in self.columns], **fields}

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> Columns:
        columns = tuple(Column.from_json(column) for column in state["columns"])
        values, below, upto = (tuple(tuple(knots) for knots in state[key]) for key in ("values", "below", "upto"))
        return cls(columns, values, below, upto, tuple(state["scale"]), state["dtype"])

    def _cell(self, first: int, row: int, k: int) -> str:
        return f"row {first + row}, column {self.columns[k].name!r}"

    def _place(self, x: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """F(x-), F(x), and how many standard deviations x lies beyond the training range."""
        values, below, upto = (np.array(part[k]) for part in (self.values, self.below, self.upto))
        inside = np.clip(x, values[0], values[-1])
        at = np.clip(np.searchsorted(values, inside), 0, len(values) - 1)
        exact = values[at] == inside
        before = np.maximum(at - 1, 0)
        gap = np.where(at > before, values[at] - values[before], 1.0)
        between = upto[before] + (below[at] - upto[before]) * (inside - values[before]) / gap
        missing = np.isnan(x)
        low = np.where(missing, 0.0, np.where(exact, below[at], between))
        high = np.where(missing, 1.0, np.where(exact, upto[at], between))
        return low, high, np.where(missing, 0.0, (x - inside) / self.scale[k])

    def _value(self, u: np.ndarray, k: int) -> np.ndarray:
        """The quantile function of a column."""
        values, below, upto = (np.array(part[k]) for part in (self.values, self.below, self.upto))
        at = np.clip(np.searchsorted(upto, u), 0, len(values) - 1)
        before = np.maximum(at - 1, 0)
        gap = below[at] - upto[before]
        share = np.where((u < below[at]) & (gap > 0), (u - upto[before]) / np.where(gap > 0, gap, 1.0), 1.0)
        x = values[before] + np.clip(share, 0, 1) * (values[at] - values[before])
        decimals = self.columns[k].decimals
        return x if decimals is None else np.clip(np.round(x, decimals), values[0], values[-1])

    def _spread(self, prepared: Tensor, draw: bool) -> Tensor:
        """From what :meth:`prepare` made to what networks see."""
        n = len(self.numbers)
        low, high, beyond, flags, codes = prepared.split([n, n, n, len(self.flags), len(self.choices)], 1)

        def noise(like: Tensor, otherwise: float) -> Tensor:
            return torch.rand_like(like) if draw else torch.full_like(like, otherwise)

        u = (low + (high - low) * noise(low, 0.5)).clamp(1e-5, 1 - 1e-5)
        z = math.sqrt(2) * torch.erfinv(2 * u - 1) + beyond
        doubt = SMOOTH * noise(flags, 0.5)
        parts = [z, flags * (1 - doubt) + (1 - flags) * doubt]
        for place, size in enumerate(self.sizes):
            corner = torch.nn.functional.one_hot(codes[:, place].long(), size).to(z.dtype)
            doubt = SMOOTH * noise(corner[:, :1], 0.5)
            others = noise(corner, 1.0) + 1e-6
            parts.append(corner * (1 - doubt) + doubt * others / others.sum(1, keepdim=True))
        return torch.cat(parts, 1)


def _knots(x: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...], float]:
    """A column's distribution function at no more than some KNOTS of its values.

    Values that many rows share are kept with the whole of their jump. Of the others as many as fit, evenly spread, in the
    middle of their small jump, so that between them the function is continuous.
    """
    values, counts = np.unique(x, return_counts=True)
    upto = np.cumsum(counts) / len(x)
    below = upto - counts / len(x)
    shared = (counts >= max(2, 0.002 * len(x))) | (len(values) <= 20)
    middle = (below + upto) / 2
    below, upto = np.where(shared, below, middle), np.where(shared, upto, middle)
    rest = np.flatnonzero(~shared)
    kept = rest[np.unique(np.linspace(0, len(rest) - 1, min(len(rest), KNOTS)).round().astype(int))] if len(rest) else rest
    at = np.sort(np.concatenate([np.flatnonzero(shared), kept]))
    largest = float(np.abs(x).max()) or 1.0
    scale = float((x / largest).std()) * largest or 1.0  # squares of large numbers, or of small ones, are none
    return tuple(values[at].tolist()), tuple(below[at].tolist()), tuple(upto[at].tolist()), scale
