r"""The contract of a game, and the few words that every game uses.

A game is a set of players; each owns networks and wants one number small. A game says who plays, in what order, and
what each player loses on a batch. No data loading, no optimiser, no logging and no device enter this folder.

To add a game: one file here, one line in ``games/__init__.py``, nothing else. Games share code through functions, never
by subclassing one another.
"""

from __future__ import annotations

__all__ = [
    "CANDIDATES",
    "Classifies",
    "Climbs",
    "Conditions",
    "Game",
    "Generates",
    "Infers",
    "Level",
    "Scores",
    "Weighs",
    "judge",
    "parameters",
    "playing",
    "reconstruction_score",
]

import abc
from collections.abc import Callable
from typing import Any, Literal, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from ali import sweeps
from ali.data.source import Batch
from ali.distributions import Distribution
from ali.errors import AliError
from ali.networks import Conditional, Discriminator

CANDIDATES = 1000  # codes for one sample, at most: beyond some ten they change little


class Game(nn.Module, abc.ABC):
    """Players, the order in which they move, and what each of them loses.

    ``players`` says which networks each player owns: every trainable parameter of the game has exactly one owner, and
    frozen parts belong to nobody. ``schedule`` is a sequence of rounds: at each, fresh losses are computed and then the
    players named step together. Algorithm 1's simultaneous step is the default; alternating steps are
    ``(("discriminator",), ("generator",))``, and n steps of D are repeats.
    """

    players: dict[str, list[nn.Module]]
    schedule: tuple[tuple[str, ...], ...] = (("discriminator", "generator"),)

    @abc.abstractmethod
    def losses(self, batch: Batch, progress: Float[Tensor, ""]) -> dict[str, Float[Tensor, ""]]:
        """What each player loses on this batch.

        Arguments:
            batch: data, x of shape (n, ...).
            progress: share of the training that is done, in [0, 1].

        Returns:
            A scalar for each player, under the keys of ``players``.
        """


@runtime_checkable
class Generates(Protocol):
    """A game that turns codes into data: it has a decoder p(x | z), and a prior p(z) in its attribute ``prior``.

    Only the method is part of the protocol: from Python 3.12 on, ``isinstance`` does not see the submodules of a module.
    """

    def decode(self, z: Float[Tensor, "n d"]) -> Distribution: ...


@runtime_checkable
class Infers(Protocol):
    """A game that turns data into codes: it has an encoder q(z | x)."""

    def encode(self, x: Float[Tensor, "n ..."]) -> Distribution: ...


@runtime_checkable
class Conditions(Protocol):
    """A game of rows with labels y, class numbers (n,) or attributes (n, k): its verbs are ``encode(x, y)`` and ``decode(z, y)``.

    Where classes are meant, y may also be a mixture of them, (n, K).
    """

    def labels(self, n: int) -> Tensor:
        """Draw y ~ p(y), the law of the training rows' labels."""
        ...


@runtime_checkable
class Classifies(Protocol):
    """A game that tells classes apart: probabilities, shape (n, K). Classes that are not the data's have names in ``clusters``."""

    def classify(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]: ...


@runtime_checkable
class Scores(Protocol):
    """A game that finds rows strange: an anomaly score, shape (n,), higher = stranger."""

    def score(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]: ...


@runtime_checkable
class Weighs(Protocol):
    """A game whose D tells which pairs (x, z) data would have given, and which not: samples are then chosen among ``candidates``."""

    candidates: int

    def log_ratio(self, x: Float[Tensor, "n ..."], z: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """log q(x, z) - log p(x, z), up to a constant."""
        ...


@runtime_checkable
class Climbs(Protocol):
    """A game with a ladder of codes, levels 1 (nearest to the data) to ``levels``; its plain encode and decode mean the top one."""

    levels: int

    def encode(self, x: Float[Tensor, "n ..."], level: int | None = None) -> Distribution: ...

    def decode(self, z: Float[Tensor, "n d"], level: int | None = None) -> Distribution: ...

    def descend(self, z: Float[Tensor, "n d"], level: int, to: int) -> Float[Tensor, "n _"]: ...


class Level(nn.Module):
    """One level of a ladder, with the verbs of a game of its own: it generates, and infers.

    Arguments:
        game: one that climbs.
        level: 1 (nearest to the data) to ``game.levels``.
    """

    def __init__(self, game: Any, level: int):
        super().__init__()
        self.game, self.level = game, level

    @property
    def prior(self) -> Level:
        return self

    @property
    def dim(self) -> int:
        """Dimension of the level's code."""
        with torch.no_grad(), torch.random.fork_rng():  # the noise of those who ask stays as it is
            return self.sample(1).shape[1]

    def sample(self, n: int) -> Float[Tensor, "n d"]:
        """Codes of this level: the prior's, taken down to it."""
        return self.game.descend(self.game.prior.sample(n), self.game.levels, self.level)

    def encode(self, x: Float[Tensor, "n ..."]) -> Distribution:
        return self.game.encode(x, self.level)

    def decode(self, z: Float[Tensor, "n d"]) -> Distribution:
        return self.game.decode(z, self.level)


def parameters(game: Game, player: str) -> list[nn.Parameter]:
    """The trainable parameters that a player owns."""
    return [p for module in game.players[player] for p in module.parameters() if p.requires_grad]


def judge(
    discriminator: Callable[..., Tensor],
    pair_q: tuple[Shaped[Tensor, "n ..."], ...],
    pair_p: tuple[Shaped[Tensor, "m ..."], ...],
    apart: bool = False,
) -> tuple[Float[Tensor, "n ..."], Float[Tensor, "m ..."]]:
    r"""Score encoder pairs and decoder pairs: :math:`\rho_q = D(x, \hat z)`, :math:`\rho_p = D(\tilde x, z)`.

    Together, in one pass, as in the authors' code; or apart, in a pass each, as most ports have it. Under batch normalisation (D(x)
    of Tables 4 to 6) these are two models: together, both kinds of pair share their statistics. Elsewhere they are one, and images
    go apart in any case, because the data's gradient, which nobody needs, is then left out.

    While the loop records (:mod:`ali.sweeps`) the logits are cut off from what D saw: for a slope in x or z, call D itself.

    Arguments:
        discriminator: to logits. What it sees may be more than a pair (labels, levels) or less (x alone).
        pair_q, pair_p: what it sees, (x, z_hat) and (x_tilde, z).
        apart: in a pass each.
    """
    if apart or (pair_q[0].dim() == 4 and isinstance(discriminator, nn.Module) and sweeps.stateless(discriminator)):
        return sweeps.through(discriminator, *pair_q), sweeps.through(discriminator, *pair_p)
    rho = sweeps.through(discriminator, *(torch.cat([q, p]) for q, p in zip(pair_q, pair_p, strict=True)))
    return rho[: len(pair_q[0])], rho[len(pair_q[0]) :]


def playing(batch: Batch, labelled: int) -> slice:
    """The rows of a batch that a game of few labels is played on: all but the ``labelled`` ones at its beginning, at least half."""
    return slice(min(labelled, len(batch.x) // 2), None)


def reconstruction_score(
    encoder: Conditional,
    decoder: Conditional,
    discriminator: nn.Module,
    x: Float[Tensor, "n ..."],
    weight: float = 0.1,
    term: Literal["features", "cross_entropy"] = "features",
) -> Float[Tensor, " n"]:
    r"""How badly rows are reconstructed, and how different D finds them from their reconstructions: higher = stranger.

    .. math:: A(x) = (1 - w) \, \| x - \hat x \|_1 + w \, L_D(x), \quad \hat z = E(x), \; \hat x = G(\hat z)

    where :math:`L_D` is :math:`\| f(x, \hat z) - f(\hat x, \hat z) \|_1`, f being what D's last layer sees, or D's cross entropy
    :math:`-\log D(x, \hat z)`. Encoder and decoder answer with their means, so a row has one score.

    Arguments:
        discriminator: D(x, z); for "features" a :class:`ali.networks.Discriminator`.
        weight: w, in [0, 1].
        term: which :math:`L_D`.

    Raises:
        AliError: a discriminator of somebody's own, which has no features.

    Source: Zenati et al. 2018 (arXiv:1802.06222); see :mod:`ali.games.egbad`.
    """
    z_hat = encoder(x).mean
    x_hat = decoder(z_hat).mean
    error = (x - x_hat).flatten(1).abs().sum(1)
    if term == "features":
        if not isinstance(discriminator, Discriminator):
            raise AliError(f"{type(discriminator).__name__} has no features to score by: take games.EGBAD(..., term='cross_entropy')")
        found = (discriminator.features(x, z_hat) - discriminator.features(x_hat, z_hat)).abs().sum(1)
    else:
        found = F.softplus(-discriminator(x, z_hat))
    return (1 - weight) * error + weight * found
