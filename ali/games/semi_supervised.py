r"""Semi-supervised ALI (section 4.3): a discriminator of pairs that also tells K classes apart.

The idea is that of Salimans et al. (2016): D puts out K + 1 classes, the last of which is "from the decoder". Here it sees pairs
(x, z), so that encoder and decoder play the game of Algorithm 1 while D learns the classes of the few rows whose class is known:

.. math::
    l_1, \dots, l_K = D(x, z), \quad l_{K+1} = 0, \quad
    p(y = k | x, z) = \frac{e^{l_k}}{1 + \sum_{j \le K} e^{l_j}}

Fixing the last logit loses nothing, since a softmax does not change when all of its logits are shifted. The log-odds that a pair
is the encoder's are then

.. math:: \rho(x, z) = \log \frac{1 - p(K + 1 | x, z)}{p(K + 1 | x, z)} = \log \sum_{k \le K} e^{l_k}

and the losses are those of Algorithm 1 on :math:`\rho`, plus cross entropy of the K classes where the class is known:

.. math::
    L_d &= \mathbb{E}\, \mathrm{softplus}(-\rho(x, \hat z)) + \mathbb{E}\, \mathrm{softplus}(\rho(\tilde x, z))
        - \lambda_y\, \mathbb{E}_{(x, y)} \log p(y | x, \hat z, y \le K) \\
    L_g &= \mathbb{E}\, \mathrm{softplus}(\rho(x, \hat z)) + \mathbb{E}\, \mathrm{softplus}(-\rho(\tilde x, z))

Encoder and decoder want nothing but to win that game. Salimans et al. needed *feature matching* instead
(:mod:`ali.games.k_plus_one`); that ALI needs none is what the paper reports: 7.42 % errors on SVHN with 1,000 labels against their
8.11 %, 17.99 % on CIFAR-10 with 4,000 against 18.63 % (Tables 1 and 2). On digits with 100 labels we find the same
(experiments/README.md), but also that the K + 1 GAN does as well there without feature matching. Rows are classified by the
softmax of the K logits at x and the mean of q(z | x).

The authors never released this part of their code. What the paper leaves open is decided here. Each batch begins with rows whose
class is known, as many as ``labelled`` says: they only teach classes, and the game is played on the others, so that the few
labelled rows weigh no more in q(x) than they should. Where others have a class, too, that is learned as well. There is no penalty
on D's slope: in a prototype on digits it cost accuracy, which was not measured again. Dropout falls on D's
hidden layers, not on x: on x it cost accuracy on held-out training rows.

References:
    | Dumoulin et al., Adversarially Learned Inference, ICLR 2017, section 4.3 (arXiv:1606.00704)
    | Salimans et al., Improved Techniques for Training GANs, 2016, section 5 (arXiv:1606.03498)
"""

from __future__ import annotations

__all__ = ["SemiSupervised"]

from jaxtyping import Float
from torch import Tensor, nn

from ali.data.source import Batch
from ali.distributions import Distribution, StandardNormal
from ali.games.game import Game, judge, playing
from ali.networks import Conditional
from ali.objectives import known_classes, nonsaturating


class SemiSupervised(Game):
    r"""ALI with a discriminator of K classes.

    Arguments:
        encoder: q(z | x).
        decoder: p(x | z).
        discriminator: D(x, z), returns K logits, K at least 2.
        prior: p(z).
        labelled: rows at the beginning of each batch that only teach classes.
        label_weight: :math:`\lambda_y`.
        schedule: rounds of players (:class:`ali.games.game.Game`).
    """

    def __init__(
        self,
        encoder: Conditional,
        decoder: Conditional,
        discriminator: nn.Module,
        prior: StandardNormal,
        labelled: int = 0,
        label_weight: float = 1.0,
        schedule: tuple[tuple[str, ...], ...] = (("discriminator", "generator"),),
    ):
        super().__init__()
        self.encoder, self.decoder, self.discriminator, self.prior = encoder, decoder, discriminator, prior
        self.labelled, self.label_weight, self.schedule = labelled, label_weight, schedule
        self.players = {"discriminator": [discriminator], "generator": [encoder, decoder]}

    def losses(self, batch: Batch, progress: Float[Tensor, ""]) -> dict[str, Float[Tensor, ""]]:
        x, rows = batch.x, playing(batch, self.labelled)
        z = self.prior.sample(len(x[rows]))  # x ~ q(x), z ~ p(z)
        z_hat, x_tilde = self.encoder(x).rsample(), self.decoder(z).rsample()  # z_hat ~ q(z | x), x_tilde ~ p(x | z)
        l_q, l_p = judge(self.discriminator, (x, z_hat), (x_tilde, z))
        rho_q, rho_p = l_q[rows].logsumexp(1), l_p.logsumexp(1)  # log-odds against class K + 1
        loss_d, loss_g = nonsaturating(rho_q, rho_p)

        return {"discriminator": loss_d + self.label_weight * known_classes(l_q, batch.y), "generator": loss_g}

    def encode(self, x: Float[Tensor, "n ..."]) -> Distribution:
        return self.encoder(x)

    def decode(self, z: Float[Tensor, "n d"]) -> Distribution:
        return self.decoder(z)

    def classify(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        return self.discriminator(x, self.encoder(x).mean).softmax(1)
