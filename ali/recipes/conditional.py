"""Games whose networks see a label: conditional ALI."""

from __future__ import annotations

__all__ = ["conditional"]

from typing import TYPE_CHECKING, Literal

from ali.errors import AliError
from ali.recipes.arguments import recipe
from ali.recipes.bidirectional import of_pairs
from ali.recipes.parts import Parts
from ali.recipes.run import Run, Spec, in_range

if TYPE_CHECKING:
    from ali.distributions import Categorical, Empirical
    from ali.networks import Embedding

KEPT = 1024  # rows of attributes that a run keeps as p(y)


@recipe()
def conditional(
    parts: Parts,
    *,
    encoder: Literal["gaussian", "implicit", "deterministic"] = "gaussian",
    embedding: int = 32,
    objective: str = "relativistic",
    penalty: float = 0.1,
    penalty_end: float | None = None,
    cycle: float = 20.0,
    regression: float = 1.0,
    schedule: Literal["simultaneous", "alternating"] = "simultaneous",
    pairs: Literal["together", "apart"] = "together",
) -> Run:
    """Conditional ALI (Dumoulin et al. 2017, eq. 7): generates and edits by class or by attributes.

    Arguments:
        encoder: family of q(z | x, y): gaussian (eq. 2), implicit (eq. 3) or deterministic.
        embedding: numbers that stand for a label in each network.
        objective, penalty, penalty_end, cycle, regression, schedule, pairs: as for ali.
    """
    from ali import games

    in_range("embedding", embedding, 1)
    law = _law(parts.spec)
    game = games.ConditionalALI(
        parts.encoder(encoder, sees=embedding),
        parts.decoder(sees=embedding),
        parts.discriminator(sees=embedding),
        _embedding(parts, law, embedding),
        _embedding(parts, law, embedding),
        parts.prior,
        law,
        **of_pairs(objective, penalty, penalty_end, cycle, regression, schedule, pairs),
    )
    return parts.run(game)


def _law(spec: Spec) -> Categorical | Empirical:
    """p(y) of the training rows; of a run that is being loaded, room for what was saved.

    Raises:
        AliError: no labels, or rows without one.
    """
    import numpy as np
    import torch

    from ali.distributions import Categorical, Empirical

    y, kinds = spec.y, len(spec.attributes) or len(spec.classes)
    if not kinds:
        raise AliError(
            "conditional learns from labels, and this data has neither classes nor attributes: `ali train DATASET --help` says how to "
            "give them; in Python data=(x, y), or a Source with y and attributes"
        )
    if y is not None:
        missing = y < 0 if y.ndim == 1 else ~np.isfinite(y).all(1)
        if missing.any():
            raise AliError(
                f"conditional learns from labels, and {missing.sum():,} of {len(y):,} training rows have none "
                f"(the first is row {missing.argmax()}): leave these rows out, or label them"
            )
        if y.shape[1:] != ((kinds,) if spec.attributes else ()):
            raise AliError(f"labels y have shape {y.shape}, for {kinds} {'attributes' if spec.attributes else 'classes'}")
    if spec.attributes:
        rows = np.zeros((KEPT, kinds), np.float32)
        if y is not None:  # all rows equally often, as far as they go
            order = np.random.default_rng(0).permutation(len(y))
            rows = y[np.resize(order, KEPT)].astype(np.float32)
        return Empirical(torch.from_numpy(rows))
    counts = np.ones(kinds) if y is None else np.bincount(y, minlength=kinds)
    if not counts.all():
        name = spec.classes[int(counts.argmin())]
        raise AliError(f"no training row has the class {name!r}, so that it can not be learned: hold out other rows, or leave it out")
    return Categorical(torch.from_numpy(counts / counts.sum()).to(torch.get_default_dtype()))


def _embedding(parts: Parts, law: Categorical | Empirical, size: int) -> Embedding:
    """e = W y: as the authors' for the paper's face; for the modern one, of unit variance at first."""
    from ali.distributions import Categorical
    from ali.networks import Embedding

    if isinstance(law, Categorical):
        return Embedding(len(law.frequencies), size, 0.01 if parts.paper else 1.0)
    labels = law.rows.shape[1]
    if parts.paper:
        return Embedding(labels, size, 0.01)
    scale = law.rows.std(0)
    return Embedding(labels, size, labels**-0.5, law.rows.mean(0), scale.where(scale > 0, 1.0))
