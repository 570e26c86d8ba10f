r"""GAN whose discriminator tells K classes apart (Salimans et al. 2016), with and without feature matching.

What semi-supervised ALI (:mod:`ali.games.semi_supervised`) was adapted from, and is compared with in Tables 1 and 2 of the ALI
paper. D sees rows alone and puts out K logits; that of class K + 1, "from the generator", is 0:

.. math:: l_1, \dots, l_K = D(x), \quad \rho(x) = \log \sum_{k \le K} e^{l_k}

D's loss is that of a GAN on the log-odds :math:`\rho`, plus cross entropy of the K classes where the class is known:

.. math::
    L_d = \mathbb{E}\, \mathrm{softplus}(-\rho(x)) + \mathbb{E}\, \mathrm{softplus}(\rho(\tilde x))
        - \lambda_y\, \mathbb{E}_{(x, y)} \log p(y | x, y \le K), \quad \tilde x = G(z), \ z \sim p(z)

The generator matches the mean of D's penultimate features :math:`f` (feature matching), or fools D (without):

.. math::
    L_g = \frac{1}{\dim f} \left\| \mathbb{E} f(x) - \mathbb{E} f(\tilde x) \right\|^2
    \quad \text{or} \quad
    L_g = \mathbb{E}\, \mathrm{softplus}(-\rho(\tilde x))

Salimans et al. found that it takes feature matching to classify well, and that samples are then worse. ALI is said to need none.

Taken from their released code (openai/improved-gan): the losses of D, where the unlabelled terms weigh 0.5 each and the labels 1,
which up to a common factor is :math:`\lambda_y = 2`; the logit of class K + 1 fixed at 0; the *square* of the difference of means, as
their MNIST script has it (SVHN and CIFAR-10: the absolute difference); Adam with :math:`\beta_1 = 0.5`; averaged weights to classify
with; as many labelled rows in a batch as others. Not taken: weight normalisation, Gaussian noise on D's layers, uniform z, and other
rows for the generator's step. Networks, prior and batches are those of semi-supervised ALI, so that the two can be compared.

References:
    | Salimans et al., Improved Techniques for Training GANs, 2016, sections 3.1 and 5 (arXiv:1606.03498)
"""

from __future__ import annotations

__all__ = ["KPlusOne"]

from jaxtyping import Float
from torch import Tensor

from ali.data.source import Batch
from ali.distributions import Distribution, StandardNormal
from ali.games.game import Game, judge, playing
from ali.networks import Conditional, Critic
from ali.objectives import known_classes, nonsaturating


class KPlusOne(Game):
    r"""The K + 1 GAN.

    Arguments:
        decoder: the generator, p(x | z).
        discriminator: D(x), returns K logits, K at least 2.
        prior: p(z).
        feature_matching: does the generator match features, or fool D?
        labelled: rows at the beginning of each batch that only teach classes.
        label_weight: :math:`\lambda_y`.
        schedule: rounds of players (:class:`ali.games.game.Game`).
    """

    def __init__(
        self,
        decoder: Conditional,
        discriminator: Critic,
        prior: StandardNormal,
        feature_matching: bool = True,
        labelled: int = 0,
        label_weight: float = 2.0,
        schedule: tuple[tuple[str, ...], ...] = (("discriminator", "generator"),),
    ):
        super().__init__()
        self.decoder, self.discriminator, self.prior = decoder, discriminator, prior
        self.feature_matching, self.labelled, self.label_weight, self.schedule = feature_matching, labelled, label_weight, schedule
        self.players = {"discriminator": [discriminator], "generator": [decoder]}

    def losses(self, batch: Batch, progress: Float[Tensor, ""]) -> dict[str, Float[Tensor, ""]]:
        rows = playing(batch, self.labelled)
        x = batch.x[rows]
        x_tilde = self.decoder(self.prior.sample(len(x))).rsample()
        l_x, l_tilde = judge(self.discriminator, (batch.x,), (x_tilde,))
        loss_d, loss_g = nonsaturating(l_x[rows].logsumexp(1), l_tilde.logsumexp(1))  # the generator has no part in the one on x
        if self.feature_matching:
            loss_g = (self.discriminator.features(x).mean(0) - self.discriminator.features(x_tilde).mean(0)).square().mean()
        return {"discriminator": loss_d + self.label_weight * known_classes(l_x, batch.y), "generator": loss_g}

    def decode(self, z: Float[Tensor, "n d"]) -> Distribution:
        return self.decoder(z)

    def classify(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        return self.discriminator(x).softmax(1)
