r"""VAE-GAN: a VAE that measures its errors in the features of a GAN's discriminator.

A decoder is the generator of a GAN at the same time; reconstructions are compared with the data not pixel by pixel but in a layer l of
D, which learns what matters in images:

.. math::
    L_{prior} &= \mathrm{KL}(q(z | x) \,\|\, p(z)) \\
    L_{feature} &= \tfrac12 \| D_l(x) - D_l(\tilde x) \|^2, \quad \tilde x = G_x(\hat z), \; \hat z \sim q(z | x) \\
    L_{GAN} &= \log D(x) + \log (1 - D(\tilde x)) + \log (1 - D(x_p)), \quad x_p = G_x(z), \; z \sim p(z)

Three players, each with its own wish (Algorithm 1 of the paper), all in one step:

.. math::
    \text{encoder: } L_{prior} + L_{feature}, \qquad
    \text{decoder: } \gamma L_{feature} - L_{GAN}, \qquad
    \text{discriminator: } -L_{GAN}

D never sees the feature error (it would make its features small), and the encoder never the GAN's. ALI (section 3 of its paper) names it
as a hybrid that collapses a VAE's decoder and a GAN's generator into one network; its own D sees codes, and it has no reconstruction error.

References:
    | Larsen, Soenderby, Larochelle and Winther, Autoencoding beyond pixels using a learned similarity metric, ICML 2016
      (arXiv:1512.09300)

Taken from the authors' code (github.com/andersbll/autoencoding_beyond_pixels): the feature error is a sum over the layer's units (a normal
of variance 1), not a mean, so that it weighs against the KL in nats; no gradient of the GAN into the encoder; data and generated rows weigh
the same in :math:`L_{GAN}`, although there are two kinds of the latter (``real_vs_gen_weight`` 0.5). Not taken: the layer, a convolution
there, is the critic's penultimate one here, whatever the networks, and with it :math:`\gamma`, there 1e-5 to 5e-5 for a sum over thousands
of units; and the equilibrium, by which the better of decoder and D pauses while a loss of D is further than a margin (0.25 to 0.4) from
0.68: the recipe takes a penalty on D's slope instead, so that every step has the same players.
"""

from __future__ import annotations

__all__ = ["VAEGAN"]

import torch
from jaxtyping import Float
from torch import Tensor

from ali.data.source import Batch
from ali.distributions import Distribution, StandardNormal
from ali.errors import AliError
from ali.games.game import Game
from ali.networks import Conditional, Critic, Gaussian
from ali.objectives import Objective, gradient_penalty, nonsaturating, refuse_batch_norm


class VAEGAN(Game):
    r"""Encoder, decoder and discriminator, each for itself.

    Arguments:
        encoder: q(z | x), Gaussian.
        decoder: p(x | z), of which samples are taken.
        discriminator: D(x), returns logits; its features are what reconstructions are compared in.
        prior: p(z), the standard normal.
        gamma: weight :math:`\gamma` of the feature error for the decoder.
        objective: what decoder and D want of D's logits (:mod:`ali.objectives`); ``minimax`` is the paper's.
        penalty: weight of R1 + R2 on x; 0 leaves it out, as the paper does.

    Raises:
        AliError: an encoder without a density, or a penalty on a D with batch normalisation.
    """

    def __init__(
        self,
        encoder: Conditional,
        decoder: Conditional,
        discriminator: Critic,
        prior: StandardNormal,
        gamma: float = 1.0,
        objective: Objective = nonsaturating,
        penalty: float = 0.0,
    ):
        super().__init__()
        if not isinstance(encoder, Gaussian):
            raise AliError(f"a VAE-GAN's encoder is Gaussian, since its KL to the prior is needed; got {type(encoder).__name__}")
        self.encoder, self.decoder, self.discriminator, self.prior = encoder, decoder, discriminator, prior
        self.gamma, self.objective, self.penalty = gamma, objective, penalty
        self.players = {"encoder": [encoder], "decoder": [decoder], "discriminator": [discriminator]}
        self.schedule = (("encoder", "decoder", "discriminator"),)
        if penalty:
            refuse_batch_norm(discriminator)

    def losses(self, batch: Batch, progress: Float[Tensor, ""]) -> dict[str, Float[Tensor, ""]]:
        x, z = batch.x, self.prior.sample(len(batch.x))
        q = self.encoder(x)
        x_tilde, x_p = self.decoder(torch.cat([q.rsample(), z])).rsample().chunk(2)

        # One pass of D over data, reconstructions and samples.
        features = self.discriminator.features(torch.cat([x, x_tilde, x_p]))
        of_x, of_tilde, _ = features.chunk(3)
        feature = 0.5 * (of_x - of_tilde).square().sum(1).mean()
        rho_x, rho_tilde, rho_p = self.discriminator.verdict(features).chunk(3)
        wishes = self.objective(rho_x, rho_tilde), self.objective(rho_x, rho_p)
        loss_d, loss_g = (0.5 * (of_reconstructions + of_samples) for of_reconstructions, of_samples in zip(*wishes, strict=True))
        if self.penalty:
            r1 = gradient_penalty(self.discriminator, x)
            r2 = gradient_penalty(self.discriminator, torch.cat([x_tilde, x_p]))
            loss_d = loss_d + self.penalty * (r1 + r2)

        return {"encoder": q.kl().mean() + feature, "decoder": self.gamma * feature + loss_g, "discriminator": loss_d}

    def encode(self, x: Float[Tensor, "n ..."]) -> Distribution:
        return self.encoder(x)

    def decode(self, z: Float[Tensor, "n d"]) -> Distribution:
        return self.decoder(z)
