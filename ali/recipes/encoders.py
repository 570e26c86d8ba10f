"""An encoder for a GAN: learned beside it or after it, by reconstructing codes or by ALI's game."""

from __future__ import annotations

__all__ = ["latent_regressor", "post_hoc"]

from typing import Literal

from ali.recipes import parents
from ali.recipes.arguments import recipe
from ali.recipes.bidirectional import of_pairs
from ali.recipes.parts import Parts
from ali.recipes.run import Run, in_range

BESIDE = {
    "simultaneous": (("discriminator", "generator", "encoder"),),
    "alternating": (("discriminator",), ("generator", "encoder")),
}


@recipe()
def latent_regressor(
    parts: Parts,
    *,
    parent: str | dict = "",
    encoder: Literal["gaussian", "implicit", "deterministic"] = "gaussian",
    objective: str = "relativistic",
    penalty: float = 0.1,
    penalty_end: float | None = None,
    separate: bool = False,
    schedule: Literal["simultaneous", "alternating"] = "simultaneous",
) -> Run:
    """GAN with a latent regressor (Dumoulin et al. 2017, section 2.2): an encoder learns which code a sample was made of.

    Arguments:
        parent: run folder whose decoder is frozen and whose latent is taken; by default a GAN is trained at the same time.
        encoder: family of q(z | x): gaussian (it learns its variance), implicit or deterministic (squared error).
        objective: what the players of the GAN want of D: nonsaturating, minimax, relativistic or hinge.
        penalty: weight of the GAN's R1 + R2 on x at the start; 0 for none.
        penalty_end: the same from 70 % of the training on, reached geometrically; by default it does not change.
        separate: D sees data and samples in two passes, which only batch normalisation and dropout tell apart.
        schedule: simultaneous or alternating steps of D and of the others.
    """
    from ali import games, objectives

    in_range("penalty", penalty, 0), in_range("penalty_end", penalty_end or 0.0, 0)
    # Its density is learned from the start, so it starts where a code's prior is: log sigma 0 whatever the face.
    if parent:
        parts, decoder, prior = parents.frozen_decoder(parts, parent, "latent_regressor")
        return parts.run(games.LatentRegressor(parts.encoder(encoder, log_sigma_0=0.0), decoder, None, prior))
    game = games.LatentRegressor(
        parts.encoder(encoder, log_sigma_0=0.0),
        parts.decoder(),
        parts.critic(),
        parts.prior,
        objective=objectives.named(objective),
        penalty=penalty,
        penalty_end=penalty_end,
        separate=separate,
        schedule=BESIDE[schedule],
    )
    return parts.run(game)


@recipe()
def post_hoc(
    parts: Parts,
    *,
    parent: str | dict = "",
    encoder: Literal["gaussian", "implicit", "deterministic"] = "gaussian",
    objective: str = "relativistic",
    penalty: float = 0.1,
    penalty_end: float | None = None,
    cycle: float = 20.0,
    regression: float = 1.0,
    schedule: Literal["simultaneous", "alternating"] = "simultaneous",
) -> Run:
    """Post-hoc learned inference (Dumoulin et al. 2017, section 2.2): ALI's game with the frozen decoder of a finished run.

    Arguments:
        parent: run folder whose decoder is frozen and whose latent is taken: a GAN, or any other run with a decoder.
        encoder: family of q(z | x): gaussian (eq. 2), implicit (eq. 3) or deterministic.
        objective: what the players want of D: nonsaturating (eq. 4), minimax (eq. 1), relativistic or hinge.
        penalty: weight of R1 + R2 on pairs (x, z) at the start; 0 for none.
        penalty_end: the same from 70 % of the training on, reached geometrically; by default it does not change.
        cycle: weight of the reconstruction error in x (mean square), for the encoder alone; 0 for none.
        regression: weight of the code error in z (mean square); 0 for none.
        schedule: simultaneous or alternating steps of D and of the encoder.
    """
    from ali import games

    options = of_pairs(objective, penalty, penalty_end, cycle, regression, schedule)
    parts, decoder, prior = parents.frozen_decoder(parts, parent, "post_hoc")
    return parts.run(games.PostHoc(parts.encoder(encoder), decoder, parts.discriminator(), prior, **options))
