"""Tables turned into conditionals: the encoder q(z | x), the decoder p(x | z), and the discriminator D(x, z).

A conditional is a module that returns a *distribution* (:mod:`ali.distributions`); a game states what it needs of
it by what it calls. Which family a conditional returns is chosen by which class wraps the network::

    encoder = Gaussian(build(G_z, X, (2 * Z,)))                # eq. 2, the paper's encoders
    encoder = ImplicitConditional(build(G_z, (4,), (2,)), 2)   # eq. 3, the authors' encoder for the mixture
    encoder = Deterministic(build(G_z, X, (Z,)))               # BiGAN's encoder; decoder = Deterministic(build(G_x, (Z, 1, 1), X))
"""

from __future__ import annotations

__all__ = ["Conditional", "Deterministic", "Discriminator", "Gaussian", "ImplicitConditional"]

import abc

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ali.distributions import DiagonalNormal, Dirac, Distribution, Implicit
from ali.table import Network


class Conditional(nn.Module, abc.ABC):
    """A network that returns a distribution for each row of its input."""

    @abc.abstractmethod
    def forward(self, u: Tensor) -> Distribution: ...


class Gaussian(Conditional):
    r"""A diagonal normal whose moments a network computes (eq. 2).

    .. math:: q(z | x) = \mathcal{N}(\mu(x), \sigma^2(x) I), \quad \log \sigma(x) = h(x) + \log \sigma_0

    Arguments:
        network: (n, ...) to (n, 2d): first the means, then :math:`h`.
        log_sigma_0: initial :math:`\log \sigma`. The authors' 0 gives no faithful reconstructions for long,
            because x and a noisy z can match jointly while they stay nearly independent (Li et al. 2017, ALICE).
    """

    def __init__(self, network: Network, log_sigma_0: float = 0.0):
        super().__init__()
        self.network, self.log_sigma_0 = network, log_sigma_0

    def forward(self, u: Float[Tensor, "n ..."]) -> DiagonalNormal:
        mu, h = self.network(u).chunk(2, dim=1)
        return DiagonalNormal(mu, h + self.log_sigma_0)


class Deterministic(Conditional):
    """All mass on the network's output, shape (n, ...): a Dirac."""

    def __init__(self, network: Network):
        super().__init__()
        self.network = network

    def forward(self, u: Float[Tensor, "n ..."]) -> Dirac:
        return Dirac(self.network(u))


class ImplicitConditional(Conditional):
    r"""The law of a network's output when noise joins its input (eq. 3).

    .. math:: v = f([u, \epsilon]), \quad \epsilon \sim \mathcal{N}(0, I)

    Arguments:
        network: (n, c + noise, ...) to (n, k): the noise stands beside the input, as further numbers or maps.
        noise: numbers, or maps, of :math:`\epsilon`.
    """

    def __init__(self, network: Network, noise: int):
        super().__init__()
        self.network, self.noise = network, noise

    def forward(self, u: Float[Tensor, "n ..."]) -> Implicit:
        return Implicit(
            lambda epsilon: self.network(torch.cat([u, epsilon], 1)),
            u.new_zeros(len(u), self.noise, *u.shape[2:]),
        )


class Discriminator(nn.Module):
    r"""D(x, z): one stack on x, one on z, and one on the two joined along the channels (Tables 3 to 6).

    Returns the *logit* of the probability that a pair comes from the encoder: with the optimal D of eq. 5 it is
    :math:`\log q(x, z) / p(x, z)`.

    Arguments:
        d_x: (n, ...) to (n, c_x, 1, 1) or (n, c_x).
        d_z: (n, d) to (n, c_z, 1, 1) or (n, c_z).
        d_xz: (n, c_x + c_z, ...) to (n, 1, ...), built with ``logits=True``.
    """

    def __init__(self, d_x: Network, d_z: Network, d_xz: Network):
        super().__init__()
        self.d_x, self.d_z, self.d_xz = d_x, d_z, d_xz

    def forward(self, x: Float[Tensor, "n ..."], z: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        joined = torch.cat([self.d_x(x).flatten(1), self.d_z(z).flatten(1)], 1)
        return self.d_xz(joined).flatten()
