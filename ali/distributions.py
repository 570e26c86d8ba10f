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
===============  ======================================================  =========================

Add a family here. No network and no loss enters this file. Noise comes from ``torch.randn``, so that
seeding torch fixes it and so that it works under ``torch.func``.
"""

from __future__ import annotations

__all__ = ["Categorical", "DiagonalNormal", "Dirac", "Distribution", "Empirical", "Implicit", "StandardNormal"]

import math
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
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
        mu: means :math:`\mu`, shape (n, d).
        log_sigma: logarithms of the standard deviations :math:`\log \sigma`, shape (n, d).
    """

    def __init__(self, mu: Float[Tensor, "n d"], log_sigma: Float[Tensor, "n d"]):
        self.mu, self.log_sigma = mu, log_sigma

    @property
    def mean(self) -> Float[Tensor, "n d"]:
        return self.mu

    def rsample(self) -> Float[Tensor, "n d"]:
        return self.mu + self.log_sigma.exp() * torch.randn_like(self.mu)

    def log_prob(self, z: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        r""":math:`\log q(z) = -\frac12 \sum_i \left[ ((z_i - \mu_i) / \sigma_i)^2 + 2 \log \sigma_i + \log 2\pi \right]`."""
        whitened = (z - self.mu) * (-self.log_sigma).exp()
        return -0.5 * (whitened**2 + 2 * self.log_sigma + math.log(2 * math.pi)).sum(1)


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
        generator = torch.Generator().manual_seed(0)
        epsilons = torch.randn(self.draws, *self.noise.shape[1:], generator=generator).to(self.noise)
        return torch.stack([self.f(epsilon.expand_as(self.noise)) for epsilon in epsilons]).mean(0)


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
