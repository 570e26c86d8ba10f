"""A trained game with verbs. Arrays in, arrays out; tensors in, tensors out; always in the data's own units and layout."""

from __future__ import annotations

__all__ = ["Model", "load", "open_data"]

import math
import operator
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import torch
from torch import Tensor

from ali import checkpoint, lines, pieces, preprocess, ready, recipes
from ali.conditions import Labels
from ali.data.source import Data, Source, split
from ali.data.tables import Column, from_matrix, to_matrix
from ali.ensemble import Ensemble, entries
from ali.errors import AliError
from ali.games.game import Classifies, Climbs, Conditions, Game, Generates, Infers, Level, Scores
from ali.log import Report
from ali.opening import in_memory, no_folder, open_data
from ali.process import device_named, stoppable
from ali.recipes.arguments import check_arguments
from ali.session import Session, named

CHUNK = 1_000_000  # numbers in the rows that are looked at together: memory does not grow with the data
DRAWN = 2**14  # codes that are drawn together
Verb = Literal["encode", "decode", "reconstruct", "score", "classify"]


class Model:
    """Encoder and decoder of a finished run, and what they can do.

    Arguments:
        game: the trained networks.
        preprocess: between the data's units and the network's.
        config: what ``config.json`` holds.
    """

    def __init__(self, game: Game | Level, preprocess: preprocess.Preprocess, config: dict[str, Any]):
        self.game, self.preprocess, self.config = game.eval(), preprocess, config
        # A game that finds classes of its own names them; else they are the data's.
        self.classes: tuple[str, ...] = tuple(getattr(game, "clusters", config["spec"]["classes"]))
        self.shape: tuple[int, ...] = preprocess.shape
        self.columns: tuple[Column, ...] = preprocess.columns
        self.attributes: tuple[str, ...] = tuple(config["spec"].get("attributes", ()))
        self.parts = ready.parts(config)  # of the game that were kept; none named: all
        self.device = next(game.parameters()).device
        self._at_once = max(1, min(1000, CHUNK // max(1, math.prod(self.shape))))  # rows that are looked at together
        self.conditions: Labels | None = None  # what the labels of a conditional run may be
        if isinstance(game, Conditions):  # pyrefly: ignore
            with _noise(0):
                known = game.labels(1000).cpu().numpy()
            self.conditions = Labels(attributes=self.attributes, known=known) if self.attributes else Labels(self.classes)

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
        return self._can("tell its latent dimension", Generates, "decoder").prior.dim

    @overload
    @staticmethod
    def train(dataset: str, data: Any = None, *, out: str | Path, runs: None = None, **options: Any) -> Model: ...

    @overload
    @staticmethod
    def train(dataset: str, data: Any = None, *, out: str | Path, runs: Any, **options: Any) -> list[Model | None]: ...

    @staticmethod
    def train(
        dataset: str,
        data: Any = None,
        *,
        out: str | Path,
        report: Callable[[Report], None] = lambda report: None,
        hold_out: float | None = None,
        runs: Any = None,
        **options: Any,
    ) -> Model | list[Model | None]:
        """Train, write the run folder, and load it; or several runs together, in ``out/0``, ``out/1``, ...

        Arguments:
            dataset: a name in ``ali.recipes.DATASETS``: "digits", "mixture", "mnist", "images", "table", ...
            data: a path, an array x, a pair (x, y), a data frame (for "table"), or ``Data``; nothing for data that is generated or
                installed.
            out: folder of the run; it must not exist yet.
            report: called some 400 times with a :class:`ali.log.Report`. What goes wrong while training is a Python warning, too.
            hold_out: share of the rows that training never sees, where the data names no test part; default 0.1.
            runs: how many, with seeds from ``seed`` on; or what each has of its own, as a list of dictionaries with some of seed, lr,
                beta1, beta2 and scale, or a JSON file of it (:mod:`ali.ensemble`).
            options: effort ("quick", "normal", "best"), seed, face, recipe, device, labels (how many to keep, the others are hidden), the
                recipe's own arguments, and with a path how to read it (size, crop, ...).

        Returns:
            A :class:`Model`; with ``runs`` a list of them, with None for a run that diverged (a warning says so).

        Raises:
            AliError: bad data, an unknown argument, or a folder that exists; says which and what to do.
        """
        if dataset not in recipes.DATASETS:
            raise AliError(f"unknown data set {dataset!r}: choose one of {', '.join(recipes.DATASETS)}")
        path = str(data) if isinstance(data, str | Path) else None
        entry, opened = recipes.DATASETS[dataset], {}
        if isinstance(data, Data):
            rows = data
        elif data is None or isinstance(data, str | Path):
            known = signature(entry.function()).parameters
            opened = {key: options.pop(key) for key in known if key in options}
            if "hold_out" in known and hold_out is not None:
                opened["hold_out"] = hold_out
            opened = {key: p.default for key, p in known.items() if p.default is not p.empty} | opened
            rows = entry.open(path, **opened)
        else:
            rows = split(in_memory(data, dataset == "table"), 0.1 if hold_out is None else hold_out)
        if runs is not None:
            together = entries(runs, options.pop("seed", 0))
            return Model._play_together(Ensemble.start(dataset, rows, out, together, path=path, options=opened, **options), report)
        session = Session.start(dataset, rows, out, path=path, options=opened, **options)
        return Model._play(session, report, options["recipe"] if callable(options.get("recipe")) else None)

    @staticmethod
    def resume(
        run: str | Path,
        data: Data | str | Path | None = None,
        *,
        recipe: Callable[..., recipes.Run] | None = None,
        device: str = "auto",
        report: Callable[[Report], None] = lambda report: None,
    ) -> Model:
        """Go on with a run that was stopped or killed, to the same weights as if it had not been, and load it.

        Arguments:
            run: the run folder.
            data: where its data is now, if it has moved; ``Data`` if it came from memory.
            recipe: the function that made it, if it is none of this package's.
            device, report: as for :meth:`train`.

        Raises:
            AliError: not a run folder, a broken one, or other data.
        """
        rows = data if isinstance(data, Data) else open_data(run, None if data is None else str(data))
        return Model._play(Session.resume(run, rows, recipe=recipe, device=device), report, recipe)

    @staticmethod
    def _play(session: Session, report: Callable[[Report], None], recipe: Callable[..., recipes.Run] | None) -> Model:
        with stoppable(session):  # Ctrl-C saves, and says how to go on
            for state in session.play():
                report(state)
                for words in state.warnings:
                    warnings.warn(f"step {state.step:,}: {words}", stacklevel=3)
        return load(session.folder, recipe=recipe, device=str(session.device))

    @staticmethod
    def _play_together(ensemble: Ensemble, report: Callable[[Report], None]) -> list[Model | None]:
        with stoppable(ensemble):
            for state in ensemble.play():
                report(state)
        for words in ensemble.ended.values():
            warnings.warn(words, stacklevel=3)
        device = str(ensemble.sessions[0].device)
        return [None if k in ensemble.ended else load(session.folder, device=device) for k, session in enumerate(ensemble.sessions)]

    def at(self, level: int) -> Model:
        """The verbs at one level of a hierarchical run: codes of that level, reconstructions and walks from it.

        Arguments:
            level: 1 (nearest to the data) to the number of levels; the run's own verbs are those of the top one.

        Raises:
            AliError: a run without levels, or a level that it does not have.
        """
        game = self._can("be looked at by levels", Climbs, "levels")
        if not 1 <= _whole(level, "level") <= game.levels:
            raise AliError(f"this run has levels 1 to {game.levels}, got {level}")
        return Model(Level(game, level), self.preprocess, self.config)

    def sample(self, n: int, *, y: Any = None, fix_level: int | None = None, seed: int | None = None) -> Any:
        r"""Draw new rows: :math:`z \sim p(z)`, :math:`x \sim p(x | z)`; of a conditional run also y ~ p(y), :math:`x \sim p(x | z, y)`.

        Arguments:
            n: how many, at least 1.
            y: of a conditional run: one label for all rows, or one for each; what a dictionary of attributes leaves open is drawn
                from p(y). A class is its name, or its number (its place in ``classes``); attributes are an array (k,) or (n, k) in the
                order of ``attributes``, or a dictionary ``{"smiling": 1}``.
            fix_level: of a hierarchical run: all rows share one code of this level, and those above it; what lies below is drawn.
            seed: for the same rows again; it fixes the codes, whatever y is.

        Returns:
            An array; for a table with categories or missing cells a pyarrow table.
        """
        made = pieces.together(self._sampled(n, y, fix_level, seed), n)
        return self._out(made)

    def samples(self, n: int, *, y: Any = None, fix_level: int | None = None, seed: int | None = None) -> Iterator[np.ndarray]:
        """The rows of :meth:`sample`, more than fit into memory: an array for some of them after the other.

        Arguments:
            n, y, fix_level, seed: as for :meth:`sample`.
        """
        return (some.cpu().numpy() for some in self._sampled(n, y, fix_level, seed))

    def codes(self, n: int, *, seed: int | None = None) -> Iterator[np.ndarray]:
        """Codes drawn from the prior, piece by piece: what :meth:`sample` decodes.

        Arguments:
            n, seed: as for :meth:`sample`.
        """
        return (z.cpu().numpy() for z, _ in self._drawn(n, seed))

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
        return self._look("encode", x, self._given(y, x), draw, seed)

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
        x = self._all("decode", self._tensor(z), self._given(y, z))
        return x if isinstance(z, Tensor) else self._out(x)

    def reconstruct(self, x: Any, y: Any = None, *, draw: bool = False, seed: int | None = None) -> Any:
        """Encode, then decode: rows of the kind that was given.

        Arguments:
            x, y, draw, seed: as for :meth:`encode`.
        """
        return self._like(x, self._all("reconstruct", x, self._given(y, x), draw, seed))

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
        given = None if verb in ("score", "classify") else self._given(y, n or 1)  # these two take no labels
        cut = pieces.cut(rows, self._at_once) if hasattr(rows, "shape") else pieces.regrouped(rows, self._at_once)
        return (some.cpu().numpy() for some in self._each(verb, pieces.beside(cut, given, n is None), draw, seed))

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
        steps = _whole(steps, "steps")
        if len(x1) != len(x2):
            raise AliError(f"x1 has {len(x1)} rows and x2 has {len(x2)}: a walk needs one of each")
        self._can("interpolate", Generates, "decoder"), self._can("interpolate", Infers, "encoder")
        first, last, y = self._given(y1, x1, "y1"), self._given(y2, x2, "y2"), None
        z = lines.walk(self._all("encode", x1, first), self._all("encode", x2, last), steps, how)
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
        return lines.direction(self._all("encode", x, self._given(y, x)).cpu().numpy(), mask, how)

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
        own = self._given(y, x)
        z = self._all("encode", x, own)
        if direction is None:
            others = own if self.attributes else None
            return self._like(x, self._all("decode", z, self._given(label if attributes is None else attributes, x, others=others)))
        step, s = self._tensor(direction).to(z), torch.as_tensor(strength, dtype=z.dtype, device=z.device)
        if step.shape != z.shape[1:] or not torch.isfinite(step).all():
            raise AliError(f"direction: {z.shape[1]} finite numbers, one for each of z; got shape {tuple(step.shape)}")
        if s.ndim > 1 or not torch.isfinite(s).all():
            raise AliError(f"strength: a finite number, or a list of them; got {strength}")
        if not s.ndim:
            return self._like(x, self._all("decode", z + s * step, own))
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
        seen = self._all(verb, x, y, draw, seed)
        return seen if isinstance(x, Tensor) else seen.cpu().numpy()

    def _all(self, verb: Verb, x: Any, y: np.ndarray | None = None, draw: bool = False, seed: int | None = None) -> Tensor:
        """A verb for rows of any kind, or codes, that are in memory."""
        first = 0
        if self.columns and verb != "decode" and not isinstance(x, Tensor | np.ndarray):
            x, first = to_matrix(x, self.columns, "x"), 1
        rows = pieces.beside(pieces.cut(x, self._at_once), y, first=first)
        return pieces.together(self._each(verb, rows, draw, seed), len(x))

    def _each(self, verb: Verb, rows: Iterable[pieces.Beside], draw: bool = False, seed: int | None = None) -> Iterator[Tensor]:
        """A verb for rows or codes that come in pieces."""
        if verb in ("score", "classify"):
            function = (
                self._can("score", Scores, "anomaly score").score
                if verb == "score"
                else self._can("classify", Classifies, "classifier").classify
            )
            return (self._seen(function, *piece) for piece in rows)
        if verb == "decode":
            game = self._can(verb, Generates, "decoder")
            dim = game.prior.dim
            return (self._generated(game, dim, *piece) for piece in rows)
        dim = None if verb == "encode" else self._can(verb, Generates, "decoder").prior.dim
        return self._inferred(self._can(verb, Infers, "encoder"), dim, rows, draw, seed)

    def _inferred(self, game: Any, dim: int | None, rows: Iterable[pieces.Beside], draw: bool, seed: int | None) -> Iterator[Tensor]:
        """Codes; with their dimension the rows that they stand for."""

        def infer(x: Tensor, *y: Tensor) -> Tensor:
            q = game.encode(x, *y)
            return q.rsample() if draw else q.mean

        with _noise(seed if draw else None):
            for first, x, y in rows:
                z = self._seen(infer, first, x, y)
                yield z if dim is None else self._generated(game, dim, first, z, y)

    def _seen(self, function: Callable[..., Tensor], first: int, piece: Any, y: tuple[np.ndarray, ...]) -> Tensor:
        """A function of rows as the networks see them, and of their labels if there are any."""
        x = self.preprocess.check(self._tensor(piece), "x", first)
        with torch.no_grad():
            answers = function(self.preprocess.forward(x.to(self.device)), *(self._tensor(labels).to(self.device) for labels in y))
        if not torch.isfinite(answers).all():
            row = first + int((~torch.isfinite(answers.flatten(1) if answers.ndim > 1 else answers[:, None])).any(1).nonzero()[0])
            raise AliError(f"x: what the networks make of row {row} is not finite: is it far from the training rows?")
        return answers

    def _generated(self, game: Any, dim: int, first: int, piece: Any, y: tuple[np.ndarray, ...]) -> Tensor:
        """The rows that codes stand for."""
        z = self._tensor(piece).to(torch.get_default_dtype())
        if z.ndim != 2 or z.shape[1] != dim:
            raise AliError(f"z: this run's codes have shape (n, {dim}), got {tuple(z.shape)}")
        if not torch.isfinite(z).all():
            raise AliError(f"z: row {first + int((~torch.isfinite(z)).nonzero()[0][0])} has a number that is not finite")
        with torch.no_grad():
            return self.preprocess.inverse(game.decode(z.to(self.device), *(self._tensor(labels).to(self.device) for labels in y)).mean)

    def _sampled(self, n: int, y: Any, fix_level: int | None, seed: int | None) -> Iterator[Tensor]:
        game: Any = self._can("sample", Generates, "decoder")
        bottom, fixed = self, None
        if isinstance(game, Climbs) or fix_level is not None:  # a draw from p(x) draws the codes of every level
            bottom, fixed = self.at(1), None if fix_level is None else self.at(fix_level).game
        given = None if y is None else self._given(y, _whole(n, "n"), others=np.zeros((n, len(self.attributes)), np.float32))
        free = [k for k, name in enumerate(self.attributes) if isinstance(y, Mapping) and name not in y]

        def rows() -> Iterator[pieces.Beside]:
            first = 0
            for z, drawn in bottom._drawn(n, seed, fixed):
                if given is not None and drawn is not None:
                    said = given[first : first + len(z)].copy()
                    if free:
                        said[:, free] = drawn[:, free]
                    drawn = said
                yield from pieces.beside(pieces.cut(z, self._at_once), drawn, first=first)
                first += len(z)

        return bottom._each("decode", rows())

    def _drawn(self, n: int, seed: int | None, fixed: Any = None) -> Iterator[tuple[Tensor, np.ndarray | None]]:
        """Codes, and beside them labels of a conditional run, drawn whether or not they are used: a seed fixes the codes.

        Arguments:
            fixed: of a hierarchical run, the level above this one of which all have one code.
        """
        game = self._can("sample", Generates, "decoder")
        n, above = _whole(n, "n"), None
        if not 1 <= n < 2**31:
            raise AliError(f"n counts the samples: {'at least 1' if n < 1 else 'below 2^31'}, got {n}")
        with _noise(seed):
            while n:
                # On the CPU noise comes in sixteens, so that pieces like these hold what a single draw would.
                some = n if n < DRAWN + 16 else DRAWN
                with torch.no_grad():
                    if fixed is not None:
                        above = fixed.sample(1) if above is None else above
                        z = fixed.game.descend(above.expand(some, -1), fixed.level, game.level)
                    else:
                        z = game.prior.sample(some)
                    y = None if self.conditions is None else game.labels(some).cpu().numpy()
                yield z, y
                n -= some

    def _given(self, y: Any, rows: Any, name: str = "y", *, others: np.ndarray | None = None) -> np.ndarray | None:
        """Labels as the networks take them, one for each of some rows, or of as many; None for a run that takes none."""
        if self.conditions is None:
            if y is not None:
                raise AliError(f"{name}: this run ({self.config['recipe']}) takes no labels; the recipe conditional trains one that does")
            return None
        if y is None:
            raise AliError(f"{name}: this run ({self.config['recipe']}) needs the labels of the rows, too: {self.conditions.choice}")
        y, n = y.cpu().numpy() if isinstance(y, Tensor) else y, rows if isinstance(rows, int) else len(rows)
        return self.conditions.numbers(y, n, others)

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
        x = self._like(given, self._all("decode", z.flatten(0, 1), y))
        return x.reshape(*z.shape[:2], *x.shape[1:]) if isinstance(x, Tensor | np.ndarray) else x

    def _tensor(self, rows: np.ndarray | Tensor) -> Tensor:
        if isinstance(rows, Tensor):
            return rows
        x = np.asarray(rows)
        if x.dtype.kind not in "iufb":
            raise AliError(f"expected an array of numbers, got type {x.dtype}")
        native = x.astype(x.dtype.newbyteorder("="), copy=False)
        return torch.from_numpy(np.require(native, requirements=["C", "W"]))  # torch warns of arrays that can not be written

    def _can(self, verb: str, protocol: type, part: str) -> Any:
        if protocol in (Scores, Classifies) and self.parts and isinstance(self.game, protocol):
            kept, dataset = " and ".join(self.parts), self.config["dataset"]
            raise AliError(f"this run can not {verb}: only its {kept} were kept. Train one that can: `ali train {dataset}`")
        if not isinstance(self.game, protocol):
            raise AliError(f"this run ({self.config['recipe']}) can not {verb}: its game has no {part}")
        return self.game


def load(run: str | Path, *, recipe: Callable[..., recipes.Run] | None = None, device: str = "cpu") -> Model:
    """Load a finished, or half finished, run. Never opens its data, never imports what the folder names.

    Arguments:
        run: the run folder; or a ready model that comes with the package, "digits" or "mnist", where no folder has that name.
        recipe: the function that made it, if it is none of this package's.
        device: to put the networks on: "auto", "cpu", "cuda", ...

    Raises:
        AliError: not a run folder, a broken one, or one that has no weights yet.
    """
    folder = ready.found(run)
    if not folder.is_dir():
        raise no_folder(folder)
    config = checkpoint.read_json(folder / "config.json")
    try:
        function = recipe or named(config["recipe"])
        try:
            check_arguments(config["recipe"], function, config["arguments"])
        except AliError as error:
            raise AliError(f"{folder / 'config.json'}: {error}") from None
        built = function(recipes.Spec.from_json(config["spec"]), **config["arguments"])
        prepared = preprocess.from_json(checkpoint.read_json(folder / "preprocess.json"))
    except (KeyError, TypeError) as error:
        raise AliError(f"{folder}: its config.json or preprocess.json is not one that this version of ali can read ({error})") from None
    weights = folder / "model.safetensors"
    if not weights.exists():
        raise AliError(f"{folder}: has no weights yet; go on with `ali train --resume {folder}`")
    checkpoint.read_weights(weights, built.game, ready.parts(config))
    return Model(built.game.to(device_named(device)), prepared, config)


@contextmanager
def _noise(seed: int | None) -> Iterator[None]:
    """Fix torch's noise for a while, and leave it as it was; do nothing without a seed."""
    if seed is not None and not 0 <= _whole(seed, "seed") < 2**63:
        raise AliError(f"seed must be at least 0 and below 2^63, got {seed}")
    with torch.random.fork_rng(enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(int(seed))
        yield


def _whole(value: Any, name: str) -> int:
    """A whole number of any type."""
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise AliError(f"{name} must be a whole number, got {value!r}") from None
