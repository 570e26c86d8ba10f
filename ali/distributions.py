r"""What a conditional may return, the prior, and the law of labels.

ALI needs one thing of its conditionals (section 2): that they can be *sampled from in a way that lets
gradients through*, i.e. by a change of variable

.. math:: v = f(u, \epsilon)                                                              (3)

with :math:`\epsilon` from some fixed noise. A density is a bonus that some families have.

===============  ======================================================  =========================
family           sample                                                  source
===============  ======================================================  =========================
DiagonalNormal   :math:`\mu + \sigma \odot \epsilon`                     eq. 2
Implicit         :math:`f(u, \epsilon)` for any network f                eq. 3
Dirac            :math:`f(u)`, no noise                                  BiGAN, Donahue et al. 2017
Bernoulli        0 or 1 with probability :math:`\mu`; no gradient        VAE, Kingma and Welling 2014
===============  ======================================================  =========================

Add a family here. No network and no loss enters this file. Noise comes from ``torch.randn``, so that
seeding torch fixes it and so that it works under ``torch.func``.
"""

from __future__ import annotations

__all__ = [
    "Bernoulli",
    "Categorical",
    "CodedPrior",
    "DiagonalNormal",
    "Dirac",
    "Distribution",
    "Empirical",
    "Implicit",
    "StandardNormal",
]

import math
from collections.abc import Callable
from functools import cache
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn


@runtime_checkable
class Distribution(Protocol):
    """What every conditional returns: a batch of distributions, one per row."""

    @property
    def mean(self) -> Tensor: ...

    def rsample(self) -> Tensor: ...


class DiagonalNormal:
    r"""Normal distribution with independent components (eq. 2).

    .. math:: z = \mu + \sigma \odot \epsilon, \quad \epsilon \sim \mathcal{N}(0, I)

    Arguments:
        mu: means :math:`\mu`, shape (n, ...): codes (n, d), or images.
        log_sigma: logarithms of the standard deviations :math:`\log \sigma`, shape (n, ...).
    """

    def __init__(self, mu: Float[Tensor, "n ..."], log_sigma: Float[Tensor, "n ..."]):
        self.mu, self.log_sigma = mu, log_sigma

    @property
    def mean(self) -> Float[Tensor, "n ..."]:
        return self.mu

    def rsample(self) -> Float[Tensor, "n ..."]:
        return self.mu + self.log_sigma.exp() * torch.randn_like(self.mu)

    def log_prob(self, z: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]:
        r""":math:`\log q(z) = -\frac12 \sum_i \left[ ((z_i - \mu_i) / \sigma_i)^2 + 2 \log \sigma_i + \log 2\pi \right]`."""
        whitened = (z - self.mu) * (-self.log_sigma).exp()
        return -0.5 * (whitened**2 + 2 * self.log_sigma + math.log(2 * math.pi)).flatten(1).sum(1)

    def kl(self) -> Float[Tensor, " n"]:
        r"""To the standard normal: :math:`\frac12 \sum_i \left[ \mu_i^2 + \sigma_i^2 - 1 - 2 \log \sigma_i \right]`, in nats.

        Source: Kingma and Welling 2014, appendix B (arXiv:1312.6114).
        """
        return 0.5 * (self.mu**2 + (2 * self.log_sigma).exp() - 1 - 2 * self.log_sigma).flatten(1).sum(1)


class Bernoulli:
    r"""Pixels that are off or on, independently, with a probability each.

    .. math:: x_i = l + (1 - l) \, b_i, \quad b_i \sim \mathrm{Bernoulli}(\mathrm{sigmoid}(a_i))

    Off is the darkest pixel :math:`l` of the network's range, -1 or 0, and on is 1: the mean lies in [l, 1] as pixels do. For a
    pixel in between, ``log_prob`` is minus the cross entropy of its brightness, as everybody has it; it is then no density of grey
    pixels (their normaliser is missing: Loaiza-Ganem and Cunningham 2019, arXiv:1907.06845).

    Arguments:
        logits: :math:`a`, shape (n, ...).
        low: :math:`l`.
    """

    def __init__(self, logits: Float[Tensor, "n ..."], low: float = 0.0):
        self.logits, self.low = logits, low

    @property
    def mean(self) -> Float[Tensor, "n ..."]:
        return self.low + (1 - self.low) * torch.sigmoid(self.logits)

    def rsample(self) -> Float[Tensor, "n ..."]:
        """Pixels that are off or on. No gradient goes through such a draw: a game that needs one takes another family."""
        on = torch.rand_like(self.logits) < torch.sigmoid(self.logits)
        return self.low + (1 - self.low) * on.to(self.logits.dtype)

    def log_prob(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]:
        r""":math:`\sum_i b_i \log \mu_i + (1 - b_i) \log (1 - \mu_i)`, with :math:`b = (x - l) / (1 - l)`."""
        on = (x - self.low) / (1 - self.low)
        return -F.binary_cross_entropy_with_logits(self.logits, on, reduction="none").flatten(1).sum(1)


class Dirac:
    """All mass on one point: a deterministic conditional, shape (n, ...)."""

    def __init__(self, point: Float[Tensor, "n ..."]):
        self.point = point

    @property
    def mean(self) -> Float[Tensor, "n ..."]:
        return self.point

    def rsample(self) -> Float[Tensor, "n ..."]:
        return self.point


class Implicit:
    r"""The law of :math:`f(u, \epsilon)`: it can be sampled, its density is unknown (eq. 3).

    Arguments:
        f: maps noise, shape (n, k, ...), to samples, shape (n, d); :math:`u` is bound inside it.
        noise: shape (n, k, ...), of which device and dtype are taken; its values are never read.
        draws: how many samples ``mean`` averages.
    """

    def __init__(self, f: Callable[[Tensor], Tensor], noise: Float[Tensor, "n k ..."], draws: int = 64):
        self.f, self.noise, self.draws = f, noise, draws

    def rsample(self) -> Float[Tensor, "n d"]:
        return self.f(torch.randn_like(self.noise))

    @property
    def mean(self) -> Float[Tensor, "n d"]:
        """Monte Carlo mean over ``draws`` samples, always with the same noise, so that a code is reproducible."""
        epsilons = _same_noise(self.draws, *self.noise.shape[1:]).to(self.noise)
        return torch.stack([self.f(epsilon.expand_as(self.noise)) for epsilon in epsilons]).mean(0)


@cache
def _same_noise(*shape: int) -> Tensor:
    """The same normal numbers for everybody, drawn once: a graph that is exported later holds them, and draws none."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


class StandardNormal(nn.Module):
    r"""The prior :math:`p(z) = \mathcal{N}(0, I)` over codes of dimension ``dim``.

    A module, so that it moves to a device with the game that owns it; it has no parameters and no state.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.dim = dim
        self.register_buffer("like", torch.empty(0), persistent=False)

    def sample(self, n: int) -> Float[Tensor, "n d"]:
        return torch.randn(n, self.dim, device=self.like.device, dtype=self.like.dtype)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class CodedPrior(nn.Module):
    r"""The prior of InfoGAN: codes c that are to mean something, beside noise; each part independent of the others.

    .. math:: [c_1, c_2, z], \quad c_1 \text{: one of K categories, one-hot}, \quad c_2 \sim U(-1, 1)^m, \quad z \sim \mathcal{N}(0, I)

    Arguments:
        categories: K, equally likely; at least 2.
        continuous: m, dimension of :math:`c_2`.
        noise: dimension of z.
        law: of the continuous codes, "uniform" in (-1, 1) or "normal".
    """

    def __init__(self, categories: int, continuous: int, noise: int, law: str = "uniform"):
        super().__init__()
        self.categories, self.continuous, self.noise, self.law = categories, continuous, noise, law
        self.dim = categories + continuous + noise
        self.register_buffer("like", torch.empty(0), persistent=False)

    @property
    def entropies(self) -> tuple[float, float]:
        r"""In nats, :math:`H(c_1) = \log K` and :math:`H(c_2) = m \log 2`, or :math:`\frac m2 \log 2 \pi e`."""
        each = math.log(2) if self.law == "uniform" else 0.5 * math.log(2 * math.pi * math.e)
        return math.log(self.categories), self.continuous * each

    def sample(self, n: int) -> Float[Tensor, "n d"]:
        # Not one_hot, which looks at the numbers it is given: a GPU would be waited for.
        corners = torch.eye(self.categories, device=self.like.device, dtype=self.like.dtype)
        chosen = corners[torch.randint(self.categories, (n,), device=self.like.device)]
        code, noise = (torch.randn(n, k, device=self.like.device, dtype=self.like.dtype) for k in (self.continuous, self.noise))
        if self.law == "uniform":
            code = 2 * torch.rand_like(code) - 1
        return torch.cat([chosen, code, noise], 1)

    def codes(self, z: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n m"]]:
        """:math:`c_1` and :math:`c_2` of samples."""
        chosen, code, _ = z.split([self.categories, self.continuous, self.noise], 1)
        return chosen, code

    def extra_repr(self) -> str:
        return f"categories={self.categories}, continuous={self.continuous}, noise={self.noise}, law={self.law}"


class Categorical(nn.Module):
    """The law p(y) of classes: their frequencies, which are saved with the weights.

    Arguments:
        frequencies: of each class, shape (K,).
    """

    def __init__(self, frequencies: Float[Tensor, " k"]):
        super().__init__()
        self.register_buffer("frequencies", frequencies)

    def sample(self, n: int) -> Int[Tensor, " n"]:
        return torch.multinomial(self.frequencies, n, replacement=True)


class Empirical(nn.Module):
    """The law p(y) of vectors, known by a sample of them, which is saved with the weights.

    Arguments:
        rows: shape (m, k).
    """

    def __init__(self, rows: Float[Tensor, "m k"]):
        super().__init__()
        self.register_buffer("rows", rows)

    def sample(self, n: int) -> Float[Tensor, "n k"]:
        return self.rows[torch.randint(len(self.rows), (n,), device=self.rows.device)]
