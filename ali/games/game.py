r"""The contract of a game, and the few words that every game uses.

A game is a set of players; each owns networks and wants one number small. A game says who plays, in what order, and
what each player loses on a batch. No data loading, no optimiser, no logging and no device enter this folder.

To add a game: one file here, one line in ``games/__init__.py``, nothing else. Games share code through functions, never
by subclassing one another.
"""

from __future__ import annotations

__all__ = ["Classifies", "Climbs", "Game", "Generates", "Infers", "Scores", "judge", "parameters"]

import abc
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ali.data.source import Batch
from ali.distributions import Distribution


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
class Classifies(Protocol):
    """A game that tells classes apart: probabilities, shape (n, K)."""

    def classify(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]: ...


@runtime_checkable
class Scores(Protocol):
    """A game that finds rows strange: an anomaly score, shape (n,), higher = stranger."""

    def score(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]: ...


@runtime_checkable
class Climbs(Protocol):
    """A game with a ladder of codes, levels 1 (nearest to the data) to ``levels``; its plain encode and decode mean the top one."""

    levels: int

    def encode(self, x: Float[Tensor, "n ..."], level: int | None = None) -> Distribution: ...

    def decode(self, z: Float[Tensor, "n d"], level: int | None = None, draw: bool = False) -> Distribution: ...

    def descend(self, z: Float[Tensor, "n d"], to: int) -> Float[Tensor, "n _"]: ...


def parameters(game: Game, player: str) -> list[nn.Parameter]:
    """The trainable parameters that a player owns."""
    return [p for module in game.players[player] for p in module.parameters() if p.requires_grad]


def judge(
    discriminator: nn.Module, pair_q: tuple[Float[Tensor, "n ..."], ...], pair_p: tuple[Float[Tensor, "n ..."], ...]
) -> tuple[Float[Tensor, "n ..."], Float[Tensor, "n ..."]]:
    r"""Score encoder pairs and decoder pairs in *one* pass of D: :math:`\rho_q = D(x, \hat z)`, :math:`\rho_p = D(\tilde x, z)`.

    One pass, as in the authors' code: under batch normalisation (D(x) of Tables 4 to 6) both kinds of pair share their
    statistics, and two passes would be another model. What D sees may be more than a pair (labels, levels) or less (x alone).
    """
    rho_q, rho_p = discriminator(*(torch.cat([q, p]) for q, p in zip(pair_q, pair_p, strict=True))).chunk(2)
    return rho_q, rho_p
