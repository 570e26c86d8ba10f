"""A decoder alone, in a game of x: GAN and DCGAN."""

from __future__ import annotations

__all__ = ["dcgan", "gan"]

from typing import Literal

from ali.recipes.arguments import recipe
from ali.recipes.bidirectional import SCHEDULES
from ali.recipes.parts import Parts
from ali.recipes.run import Run, in_range


@recipe()
def gan(
    parts: Parts,
    *,
    objective: str = "relativistic",
    penalty: float = 0.1,
    penalty_end: float | None = None,
    separate: bool = False,
    schedule: Literal["simultaneous", "alternating"] = "simultaneous",
) -> Run:
    """Generative adversarial networks (Goodfellow et al. 2014): it generates, and infers nothing.

    Arguments:
        objective: what the players want of D: nonsaturating, minimax, relativistic or hinge.
        penalty: weight of R1 + R2 on x at the start; 0 for none.
        penalty_end: the same from 70 % of the training on, reached geometrically; by default it does not change.
        separate: D sees data and samples in two passes, which only batch normalisation and dropout tell apart.
        schedule: simultaneous or alternating steps of D and of the generator.
    """
    from ali import games, objectives

    in_range("penalty", penalty, 0), in_range("penalty_end", penalty_end or 0.0, 0)
    game = games.GAN(
        parts.decoder(),
        parts.critic(),
        parts.prior,
        objective=objectives.named(objective),
        penalty=penalty,
        penalty_end=penalty_end,
        separate=separate,
        schedule=SCHEDULES[schedule],
    )
    return parts.run(game)


@recipe(said={"face": "modern"}, networks="dcgan", latent=100, lr=2e-4, beta1=0.5, beta2=0.999, batch_size=128, ema=0.0)
def dcgan(parts: Parts) -> Run:
    """DCGAN (Radford, Metz and Chintala 2016): its networks for 64 or 32 pixels, and its way of training; it infers nothing.

    As published: pixels in [-1, 1], Adam with a constant rate, alternating steps, D sees data and samples in separate batches.
    """
    from ali import games, objectives, train

    game = games.GAN(
        parts.decoder(),
        parts.critic(),
        parts.prior,
        objective=objectives.nonsaturating,
        separate=True,
        schedule=SCHEDULES["alternating"],
    )
    return parts.run(game, rate=train.constant)
