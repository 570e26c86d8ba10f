"""Games that score rows by how strange they are: EGBAD and ALAD. Train them on ordinary rows."""

from __future__ import annotations

__all__ = ["alad", "egbad"]

from typing import Literal

from ali.errors import AliError
from ali.recipes.arguments import recipe
from ali.recipes.bidirectional import of_pairs
from ali.recipes.parts import Parts
from ali.recipes.run import Run, in_range


@recipe()
def egbad(
    parts: Parts,
    *,
    objective: str = "relativistic",
    penalty: float = 0.1,
    penalty_end: float | None = None,
    cycle: float = 20.0,
    regression: float = 1.0,
    schedule: Literal["simultaneous", "alternating"] = "simultaneous",
    weight: float = 0.1,
    term: Literal["features", "cross_entropy"] = "features",
) -> Run:
    """Efficient GAN-based anomaly detection (Zenati et al. 2018): BiGAN with an anomaly score.

    Arguments:
        objective: what the players want of D: nonsaturating (the paper's), minimax, relativistic or hinge.
        penalty: weight of R1 + R2 on pairs (x, z) at the start; 0 for none.
        penalty_end: the same from 70 % of the training on, reached geometrically; by default it does not change.
        cycle: weight of the reconstruction error in x (mean square); 0 for none. With little of it the game may run away on tables.
        regression: weight of the code error in z (mean square, encoder only); 0 for none.
        schedule: simultaneous (Algorithm 1) or alternating steps of D and of the generators.
        weight: share of D's part in the anomaly score, in [0, 1].
        term: D's part: L1 distance of its last features of a row and of its reconstruction, or its cross entropy.
    """
    from ali import games

    in_range("weight", weight, 0)
    if weight > 1:
        raise AliError(f"weight is a share, at most 1, got {weight}")
    game = games.EGBAD(
        parts.encoder("deterministic"),
        parts.decoder(),
        parts.discriminator(),
        parts.prior,
        weight=weight,
        term=term,
        **of_pairs(objective, penalty, penalty_end, cycle, regression, schedule),
    )
    return parts.run(game)


@recipe(beta1=0.5)
def alad(
    parts: Parts,
    *,
    objective: str | None = None,
    spectral: bool = False,
    schedule: Literal["simultaneous", "alternating"] = "simultaneous",
) -> Run:
    """Adversarially learned anomaly detection (Zenati et al. 2018): BiGAN with adversarial cycles in x and in z.

    Arguments:
        objective: what the players want of each discriminator: nonsaturating (the paper's), minimax, relativistic or hinge; by default
            relativistic for tables and nonsaturating for images, where the other one ran away.
        spectral: divide the discriminators' weights by their largest singular value.
        schedule: alternating steps of the discriminators and of the generators (the authors'), or simultaneous ones (Algorithm 1).
    """
    from ali import games, layers, objectives
    from ali.games.alad import DISCRIMINATORS

    objective = objective or ("relativistic" if len(parts.spec.shape) == 1 else "nonsaturating")
    judges = parts.discriminator(), parts.critic("x", abreast=2), parts.critic("z", abreast=2)
    if spectral:
        for judge in judges:
            layers.spectral(judge)
    encoder, decoder = parts.encoder("deterministic"), parts.decoder()
    rounds = (DISCRIMINATORS, ("generator",))
    game = games.ALAD(
        encoder,
        decoder,
        *judges,
        parts.prior,
        objective=objectives.named(objective),
        schedule=rounds if schedule == "alternating" else (sum(rounds, ()),),
    )
    return parts.run(game)
