r"""BigBiGAN: BiGAN whose discriminator also judges x alone and z alone.

A joint discriminator can tell pairs apart, and yet be a poor judge of either half. BigBiGAN asks it for three scores, from shared
features F(x) and H(z):

.. math:: s_x = \theta_x^\top F(x), \quad s_z = \theta_z^\top H(z), \quad s_{xz} = J(F(x), H(z))

Encoder pairs are marked y = +1, decoder pairs y = -1. The discriminator takes a hinge on each score by itself, and encoder and
decoder move the sum:

.. math::
    L_D &= \mathbb{E} \left[ h(y s_x) + h(y s_z) + h(y s_{xz}) \right], \quad h(t) = \max(0, 1 - t) \\
    L_{EG} &= \mathbb{E} \left[ y \, (s_x + s_z + s_{xz}) \right]

The unary terms make each marginal right whatever the joint does: :math:`s_x` is a plain GAN's discriminator for the decoder,
:math:`s_z` an adversarial autoencoder's for the encoder. The latter matters little in the paper's ablation, the former much.

What is here is that game, on this package's networks for the data at hand. The paper's numbers come from BigGAN's residual
networks on ImageNet at 128 pixels (encoder: RevNet-50 and larger, at 256), batches of 2048, and an encoder that learns ten times
as fast; none of it is here, and no number of the paper can be expected of it. The encoder is a normal distribution, as theirs.

:math:`L_{EG}` has no lower bound, and BigGAN keeps D smooth by dividing its weights by their largest singular value. On small
fully connected networks that left D too weak to teach anything (handwritten digits, 630 steps), so the recipe's default is the
penalty R1 + R2 in its place, large enough that codes do not run away.

References:
    | Donahue and Simonyan, Large Scale Adversarial Representation Learning, NeurIPS 2019 (arXiv:1907.02544); the authors
      released weights, no training code
    | Lim and Ye, Geometric GAN, 2017: the hinge (arXiv:1705.02894)
"""

from __future__ import annotations

__all__ = ["BigBiGAN"]

from jaxtyping import Float
from torch import Tensor

from ali.data.source import Batch
from ali.distributions import Distribution, StandardNormal
from ali.games.game import Game, judge
from ali.networks import Conditional, Unary
from ali.objectives import Objective, hinge, r1_and_r2, refuse_batch_norm


class BigBiGAN(Game):
    """The game of three scores.

    Arguments:
        encoder, decoder, prior: as for :class:`ali.games.ALI`.
        discriminator: three logits of (x, z).
        objective: what the two players want of each score; the paper's is the hinge (:mod:`ali.objectives`).
        unary: weight of the scores of x alone and of z alone; 0 leaves the joint one.
        penalty: weight of R1 + R2 on the sum of the three scores; 0 leaves it out.
        schedule: rounds of players (:class:`ali.games.game.Game`).

    Raises:
        AliError: a penalty on a discriminator with batch normalisation.
    """

    def __init__(
        self,
        encoder: Conditional,
        decoder: Conditional,
        discriminator: Unary,
        prior: StandardNormal,
        objective: Objective = hinge,
        unary: float = 1.0,
        penalty: float = 0.0,
        schedule: tuple[tuple[str, ...], ...] = (("discriminator", "generator"),),
    ):
        super().__init__()
        self.encoder, self.decoder, self.discriminator, self.prior = encoder, decoder, discriminator, prior
        self.objective, self.weights, self.penalty, self.schedule = objective, (unary, unary, 1.0), penalty, schedule
        self.players = {"discriminator": [discriminator], "generator": [encoder, decoder]}
        if penalty:
            refuse_batch_norm(discriminator)

    def losses(self, batch: Batch, progress: Float[Tensor, ""]) -> dict[str, Float[Tensor, ""]]:
        x, z = batch.x, self.prior.sample(len(batch.x))  # x ~ q(x), z ~ p(z)
        z_hat, x_tilde = self.encoder(x).rsample(), self.decoder(z).rsample()
        rho_q, rho_p = judge(self.discriminator, (x, z_hat), (x_tilde, z))  # (n, 3): s_x, s_z, s_xz

        loss_d, loss_g = x.new_zeros(()), x.new_zeros(())
        for k, weight in enumerate(self.weights):
            d, g = self.objective(rho_q[:, k], rho_p[:, k])
            loss_d, loss_g = loss_d + weight * d, loss_g + weight * g
        if self.penalty:
            loss_d = loss_d + self.penalty * r1_and_r2(self.discriminator, (x, z_hat), (x_tilde, z))
        return {"discriminator": loss_d, "generator": loss_g}

    def encode(self, x: Float[Tensor, "n ..."]) -> Distribution:
        return self.encoder(x)

    def decode(self, z: Float[Tensor, "n d"]) -> Distribution:
        return self.decoder(z)
