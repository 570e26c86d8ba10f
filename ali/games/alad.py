r"""Adversarially learned anomaly detection (ALAD): BiGAN with two adversarial cycles, and a score learned by one of them.

Three discriminators each tell pairs apart, encoder E and decoder G are to fool them all:

.. math::
    D_{xz}: \quad & (x, E(x))  && \text{from} && (G(z), z) \\
    D_{xx}: \quad & (x, x)     && \text{from} && (x, G(E(x))) \\
    D_{zz}: \quad & (z, z)     && \text{from} && (z, E(G(z)))

Each plays the non-saturating game of Algorithm 1 (eq. 1 and 4) on its own pairs; E and G lose the sum of the three. At the
optimum of the first, the joints match; the other two then make E and G invert one another (ALICE's adversarial cycle, in x and
in z). The layers of the discriminators may be divided by their largest singular value (:func:`ali.layers.spectral`).

What :math:`D_{xx}` finds different between a row and its reconstruction is the anomaly score, f being what its last layer sees:

.. math:: A(x) = \| f_{xx}(x, x) - f_{xx}(x, G(E(x))) \|_1

A distance in features and not a probability, because :math:`D_{xx}` of a good reconstruction is undecided by design.

What the sources leave open or say otherwise. Two authors' losses, one for E and one for G, have the same gradients as the one
sum here, since :math:`D_{xz}(x, E(x))` does not depend on G, nor :math:`D_{xz}(G(z), z)` on E. The paper normalises E, too, and
the authors' networks for KDD99 and arrhythmia have no spectral normalisation at all, whatever their flag says; here it is an
option, for the discriminators. Pairs are joined at the input, as columns or maps side by side. The recipe's own defaults
for tables (relativistic objective, no normalisation, simultaneous steps) were the best of five tried on generated rows with
planted outliers, one seed each; the worst had a gradient penalty, which helps ALI and here blinds :math:`D_{xx}`.

Some reimplementations show :math:`D_{xx}` the pair (x, G(z)), which asks nothing of the encoder: then there is no cycle.

References:
    | Zenati, Romain, Foo, Lecouat and Chandrasekhar, Adversarially Learned Anomaly Detection, ICDM 2018 (arXiv:1812.02288), and
    | their code, github.com/houssamzenati/Adversarially-Learned-Anomaly-Detection: Adam with beta1 0.5 and rate 1e-5, batches
      of 50, alternating steps, moving average 0.999, z in R^32, for KDD99
    | Li et al., ALICE, 2017: the cycles (arXiv:1709.01215)
    | Miyato et al., Spectral Normalization for Generative Adversarial Networks, 2018 (arXiv:1802.05957)
"""

from __future__ import annotations

__all__ = ["ALAD"]

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ali.data.source import Batch
from ali.distributions import Distribution, StandardNormal
from ali.games.game import Game, judge
from ali.networks import Conditional, Critic
from ali.objectives import Objective, nonsaturating

DISCRIMINATORS = ("discriminator_xz", "discriminator_xx", "discriminator_zz")


class ALAD(Game):
    """The game of three discriminators.

    Arguments:
        encoder, decoder: E and G; any conditionals, the paper's are deterministic.
        discriminator_xz: D(x, z), returns logits.
        discriminator_xx, discriminator_zz: judge two rows, or two codes, side by side along their first axis.
        prior: p(z).
        objective: what each discriminator and its opponents want (:mod:`ali.objectives`).
        schedule: rounds of players; the authors' discriminators move first, then encoder and decoder.
    """

    def __init__(
        self,
        encoder: Conditional,
        decoder: Conditional,
        discriminator_xz: nn.Module,
        discriminator_xx: Critic,
        discriminator_zz: Critic,
        prior: StandardNormal,
        objective: Objective = nonsaturating,
        schedule: tuple[tuple[str, ...], ...] = (DISCRIMINATORS, ("generator",)),
    ):
        super().__init__()
        self.encoder, self.decoder, self.prior = encoder, decoder, prior
        self.discriminator_xz, self.discriminator_xx, self.discriminator_zz = discriminator_xz, discriminator_xx, discriminator_zz
        self.objective, self.schedule = objective, schedule
        self.players = {
            "discriminator_xz": [discriminator_xz],
            "discriminator_xx": [discriminator_xx],
            "discriminator_zz": [discriminator_zz],
            "generator": [encoder, decoder],
        }

    def losses(self, batch: Batch, progress: Float[Tensor, ""]) -> dict[str, Float[Tensor, ""]]:
        x, z = batch.x, self.prior.sample(len(batch.x))  # x ~ q(x), z ~ p(z)
        z_hat, x_tilde = self.encoder(x).rsample(), self.decoder(z).rsample()
        x_hat, z_check = self.decoder(z_hat).rsample(), self.encoder(x_tilde).rsample()  # G(E(x)), E(G(z))

        pairs = (
            (self.discriminator_xz, (x, z_hat), (x_tilde, z)),
            (self.discriminator_xx, (torch.cat([x, x], 1),), (torch.cat([x, x_hat], 1),)),
            (self.discriminator_zz, (torch.cat([z, z], 1),), (torch.cat([z, z_check], 1),)),
        )
        lost = {"generator": x.new_zeros(())}
        for name, (discriminator, real, made) in zip(DISCRIMINATORS, pairs, strict=True):
            lost[name], loss_g = self.objective(*judge(discriminator, real, made))
            lost["generator"] = lost["generator"] + loss_g
        return lost

    def encode(self, x: Float[Tensor, "n ..."]) -> Distribution:
        return self.encoder(x)

    def decode(self, z: Float[Tensor, "n d"]) -> Distribution:
        return self.decoder(z)

    def score(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]:
        x_hat = self.decoder(self.encoder(x).mean).mean
        same, reconstructed = (self.discriminator_xx.features(torch.cat([x, other], 1)) for other in (x, x_hat))
        return (same - reconstructed).abs().sum(1)
