"""A ladder of codes: hierarchical ALI."""

from __future__ import annotations

__all__ = ["hali"]

from collections.abc import Sequence
from typing import Literal

from ali.recipes.arguments import recipe
from ali.recipes.parts import Parts
from ali.recipes.run import Run, in_range


@recipe()
def hali(
    parts: Parts,
    *,
    levels: int = 2,
    lower: Sequence[int] = (),
    climb: Literal["z", "x"] = "z",
    objective: str = "relativistic",
    penalty: float = 0.1,
    cycle: float = 20.0,
    regression: float = 1.0,
) -> Run:
    """Hierarchical ALI (slides; Belghazi et al. 2018).

    Arguments:
        levels: of the ladder of codes, at least 2; ``latent`` is the dimension of the top one.
        lower: size of the codes below the top, from the bottom up: maps (conv) or numbers (mlp); by default 4 maps each, or twice the
            numbers of the level above, four times at the top.
        climb: what the encoders above the first see: the code below, q(z2 | z1), or the data, q(z2 | x), as on the slides.
        objective: what the players want of D: nonsaturating (eq. 4), minimax (eq. 1), relativistic or hinge.
        penalty: weight of R1 + R2 on tuples (x, z1, ...); 0 for none.
        cycle: weight of the reconstruction error in x from the bottom level (mean square), a tenth of it from those above; 0 for none.
        regression: weight of the error in the codes (mean square over all levels, encoders only); 0 for none.
    """
    from ali import games, objectives
    from ali.errors import AliError

    in_range("levels", levels, 2), in_range("penalty", penalty, 0), in_range("cycle", cycle, 0), in_range("regression", regression, 0)
    below = tuple(lower) or default_lower(parts, levels)
    if len(below) != levels - 1 or min(below) < 1:
        raise AliError(f"lower gives a size, at least 1, for each of the {levels - 1} levels below the top, got {tuple(lower)}")
    encoders, decoders, discriminator = parts.hierarchy((*below, parts.latent), skip=climb == "x")
    game = games.HALI(
        encoders, decoders, discriminator, parts.prior, objectives.named(objective), penalty, cycle, regression, skip=climb == "x"
    )
    return parts.run(game)


def default_lower(parts: Parts, levels: int) -> tuple[int, ...]:
    """Sizes of the codes below the top, from the bottom up."""
    if parts.given["networks"] == "conv":
        return (4,) * (levels - 1)
    return tuple(parts.latent * 2 ** (levels - level + 1) for level in range(1, levels))
