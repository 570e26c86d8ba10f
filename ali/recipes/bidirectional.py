"""Encoder and decoder in one game of pairs (x, z): ALI and BiGAN."""

from __future__ import annotations

__all__ = ["ali", "bigan", "of_pairs"]

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from ali.recipes.arguments import fixed, recipe
from ali.recipes.parts import Parts
from ali.recipes.run import Run, in_range

if TYPE_CHECKING:
    from ali.games import Game

SCHEDULES = {"simultaneous": (("discriminator", "generator"),), "alternating": (("discriminator",), ("generator",))}


@recipe()
def ali(
    parts: Parts,
    *,
    encoder: Literal["gaussian", "implicit", "deterministic"] = "gaussian",
    objective: str = "relativistic",
    penalty: float = 0.1,
    penalty_end: float | None = None,
    cycle: float = 20.0,
    regression: float = 1.0,
    schedule: Literal["simultaneous", "alternating"] = "simultaneous",
    pairs: Literal["together", "apart"] = "together",
    likelihood: float = 0.0,
    contrast: float = 0.0,
    copies: bool = True,
    neighbours: float = 0.0,
    thin: int = 1,
    candidates: int | None = None,
) -> Run:
    """Adversarially learned inference (Dumoulin et al. 2017).

    Arguments:
        encoder: family of q(z | x): gaussian (eq. 2), implicit (eq. 3) or deterministic (BiGAN).
        objective: what the players want of D: nonsaturating (eq. 4), minimax (eq. 1), relativistic or hinge.
        penalty: weight of R1 + R2 on pairs (x, z) at the start; 0 for none.
        penalty_end: the same from 70 % of the training on, reached geometrically; by default it does not change.
        cycle: weight of the reconstruction error in x (mean square); 0 for none.
        regression: weight of the code error in z (mean square, encoder only); 0 for none.
        schedule: simultaneous (Algorithm 1) or alternating steps of D and of the generators.
        pairs: D sees both kinds of pair together (the authors' code), or apart (most ports; cheaper). Two models if D has batch
            normalisation, as in Tables 4 to 6; else one.
        likelihood: weight of minus the log density of samples' codes (gaussian): q(z | x) learns how much it does not know; 0 for none.
        contrast: weight of telling rows apart by their codes, moved copies being the same (images); 0 for none.
        copies: the copies of contrast are reconstructed, too: better for few rows; without, samples look less moved.
        neighbours: share of contrast, below 1, that goes to the nearest rows of the batch and not to the copy: neighbours in x become
            neighbours in z; without contrast it does nothing.
        thin: the penalty is taken on one of so many rows of a batch: cheaper; 1: on all.
        candidates: a sample's code is chosen by D among so many from p(z), drawn by q(x, z) / p(x, z) as D sees it; training is the
            same; 1: the paper's, straight from p(z). By default 4; 1 with hinge, whose D estimates no such ratio.
    """
    from ali import games
    from ali.games.game import CANDIDATES

    make: Callable[..., Game] = games.BiGAN if encoder == "deterministic" else games.ALI
    options = of_pairs(objective, penalty, penalty_end, cycle, regression, schedule, pairs)
    candidates = (1 if objective == "hinge" else 4) if candidates is None else candidates
    in_range("thin", thin, 1), in_range("candidates", candidates, 1, CANDIDATES + 1)
    for name, weight in (("likelihood", likelihood), ("contrast", contrast)):
        in_range(name, weight, 0)
    in_range("neighbours", neighbours, 0, 1)
    options |= {"thin": thin, "likelihood": likelihood, "contrast": contrast, "copies": copies, "candidates": candidates}
    options["neighbours"] = neighbours
    # A likelihood is to find sigma, and sees little of it from far below what it will be.
    e = parts.encoder(encoder, log_sigma_0=-1.0 if likelihood else None)
    return parts.run(make(e, parts.decoder(), parts.discriminator(), parts.prior, **options))


def of_pairs(
    objective: str, penalty: float, penalty_end: float | None, cycle: float, regression: float, schedule: str, pairs: str = "together"
) -> dict[str, Any]:
    """The options that every game of pairs (x, z) takes (:class:`ali.games.ALI`), from the arguments of their recipes.

    Raises:
        AliError: an unknown objective, or a weight below 0; names it.
    """
    from ali import objectives

    weights = {"penalty": penalty, "penalty_end": penalty_end, "cycle": cycle, "regression": regression}
    for name, weight in weights.items():
        in_range(name, weight or 0.0, 0)
    return {"objective": objectives.named(objective), "schedule": SCHEDULES[schedule], "apart": pairs == "apart", **weights}


bigan = fixed("bigan", "Bidirectional GAN (Donahue et al. 2017): ALI with a deterministic encoder.", ali, encoder="deterministic")
