r"""ALICE: ALI with a cycle that is adversarial, too.

ALI matches the joints q(x, z) and p(x, z); it does not say which joint. All of those that have the right marginals and equal
each other are optima, among them one in which x and z are independent and nothing is reconstructed. ALICE adds what is missing,
a bound on the conditional entropy of x given z, by asking that x comes back:

.. math:: \min_{E, G} \max_D \; V_{\mathrm{ALI}}(D, E, G) + \lambda \, L_{\mathrm{cycle}}(E, G)

With :math:`\hat x = G(E(x))`, the cycle is one of

.. math::
    \ell_2: \quad & L = \mathbb{E} \| x - \hat x \|^2 && \text{explicit: that is ALI's option } \texttt{cycle} \\
    \text{adversarial}: \quad & L = \max_f \; \mathbb{E} \log f(x, x) + \mathbb{E} \log (1 - f(x, \hat x)) && \text{implicit: this file}

The second discriminator f sees pairs of rows and needs no choice of a distance: where squared error blurs, f asks for detail. Its
optimum is reached where :math:`\hat x = x` almost surely.

What the sources leave open. Encoder and decoder take the non-saturating form of f's game, as the authors' code does; its
:math:`\lambda` is 0.1 for the toy data (with five steps of the generators to one of the discriminators) and 1 in the paper's
equation. The two rows of a pair are joined at f's input. The penalty R1 + R2 on both discriminators is ours: (x, x) lies on a
plane that no f should find too easily. The cycle in z of the code's toy example is ALAD's (:mod:`ali.games.alad`); the paper's
use of paired rows (x, z) is left out.

References:
    | Li, Liu, Chen, Pu, Chen, Henao and Carin, ALICE: Towards Understanding Adversarial Learning for Joint Distribution Matching,
      NIPS 2017 (arXiv:1709.01215), and their code, github.com/ChunyuanLI/ALICE
"""

from __future__ import annotations

__all__ = ["ALICE"]

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ali.data.source import Batch
from ali.distributions import Distribution, StandardNormal
from ali.games.game import Game, judge, reconstruction_score
from ali.networks import Conditional, Critic
from ali.objectives import Objective, nonsaturating, r1_and_r2, refuse_batch_norm


class ALICE(Game):
    r"""The game with two discriminators.

    Arguments:
        encoder, decoder, discriminator, prior: as for :class:`ali.games.ALI`.
        cycle_discriminator: f, returns logits; sees two rows side by side along their first axis.
        objective: what each discriminator and the generators want (:mod:`ali.objectives`).
        cycle: weight :math:`\lambda` of f's game for the generators.
        penalty: weight of R1 + R2 on both discriminators; 0 leaves it out.
        schedule: rounds of players (:class:`ali.games.game.Game`).

    Raises:
        AliError: a penalty on a discriminator with batch normalisation.
    """

    def __init__(
        self,
        encoder: Conditional,
        decoder: Conditional,
        discriminator: nn.Module,
        cycle_discriminator: Critic,
        prior: StandardNormal,
        objective: Objective = nonsaturating,
        cycle: float = 1.0,
        penalty: float = 0.0,
        schedule: tuple[tuple[str, ...], ...] = (("discriminator", "cycle_discriminator", "generator"),),
    ):
        super().__init__()
        self.encoder, self.decoder, self.prior = encoder, decoder, prior
        self.discriminator, self.cycle_discriminator = discriminator, cycle_discriminator
        self.objective, self.cycle, self.penalty, self.schedule = objective, cycle, penalty, schedule
        self.players = {
            "discriminator": [discriminator],
            "cycle_discriminator": [cycle_discriminator],
            "generator": [encoder, decoder],
        }
        if penalty:
            refuse_batch_norm(discriminator)
            refuse_batch_norm(cycle_discriminator)

    def losses(self, batch: Batch, progress: Float[Tensor, ""]) -> dict[str, Float[Tensor, ""]]:
        x, z = batch.x, self.prior.sample(len(batch.x))  # x ~ q(x), z ~ p(z)
        z_hat, x_tilde = self.encoder(x).rsample(), self.decoder(z).rsample()
        same, back = torch.cat([x, x], 1), torch.cat([x, self.decoder(z_hat).rsample()], 1)  # (x, x), (x, x_hat)

        loss_d, loss_g = self.objective(*judge(self.discriminator, (x, z_hat), (x_tilde, z)))
        loss_f, loss_cycle = self.objective(*judge(self.cycle_discriminator, (same,), (back,)))
        if self.penalty:
            loss_d = loss_d + self.penalty * r1_and_r2(self.discriminator, (x, z_hat), (x_tilde, z))
            loss_f = loss_f + self.penalty * r1_and_r2(self.cycle_discriminator, (same,), (back,))
        return {"discriminator": loss_d, "cycle_discriminator": loss_f, "generator": loss_g + self.cycle * loss_cycle}

    def encode(self, x: Float[Tensor, "n ..."]) -> Distribution:
        return self.encoder(x)

    def decode(self, z: Float[Tensor, "n d"]) -> Distribution:
        return self.decoder(z)

    def score(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]:
        return reconstruction_score(self.encoder, self.decoder, self.discriminator, x)
