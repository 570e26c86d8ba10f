"""A GAN with a structured code that Q reads back: InfoGAN."""

from __future__ import annotations

__all__ = ["infogan"]

from typing import Literal

from ali.recipes.arguments import recipe
from ali.recipes.parts import Parts
from ali.recipes.run import Run, in_range


@recipe()
def infogan(
    parts: Parts,
    *,
    clusters: int | None = None,
    continuous: int = 2,
    law: Literal["uniform", "normal"] = "uniform",
    information: float = 0.3,
    information_continuous: float = 0.03,
    objective: str = "relativistic",
    penalty: float = 0.1,
) -> Run:
    """InfoGAN (Chen et al. 2016): categories and continuous codes beside ``latent`` numbers of noise.

    Arguments:
        clusters: categories to find; by default as many as the data has classes, or 10.
        continuous: continuous codes.
        law: of the continuous codes: uniform in (-1, 1), or normal.
        information: weight of the bound on the category's mutual information; the paper's is 1.
        information_continuous: the same of the continuous codes; the paper's is 0.1.
        objective: what the players want of D: nonsaturating, minimax, relativistic or hinge.
        penalty: weight of R1 + R2 on x; 0 for none.
    """
    from ali import games, objectives
    from ali.distributions import CodedPrior

    k = (len(parts.spec.classes) or 10) if clusters is None else clusters
    in_range("clusters", k, 2), in_range("continuous", continuous, 0), in_range("penalty", penalty, 0)
    in_range("information", information, 0), in_range("information_continuous", information_continuous, 0)
    prior, critic = CodedPrior(k, continuous, parts.latent, law), parts.critic()
    game = games.InfoGAN(
        parts.decoder(codes=prior.dim),
        critic,
        parts.recognition(critic.size, k + 2 * continuous),
        prior,
        information=information,
        information_continuous=information_continuous,
        objective=objectives.named(objective),
        penalty=penalty,
    )
    return parts.run(game)
