r"""Adversarially learned inference (ALI).

Two joint distributions over data x and codes z:

.. math::
    q(x, z) &= q(x)\, q(z | x)  && \text{the encoder's: data, and what it infers} \\
    p(x, z) &= p(z)\, p(x | z)  && \text{the decoder's: codes, and what it generates}

A discriminator is to tell their samples apart, encoder and decoder together are to make them the same:

.. math:: \min_G \max_D V(D, G) =
    \mathbb{E}_{q(x)} [\log D(x, G_z(x))] + \mathbb{E}_{p(z)} [\log (1 - D(G_x(z), z))]                       (1)

If the joints match, so do all marginals and conditionals: q(z | x) is the posterior p(z | x).

References:
    | Dumoulin et al., Adversarially Learned Inference, ICLR 2017, Algorithm 1 (arXiv:1606.00704)
    | Li et al., ALICE: Towards Understanding Adversarial Learning for Joint Distribution Matching, 2017: the cycle (arXiv:1709.01215)
    | Mescheder et al., Which Training Methods for GANs do actually Converge, 2018: the penalty (arXiv:1801.04406)
    | Chen et al., InfoGAN, 2016: the likelihood of codes (arXiv:1606.03657)
    | Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, 2020 (arXiv:2002.05709)
"""

from __future__ import annotations

__all__ = ["ALI", "Terms"]

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ali.data.source import Batch
from ali.distributions import DiagonalNormal, Distribution, StandardNormal
from ali.errors import AliError
from ali.games.game import Game, judge, reconstruction_score
from ali.networks import Conditional
from ali.objectives import Objective, annealed, check_penalty, contrastive, hinge, nonsaturating, r1_and_r2
from ali.views import moved, neighbours

LOG_SIGMA = -2.5  # codes are never thought to be known better than this, or one batch could outweigh all others


@dataclass(frozen=True)
class Terms:
    r"""What may be added to the losses of a game of pairs; the paper has none of it (all 0).

    Arguments:
        penalty: :math:`\gamma` of R1 + R2 on the pair, at the start of training; 0 leaves it out.
        penalty_end: :math:`\gamma` from 70 % of the training on, reached geometrically; default ``penalty``.
        cycle: weight :math:`\lambda_x` of the reconstruction error :math:`\|x - G_x(\hat z)\|^2`, mean over x's components.
        regression: weight :math:`\lambda_z` of the code's error :math:`\|z - G_z(\tilde x)\|^2`, mean over z's components. Only
            the encoder learns from it: with a gradient into the decoder, samples get worse.
        thin: the penalty is taken on the first of so many parts of the batch, as an estimate of that on all; 1: on all.
        likelihood: weight of :math:`-\log q(z | \tilde x)`, mean over z's components, up to a constant. A Gaussian encoder's
            :math:`\sigma` becomes what it does not know of z; the error of ``regression`` wants it to be 0.
        contrast: weight of :func:`ali.objectives.contrastive` between the code means of rows and of moved copies of them
            (:func:`ali.views.moved`), images alone.
        copies: these copies take part in ``cycle``, too: few rows are reconstructed better so, and samples look a little moved.
        neighbours: share of ``contrast`` that belongs to the rows nearest to x in its batch (:func:`ali.views.neighbours`), the rest
            to x's own copy; in [0, 1).
    """

    penalty: float = 0.0
    penalty_end: float | None = None
    cycle: float = 0.0
    regression: float = 0.0
    thin: int = 1
    likelihood: float = 0.0
    contrast: float = 0.0
    copies: bool = True
    neighbours: float = 0.0

    def add(
        self,
        losses: tuple[Tensor, Tensor],
        pair_q: tuple[Tensor, Tensor],
        pair_p: tuple[Tensor, Tensor],
        progress: Tensor,
        encoder: Callable[[Tensor], Distribution],
        decoder: Callable[[Tensor], Distribution],
        discriminator: Callable[[Tensor, Tensor], Tensor],
        q: Distribution | None = None,
    ) -> tuple[Tensor, Tensor]:
        r"""The losses of both players with these terms.

        Arguments:
            losses: :math:`L_d` and :math:`L_g`.
            pair_q, pair_p: :math:`(x, \hat z)` and :math:`(\tilde x, z)`.
            progress: share of the training that is done.
            encoder, decoder, discriminator: of x, of z, and of all pairs at once, those of the encoder first.
            q: the encoder's answer to x, if it is at hand.
        """
        (loss_d, loss_g), (x, z_hat), (x_tilde, z) = losses, pair_q, pair_p
        if self.penalty:
            gamma = annealed(self.penalty, self.penalty if self.penalty_end is None else self.penalty_end, progress)
            some = slice(-(-len(x) // self.thin))
            loss_d = loss_d + gamma * r1_and_r2(discriminator, (x[some], z_hat[some]), (x_tilde[some], z[some]))
        if self.cycle:
            loss_g = loss_g + self.cycle * F.mse_loss(decoder(z_hat).rsample(), x)
        if self.regression:
            loss_g = loss_g + self.regression * F.mse_loss(encoder(x_tilde.detach()).rsample(), z)
        if self.likelihood:
            loss_g = loss_g + self.likelihood * _surprise(encoder(x_tilde.detach()), z)
        if self.contrast:
            loss_g = loss_g + self._views(x, q or encoder(x), encoder, decoder)
        return loss_d, loss_g

    def _views(
        self, x: Tensor, q: Distribution, encoder: Callable[[Tensor], Distribution], decoder: Callable[[Tensor], Distribution]
    ) -> Tensor:
        if x.ndim != 4:
            raise AliError("contrast is for images, which can be moved: leave it 0 for rows of numbers")
        copy = moved(x)
        q_copy = encoder(copy)
        partners = None
        if self.neighbours:
            partners = self.neighbours * neighbours(x)
            partners.diagonal().add_(1 - self.neighbours)
        loss = self.contrast * contrastive(q.mean, q_copy.mean, partners)
        return loss + self.cycle * F.mse_loss(decoder(q_copy.rsample()).rsample(), copy) if self.cycle and self.copies else loss


def _surprise(q: Distribution, z: Tensor) -> Tensor:
    r""":math:`\frac1d \sum_i \frac12 ((z_i - \mu_i) / \sigma_i)^2 + \log \sigma_i`; :math:`\sigma = 1` of other families."""
    if not isinstance(q, DiagonalNormal):
        return 0.5 * F.mse_loss(q.rsample(), z)
    log_sigma = q.log_sigma.clamp(min=LOG_SIGMA)
    return (0.5 * ((z - q.mu) * (-log_sigma).exp()) ** 2 + log_sigma).mean()


class ALI(Game):
    r"""The game of Algorithm 1, with optional terms that the paper does not have (all 0: the paper).

    Arguments:
        encoder: q(z | x), also written :math:`G_z`.
        decoder: p(x | z), also written :math:`G_x`.
        discriminator: D(x, z), returns logits.
        prior: p(z).
        objective: what the two players want of D's logits (:mod:`ali.objectives`).
        penalty, penalty_end, cycle, regression, thin, likelihood, contrast, copies, neighbours: as for :class:`Terms`.
        schedule: rounds of players (:class:`ali.games.game.Game`).
        apart: D sees encoder pairs and decoder pairs in a pass each, another model under batch normalisation (:func:`judge`).
        scorer: (encoder, decoder, discriminator, x) to an anomaly score (:func:`ali.games.game.reconstruction_score`).
        candidates: codes drawn for each sample, of which D chooses one (:meth:`log_ratio`), at least 1; it has no part in the game.

    Under batch normalisation in encoder or decoder, cycle and regression change the model: the running statistics then also
    see reconstructions and samples.

    Raises:
        AliError: a penalty on a D with batch normalisation, or one that is to end at 0, which is not reached geometrically.
    """

    def __init__(
        self,
        encoder: Conditional,
        decoder: Conditional,
        discriminator: nn.Module,
        prior: StandardNormal,
        objective: Objective = nonsaturating,
        penalty: float = 0.0,
        penalty_end: float | None = None,
        cycle: float = 0.0,
        regression: float = 0.0,
        schedule: tuple[tuple[str, ...], ...] = (("discriminator", "generator"),),
        apart: bool = False,
        scorer: Callable[[Conditional, Conditional, nn.Module, Tensor], Tensor] = reconstruction_score,
        thin: int = 1,
        likelihood: float = 0.0,
        contrast: float = 0.0,
        copies: bool = True,
        neighbours: float = 0.0,
        candidates: int = 1,
    ):
        super().__init__()
        self.encoder, self.decoder, self.discriminator, self.prior = encoder, decoder, discriminator, prior
        self.objective, self.schedule, self.apart, self.scorer, self.candidates = objective, schedule, apart, scorer, candidates
        self.terms = Terms(penalty, penalty_end, cycle, regression, thin, likelihood, contrast, copies, neighbours)
        self.players = {"discriminator": [discriminator], "generator": [encoder, decoder]}
        check_penalty(discriminator, penalty, penalty if penalty_end is None else penalty_end)
        if candidates > 1:
            self._estimates_a_ratio()

    def losses(self, batch: Batch, progress: Float[Tensor, ""]) -> dict[str, Float[Tensor, ""]]:
        x, z = batch.x, self.prior.sample(len(batch.x))  # x ~ q(x), z ~ p(z)
        q = self.encoder(x)
        z_hat, x_tilde = q.rsample(), self.decoder(z).rsample()  # z_hat ~ q(z | x), x_tilde ~ p(x | z)
        rho_q, rho_p = judge(self.discriminator, (x, z_hat), (x_tilde, z), self.apart)
        losses = self.objective(rho_q, rho_p)  # L_d and L_g of Algorithm 1
        # Beyond the paper: R1 + R2 (for D), l2 cycle in x, code regression with stopped gradient (for the generators).
        loss_d, loss_g = self.terms.add(losses, (x, z_hat), (x_tilde, z), progress, self.encoder, self.decoder, self.discriminator, q)
        return {"discriminator": loss_d, "generator": loss_g}

    def encode(self, x: Float[Tensor, "n ..."]) -> Distribution:
        return self.encoder(x)

    def decode(self, z: Float[Tensor, "n d"]) -> Distribution:
        return self.decoder(z)

    def log_ratio(self, x: Float[Tensor, "n ..."], z: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        r"""What D knows at its best: :math:`\log q(x, z) - \log p(x, z)`, by the relativistic objective up to a constant.

        A code drawn among several in proportion to its exponential makes the samples' joint the data's, as far as D can tell.

        Raises:
            AliError: the objective is a hinge.

        Source: Azadi et al. 2019, Discriminator Rejection Sampling (arXiv:1810.06758), for x alone.
        """
        self._estimates_a_ratio()
        return self.discriminator(x, z)

    def _estimates_a_ratio(self) -> None:
        if self.objective is hinge:  # at its best it answers 1 or -1
            raise AliError("a hinge's discriminator estimates no ratio of densities to choose codes by: candidates must be 1")

    def score(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]:
        return self.scorer(self.encoder, self.decoder, self.discriminator, x)
