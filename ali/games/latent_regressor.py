r"""Latent regressor: an encoder that learns to tell which code a sample was made of.

.. math:: \min_{G_z} \; \mathbb{E}_{p(z)} \left[ -\log q(z | G_x(z)) \right], \quad \text{or} \quad
    \min_{G_z} \; \mathbb{E}_{p(z)} \left\| z - G_z(G_x(z)) \right\|^2

It learns from samples alone: what it makes of data is what the decoder's samples taught it, as good as they are (section 2.2 of ALI's
paper; Figure 8b). Beside a GAN that is learning, or after it: with a discriminator the GAN plays at the same time, without one the
decoder is trained already and frozen. Samples are taken as given, so the decoder never learns from the encoder (where it does, as the
InfoGAN does for a part of the code, it is another game).

What the paper leaves open: it writes the squared error, that is the likelihood of a Gaussian with fixed variance, and gives no
results but one column of a figure. Here a Gaussian encoder learns its variance, too (the first form); any other encoder takes the
second form, as mean over z's components, with a draw in the place of :math:`G_z(\tilde x)`.

References:
    | Dumoulin et al., Adversarially Learned Inference, ICLR 2017, sections 2.2 and 4.5 (arXiv:1606.00704)
    | Donahue, Kraehenbuehl and Darrell, Adversarial Feature Learning, ICLR 2017: the same baseline (arXiv:1605.09782)
    | Chen et al., InfoGAN, 2016 (arXiv:1606.03657)
"""

from __future__ import annotations

__all__ = ["LatentRegressor"]

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ali.data.source import Batch
from ali.distributions import DiagonalNormal, Distribution, StandardNormal
from ali.games.game import Game
from ali.games.gan import contest
from ali.networks import Conditional, Frozen
from ali.objectives import Objective, annealed, check_penalty, nonsaturating


class LatentRegressor(Game):
    r"""A GAN and an encoder beside it, or an encoder after it.

    Arguments:
        encoder: q(z | x).
        decoder: p(x | z).
        discriminator: D(x) of the GAN, returns logits; None if the decoder is trained already: then it is frozen.
        prior: p(z).
        objective, penalty, penalty_end, separate: of the GAN (:class:`ali.games.GAN`).
        schedule: rounds of players; by default all that there are step together.

    Raises:
        AliError: as for :class:`ali.games.GAN`.
    """

    def __init__(
        self,
        encoder: Conditional,
        decoder: Conditional,
        discriminator: nn.Module | None,
        prior: StandardNormal,
        objective: Objective = nonsaturating,
        penalty: float = 0.0,
        penalty_end: float | None = None,
        separate: bool = False,
        schedule: tuple[tuple[str, ...], ...] | None = None,
    ):
        super().__init__()
        self.encoder, self.discriminator, self.prior = encoder, discriminator, prior
        self.objective, self.separate = objective, separate
        self.penalty, self.penalty_end = penalty, penalty if penalty_end is None else penalty_end
        if discriminator is None:
            self.decoder = decoder if isinstance(decoder, Frozen) else Frozen(decoder)
            self.players = {"encoder": [encoder]}
        else:
            self.decoder = decoder
            self.players = {"discriminator": [discriminator], "generator": [decoder], "encoder": [encoder]}
            check_penalty(discriminator, self.penalty, self.penalty_end)
        self.schedule = schedule or (tuple(self.players),)

    def losses(self, batch: Batch, progress: Float[Tensor, ""]) -> dict[str, Float[Tensor, ""]]:
        z = self.prior.sample(len(batch.x))
        x_tilde = self.decoder(z).rsample()
        losses = {"encoder": missed(self.encoder(x_tilde.detach()), z)}
        if self.discriminator is not None:
            gamma = annealed(self.penalty, self.penalty_end, progress) if self.penalty else None
            loss_d, loss_g = contest(self.discriminator, batch.x, x_tilde, self.objective, gamma, self.separate)
            losses |= {"discriminator": loss_d, "generator": loss_g}
        return losses

    def encode(self, x: Float[Tensor, "n ..."]) -> Distribution:
        return self.encoder(x)

    def decode(self, z: Float[Tensor, "n d"]) -> Distribution:
        return self.decoder(z)


def missed(q: Distribution, z: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    r"""How far q(z | x) misses z: :math:`-\log q(z)` where q is normal, else the squared error of a draw."""
    return -q.log_prob(z).mean() if isinstance(q, DiagonalNormal) else F.mse_loss(q.rsample(), z)
