r"""Generative adversarial networks (GAN): a decoder and a discriminator of data alone.

.. math:: \min_G \max_D V(D, G) = \mathbb{E}_{q(x)} [\log D(x)] + \mathbb{E}_{p(z)} [\log (1 - D(G(z)))]

For a fixed G the best D is :math:`D^*(x) = q(x) / (q(x) + p(x))`, whose logit is :math:`\log q(x) / p(x)`, and then
:math:`V = -\log 4 + 2\, \mathrm{JSD}(q, p)`: the game is won by :math:`p(x) = q(x)`. Nothing is inferred: there is no encoder.

ALI is the same game on pairs (x, z). In section 4.5 of its paper the two share decoder and discriminator, but for D's input, and
the GAN drops more modes of the mixture.

Every objective of :mod:`ali.objectives` plays here, with :math:`\rho_q = D(x)` and :math:`\rho_p = D(\tilde x)`. The generator's loss
keeps its term in :math:`\rho_q`, as in ALI; data do not depend on G, so it has no gradient (but for the relativistic objective, where
it belongs to the comparison).

What the sources leave open: under batch normalisation D sees data and samples in one pass, as ALI's D does
(:func:`ali.games.game.judge`), so that the two are compared on the same terms; or each in a pass of its own (``separate``), as in the
code of DCGAN's first author.

References:
    | Goodfellow et al., Generative Adversarial Networks, 2014 (arXiv:1406.2661)
    | Radford, Metz and Chintala, Unsupervised Representation Learning with DCGANs, ICLR 2016: its networks (arXiv:1511.06434)
    | Mescheder et al., Which Training Methods for GANs do actually Converge, 2018: the penalty (arXiv:1801.04406)
"""

from __future__ import annotations

__all__ = ["GAN", "contest"]

from jaxtyping import Float
from torch import Tensor, nn

from ali.data.source import Batch
from ali.distributions import Distribution, StandardNormal
from ali.games.game import Game, judge
from ali.networks import Conditional
from ali.objectives import Objective, annealed, check_penalty, nonsaturating, r1_and_r2


class GAN(Game):
    r"""Decoder against discriminator.

    Arguments:
        decoder: p(x | z), the generator G.
        discriminator: D(x), returns logits.
        prior: p(z).
        objective: what the two players want of D's logits (:mod:`ali.objectives`).
        penalty: :math:`\gamma` of R1 + R2 on x, at the start of training; 0 leaves it out.
        penalty_end: :math:`\gamma` from 70 % of the training on, reached geometrically; default ``penalty``.
        separate: D sees data and samples in two passes; only batch normalisation and dropout tell the difference.
        schedule: rounds of players (:class:`ali.games.game.Game`).

    Raises:
        AliError: a penalty on a D with batch normalisation, or one that is to end at 0.
    """

    def __init__(
        self,
        decoder: Conditional,
        discriminator: nn.Module,
        prior: StandardNormal,
        objective: Objective = nonsaturating,
        penalty: float = 0.0,
        penalty_end: float | None = None,
        separate: bool = False,
        schedule: tuple[tuple[str, ...], ...] = (("discriminator", "generator"),),
    ):
        super().__init__()
        self.decoder, self.discriminator, self.prior = decoder, discriminator, prior
        self.objective, self.separate, self.schedule = objective, separate, schedule
        self.penalty, self.penalty_end = penalty, penalty if penalty_end is None else penalty_end
        self.players = {"discriminator": [discriminator], "generator": [decoder]}
        check_penalty(discriminator, self.penalty, self.penalty_end)

    def losses(self, batch: Batch, progress: Float[Tensor, ""]) -> dict[str, Float[Tensor, ""]]:
        x_tilde = self.decoder(self.prior.sample(len(batch.x))).rsample()  # z ~ p(z), x_tilde ~ p(x | z)
        gamma = annealed(self.penalty, self.penalty_end, progress) if self.penalty else None
        loss_d, loss_g = contest(self.discriminator, batch.x, x_tilde, self.objective, gamma, self.separate)
        return {"discriminator": loss_d, "generator": loss_g}

    def decode(self, z: Float[Tensor, "n d"]) -> Distribution:
        return self.decoder(z)


def contest(
    discriminator: nn.Module,
    x: Float[Tensor, "n ..."],
    x_tilde: Float[Tensor, "n ..."],
    objective: Objective,
    gamma: Float[Tensor, ""] | None = None,
    separate: bool = False,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """What D(x) and the generator lose on data and samples.

    Arguments:
        discriminator: D(x), returns logits.
        x, x_tilde: data and samples.
        objective, separate: as for :class:`GAN`.
        gamma: weight of R1 + R2; None leaves it out.
    """
    rho_q, rho_p = judge(discriminator, (x,), (x_tilde,), separate)
    loss_d, loss_g = objective(rho_q, rho_p)
    if gamma is not None:
        loss_d = loss_d + gamma * r1_and_r2(discriminator, (x,), (x_tilde,))
    return loss_d, loss_g
