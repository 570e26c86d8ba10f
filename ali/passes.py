"""Rows and codes on their way through a trained game's networks, some at a time: what comes in is checked, what can not be is refused.

The verbs (:mod:`ali.verbs`) say what is asked for, and in which form it is given back; here it is computed, as tensors.
"""

from __future__ import annotations

__all__ = ["CHUNK", "DRAWN", "Passes", "Verb", "at_once", "noise", "tensor", "whole"]

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ali import pieces, ready
from ali.conditions import Labels
from ali.data.tables import to_matrix
from ali.errors import AliError
from ali.games.game import CANDIDATES, Classifies, Climbs, Game, Generates, Infers, Level, Scores, Weighs
from ali.preprocess import Preprocess

CHUNK = 1_000_000  # numbers in the rows that are looked at together: memory does not grow with the data
ON_GPU = 2**24, 2**16  # numbers and rows there, where small pieces would mostly wait for launches
DRAWN = 2**14  # codes that are drawn together
Verb = Literal["encode", "decode", "reconstruct", "score", "classify"]


class Passes:
    """The ways through encoder, decoder and whatever else a game answers with.

    Arguments:
        game: the trained networks, in evaluation mode.
        preprocess: between the data's units and the network's.
        conditions: what the labels of a conditional run may be; None for a run that takes none.
        config: what ``config.json`` holds, for what is said of the run when it can not do something.
    """

    def __init__(self, game: Game | Level, preprocess: Preprocess, conditions: Labels | None, config: dict[str, Any]):
        self.game, self.preprocess, self.conditions, self.config = game, preprocess, conditions, config
        self.device = next(game.parameters()).device
        self.at_once = at_once(preprocess.shape, self.device.type)

    def can(self, verb: str, protocol: type, part: str) -> Any:
        """The game, if it follows a protocol.

        Arguments:
            verb, part: what needs it, and what such a game has, in words.

        Raises:
            AliError: it does not, or the part was not kept.
        """
        parts = ready.parts(self.config)
        if protocol in (Scores, Classifies) and parts and isinstance(self.game, protocol):
            kept, dataset = " and ".join(parts), self.config["dataset"]
            raise AliError(f"this run can not {verb}: only its {kept} were kept. Train one that can: `ali train {dataset}`")
        if not isinstance(self.game, protocol):
            raise AliError(f"this run ({self.config['recipe']}) can not {verb}: its game has no {part}")
        return self.game

    def level(self, level: int) -> Level:
        """One level of a hierarchical run, 1 (nearest to the data) to the number of levels.

        Raises:
            AliError: a run without levels, or a level that it does not have.
        """
        game = self.can("be looked at by levels", Climbs, "levels")
        if not 1 <= whole(level, "level") <= game.levels:
            raise AliError(f"this run has levels 1 to {game.levels}, got {level}")
        return Level(game, level).eval()

    def given(self, y: Any, rows: Any, name: str = "y", *, others: np.ndarray | None = None) -> np.ndarray | None:
        """Labels as the networks take them, one for each of some rows, or of as many; None for a run that takes none."""
        if self.conditions is None:
            if y is not None:
                raise AliError(f"{name}: this run ({self.config['recipe']}) takes no labels; the recipe conditional trains one that does")
            return None
        if y is None:
            raise AliError(f"{name}: this run ({self.config['recipe']}) needs the labels of the rows, too: {self.conditions.choice}")
        y, n = y.cpu().numpy() if isinstance(y, Tensor) else y, rows if isinstance(rows, int) else len(rows)
        return self.conditions.numbers(y, n, others)

    def all(self, verb: Verb, x: Any, y: np.ndarray | None = None, draw: bool = False, seed: int | None = None) -> Tensor:
        """A verb for rows of any kind, or codes, that are in memory."""
        first = 0
        if self.preprocess.columns and verb != "decode" and not isinstance(x, Tensor | np.ndarray):
            x, first = to_matrix(x, self.preprocess.columns, "x"), 1
        rows = pieces.beside(pieces.cut(x, self.at_once), y, first=first)
        return pieces.together(self.each(verb, rows, draw, seed), len(x))

    def each(self, verb: Verb, rows: Iterable[pieces.Beside], draw: bool = False, seed: int | None = None) -> Iterator[Tensor]:
        """A verb for rows or codes that come in pieces."""
        if verb in ("score", "classify"):
            function = (
                self.can("score", Scores, "anomaly score").score
                if verb == "score"
                else self.can("classify", Classifies, "classifier").classify
            )
            return (self._seen(function, *piece) for piece in rows)
        if verb == "decode":
            game = self.can(verb, Generates, "decoder")
            dim = game.prior.dim
            return (self._generated(game, dim, *piece) for piece in rows)
        dim = None if verb == "encode" else self.can(verb, Generates, "decoder").prior.dim
        return self._inferred(self.can(verb, Infers, "encoder"), dim, rows, draw, seed)

    def _inferred(self, game: Any, dim: int | None, rows: Iterable[pieces.Beside], draw: bool, seed: int | None) -> Iterator[Tensor]:
        """Codes; with their dimension the rows that they stand for."""

        def infer(x: Tensor, *y: Tensor) -> Tensor:
            q = game.encode(x, *y)
            return q.rsample() if draw else q.mean

        with noise(seed if draw else None):
            for first, x, y in rows:
                z = self._seen(infer, first, x, y)
                yield z if dim is None else self._generated(game, dim, first, z, y)

    def _seen(self, function: Callable[..., Tensor], first: int, piece: Any, y: tuple[np.ndarray, ...]) -> Tensor:
        """A function of rows as the networks see them, and of their labels if there are any."""
        x = self.preprocess.check(tensor(piece), "x", first)
        with torch.no_grad():
            rows = (self.preprocess.forward(x.to(self.device)), *(tensor(labels).to(self.device) for labels in y))
            answers = pieces.fitting(function, *rows)
        if not torch.isfinite(answers).all():
            row = first + int((~torch.isfinite(answers.flatten(1) if answers.ndim > 1 else answers[:, None])).any(1).nonzero()[0])
            raise AliError(f"x: what the networks make of row {row} is not finite: is it far from the training rows?")
        return answers

    def _generated(self, game: Any, dim: int, first: int, piece: Any, y: tuple[np.ndarray, ...]) -> Tensor:
        """The rows that codes stand for."""
        z = tensor(piece).to(torch.get_default_dtype())
        if z.ndim != 2 or z.shape[1] != dim:
            raise AliError(f"z: this run's codes have shape (n, {dim}), got {tuple(z.shape)}")
        if not torch.isfinite(z).all():
            raise AliError(f"z: row {first + int((~torch.isfinite(z)).nonzero()[0][0])} has a number that is not finite")
        with torch.no_grad():
            codes = (z.to(self.device), *(tensor(labels).to(self.device) for labels in y))
            return self.preprocess.inverse(pieces.fitting(lambda *some: game.decode(*some).mean, *codes))

    def sampled(self, n: int, y: Any, fix_level: int | None, seed: int | None, candidates: int | None = None) -> Iterator[Tensor]:
        """Rows that are drawn, of a hierarchical run through all of its levels."""
        game: Any = self.can("sample", Generates, "decoder")
        bottom, fixed, names = self, None, self.conditions.attributes if self.conditions else ()
        if isinstance(game, Climbs) or fix_level is not None:  # a draw from p(x) draws the codes of every level
            bottom = Passes(self.level(1), self.preprocess, None, self.config)
            fixed = None if fix_level is None else self.level(fix_level)
        n, candidates = _samples(n), bottom.candidates(candidates)
        given = None if y is None else self.given(y, n, others=np.zeros((n, len(names)), np.float32))
        free = [k for k, name in enumerate(names) if isinstance(y, Mapping) and name not in y]

        def rows() -> Iterator[pieces.Beside]:
            first = 0
            for z, drawn in bottom.drawn(n, seed, fixed, candidates):
                if given is not None and drawn is not None:
                    said = given[first : first + len(z)].copy()
                    if free:
                        said[:, free] = drawn[:, free]
                    drawn = said
                yield from pieces.beside(pieces.cut(z, self.at_once), drawn, first=first)
                first += len(z)

        return bottom.each("decode", rows())

    def drawn(
        self, n: int, seed: int | None, fixed: Any = None, candidates: int | None = None
    ) -> Iterator[tuple[Tensor, np.ndarray | None]]:
        """Codes, and beside them labels of a conditional run, drawn whether or not they are used: a seed fixes the codes.

        Arguments:
            fixed: of a hierarchical run, the level above this one of which all have one code.
            candidates: codes of which each is chosen; by default as many as the run was trained with.
        """
        game = self.can("sample", Generates, "decoder")
        n, above, each = _samples(n), None, self.candidates(candidates)
        most = DRAWN // each
        with noise(seed):
            while n:
                # On the CPU noise comes in sixteens, so that pieces like these hold what a single draw would.
                some = n if n < most + 16 else most
                with torch.no_grad():
                    if fixed is not None:
                        above = fixed.sample(1) if above is None else above
                        z = fixed.game.descend(above.expand(some, -1), fixed.level, game.level)
                    else:
                        z = game.prior.sample(some) if each == 1 else self._chosen(game, some, each)
                    y = None if self.conditions is None else game.labels(some).cpu().numpy()
                yield z, y
                n -= some

    def candidates(self, said: int | None) -> int:
        """Of how many codes each one is chosen.

        Raises:
            AliError: out of range, or there is no discriminator that could choose.
        """
        game: Any = self.game
        weighs = isinstance(game, Weighs) and not ready.parts(self.config)
        if said is None:
            return game.candidates if weighs else 1
        if not 1 <= whole(said, "candidates") <= CANDIDATES:
            raise AliError(f"candidates counts the codes of which each sample's is chosen: 1 to {CANDIDATES:,}, got {said}")
        if said > 1 and not weighs:
            kept, recipe = " and ".join(ready.parts(self.config)), self.config["recipe"]
            why = f"only its {kept} were kept, no discriminator" if kept else f"{recipe} draws codes straight from p(z)"
            raise AliError(f"candidates: this run can not choose among {said}: {why}. Leave candidates out")
        return said

    def _chosen(self, game: Any, n: int, candidates: int) -> Tensor:
        """Codes of p(z), each one of several, with the probability that D's density ratio gives it."""
        z = game.prior.sample(n * candidates)
        rho = torch.cat([pieces.fitting(lambda some: game.log_ratio(game.decode(some).mean, some), some) for some in z.split(self.at_once)])
        if not torch.isfinite(rho).all():
            raise AliError("the discriminator's answers to samples are not finite: candidates 1 does without them")
        chosen = torch.multinomial(rho.unflatten(0, (n, candidates)).softmax(1), 1)
        return z.unflatten(0, (n, candidates)).take_along_dim(chosen[..., None], 1)[:, 0]


def _samples(n: Any) -> int:
    """How many rows are to be drawn."""
    n = whole(n, "n")
    if not 1 <= n < 2**31:
        raise AliError(f"n counts the samples: {'at least 1' if n < 1 else 'below 2^31'}, got {n}")
    return n


def at_once(shape: tuple[int, ...], device: str = "cpu") -> int:
    """How many rows of a shape are looked at together on a device; where it has no memory for them, fewer (:func:`pieces.fitting`)."""
    numbers, rows = ON_GPU if device == "cuda" else (CHUNK, 1000)
    return max(1, min(rows, numbers // max(1, math.prod(shape))))


def tensor(rows: np.ndarray | Tensor) -> Tensor:
    """An array of numbers of any type and byte order as a tensor."""
    if isinstance(rows, Tensor):
        return rows
    x = np.asarray(rows)
    if x.dtype.kind not in "iufb":
        raise AliError(f"expected an array of numbers, got type {x.dtype}")
    native = x.astype(x.dtype.newbyteorder("="), copy=False)
    return torch.from_numpy(np.require(native, requirements=["C", "W"]))  # torch warns of arrays that can not be written


@contextmanager
def noise(seed: int | None) -> Iterator[None]:
    """Fix torch's noise for a while, and leave it as it was; do nothing without a seed."""
    if seed is not None and not 0 <= whole(seed, "seed") < 2**63:
        raise AliError(f"seed must be at least 0 and below 2^63, got {seed}")
    with torch.random.fork_rng(enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(int(seed))
        yield


def whole(value: Any, name: str) -> int:
    """A whole number of any type."""
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise AliError(f"{name} must be a whole number, got {value!r}") from None
