r"""Efficient GAN-based anomaly detection (EGBAD): BiGAN, and what it can not reproduce is strange.

A GAN that is fitted to ordinary rows generates ordinary rows only. AnoGAN asked of each new row, by gradient descent, which
code generates it best; BiGAN's encoder answers at once. Rows that come back changed are anomalies:

.. math:: A(x) = (1 - w) \, L_G(x) + w \, L_D(x), \quad L_G(x) = \| x - G(E(x)) \|_1, \quad w = 0.1

with one of two second terms:

.. math::
    L_D(x) &= \| f(x, E(x)) - f(G(E(x)), E(x)) \|_1  && \text{"features": f is what D's last layer sees} \\
    L_D(x) &= -\log D(x, E(x))                       && \text{"cross\_entropy"}

The paper writes its cross entropy on :math:`(x, E(x))`; the authors' code takes :math:`(G(E(x)), E(x))` in its place. Here it
is the paper's. "features" is the code's default, and ours. Norms are sums, so that the score grows with the number of columns:
compare scores of one run only.

Every ALI that has encoder, decoder and :class:`ali.networks.Discriminator` scores in this way; this file is the paper's choice
of it: a BiGAN, whose networks are deterministic.

References:
    | Zenati, Foo, Lecouat, Manek and Chandrasekhar, Efficient GAN-Based Anomaly Detection, 2018 (arXiv:1802.06222), and
    | their code, github.com/houssamzenati/Efficient-GAN-Anomaly-Detection: Adam with beta1 0.5 and rate 1e-5, batches of 50,
      alternating steps, moving average 0.9999, z in R^32, for KDD99
    | Schlegl et al., Unsupervised Anomaly Detection with Generative Adversarial Networks, 2017: AnoGAN (arXiv:1703.05921)
"""

from __future__ import annotations

__all__ = ["EGBAD"]

from functools import partial
from typing import Literal

from torch import nn

from ali.distributions import StandardNormal
from ali.games.ali import ALI
from ali.games.bigan import BiGAN
from ali.games.game import reconstruction_score
from ali.networks import Conditional


def EGBAD(
    encoder: Conditional,
    decoder: Conditional,
    discriminator: nn.Module,
    prior: StandardNormal,
    weight: float = 0.1,
    term: Literal["features", "cross_entropy"] = "features",
    **options,
) -> ALI:
    """The EGBAD game.

    Arguments:
        encoder, decoder: deterministic conditionals.
        weight: w of D's part of the score, in [0, 1].
        term: D's part of the score.
        discriminator, prior, options: as for :class:`ali.games.ALI`.
    """
    return BiGAN(encoder, decoder, discriminator, prior, scorer=partial(reconstruction_score, weight=weight, term=term), **options)
