r"""Bidirectional GAN (BiGAN): ALI whose encoder and decoder are both deterministic.

At the optimum they invert one another almost everywhere (Proposition 3, where the encoder is G_z: the "G_x" of its
first line is a slip of the paper; Theorem 2 of the BiGAN paper).

References:
    | Donahue, Kraehenbuehl and Darrell, Adversarial Feature Learning, ICLR 2017 (arXiv:1605.09782)
"""

from __future__ import annotations

__all__ = ["BiGAN"]

from torch import nn

from ali.distributions import StandardNormal
from ali.errors import AliError
from ali.games.ali import ALI
from ali.networks import Conditional, Deterministic


def BiGAN(encoder: Conditional, decoder: Conditional, discriminator: nn.Module, prior: StandardNormal, **options) -> ALI:
    """The BiGAN game.

    Arguments:
        encoder, decoder: deterministic conditionals.
        discriminator, prior, options: as for :class:`ali.games.ALI`.

    Raises:
        AliError: a conditional is stochastic.
    """
    for name, conditional in (("encoder", encoder), ("decoder", decoder)):
        if not isinstance(conditional, Deterministic):
            raise AliError(f"BiGAN's {name} is deterministic; got {type(conditional).__name__}: take games.ALI for it")
    return ALI(encoder, decoder, discriminator, prior, **options)
