r"""Variational autoencoder (VAE): inference by a lower bound instead of by a game.

The decoder p(x | z) and the prior p(z) are a model of the data whose likelihood can not be computed; the encoder q(z | x) gives a
bound that can (ELBO), and both networks raise it together:

.. math:: \log p(x) \ge \mathcal{L}(x) =
    \mathbb{E}_{q(z | x)} [\log p(x | z)] - \beta \, \mathrm{KL}(q(z | x) \,\|\, p(z)), \quad \beta = 1

The gap is :math:`\mathrm{KL}(q(z | x) \| p(z | x))`: the bound is exact if the encoder is the posterior. The expectation is one draw
:math:`\hat z = \mu(x) + \sigma(x) \odot \epsilon`, whose gradient goes through (eq. 2 of the ALI paper); the KL is in closed form.
With :math:`\beta \ne 1` it is no bound any more (beta-VAE: above 1 codes carry less, with axes that are more independent).

The decoder needs a density, where ALI's needs only samples:

| **Gaussian**: :math:`p(x | z) = \mathcal{N}(f(z), \sigma_x^2 I)`, with one :math:`\sigma_x` for all components, learned with the rest.
| **Bernoulli**: every pixel is off or on with a probability of its own; grey is read as a probability
  (:class:`ali.distributions.Bernoulli`). The means have the network's range, as pixels do: [-1, 1], or [0, 1] in the paper's face.

On a table the Gaussian says this: numbers are normal by themselves (:mod:`ali.columns`); the share of a category, which the decoder
puts out by a softmax, and a flag are points with the same round noise, so that :math:`-\log p(x | z)` is their squared error (Brier's
score) over :math:`2 \sigma_x^2`. It is a likelihood of such points in space, not of categories; a draw may leave the simplex, and the
likeliest category is taken all the same.

Samples are decoded codes, :math:`f(z)`: what figures show, and sharper than the model, which adds its noise :math:`\sigma_x` to each
pixel. A draw from p(x | z) itself is ``game.decode(z).rsample()``. The ALI paper's Figure 8d is this game on the mixture: it covers all
modes, reconstructs well, and smears.

References:
    | Kingma and Welling, Auto-Encoding Variational Bayes, ICLR 2014 (arXiv:1312.6114)
    | Rezende, Mohamed and Wierstra, Stochastic Backpropagation and Approximate Inference in Deep Generative Models, ICML 2014
      (arXiv:1401.4082)
    | Higgins et al., beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework, ICLR 2017
"""

from __future__ import annotations

__all__ = ["VAE"]

from jaxtyping import Float
from torch import Tensor

from ali.data.source import Batch
from ali.distributions import Distribution, StandardNormal
from ali.errors import AliError
from ali.games.game import Game
from ali.networks import BernoulliConditional, Conditional, Gaussian, Homoscedastic


class VAE(Game):
    r"""One player, who lowers :math:`-\mathcal{L}(x)`, in nats per row.

    Arguments:
        encoder: q(z | x), Gaussian.
        decoder: p(x | z), with a density.
        prior: p(z), the standard normal.
        beta: weight :math:`\beta` of the KL.

    Raises:
        AliError: an encoder or a decoder without a density.
    """

    def __init__(self, encoder: Conditional, decoder: Conditional, prior: StandardNormal, beta: float = 1.0):
        super().__init__()
        if not isinstance(encoder, Gaussian):
            raise AliError(f"a VAE's encoder is Gaussian, since its KL to the prior is needed; got {type(encoder).__name__}")
        if not isinstance(decoder, Gaussian | Homoscedastic | BernoulliConditional):
            raise AliError(f"a VAE's decoder needs a density: Homoscedastic or BernoulliConditional; got {type(decoder).__name__}")
        self.encoder, self.decoder, self.prior, self.beta = encoder, decoder, prior, beta
        self.players = {"autoencoder": [encoder, decoder]}
        self.schedule = (("autoencoder",),)

    def losses(self, batch: Batch, progress: Float[Tensor, ""]) -> dict[str, Float[Tensor, ""]]:
        return {"autoencoder": -self.elbo(batch.x).mean()}

    def elbo(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]:
        r""":math:`\mathcal{L}(x)` by one draw of :math:`\hat z`, in nats."""
        q = self.encoder(x)
        return self.decoder(q.rsample()).log_prob(x) - self.beta * q.kl()

    def encode(self, x: Float[Tensor, "n ..."]) -> Distribution:
        return self.encoder(x)

    def decode(self, z: Float[Tensor, "n d"]) -> Distribution:
        return self.decoder(z)
