"""What a trained game can be asked for. Arrays in, arrays out; tensors in, tensors out; always in the data's own units and layout."""

from __future__ import annotations

__all__ = ["Verbs"]

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ali import lines, pieces, preprocess, ready
from ali.conditions import Labels
from ali.data.source import Source
from ali.data.tables import Column, from_matrix
from ali.errors import AliError
from ali.games.game import Classifies, Conditions, Game, Generates, Infers, Level
from ali.passes import Passes, Verb, noise, tensor, whole


class Verbs:
    """The verbs of a :class:`ali.model.Model`, which all go through the networks by its :class:`ali.passes.Passes`.

    Arguments:
        game, preprocess, config: as for a model.
    """

    def __init__(self, game: Game | Level, preprocess: preprocess.Preprocess, config: dict[str, Any]):
        self.game, self.preprocess, self.config = game.eval(), preprocess, config
        # A game that finds classes of its own names them; else they are the data's.
        self.classes: tuple[str, ...] = tuple(getattr(game, "clusters", config["spec"]["classes"]))
        self.shape: tuple[int, ...] = preprocess.shape
        self.columns: tuple[Column, ...] = preprocess.columns
        self.attributes: tuple[str, ...] = tuple(config["spec"].get("attributes", ()))
        self.parts = ready.parts(config)  # of the game that were kept; none named: all
        self.conditions: Labels | None = None  # what the labels of a conditional run may be
        if isinstance(game, Conditions):  # pyrefly: ignore
            with noise(0):
                known = game.labels(1000).cpu().numpy()
            self.conditions = Labels(attributes=self.attributes, known=known) if self.attributes else Labels(self.classes)
        self._passes = Passes(self.game, preprocess, self.conditions, config)
        self.device = self._passes.device

    @property
    def generates(self) -> bool:
        """Is there a decoder?"""
        game: Any = self.game
        return isinstance(game, Generates)

    @property
    def classifies(self) -> bool:
        """Is there a classifier?"""
        game: Any = self.game
        return isinstance(game, Classifies) and not self.parts

    @property
    def infers(self) -> bool:
        """Is there an encoder?"""
        game: Any = self.game
        return isinstance(game, Infers)

    @property
    def latent(self) -> int:
        """Dimension of z."""
        return self._passes.can("tell its latent dimension", Generates, "decoder").prior.dim

    def sample(self, n: int, *, y: Any = None, fix_level: int | None = None, seed: int | None = None, candidates: int | None = None) -> Any:
        r"""Draw new rows: :math:`z \sim p(z)`, :math:`x \sim p(x | z)`; of a conditional run also y ~ p(y), :math:`x \sim p(x | z, y)`.

        Arguments:
            n: how many, at least 1.
            y: of a conditional run: one label for all rows, or one for each; what a dictionary of attributes leaves open is drawn
                from p(y). A class is its name, or its number (its place in ``classes``); attributes are an array (k,) or (n, k) in the
                order of ``attributes``, or a dictionary ``{"smiling": 1}``.
            fix_level: of a hierarchical run: all rows share one code of this level, and those above it; what lies below is drawn.
            seed: for the same rows again; it fixes the codes, whatever y is.
            candidates: codes drawn from p(z) for each row, of which the discriminator chooses one (:meth:`ali.games.ALI.log_ratio`);
                1: none is chosen. By default as many as the run was trained with: 4 of ALI and BiGAN, 1 of their paper's face, and
                of all others.

        Returns:
            An array; for a table with categories or missing cells a pyarrow table.
        """
        made = pieces.together(self._passes.sampled(n, y, fix_level, seed, candidates), n)
        return self._out(made)

    def samples(
        self, n: int, *, y: Any = None, fix_level: int | None = None, seed: int | None = None, candidates: int | None = None
    ) -> Iterator[np.ndarray]:
        """The rows of :meth:`sample`, more than fit into memory: an array for some of them after the other.

        Arguments:
            n, y, fix_level, seed, candidates: as for :meth:`sample`.
        """
        return (some.cpu().numpy() for some in self._passes.sampled(n, y, fix_level, seed, candidates))

    def codes(self, n: int, *, seed: int | None = None, candidates: int | None = None) -> Iterator[np.ndarray]:
        """Codes drawn from the prior, piece by piece: what :meth:`sample` decodes.

        Arguments:
            n, seed, candidates: as for :meth:`sample`.
        """
        return (z.cpu().numpy() for z, _ in self._passes.drawn(n, seed, candidates=candidates))

    def encode(self, x: Any, y: Any = None, *, draw: bool = False, seed: int | None = None) -> Any:
        """Infer codes: the mean of q(z | x), or a draw from it.

        Arguments:
            x: rows in the data's own units and layout, (n, ...): an array or a tensor; for a run on a table also a data frame.
            y: of a conditional run: the labels of the rows, in the forms that :meth:`sample` takes, none left open.
            draw: sample q(z | x), as the paper's figures do.
            seed: of the draw.

        Returns:
            z, shape (n, latent): a tensor for a tensor, else an array.

        Raises:
            AliError: rows of another shape, or out of the range of the training data.
        """
        return self._look("encode", x, self._passes.given(y, x), draw, seed)

    def decode(self, z: Any, y: Any = None) -> Any:
        """Generate the rows that codes stand for: the mean of p(x | z).

        Arguments:
            z: codes, shape (n, latent): an array or a tensor.
            y: of a conditional run: as for :meth:`encode`.

        Returns:
            A tensor for a tensor, else an array; for a table with categories or missing cells a pyarrow table.

        Raises:
            AliError: codes of another dimension, or not finite.
        """
        x = self._passes.all("decode", tensor(z), self._passes.given(y, z))
        return x if isinstance(z, Tensor) else self._out(x)

    def reconstruct(self, x: Any, y: Any = None, *, draw: bool = False, seed: int | None = None) -> Any:
        """Encode, then decode: rows of the kind that was given.

        Arguments:
            x, y, draw, seed: as for :meth:`encode`.
        """
        return self._like(x, self._passes.all("reconstruct", x, self._passes.given(y, x), draw, seed))

    def each(self, verb: Verb, rows: Any, y: Any = None, *, draw: bool = False, seed: int | None = None) -> Iterator[np.ndarray]:
        """A verb for more rows than fit into memory: the same numbers, an array for some rows after the other.

        Arguments:
            verb: "encode", "decode", "reconstruct", "score" or "classify".
            rows: rows or codes that are read when they are asked for by slices (:class:`ali.data.store.Stored`), or arrays of some
                rows each, one after the other.
            y: of a conditional run: one label for all rows, or one for each.
            draw, seed: as for :meth:`encode`.

        Raises:
            AliError: as for the verb.
        """
        n = 1 if y is None or self.conditions is None else self.conditions.count(y)
        given = None if verb in ("score", "classify") else self._passes.given(y, n or 1)  # these two take no labels
        cut = pieces.cut(rows, self._passes.at_once) if hasattr(rows, "shape") else pieces.regrouped(rows, self._passes.at_once)
        return (some.cpu().numpy() for some in self._passes.each(verb, pieces.beside(cut, given, n is None), draw, seed))

    def interpolate(
        self, x1: Any, x2: Any, steps: int = 9, *, how: Literal["linear", "spherical"] = "linear", y1: Any = None, y2: Any = None
    ) -> Any:
        r"""Rows between two rows: encode both, walk between the codes, decode (section 4.2, which draws codes; here they are means).

        Arguments:
            x1, x2: equally many rows, (n, ...).
            steps: points on each walk, both ends among them, at least 2.
            how: a straight line, or along the sphere where prior codes lie (:func:`ali.lines.walk`).
            y1, y2: of a conditional run: the labels of the rows; the walk goes straight from one label to the other.

        Returns:
            Shape (n, steps, ...); for data frames one table of n x steps rows, walk after walk.
        """
        steps = whole(steps, "steps")
        if len(x1) != len(x2):
            raise AliError(f"x1 has {len(x1)} rows and x2 has {len(x2)}: a walk needs one of each")
        self._passes.can("interpolate", Generates, "decoder"), self._passes.can("interpolate", Infers, "encoder")
        first, last, y = self._passes.given(y1, x1, "y1"), self._passes.given(y2, x2, "y2"), None
        z = lines.walk(self._passes.all("encode", x1, first), self._passes.all("encode", x2, last), steps, how)
        if self.conditions and first is not None and last is not None:
            start, end = (torch.from_numpy(self.conditions.one_hot(given)) for given in (first, last))
            y = lines.walk(start, end, steps).flatten(0, 1).numpy()
        return self._lines(x1, z, y)

    def direction(self, x: Any, mask: Any, y: Any = None, *, how: Literal["mean", "classifier"] = "mean") -> np.ndarray:
        """The direction in code space in which rows with a property lie: for :meth:`edit`.

        Arguments:
            x: as for :meth:`encode`.
            mask: which rows have the property, (n,), True or False.
            y: of a conditional run: the labels of the rows. What they say is hardly in the code: change the label instead.
            how: between the means of the codes, or across the border that a linear classifier draws (:func:`ali.lines.direction`).

        Returns:
            Shape (latent,); strength 1 is one step from the mean without to the mean with.

        Raises:
            AliError: all rows have it, or none.
        """
        return lines.direction(self._passes.all("encode", x, self._passes.given(y, x)).cpu().numpy(), mask, how)

    def edit(
        self,
        x: Any,
        y: Any = None,
        *,
        attributes: Mapping[str, Any] | None = None,
        label: Any = None,
        direction: Any = None,
        strength: float | Sequence[float] = 1.0,
    ) -> Any:
        r"""Change rows: infer their codes, change the label (conditional runs, Figure 7) or go along a direction, decode.

        .. math:: x' = G_x(G_z(x, y), y') \quad \text{or} \quad x' = G_x(G_z(x) + s \delta)

        Arguments:
            x: as for :meth:`encode`.
            y: of a conditional run: the labels that the rows have.
            attributes: those to change, ``{"smiling": 1}``; the others stay as y has them; or
            label: the class to change into; or
            direction: :math:`\delta`, shape (latent,), as :meth:`direction` returns it.
            strength: :math:`s` along a direction, 1 for one step; or several.

        Returns:
            Rows of the kind that was given; for several strengths of shape (n, strengths, ...), for data frames row after row.

        Raises:
            AliError: not one of the three, or labels for a run that takes none.
        """
        if sum(what is not None for what in (attributes, label, direction)) != 1:
            raise AliError("edit what? Say one of attributes, label and direction")
        if direction is None and self.conditions is None:
            raise AliError(f"this run ({self.config['recipe']}) takes no labels that could be changed: edit along a direction")
        own = self._passes.given(y, x)
        z = self._passes.all("encode", x, own)
        if direction is None:
            changed = self._passes.given(label if attributes is None else attributes, x, others=own if self.attributes else None)
            return self._like(x, self._passes.all("decode", z, changed))
        step, s = tensor(direction).to(z), torch.as_tensor(strength, dtype=z.dtype, device=z.device)
        if step.shape != z.shape[1:] or not torch.isfinite(step).all():
            raise AliError(f"direction: {z.shape[1]} finite numbers, one for each of z; got shape {tuple(step.shape)}")
        if s.ndim > 1 or not torch.isfinite(s).all():
            raise AliError(f"strength: a finite number, or a list of them; got {strength}")
        if not s.ndim:
            return self._like(x, self._passes.all("decode", z + s * step, own))
        return self._lines(x, z[:, None] + s[:, None] * step, None if own is None else own.repeat(len(s), 0))

    def score(self, x: Any) -> Any:
        """How strange rows are: the game's anomaly score, higher = stranger.

        A score has no unit of its own: compare scores of one run, or turn them into p-values (:func:`ali.p_values`)::

            p = ali.p_values(model.score(x), model.score(rows_held_out))  # anomalies: p <= 0.01

        Arguments:
            x: as for :meth:`encode`.

        Returns:
            Shape (n,): a tensor for a tensor, else an array.
        """
        return self._look("score", x)

    def classify(self, x: Any) -> Any:
        """Probabilities of the classes, in the order of ``classes``.

        Arguments:
            x: as for :meth:`encode`.

        Returns:
            Shape (n, K): a tensor for a tensor, else an array.
        """
        return self._look("classify", x)

    def export(self, out: str | Path) -> list[Path]:
        """Write encoder and decoder, whichever there are, as ONNX files (:mod:`ali.export`), which run without PyTorch.

        ``encoder.onnx`` takes rows x as :meth:`encode` does, and gives the mean of q(z | x), and its standard deviation where q is a
        diagonal normal; ``decoder.onnx`` takes codes z and gives rows as :meth:`decode` does. Both take any number of rows, and of a
        conditional run their labels y as well: class numbers (n,), or attributes (n, k). Of a run on a table they take and give what the
        networks see; ``columns.json`` says how to go there and back.

        Arguments:
            out: a folder that does not exist, or is empty.

        Returns:
            The files.

        Raises:
            AliError: no encoder and no decoder, a folder that holds something, packages that are missing (``pip install 'ali[onnx]'``), or
                a network that ONNX can not say.
        """
        from ali import export

        if not (self.infers or self.generates):
            raise AliError(f"this run ({self.config['recipe']}) can not be exported: its game has no encoder and no decoder")
        title, latent = f"{self.config['recipe']} on {self.config['dataset']}", self.latent if self.generates else None
        return export.write(
            Path(out), self.game, self.preprocess, title=title, infers=self.infers, latent=latent, conditions=self.conditions
        )

    def labels_of(self, source: Source) -> np.ndarray | None:
        """The labels of some rows, as y for the verbs; None if this run takes none."""
        if self.conditions is None:
            return None
        if source.y is None or (source.attributes or source.classes) != (self.attributes or self.classes):
            raise AliError(f"these rows do not have the labels that this run ({self.config['recipe']}) learned from")
        return source.y

    def table(self, rows: Any) -> Any:
        """Rows of a run on a table as a pyarrow table, with names, types and categories."""
        return from_matrix(rows, self.columns) if isinstance(rows, np.ndarray) else rows

    def _look(self, verb: Verb, x: Any, y: np.ndarray | None = None, draw: bool = False, seed: int | None = None) -> Any:
        seen = self._passes.all(verb, x, y, draw, seed)
        return seen if isinstance(x, Tensor) else seen.cpu().numpy()

    def _out(self, x: Tensor) -> Any:
        """Rows that were generated for nobody's tensor: an array, or a table if it takes one to say what they are."""
        mixed = any(column.categories or column.missing for column in self.columns)  # what an array can not hold without a key to it
        return from_matrix(x.cpu().numpy(), self.columns) if mixed else x.cpu().numpy()

    def _like(self, given: Any, rows: Tensor) -> Any:
        """Rows of the kind that was given: a tensor, an array, a pandas data frame, or a pyarrow table."""
        if isinstance(given, Tensor):
            return rows
        if isinstance(given, np.ndarray):
            return rows.cpu().numpy()
        table = from_matrix(rows.cpu().numpy(), self.columns)
        return table.to_pandas() if type(given).__module__.startswith("pandas") else table

    def _lines(self, given: Any, z: Tensor, y: np.ndarray | None) -> Any:
        """Decode several codes for each row: (n, m, d) to (n, m, ...)."""
        x = self._like(given, self._passes.all("decode", z.flatten(0, 1), y))
        return x.reshape(*z.shape[:2], *x.shape[1:]) if isinstance(x, Tensor | np.ndarray) else x
