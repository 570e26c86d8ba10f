r"""Adversarial autoencoder (AAE): a VAE whose KL is replaced by a critic of codes.

An encoder and a decoder reconstruct data, and a critic D(z) tells prior codes from those that the encoder makes of data, which it is
to fool: not each q(z | x), as in a VAE, but their mixture over the data is to be the prior.

.. math::
    q(z) &= \mathbb{E}_{q(x)} [q(z | x)] && \text{the aggregated posterior} \\
    L_D &= -\mathbb{E}_{p(z)} [\log D(z)] - \mathbb{E}_{q(z)} [\log (1 - D(\hat z))] \\
    L_{AE} &= \lambda \, \mathbb{E}_{q(x)} \| x - G_x(\hat z) \|^2 - \mathbb{E}_{q(z)} [\log D(\hat z)]

The prior need not have a density, and q(z | x) none either: codes are only sampled. ALI (section 3 of its paper) shares the critic,
but shows it pairs (x, z), and has no reconstruction error.

References:
    | Makhzani, Shlens, Jaitly, Goodfellow and Frey, Adversarial Autoencoders, 2015 (arXiv:1511.05644)

On each batch the paper makes three steps of SGD: encoder and decoder lower the reconstruction error (reconstruction phase), then D
lowers its loss, then the encoder fools D (regularisation phase). Here a parameter has one owner and one optimiser, so the encoder's
two wishes are summed and make one step, after D's: to first order in the learning rate the same as two, with :math:`\lambda` said
instead of hidden in two learning rates. We know of no code by the authors. The error is the mean square over x's components; the paper
does not give a weight.
"""

from __future__ import annotations

__all__ = ["AAE"]

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ali.data.source import Batch
from ali.distributions import Distribution, StandardNormal
from ali.games.game import Game, judge
from ali.networks import Conditional
from ali.objectives import Objective, gradient_penalty, nonsaturating, refuse_batch_norm


class AAE(Game):
    r"""Critic of codes against autoencoder.

    Arguments:
        encoder: q(z | x), of any family.
        decoder: p(x | z).
        critic: D(z), returns logits; high for prior codes.
        prior: p(z).
        reconstruction: weight :math:`\lambda` of the mean squared error.
        objective: what the players want of D's logits (:mod:`ali.objectives`).
        penalty: weight of R1 + R2 on codes; 0 leaves it out, as the paper does.

    Raises:
        AliError: a penalty on a critic with batch normalisation.
    """

    def __init__(
        self,
        encoder: Conditional,
        decoder: Conditional,
        critic: nn.Module,
        prior: StandardNormal,
        reconstruction: float = 1.0,
        objective: Objective = nonsaturating,
        penalty: float = 0.0,
    ):
        super().__init__()
        self.encoder, self.decoder, self.critic, self.prior = encoder, decoder, critic, prior
        self.reconstruction, self.objective, self.penalty = reconstruction, objective, penalty
        self.players = {"critic": [critic], "autoencoder": [encoder, decoder]}
        self.schedule = (("critic",), ("autoencoder",))
        if penalty:
            refuse_batch_norm(critic)

    def losses(self, batch: Batch, progress: Float[Tensor, ""]) -> dict[str, Float[Tensor, ""]]:
        x, z = batch.x, self.prior.sample(len(batch.x))
        z_hat = self.encoder(x).rsample()
        loss_d, fooled = self.objective(*judge(self.critic, (z,), (z_hat,)))
        loss_ae = self.reconstruction * F.mse_loss(self.decoder(z_hat).rsample(), x) + fooled
        if self.penalty:
            loss_d = loss_d + self.penalty * 2 * gradient_penalty(self.critic, torch.cat([z, z_hat]))
        return {"critic": loss_d, "autoencoder": loss_ae}

    def encode(self, x: Float[Tensor, "n ..."]) -> Distribution:
        return self.encoder(x)

    def decode(self, z: Float[Tensor, "n d"]) -> Distribution:
        return self.decoder(z)
