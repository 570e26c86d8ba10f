r"""Encoder and decoder as ONNX files, which programs without PyTorch and without this package run.

Only what is deterministic goes into a file: the encoder's mean, and its standard deviation where q(z | x) is a diagonal normal
(:math:`\mu + \sigma \odot \epsilon` is then a draw), and the decoder's mean. Rows have the data's own units, type and layout, since
the map to the network's range (:mod:`ali.preprocess`) is part of the graph; what the verbs check (shape aside) is not: a pixel out of
range is not refused.

Rows of a table (:mod:`ali.columns`) are no matrix of numbers, so there the files take and give what the networks see, and
``columns.json`` says which number is which column, and how to go there and back.
"""

from __future__ import annotations

__all__ = ["write"]

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ali import checkpoint, files
from ali.columns import Columns
from ali.conditions import Labels
from ali.distributions import DiagonalNormal, StandardNormal
from ali.errors import AliError
from ali.games.game import Level
from ali.preprocess import Preprocess

NEWLINE = "\n"  # no f-string may hold one before Python 3.12
Named = dict[str, Tensor]
ROWS = 3  # in the batch that is traced; neither 0 nor 1, which torch.export would take for what it is
INLINE = 2**30  # bytes of weights that stand in the .onnx file itself, which can not be larger than 2 GiB; more lie in a file beside it


class Half(nn.Module):
    """The encoder's or the decoder's way, as it is written to a file.

    Arguments:
        game: it infers, or generates.
        preprocess: between the rows' units and the network's; None for rows as the network sees them.
    """

    def __init__(self, game: Any, preprocess: Preprocess | None):
        super().__init__()
        self.game, self.preprocess = game, preprocess


class Encoding(Half):
    """Rows to the mean of q(z | x), (n, d), and its standard deviation where there is one."""

    def forward(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, ...]:
        seen = x if self.preprocess is None else self.preprocess.forward(x)
        q = self.game.encode(seen) if y is None else self.game.encode(seen, y)
        return (q.mean, q.log_sigma.exp()) if isinstance(q, DiagonalNormal) else (q.mean,)


class Decoding(Half):
    """Codes, (n, d), to the mean of p(x | z)."""

    def forward(self, z: Tensor, y: Tensor | None = None) -> tuple[Tensor]:
        x = (self.game.decode(z) if y is None else self.game.decode(z, y)).mean
        return (x if self.preprocess is None else self.preprocess.inverse(x),)


def write(
    out: Path, game: Any, preprocess: Preprocess, *, title: str, infers: bool, latent: int | None, conditions: Labels | None
) -> list[Path]:
    """Write ``encoder.onnx``, ``decoder.onnx``, a README and, for a table, ``columns.json``: all of them or nothing.

    Arguments:
        out: a folder that does not exist, or is empty.
        game: the trained networks, in evaluation mode; it is copied.
        preprocess: between the data's units and the network's.
        title: of the README.
        infers: there is an encoder to be written.
        latent: dimension of z, if there is a decoder to be written.
        conditions: of a conditional run, whose files take y, too: class numbers (n,), or attributes (n, k).

    Returns:
        What was written.

    Raises:
        AliError: the folder holds something, packages are missing, or a network that ONNX can not say.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise AliError(f"{out}: {'holds files already' if out.is_dir() else 'is a file'}; choose another --out")
    for package in ("onnx", "onnxscript"):
        if find_spec(package) is None:
            raise AliError(f"export needs the package {package}: pip install 'ali[onnx]'")
    columns = preprocess if isinstance(preprocess, Columns) else None
    units = None if columns else preprocess
    game = deepcopy(game).cpu().eval()
    row = _example(preprocess)
    known = conditions.attributes if conditions else ()
    y = [torch.zeros(ROWS, len(known)) if known else torch.zeros(ROWS, dtype=torch.int64)] if conditions else []
    parts: list[tuple[str, nn.Module, Tensor]] = []
    if infers:
        parts.append(("encoder", Encoding(game, units), row))
    if latent is not None:
        parts.append(("decoder", Decoding(game, units), torch.zeros(ROWS, latent)))
    with files.whole(out) as temporary:
        temporary.mkdir()
        graphs = {name: _write_graph(temporary / f"{name}.onnx", name, module, (example, *y)) for name, module, example in parts}
        if columns:
            checkpoint.write_json(temporary / "columns.json", _columns(columns))
        normal = latent is not None and isinstance(getattr(game, "prior", None), StandardNormal) and not isinstance(game, Level)
        drawn = "For a new row, draw z from N(0, I); here no discriminator chooses among codes, as in `ali sample`.\n" if normal else ""
        checkpoint.write_text(temporary / "README.md", _readme(title, graphs, preprocess, conditions, drawn))
        names = sorted(path.name for path in temporary.iterdir())
    return [out / name for name in names]


def _example(preprocess: Preprocess) -> Tensor:
    """Rows of the shape and type that the encoder's file takes."""
    if isinstance(preprocess, Columns):
        return torch.zeros(ROWS, *preprocess.network_shape)
    return torch.from_numpy(np.zeros((ROWS, *preprocess.shape), getattr(preprocess, "dtype", "float32")))


def _write_graph(file: Path, name: str, module: nn.Module, example: tuple[Tensor, ...]) -> tuple[Named, Named]:
    """Write a graph for any number of rows, and return what it takes and what it gives, by name."""
    outputs = ["x"]
    with torch.no_grad():
        found = module(*example)
        if isinstance(module, Encoding):
            outputs = ["mean", "std"][: len(found)]
        inputs = ["x" if isinstance(module, Encoding) else "z", "y"][: len(example)]
        n = torch.export.Dim("n")
        try:
            with _quiet():
                program: Any = torch.onnx.export(
                    module, example, input_names=inputs, output_names=outputs, dynamic_shapes=tuple({0: n} for _ in example),
                    dynamo=True, verbose=False,
                )  # fmt: skip
        except torch.onnx.errors.OnnxExporterError as error:
            first = str(error.__cause__ or error).strip().split("\n", 1)[0]
            raise AliError(f"{name}: PyTorch can not write this network as ONNX ({first}): is there a layer of your own in it?") from None
    if any(isinstance(value.shape[0], int) for value in (*program.model.graph.inputs, *program.model.graph.outputs)):
        raise AliError(f"{name}: the network fixes the number of its rows, so that its file would be for {ROWS} rows alone: "
                       "write x.shape[0] in the place of len(x)")  # fmt: skip
    size = sum(weight.nbytes for weight in module.state_dict().values())
    with _quiet():
        program.save(str(file), external_data=size > INLINE)
    return dict(zip(inputs, example, strict=True)), dict(zip(outputs, found, strict=True))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to ourselves what the exporter says of itself: packages that nobody asked for, its own deprecated calls."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _columns(columns: Columns) -> dict[str, Any]:
    """Which number of a row, as the networks see it, is what; and of each column of numbers what its conversion needs."""
    names = [column.name for column in columns.columns]
    positions = [{"column": names[k], "what": "number"} for k in columns.numbers]
    positions += [{"column": names[k], "what": "missing"} for k in columns.flags]
    for k in columns.choices:
        column = columns.columns[k]
        choices = [*column.categories, None] if column.missing else column.categories  # None: an empty cell
        positions += [{"column": column.name, "what": "category", "category": category} for category in choices]
    return {
        "positions": [{"position": place, **what} for place, what in enumerate(positions)],
        "numbers": {
            names[k]: {
                "values": columns.values[k],
                "below": columns.below[k],
                "upto": columns.upto[k],
                "scale": columns.scale[k],
                "decimals": columns.columns[k].decimals,
            }
            for k in columns.numbers
        },
    }


def _said(tensors: Named) -> str:
    """``x`` uint8 (n, 8, 8)."""
    shapes = {name: f"({', '.join(map(str, ('n', *tensor.shape[1:])))}{',' * (tensor.ndim == 1)})" for name, tensor in tensors.items()}
    return ", ".join(f"`{name}` {str(tensor.dtype).removeprefix('torch.')} {shapes[name]}" for name, tensor in tensors.items())


def _readme(title: str, graphs: dict[str, tuple[Named, Named]], preprocess: Preprocess, conditions: Labels | None, drawn: str) -> str:
    lines, calls = [], []
    for name, (taken, given) in graphs.items():
        lines.append(f"| `{name}.onnx` | {_said(taken)} | {_said(given)} |")
        feed, answers = ", ".join(f'"{key}": {key}' for key in taken), ", ".join(given) + "," * (len(given) == 1)
        calls.append(f'{answers} = onnxruntime.InferenceSession("{name}.onnx").run(None, {{{feed}}})')
    if isinstance(preprocess, Columns):
        units = TABLE
    elif preprocess.pixels is not None:
        units = f"x: images of this size, pixels in 0 to {preprocess.pixels:g}, as in the training data. Pictures of other sizes are cut to"
        units += " their middle square and resized by Pillow's Lanczos filter, if they are to look as the run saw its own."
    else:
        units = "x: rows of numbers in the units of the training data."
    if conditions is not None and conditions.attributes:
        units += f"\n\ny: attributes, in this order: {', '.join(conditions.attributes)}."
    elif conditions is not None:
        units += f"\n\ny: a class by its number: {', '.join(f'{k} {name}' for k, name in enumerate(conditions.classes))}."
    return f"""# {title}

| file | takes | gives |
| --- | --- | --- |
{NEWLINE.join(lines)}

n is any number of rows. `mean` and `std` are those of q(z | x): mean + std * noise is a draw; the decoder gives the mean of p(x | z).
{drawn}What scores or classifies rows is not here.
Nothing is checked: rows far from the training rows are answered, too.

{units}

```python
import onnxruntime

{NEWLINE.join(calls)}
```
"""


TABLE = """x: rows as the networks see them. `columns.json` says which number (`position`) is which column. In Python with `ali`, go there
with `model.preprocess.forward` and back with `model.preprocess.inverse`. Elsewhere, with the `values`, `below`, `upto`, `scale` and
`decimals` of a column of numbers:

- number, there: let v be x, but at least the first and at most the last of `values`. If v is the k-th of `values`, a = below[k] and
  b = upto[k]; if it lies between the (k-1)-th and the k-th, a = b = upto[k-1] + (below[k] - upto[k-1]) * (v - values[k-1]) /
  (values[k] - values[k-1]). With u = (a + b) / 2, but at least 0.00001 and at most 0.99999, the number is Q(u) + (x - v) / scale, Q
  being the quantile function of the standard normal law. An empty cell is 0.
- number, back: with u = P(number), P being the standard normal distribution function, let k be the first with upto[k] >= u (or the
  last). If u >= below[k], or k is the first, or below[k] = upto[k-1], x = values[k]; else x = values[k-1] + (values[k] - values[k-1]) *
  (u - upto[k-1]) / (below[k] - upto[k-1]). Round to `decimals` (null: not at all), within `values`.
- missing: 0.9 for an empty cell, 0.1 for another; back: empty if above 0.5.
- category: of K categories, 0.9 + 0.1 / K for the cell's own, 0.1 / K for each other (null: an empty cell); back: the largest."""
