"""Tables turned into conditionals: the encoder q(z | x), the decoder p(x | z), and the discriminator D(x, z).

A conditional is a module that returns a *distribution* (:mod:`ali.distributions`); a game states what it needs of
it by what it calls. Which family a conditional returns is chosen by which class wraps the network::

    encoder = Gaussian(build(G_z, X, (2 * Z,)))                # eq. 2, the paper's encoders
    encoder = ImplicitConditional(build(G_z, (4,), (2,)), 2)   # eq. 3, the authors' encoder for the mixture
    encoder = Deterministic(build(G_z, X, (Z,)))               # BiGAN's encoder; decoder = Deterministic(build(G_x, (Z, 1, 1), X))
"""

from __future__ import annotations

__all__ = [
    "BernoulliConditional",
    "Conditional",
    "Critic",
    "Deterministic",
    "Discriminator",
    "Frozen",
    "Embedding",
    "Gaussian",
    "Homoscedastic",
    "ImplicitConditional",
    "Joined",
    "Ladder",
    "Unary",
    "in_full",
]

import abc
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ali.distributions import Bernoulli, DiagonalNormal, Dirac, Distribution, Implicit
from ali.table import Network


class Conditional(nn.Module, abc.ABC):
    """A network that returns a distribution for each row of its input, and of what joins it there (a label's embedding)."""

    @abc.abstractmethod
    def forward(self, u: Tensor, *others: Tensor) -> Distribution: ...


class Gaussian(Conditional):
    r"""A diagonal normal whose moments a network computes (eq. 2).

    .. math:: q(z | x) = \mathcal{N}(\mu(x), \sigma^2(x) I), \quad \log \sigma(x) = s - \mathrm{softplus}(s - h(x) - \log \sigma_0)

    Without a bound s (the paper), :math:`\log \sigma = h + \log \sigma_0`; well below s it is nearly that anyway.

    Arguments:
        network: (n, ...) to (n, 2d): first the means, then :math:`h`.
        log_sigma_0: initial :math:`\log \sigma`. The authors' 0 gives no faithful reconstructions for long,
            because x and a noisy z can match jointly while they stay nearly independent (Li et al. 2017, ALICE).
        bound: s, the largest :math:`\log \sigma`: a game that goes astray for some steps can otherwise take it to where its
            exponential overflows.
    """

    def __init__(self, network: nn.Module, log_sigma_0: float = 0.0, bound: float | None = None):
        super().__init__()
        self.network, self.log_sigma_0, self.bound = network, log_sigma_0, bound

    def forward(self, u: Float[Tensor, "n ..."], *others: Float[Tensor, "n _"]) -> DiagonalNormal:
        mu, h = in_full(self.network(u, *others)).chunk(2, dim=1)
        log_sigma = h + self.log_sigma_0
        return DiagonalNormal(mu, log_sigma if self.bound is None else self.bound - F.softplus(self.bound - log_sigma))


class Deterministic(Conditional):
    """All mass on the network's output, shape (n, ...): a Dirac."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, u: Float[Tensor, "n ..."], *others: Float[Tensor, "n _"]) -> Dirac:
        return Dirac(in_full(self.network(u, *others)))


class ImplicitConditional(Conditional):
    r"""The law of a network's output when noise joins its input (eq. 3).

    .. math:: v = f([u, \epsilon]), \quad \epsilon \sim \mathcal{N}(0, I)

    Arguments:
        network: (n, c + noise, ...) to (n, k): the noise stands beside the input, as further numbers or maps.
        noise: numbers, or maps, of :math:`\epsilon`.
    """

    def __init__(self, network: nn.Module, noise: int):
        super().__init__()
        self.network, self.noise = network, noise

    def forward(self, u: Float[Tensor, "n ..."], *others: Float[Tensor, "n _"]) -> Implicit:
        return Implicit(
            lambda epsilon: in_full(self.network(torch.cat([u, epsilon], 1), *others)),
            u.new_zeros(u.shape[0], self.noise, *u.shape[2:]),
        )


class Homoscedastic(Conditional):
    r"""A normal whose means a network computes, with one learned standard deviation for every component of every row.

    .. math:: p(x | z) = \mathcal{N}(f(z), \sigma_x^2 I)

    Arguments:
        network: (n, ...) to (n, ...): :math:`f`.
        log_sigma: initial :math:`\log \sigma_x`.
    """

    def __init__(self, network: nn.Module, log_sigma: float = 0.0):
        super().__init__()
        self.network, self.log_sigma = network, nn.Parameter(torch.tensor(log_sigma))

    def forward(self, u: Float[Tensor, "n ..."], *others: Float[Tensor, "n _"]) -> DiagonalNormal:
        mu = in_full(self.network(u, *others))
        return DiagonalNormal(mu, self.log_sigma.expand_as(mu))


class BernoulliConditional(Conditional):
    """Pixels off or on with the probabilities that a network computes (:class:`ali.distributions.Bernoulli`).

    Arguments:
        network: (n, ...) to (n, ...): logits.
        low: the darkest pixel of the network's range, -1 or 0.
    """

    def __init__(self, network: nn.Module, low: float = 0.0):
        super().__init__()
        self.network, self.low = network, low

    def forward(self, u: Float[Tensor, "n ..."], *others: Float[Tensor, "n _"]) -> Bernoulli:
        return Bernoulli(in_full(self.network(u, *others)), self.low)


class Frozen(Conditional):
    """A trained conditional that learns no more: nothing in it is trainable, and it stays in evaluation mode.

    Arguments:
        conditional: gradients pass through it, but reach none of its weights.
    """

    def __init__(self, conditional: Conditional):
        super().__init__()
        self.conditional = conditional.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> Frozen:
        return super().train(False)

    def forward(self, u: Tensor, *others: Tensor) -> Distribution:
        return self.conditional(u, *others)


class Joined(nn.Module):
    """A network whose last rows see other numbers, too: a label's embedding beside the features, or beside the code.

    Arguments:
        body: (n, ...) to (n, c, ...): the rows before; None for none.
        head: (n, c + e, ...) to (n, k, ...): the rows after.
    """

    def __init__(self, body: Network | None, head: Network):
        super().__init__()
        self.body, self.head = body, head

    def forward(self, u: Float[Tensor, "n ..."], *others: Float[Tensor, "n _"]) -> Tensor:
        features = u if self.body is None else self.body(u)
        return self.head(torch.cat([features.flatten(1), *others], 1))


class Embedding(nn.Module):
    r"""Numbers in the place of a label: :math:`e = W y`, linear. A class is embedded as its one-hot y: by a vector of its own.

    Arguments:
        labels: classes, or attributes.
        size: numbers in e.
        sigma: standard deviation of the initial weights.
        mean, scale: of attributes, shape (labels,): y is taken in these units; by default as it is.
    """

    def __init__(self, labels: int, size: int, sigma: float, mean: Tensor | None = None, scale: Tensor | None = None):
        super().__init__()
        self.weight = nn.Parameter(sigma * torch.randn(labels, size))
        self.register_buffer("mean", torch.zeros(labels) if mean is None else mean)
        self.register_buffer("scale", torch.ones(labels) if scale is None else scale)

    def forward(self, y: Tensor) -> Float[Tensor, "n e"]:
        """Embed class numbers (n,), or attributes or mixtures of classes (n, labels)."""
        if not y.is_floating_point():
            return self.weight[y]
        return (y.to(self.weight.dtype) - self.mean) / self.scale @ self.weight


class Discriminator(nn.Module):
    r"""D(x, z): one stack on x, one on z, and one on the two joined along the channels (Tables 3 to 6).

    Returns the *logit* of the probability that a pair comes from the encoder: with the optimal D of eq. 5 it is
    :math:`\log q(x, z) / p(x, z)`. What else it is to see (a label's embedding) joins after the stacks.

    Arguments:
        d_x: (n, ...) to (n, c_x, 1, 1) or (n, c_x).
        d_z: (n, d) to (n, c_z, 1, 1) or (n, c_z).
        d_xz: (n, c_x + c_z, ...) to (n, k, ...), built with ``logits=True``.

    Returns:
        Shape (n,) where d_xz has one output, else (n, k).
    """

    def __init__(self, d_x: Network, d_z: Network, d_xz: Network):
        super().__init__()
        self.d_x, self.d_z, self.d_xz = d_x, d_z, d_xz

    def forward(self, x: Float[Tensor, "n ..."], z: Float[Tensor, "n d"], *others: Float[Tensor, "n _"]) -> Float[Tensor, "n ..."]:
        return self.joined(self.d_x(x), z, *others)

    def joined(self, h: Float[Tensor, "n ..."], z: Float[Tensor, "n d"], *others: Float[Tensor, "n _"]) -> Float[Tensor, "n ..."]:
        """The logits that belong to what the stack on x makes of it."""
        return _logits(self.d_xz(self._concatenated(h, z, *others)))

    def features(self, x: Float[Tensor, "n ..."], z: Float[Tensor, "n d"], *others: Float[Tensor, "n _"]) -> Float[Tensor, "n k"]:
        """What its last layer sees of a pair."""
        return self.d_xz.features(self._concatenated(self.d_x(x), z, *others))

    def _concatenated(self, h: Tensor, z: Tensor, *others: Tensor) -> Tensor:
        return torch.cat([h.flatten(1), self.d_z(z).flatten(1), *others], 1)


class Critic(nn.Module):
    """D(x) of a plain GAN, or D(z): the stack on one input, and the joint rows on that alone.

    Arguments:
        body: (n, ...) to (n, c, 1, 1) or (n, c).
        head: (n, c, ...) to (n, k, ...), built with ``logits=True``.

    Returns:
        Shape (n,) where the head has one output, else (n, k).
    """

    def __init__(self, body: Network, head: Network):
        super().__init__()
        self.body, self.head = body, head

    @property
    def size(self) -> int:
        """Numbers in one row of features."""
        layer: Any = list(self.head)[self.head.last]
        return layer.weight.shape[1]

    def forward(self, u: Float[Tensor, "n ..."], *others: Float[Tensor, "n _"]) -> Float[Tensor, "n ..."]:
        return self.verdict(self.features(u, *others))

    def features(self, u: Float[Tensor, "n ..."], *others: Float[Tensor, "n _"]) -> Float[Tensor, "n c"]:
        """What the last layer sees: the penultimate activations."""
        return self.head.features(torch.cat([self.body(u).flatten(1), *others], 1))

    def verdict(self, features: Float[Tensor, "n c"]) -> Float[Tensor, "n ..."]:
        """The logits that belong to features: ``critic(u) = critic.verdict(critic.features(u))``."""
        return _logits(self.head.verdict(features))


class Unary(nn.Module):
    r"""D(x, z) with an opinion on x alone and on z alone, too: three logits, from shared features.

    .. math:: s_x = \theta_x^\top F(x), \quad s_z = \theta_z^\top H(z), \quad s_{xz} = J(F(x), H(z))

    Arguments:
        f, h: F and H, (n, ...) to (n, c, 1, 1) or (n, c).
        s_x, s_z: one layer each on these features.
        joint: J, on both features joined along the channels.

    Returns:
        Shape (n, 3).
    """

    def __init__(self, f: Network, h: Network, s_x: Network, s_z: Network, joint: Network):
        super().__init__()
        self.f, self.h, self.s_x, self.s_z, self.joint = f, h, s_x, s_z, joint

    def forward(self, x: Float[Tensor, "n ..."], z: Float[Tensor, "n d"]) -> Float[Tensor, "n 3"]:
        f, h = self.f(x).flatten(1), self.h(z).flatten(1)
        return torch.cat([in_full(s.flatten(1)) for s in (self.s_x(f), self.s_z(h), self.joint(torch.cat([f, h], 1)))], 1)


class Ladder(nn.Module):
    r"""D(x, z_1, ..., z_L): a stack climbs from x, and meets each code where its own features have that code's size.

    .. math:: h_0 = x, \quad h_l = [f_l(h_{l - 1}), z_l], \quad \rho = g(h_L)

    Arguments:
        stacks: :math:`f_1, \dots, f_L`: (n, c, ...) to (n, c', ...).
        joint: g, (n, c, ...) to (n, 1, ...), built with ``logits=True``.
    """

    def __init__(self, stacks: Sequence[Network], joint: Network):
        super().__init__()
        self.stacks, self.joint = nn.ModuleList(stacks), joint

    def forward(self, x: Float[Tensor, "n ..."], *z: Float[Tensor, "n _"]) -> Float[Tensor, " n"]:
        h = x
        for stack, code in zip(self.stacks, z, strict=True):
            features = stack(h)
            h = torch.cat([features, code.reshape(len(code), -1, *features.shape[2:])], 1)
        return _logits(self.joint(h))


def in_full(outputs: Tensor) -> Tensor:
    """What leaves a network has full precision again, where its layers are computed in bfloat16 (``torch.autocast``)."""
    return outputs.float() if outputs.dtype == torch.bfloat16 else outputs


def _logits(outputs: Tensor) -> Tensor:
    logits = in_full(outputs.flatten(1))
    return logits[:, 0] if logits.shape[1] == 1 else logits
