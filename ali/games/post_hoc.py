r"""Post-hoc learned inference: an encoder for a decoder that is already there.

First a GAN (or any game with a decoder) is trained. Then its decoder is frozen, and an encoder plays ALI's game with it:

.. math:: \min_{G_z} \max_D V(D, G_z) =
    \mathbb{E}_{q(x)} [\log D(x, G_z(x))] + \mathbb{E}_{p(z)} [\log (1 - D(G_x(z), z))], \quad G_x \text{ fixed}

What the decoder learned without an encoder it keeps: modes that it dropped stay dropped, and the encoder must find codes for data that
no code stands for. ALI's paper compares this with learning both together (sections 2.2 and 4.5, Figure 8c), and finds joint learning
better; arXiv:1812.07909 finds the two about as good.

The paper says nothing of how long the encoder learns, nor released code for this. Ours is ALI itself, its optional terms included,
so that against ALI nothing is different but the frozen decoder. "Frozen" is that no player owns it, and that it stays in evaluation
mode: its running statistics, where it has batch normalisation, are those of its own training.

References:
    | Dumoulin et al., Adversarially Learned Inference, ICLR 2017, sections 2.2 and 4.5 (arXiv:1606.00704)
"""

from __future__ import annotations

__all__ = ["PostHoc"]

from torch import nn

from ali.distributions import StandardNormal
from ali.games.ali import ALI
from ali.networks import Conditional, Frozen


def PostHoc(encoder: Conditional, decoder: Conditional, discriminator: nn.Module, prior: StandardNormal, **options) -> ALI:
    """The game of ALI in which the decoder does not move.

    Arguments:
        encoder, discriminator, prior, options: as for :class:`ali.games.ALI`.
        decoder: p(x | z), trained; it is frozen.
    """
    game = ALI(encoder, decoder if isinstance(decoder, Frozen) else Frozen(decoder), discriminator, prior, **options)
    game.players = {"discriminator": [discriminator], "generator": [encoder]}
    return game
