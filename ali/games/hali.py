r"""Hierarchical adversarially learned inference (HALI).

A ladder of codes, each level coarser than the one below it. The encoder climbs, the decoder comes down:

.. math::
    q(x, z_1, \dots, z_L) &= q(x)\, q(z_1 | x) \prod_{l > 1} q(z_l | z_{l - 1}) && \text{or } q(z_l | x) \\
    p(x, z_1, \dots, z_L) &= p(z_L) \prod_{l < L} p(z_l | z_{l + 1})\; p(x | z_1)

and one discriminator :math:`D(x, z_1, \dots, z_L)` is to tell their samples apart: the game of Algorithm 1 on longer tuples. Only the
top code has a prior; :math:`p(z_l)` below is whatever the decoder makes of it. A reconstruction from level l climbs to :math:`z_l`
and comes down again: near the bottom it is faithful, near the top it keeps what the data is (its class, its attributes) and redraws
the rest.

What no source says and we decided: no code was ever released, and the slides show the diagram alone. They write
:math:`q(z_2 | x)`; the later paper climbs level by level; both are offered. Levels below the top are maps (on images), and D
joins each to its own features of the same size. The terms beyond the paper are those of :class:`ali.games.ALI`, on every level.

References:
    | Dumoulin et al., Adversarially Learned Inference, ICLR 2017, slides: "Hierarchical ALI" (arXiv:1606.00704)
    | Belghazi et al., Hierarchical Adversarially Learned Inference, 2018 (arXiv:1802.01071)
"""

from __future__ import annotations

__all__ = ["HALI"]

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ali.data.source import Batch
from ali.distributions import Distribution, StandardNormal
from ali.errors import AliError
from ali.games.game import Game, judge
from ali.networks import Conditional
from ali.objectives import Objective, gradient_penalty, nonsaturating, refuse_batch_norm

ABOVE = 0.1  # weight of the cycle from levels above the bottom, as a share of the bottom's


class HALI(Game):
    r"""ALI with a ladder of codes.

    Arguments:
        encoders: :math:`q(z_1 | x), q(z_2 | z_1), \dots`, from the bottom up; with ``skip``, :math:`q(z_l | x)` for every l.
        decoders: :math:`p(x | z_1), p(z_1 | z_2), \dots`, from the bottom up, as many.
        discriminator: D(x, z_1, ..., z_L), returns logits.
        prior: p(z_L).
        objective: what the two players want of D's logits (:mod:`ali.objectives`).
        penalty: :math:`\gamma` of R1 + R2 on the tuple; 0 leaves it out.
        cycle: weight of the reconstruction error :math:`\|x - \hat x_1\|^2` from the bottom level, mean over x's components; from each
            level above it counts a tenth of that: the bottom is to be faithful, the top to keep what matters.
        regression: weight of the codes' error :math:`\|z_l - \hat z_l(\tilde x)\|^2`, mean over components and levels; only the encoders
            learn from it.
        skip: every encoder sees x itself, as on the slides.

    Raises:
        AliError: not as many encoders as decoders, or a penalty on a D with batch normalisation.
    """

    def __init__(
        self,
        encoders: Iterable[Conditional],
        decoders: Iterable[Conditional],
        discriminator: nn.Module,
        prior: StandardNormal,
        objective: Objective = nonsaturating,
        penalty: float = 0.0,
        cycle: float = 0.0,
        regression: float = 0.0,
        skip: bool = False,
    ):
        super().__init__()
        self.encoders, self.decoders = nn.ModuleList(encoders), nn.ModuleList(decoders)
        self.discriminator, self.prior, self.objective = discriminator, prior, objective
        self.penalty, self.cycle, self.regression, self.skip = penalty, cycle, regression, skip
        self.players = {"discriminator": [discriminator], "generator": [self.encoders, self.decoders]}
        if len(self.encoders) != len(self.decoders):
            raise AliError(f"every level has an encoder and a decoder: got {len(self.encoders)} and {len(self.decoders)}")
        if penalty:
            refuse_batch_norm(discriminator)

    @property
    def levels(self) -> int:
        """Number of levels L."""
        return len(self.encoders)

    def losses(self, batch: Batch, progress: Float[Tensor, ""]) -> dict[str, Float[Tensor, ""]]:
        x, z_top = batch.x, self.prior.sample(len(batch.x))
        z_hat = self._climb(x)  # z_1, ..., z_L of q
        x_tilde, *z = self._descend(z_top, self.levels)  # x, z_1, ..., z_L of p
        rho_q, rho_p = judge(self.discriminator, (x, *z_hat), (x_tilde, *z))
        loss_d, loss_g = self.objective(rho_q, rho_p)

        if self.penalty:
            both = (torch.cat(pair) for pair in zip((x, *z_hat), (x_tilde, *z), strict=True))
            loss_d = loss_d + 2 * self.penalty * gradient_penalty(self.discriminator, *both)
        if self.cycle:
            back = [self._descend(z_hat[level], level + 1)[0] for level in range(self.levels)]
            weights = [1.0] + [ABOVE] * (self.levels - 1)
            loss_g = loss_g + self.cycle * sum(w * F.mse_loss(x_hat, x) for w, x_hat in zip(weights, back, strict=True))
        if self.regression:
            again = self._climb(x_tilde.detach())
            errors = [F.mse_loss(inferred, drawn.detach()) for inferred, drawn in zip(again, z, strict=True)]
            loss_g = loss_g + self.regression * torch.stack(errors).mean()

        return {"discriminator": loss_d, "generator": loss_g}

    def encode(self, x: Float[Tensor, "n ..."], level: int | None = None) -> Distribution:
        """q(z_l | x), along the means of the levels below; by default of the top level."""
        seen = x
        for encoder in () if self.skip else self.encoders[: (level or self.levels) - 1]:
            seen = encoder(seen).mean
        return self.encoders[(level or self.levels) - 1](seen)

    def decode(self, z: Float[Tensor, "n d"], level: int | None = None) -> Distribution:
        """p(x | z_l), along the means of the levels below; by default from the top level."""
        for decoder in reversed(self.decoders[1 : level or self.levels]):
            z = decoder(z).mean
        return self.decoders[0](z)

    def descend(self, z: Float[Tensor, "n d"], level: int, to: int) -> Float[Tensor, "n _"]:
        """Draw the code of level ``to`` given that of a level above it."""
        return z if to == level else self._descend(z, level)[to]

    def _climb(self, x: Float[Tensor, "n ..."]) -> list[Tensor]:
        """Draws z_1, ..., z_L, each given the one before."""
        drawn = []
        for encoder in self.encoders:
            drawn.append(encoder(drawn[-1] if drawn and not self.skip else x).rsample())
        return drawn

    def _descend(self, z: Float[Tensor, "n d"], level: int) -> list[Tensor]:
        """Draws x, z_1, ..., z_level, given the last of them."""
        drawn = [z]
        for decoder in reversed(self.decoders[:level]):
            drawn.append(decoder(drawn[-1]).rsample())
        return drawn[::-1]
