"""What came after ALI and BiGAN and plays their game of pairs with more judges: ALICE and BigBiGAN."""

from __future__ import annotations

__all__ = ["alice", "bigbigan"]

from typing import Literal

from ali.recipes.arguments import recipe
from ali.recipes.parts import Parts
from ali.recipes.run import Run, in_range


@recipe()
def alice(
    parts: Parts,
    *,
    encoder: Literal["gaussian", "implicit", "deterministic"] = "gaussian",
    objective: str = "relativistic",
    penalty: float = 0.1,
    cycle: float = 1.0,
) -> Run:
    """ALI with an adversarial cycle: a second discriminator tells (x, x) from (x, its reconstruction) (Li et al. 2017).

    Arguments:
        encoder: family of q(z | x): gaussian (eq. 2), implicit (eq. 3) or deterministic (BiGAN).
        objective: what the players want of each discriminator: nonsaturating (the paper's), minimax, relativistic or hinge.
        penalty: weight of R1 + R2 on both discriminators; 0 for none.
        cycle: weight of the second discriminator's game for encoder and decoder. For the squared error in its place: recipe ali.
    """
    from ali import games, objectives

    in_range("penalty", penalty, 0), in_range("cycle", cycle, 0)
    judges = parts.discriminator(), parts.critic("x", abreast=2)
    game = games.ALICE(
        parts.encoder(encoder),
        parts.decoder(),
        *judges,
        parts.prior,
        objective=objectives.named(objective),
        cycle=cycle,
        penalty=penalty,
    )
    return parts.run(game)


@recipe(lr=5e-4, beta1=0.0)
def bigbigan(parts: Parts, *, objective: str = "hinge", unary: float = 1.0, spectral: bool = False, penalty: float = 1.0) -> Run:
    """BiGAN whose discriminator also judges x alone and z alone (Donahue and Simonyan 2019), on this package's networks.

    Arguments:
        objective: what the players want of each score: hinge (the paper's), nonsaturating, minimax or relativistic.
        unary: weight of the scores of x alone and of z alone; 0 for none.
        spectral: divide D's weights by their largest singular value (the paper's way of keeping D smooth).
        penalty: weight of R1 + R2 on D (ours): without it, or with less, codes run away; 0 for none.
    """
    from ali import games, layers, objectives

    in_range("unary", unary, 0), in_range("penalty", penalty, 0)
    discriminator = parts.unary()
    if spectral:
        layers.spectral(discriminator)
    game = games.BigBiGAN(
        parts.encoder(), parts.decoder(), discriminator, parts.prior, objective=objectives.named(objective), unary=unary, penalty=penalty
    )
    return parts.run(game)
