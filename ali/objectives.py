r"""What the players of an adversarial game want, as functions of the discriminator's logits.

An objective maps the logits of encoder pairs :math:`\rho_q = D(x, \hat z)` and of decoder pairs
:math:`\rho_p = D(\tilde x, z)`, each of shape (n,), to the two players' losses:

    ``(rho_q, rho_p) -> (loss_d, loss_g)``

both to be made small. D is to find encoder pairs: high :math:`\rho_q`, low :math:`\rho_p`. An objective sees *both*
logits, because minimax and relativistic losses can not be said otherwise. Penalties on D stand at the end of the file.
No network of its own lives here. To add an objective, write it and add its line to ``OBJECTIVES``.
"""

from __future__ import annotations

__all__ = [
    "OBJECTIVES",
    "Objective",
    "annealed",
    "check_penalty",
    "contrastive",
    "gradient_penalty",
    "hinge",
    "known_classes",
    "minimax",
    "named",
    "nonsaturating",
    "r1_and_r2",
    "refuse_batch_norm",
    "relativistic",
]

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ali.errors import AliError

Logits = Float[Tensor, " n"]
Loss = Float[Tensor, ""]
Objective = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def nonsaturating(rho_q: Logits, rho_p: Logits) -> tuple[Loss, Loss]:
    r"""Algorithm 1: D maximises eq. 1, the generators maximise eq. 4.

    .. math::
        L_d &= -\mathbb{E} \log D(x, \hat z) - \mathbb{E} \log (1 - D(\tilde x, z)) \\
        L_g &= -\mathbb{E} \log (1 - D(x, \hat z)) - \mathbb{E} \log D(\tilde x, z)

    With D the sigmoid of the logit, :math:`-\log D` is softplus of minus the logit: stable, never clipped.
    """
    loss_d = F.softplus(-rho_q).mean() + F.softplus(rho_p).mean()
    loss_g = F.softplus(rho_q).mean() + F.softplus(-rho_p).mean()
    return loss_d, loss_g


def minimax(rho_q: Logits, rho_p: Logits) -> tuple[Loss, Loss]:
    r"""The value function itself (eq. 1): :math:`L_d = -V`, :math:`L_g = V`. Its gradient vanishes when D wins."""
    value = -F.softplus(-rho_q).mean() - F.softplus(rho_p).mean()
    return -value, value


def relativistic(rho_q: Logits, rho_p: Logits) -> tuple[Loss, Loss]:
    r"""Pairs are compared with one another: D's landscape has no local minima that drop modes.

    .. math:: L_d = \mathbb{E}\, \mathrm{softplus}(-(\rho_q - \rho_p)), \quad L_g = \mathbb{E}\, \mathrm{softplus}(\rho_q - \rho_p)

    Source: Jolicoeur-Martineau 2018 (arXiv:1807.00734); as used by Huang et al. 2024, R3GAN (arXiv:2501.05441).
    """
    lead = rho_q - rho_p
    return F.softplus(-lead).mean(), F.softplus(lead).mean()


def hinge(rho_q: Logits, rho_p: Logits) -> tuple[Loss, Loss]:
    r"""D stops caring about a pair once it is on the right side by a margin of one.

    .. math:: L_d = \mathbb{E} \max(0, 1 - \rho_q) + \mathbb{E} \max(0, 1 + \rho_p), \quad L_g = \mathbb{E} \rho_q - \mathbb{E} \rho_p

    Source: Lim and Ye 2017 (arXiv:1705.02894).
    """
    loss_d = F.relu(1 - rho_q).mean() + F.relu(1 + rho_p).mean()
    loss_g = rho_q.mean() - rho_p.mean()
    return loss_d, loss_g


OBJECTIVES: dict[str, Objective] = {
    "nonsaturating": nonsaturating,
    "minimax": minimax,
    "relativistic": relativistic,
    "hinge": hinge,
}


def named(objective: str) -> Objective:
    """An objective by its name.

    Raises:
        AliError: there is none of that name; says which there are.
    """
    if objective not in OBJECTIVES:
        raise AliError(f"unknown objective {objective!r}: choose one of {', '.join(OBJECTIVES)}")
    return OBJECTIVES[objective]


def known_classes(logits: Float[Tensor, "n k"], y: Int[Tensor, " n"] | None) -> Loss:
    r"""Cross entropy of the rows whose class is known; 0 if none is.

    .. math:: -\frac{1}{|\{i: y_i \ge 0\}|} \sum_{i: y_i \ge 0} \log \mathrm{softmax}(l_i)_{y_i}

    Arguments:
        logits: :math:`l`, one for each class.
        y: class numbers, -1 where the class is unknown.
    """
    if y is None:
        return 0.0 * logits.sum()
    total = F.cross_entropy(logits, y, ignore_index=-1, reduction="sum")
    return total / (y >= 0).sum().clamp(min=1)


def contrastive(
    a: Float[Tensor, "n d"], b: Float[Tensor, "n d"], partners: Float[Tensor, "n n"] | None = None, temperature: float = 0.2
) -> Loss:
    r"""Each row of a is to find its partners among the rows of b by their directions, and the other way round.

    .. math:: -\frac{1}{2n} \sum_{ij} p_{ij} \left( \log \mathrm{softmax}(c_{i \cdot})_j + \log \mathrm{softmax}(c_{\cdot i})_j \right),
        \quad c_{ij} = \frac{1}{\tau} \frac{a_i^\top b_j}{\|a_i\| \|b_j\|}

    Partners are drawn together, all else apart: directions become uniform, as those of a standard normal prior are.

    Arguments:
        a, b: codes.
        partners: :math:`p`, whose rows sum to 1; by default row i of a and row i of b belong together.
        temperature: :math:`\tau`.

    Source: Chen et al. 2020 (arXiv:2002.05709), with negatives from the other view alone; Wang and Isola 2020 (arXiv:2005.10242).
    """
    c = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T / temperature
    p = torch.eye(len(c), dtype=c.dtype, device=c.device) if partners is None else partners
    return 0.5 * (F.cross_entropy(c, p) + F.cross_entropy(c.T, p))


def gradient_penalty(discriminator: Callable[..., Tensor], *inputs: Float[Tensor, "n ..."]) -> Loss:
    r"""Squared slope of D's logit at a row or a pair: R1 on encoder pairs, R2 on decoder pairs.

    .. math:: \frac12 \mathbb{E} \left\| \nabla_{(x, z)} D(x, z) \right\|^2

    Only D learns from it: the rows are taken as given.

    Arguments:
        discriminator: (x, z), or whatever the inputs are, to logits; without batch normalisation (:func:`refuse_batch_norm`).
        inputs: x and z.

    Raises:
        AliError: D normalises over the batch.

    Source: Mescheder et al. 2018 (arXiv:1801.04406).
    """
    if isinstance(discriminator, nn.Module):
        refuse_batch_norm(discriminator)
    slopes = torch.func.grad(lambda *given: discriminator(*given).sum(), argnums=tuple(range(len(inputs))))(*(i.detach() for i in inputs))
    return 0.5 * torch.stack([slope.flatten(1).square().sum(1) for slope in slopes]).sum(0).mean()


def r1_and_r2(
    discriminator: Callable[..., Tensor], pair_q: tuple[Float[Tensor, "n ..."], ...], pair_p: tuple[Float[Tensor, "n ..."], ...]
) -> Loss:
    """R1 + R2: :func:`gradient_penalty` on encoder pairs, plus that on decoder pairs, in one pass of D."""
    # The mean over both kinds of pair is half of the sum.
    return 2 * gradient_penalty(discriminator, *(torch.cat([q, p]) for q, p in zip(pair_q, pair_p, strict=True)))


ANNEALED = 0.7  # share of the training after which a penalty stays at its end value


def annealed(start: float, end: float, progress: Float[Tensor, ""]) -> Float[Tensor, ""]:
    r"""The weight of a penalty at a share of the training: geometrically from ``start`` to ``end``, there from 70 % on.

    .. math:: \gamma = \gamma_0 (\gamma_1 / \gamma_0)^{\min(1, t / 0.7)}
    """
    return start * (end / start) ** (progress / ANNEALED).clamp(max=1)


def check_penalty(discriminator: nn.Module, start: float, end: float) -> None:
    """Refuse a penalty on a D with batch normalisation, and one that is to end at 0, which is not reached geometrically.

    Raises:
        AliError: says which.
    """
    if start:
        refuse_batch_norm(discriminator)
    if start and not end:
        raise AliError("penalty_end can not be 0 while penalty is not, since it is reached geometrically: take a small number")


def refuse_batch_norm(discriminator: nn.Module) -> None:
    """Refuse a D that normalises over the batch: the slope of its logit at one pair depends on all others.

    Raises:
        AliError: says so.
    """
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training for module in discriminator.modules()):
        raise AliError(
            "a gradient penalty needs a discriminator without batch normalisation, because each logit there depends "
            "on the whole batch; take networks without it, or set the penalty to 0"
        )
