"""A trained game with verbs. Arrays in, arrays out; tensors in, tensors out; always in the data's own units and layout."""

from __future__ import annotations

__all__ = ["Model", "load", "open_data"]

import math
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ali import checkpoint, preprocess, recipes
from ali.data import arrays
from ali.data.source import Data, Source, split
from ali.data.tables import Column, describe_frame, from_matrix, number_columns, to_matrix
from ali.errors import AliError
from ali.games.game import Classifies, Game, Generates, Infers, Scores
from ali.session import Report, Session, check_arguments, device_named, named, stoppable

CHUNK = 1_000_000  # numbers in the rows that are looked at together: memory does not grow with the data


class Model:
    """Encoder and decoder of a finished run, and what they can do.

    Arguments:
        game: the trained networks.
        preprocess: between the data's units and the network's.
        config: what ``config.json`` holds.
    """

    def __init__(self, game: Game, preprocess: preprocess.Preprocess, config: dict[str, Any]):
        self.game, self.preprocess, self.config = game.eval(), preprocess, config
        self.classes: tuple[str, ...] = tuple(config["spec"]["classes"])
        self.shape: tuple[int, ...] = preprocess.shape
        self.columns: tuple[Column, ...] = preprocess.columns
        self.device = next(game.parameters()).device

    @property
    def latent(self) -> int:
        """Dimension of z."""
        return self._can("tell its latent dimension", Generates, "decoder").prior.dim

    @property
    def _mixed(self) -> bool:
        """Are there columns that an array can not hold without a key to it?"""
        return any(column.categories or column.missing for column in self.columns)

    @staticmethod
    def train(
        dataset: str,
        data: Any = None,
        *,
        out: str | Path,
        report: Callable[[Report], None] = lambda report: None,
        hold_out: float | None = None,
        **options: Any,
    ) -> Model:
        """Train, write the run folder, and load it.

        Arguments:
            dataset: a name in ``ali.recipes.DATASETS``: "digits", "mixture", "mnist", "images", "table", ...
            data: a path, an array x, a pair (x, y), a data frame (for "table"), or ``Data``; nothing for data that is generated or
                installed.
            out: folder of the run; it must not exist yet.
            report: called some 400 times with a :class:`ali.session.Report`.
            hold_out: share of the rows that training never sees, where the data names no test part; default 0.1.
            options: seed, face, recipe, device, the recipe's own arguments, and with a path how to read it (size, crop, ...).

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
            rows = split(_source(data, dataset == "table"), 0.1 if hold_out is None else hold_out)
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
        return load(session.folder, recipe=recipe, device=str(session.device))

    def sample(self, n: int, *, seed: int | None = None) -> Any:
        r"""Draw new rows: :math:`z \sim p(z)`, :math:`x \sim p(x | z)`.

        Arguments:
            n: how many, at least 1.
            seed: for the same rows again.

        Returns:
            An array; for a table with categories or missing cells a pyarrow table.
        """
        game = self._can("sample", Generates, "decoder")
        n = _whole(n, "n")
        if not 1 <= n < 2**31:
            raise AliError(f"n counts the samples: {'at least 1' if n < 1 else 'below 2^31'}, got {n}")
        with _noise(seed):
            return self.decode(game.prior.sample(n).cpu().numpy())

    def encode(self, x: Any, *, draw: bool = False, seed: int | None = None) -> Any:
        """Infer codes: the mean of q(z | x), or a draw from it.

        Arguments:
            x: rows in the data's own units and layout, (n, ...): an array or a tensor; for a run on a table also a data frame.
            draw: sample q(z | x), as the paper's figures do.
            seed: of the draw.

        Returns:
            z, shape (n, latent): a tensor for a tensor, else an array.

        Raises:
            AliError: rows of another shape, or out of the range of the training data.
        """
        z = self._encode(x, draw, seed)
        return z if isinstance(x, Tensor) else z.cpu().numpy()

    def decode(self, z: Any) -> Any:
        """Generate the rows that codes stand for: the mean of p(x | z).

        Arguments:
            z: codes, shape (n, latent): an array or a tensor.

        Returns:
            A tensor for a tensor, else an array; for a table with categories or missing cells a pyarrow table.

        Raises:
            AliError: codes of another dimension, or not finite.
        """
        x = self._decode(self._tensor(z))
        if isinstance(z, Tensor):
            return x
        return from_matrix(x.cpu().numpy(), self.columns) if self._mixed else x.cpu().numpy()

    def reconstruct(self, x: Any, *, draw: bool = False, seed: int | None = None) -> Any:
        """Encode, then decode: rows of the kind that was given.

        Arguments:
            x, draw, seed: as for :meth:`encode`.
        """
        return self._like(x, self._decode(self._encode(x, draw, seed)))

    def interpolate(self, x1: Any, x2: Any, steps: int = 9, *, how: Literal["linear", "spherical"] = "linear") -> Any:
        r"""Rows between two rows: encode both, walk between the codes, decode (section 4.2, which draws codes; here they are means).

        .. math::
            \text{linear:} \quad & (1 - t) z_1 + t z_2 \\
            \text{spherical:} \quad & \frac{\sin((1 - t) \omega)}{\sin \omega} z_1 + \frac{\sin(t \omega)}{\sin \omega} z_2,
            \quad \omega = \angle(z_1, z_2)

        Arguments:
            x1, x2: equally many rows, (n, ...).
            steps: points on each walk, both ends among them, at least 2.
            how: a straight line, or along the sphere where prior codes lie (White 2016, arXiv:1609.04468).

        Returns:
            Shape (n, steps, ...); for data frames one table of n x steps rows, walk after walk.
        """
        steps = _whole(steps, "steps")
        if steps < 2:
            raise AliError(f"steps counts the points of a walk with both its ends: at least 2, got {steps}")
        if how not in ("linear", "spherical"):
            raise AliError(f"unknown way {how!r}: choose linear or spherical")
        if len(x1) != len(x2):
            raise AliError(f"x1 has {len(x1)} rows and x2 has {len(x2)}: a walk needs one of each")
        z1, z2 = self._encode(x1)[:, None], self._encode(x2)[:, None]
        t = torch.linspace(0, 1, steps, device=self.device)[:, None]
        if how == "spherical":
            cosine = torch.nn.functional.cosine_similarity(z1, z2, dim=-1).clamp(-1, 1)[..., None]
            omega = cosine.arccos()
            sphere = ((1 - t) * omega).sin() / omega.sin() * z1 + (t * omega).sin() / omega.sin() * z2
            # Codes on one line through the origin: the limit, or where there is none, is the straight walk.
            z = torch.where(omega.sin() < 1e-3, (1 - t) * z1 + t * z2, sphere)
        else:
            z = (1 - t) * z1 + t * z2
        x = self._like(x1, self._decode(z.flatten(0, 1)))
        return x.reshape(len(x1), steps, *x.shape[1:]) if isinstance(x, Tensor | np.ndarray) else x

    def score(self, x: Any) -> Any:
        """How strange rows are: the game's anomaly score, higher = stranger.

        Arguments:
            x: as for :meth:`encode`.

        Returns:
            Shape (n,): a tensor for a tensor, else an array.
        """
        return self._look(x, self._can("score", Scores, "anomaly score").score)

    def classify(self, x: Any) -> Any:
        """Probabilities of the classes, in the order of ``classes``.

        Arguments:
            x: as for :meth:`encode`.

        Returns:
            Shape (n, K): a tensor for a tensor, else an array.
        """
        return self._look(x, self._can("classify", Classifies, "classifier").classify)

    def table(self, rows: Any) -> Any:
        """Rows of a run on a table as a pyarrow table, with names, types and categories."""
        return from_matrix(rows, self.columns) if isinstance(rows, np.ndarray) else rows

    def _encode(self, x: Any, draw: bool = False, seed: int | None = None) -> Tensor:
        game = self._can("encode", Infers, "encoder")

        def infer(rows: Tensor) -> Tensor:
            q = game.encode(rows)
            return q.rsample() if draw else q.mean

        with _noise(seed if draw else None):
            return self._see(x, infer)

    def _see(self, x: Any, function: Callable[[Tensor], Tensor]) -> Tensor:
        """A function of rows as the networks see them, chunk by chunk."""
        first = 0
        if self.columns and not isinstance(x, Tensor | np.ndarray):
            x, first = to_matrix(x, self.columns, "x"), 1

        def seen(chunk: Any) -> Tensor:
            nonlocal first
            rows = self.preprocess.check(self._tensor(chunk), "x", first)
            answers = function(self.preprocess.forward(rows.to(self.device)))
            if not torch.isfinite(answers).all():
                row = first + int((~torch.isfinite(answers.flatten(1) if answers.ndim > 1 else answers[:, None])).any(1).nonzero()[0])
                raise AliError(f"x: what the networks make of row {row} is not finite: is it far from the training rows?")
            first += len(rows)
            return answers

        return self._in_chunks(seen, x)

    def _look(self, x: Any, function: Callable[[Tensor], Tensor]) -> Any:
        seen = self._see(x, function)
        return seen if isinstance(x, Tensor) else seen.cpu().numpy()

    def _decode(self, z: Tensor) -> Tensor:
        game = self._can("decode", Generates, "decoder")
        codes = z.to(torch.get_default_dtype())
        if codes.ndim != 2 or codes.shape[1] != game.prior.dim:
            raise AliError(f"z: this run's codes have shape (n, {game.prior.dim}), got {tuple(codes.shape)}")
        if not torch.isfinite(codes).all():
            raise AliError(f"z: row {int((~torch.isfinite(codes)).nonzero()[0][0])} has a number that is not finite")
        return self._in_chunks(lambda chunk: self.preprocess.inverse(game.decode(chunk.to(self.device)).mean), codes)

    def _like(self, given: Any, rows: Tensor) -> Any:
        """Rows of the kind that was given: a tensor, an array, a pandas data frame, or a pyarrow table."""
        if isinstance(given, Tensor):
            return rows
        if isinstance(given, np.ndarray):
            return rows.cpu().numpy()
        table = from_matrix(rows.cpu().numpy(), self.columns)
        return table.to_pandas() if type(given).__module__.startswith("pandas") else table

    def _in_chunks(self, function: Callable[[Any], Tensor], rows: Any) -> Tensor:
        at_once = max(1, min(1000, CHUNK // max(1, math.prod(self.shape))))
        with torch.no_grad():
            return torch.cat([function(rows[first : first + at_once]) for first in range(0, max(1, len(rows)), at_once)])

    def _tensor(self, rows: np.ndarray | Tensor) -> Tensor:
        if isinstance(rows, Tensor):
            return rows
        x = np.asarray(rows)
        if x.dtype.kind not in "iufb":
            raise AliError(f"expected an array of numbers, got type {x.dtype}")
        native = x.astype(x.dtype.newbyteorder("="), copy=False)
        return torch.from_numpy(np.require(native, requirements=["C", "W"]))  # torch warns of arrays that can not be written

    def _can(self, verb: str, protocol: type, part: str) -> Any:
        if not isinstance(self.game, protocol):
            raise AliError(f"this run ({self.config['recipe']}) can not {verb}: its game has no {part}")
        return self.game


def load(run: str | Path, *, recipe: Callable[..., recipes.Run] | None = None, device: str = "cpu") -> Model:
    """Load a finished, or half finished, run. Never opens its data, never imports what the folder names.

    Arguments:
        run: the run folder.
        recipe: the function that made it, if it is none of this package's.
        device: to put the networks on: "auto", "cpu", "cuda", ...

    Raises:
        AliError: not a run folder, a broken one, or one that has no weights yet.
    """
    folder = Path(run)
    if not folder.is_dir():
        raise _no_folder(folder)
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
    checkpoint.read_weights(weights, built.game)
    return Model(built.game.to(device_named(device)), prepared, config)


def open_data(run: str | Path, path: str | None = None) -> Data:
    """The data that a run was trained on, opened again.

    Arguments:
        run: the run folder.
        path: where the data is now, if it has moved.

    Raises:
        AliError: not a run folder, or data that only its trainer can open (an array in memory).
    """
    folder = Path(run)
    if not folder.is_dir():
        raise _no_folder(folder)
    config = checkpoint.read_json(folder / "config.json")
    entry = recipes.DATASETS.get(config.get("dataset", ""))
    if entry is None:
        raise AliError(f"{folder}: its config.json names no data set that this version of ali knows")
    known = folder / "resume" / "data.json"
    path = path or (checkpoint.read_json(known).get("path") if known.exists() else None)
    if entry.needs and path is None:
        raise AliError(f"{folder}: does not know where its data is; give its path ({entry.needs})")
    known_options = signature(entry.function()).parameters
    data = entry.open(path, **{key: value for key, value in config.get("data", {}).items() if key in known_options and key != "path"})
    if data.train.fingerprint() != config.get("fingerprint"):
        raise AliError(
            f"{folder}: {path or 'the data'} holds other rows than it was trained on, so that held-out rows may be training rows; "
            "give it the same data (--data)"
        )
    return data


def _source(data: Any, is_table: bool) -> Source:
    """Rows in memory: an array, a pair (x, y), or a data frame."""
    x: Any
    x, y = data if isinstance(data, tuple) else (data, None)
    if is_table and not isinstance(x, np.ndarray):
        return describe_frame(x, y)
    source = arrays.check(x, y, (2,) if is_table else (3, 4), "data")
    return replace(source, columns=number_columns(source.x.shape[1])) if is_table else source


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


def _no_folder(folder: Path) -> AliError:
    what = "is a file; give the run folder" if folder.exists() else "no such run folder"
    return AliError(f"{folder}: {what}")
