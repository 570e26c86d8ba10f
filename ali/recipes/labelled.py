"""Learning classes from few labels: semi-supervised ALI, the K + 1 GAN, and a network that sees labelled rows alone."""

from __future__ import annotations

__all__ = ["k_plus_one", "semi_supervised", "supervised"]

from ali.errors import AliError
from ali.recipes.arguments import recipe
from ali.recipes.parts import Parts
from ali.recipes.run import Run, in_range


@recipe(beta1=0.5, batch_size=128)
def semi_supervised(
    parts: Parts,
    *,
    dropout: float | None = None,
    dropout_x: float | None = None,
    labelled: int | None = None,
    label_weight: float = 1.0,
) -> Run:
    """Semi-supervised ALI: a discriminator of K + 1 classes on pairs (x, z), no feature matching (section 4.3 of the paper).

    Arguments:
        dropout: on the input of each of D's layers but the first; by default 0.3, or what the paper's tables say.
        dropout_x: on x, as D sees it; by default none, or what the paper's tables say.
        labelled: rows of each batch that are drawn from those with a known class, and only teach classes; by default half.
        label_weight: weight of their cross entropy.
    """
    from ali import games

    classes, labelled = _classes(parts, "semi_supervised"), _share(parts, labelled)
    in_range("label_weight", label_weight, 0, open=True)
    game = games.SemiSupervised(
        parts.encoder(),
        parts.decoder(),
        parts.discriminator(outputs=classes, dropout=_dropout(parts, dropout_x, 0.0, dropout)),
        parts.prior,
        labelled=labelled,
        label_weight=label_weight,
    )
    return parts.run(game, labelled=labelled)


@recipe(beta1=0.5, batch_size=128)
def k_plus_one(
    parts: Parts,
    *,
    feature_matching: bool = True,
    dropout: float | None = None,
    dropout_x: float | None = None,
    labelled: int | None = None,
    label_weight: float = 2.0,
) -> Run:
    """GAN with a discriminator of K + 1 classes (Salimans et al. 2016): learns classes from few labels, has no encoder.

    Arguments:
        feature_matching: the generator matches the mean of D's penultimate features; otherwise it fools D.
        dropout: on the input of each of D's layers but the first; by default 0.3, or what the paper's tables say.
        dropout_x: on x, as D sees it; by default none, or what the paper's tables say.
        labelled: rows of each batch that are drawn from those with a known class, and only teach classes; by default half.
        label_weight: weight of their cross entropy.
    """
    from ali import games

    classes, labelled = _classes(parts, "k_plus_one"), _share(parts, labelled)
    in_range("label_weight", label_weight, 0, open=True)
    game = games.KPlusOne(
        parts.decoder(),
        parts.critic(outputs=classes, dropout=_dropout(parts, dropout_x, 0.0, dropout)),
        parts.prior,
        feature_matching=feature_matching,
        labelled=labelled,
        label_weight=label_weight,
    )
    return parts.run(game, labelled=labelled)


@recipe(beta1=0.5)
def supervised(parts: Parts, *, dropout: float | None = None, dropout_x: float | None = None, labelled: int | None = None) -> Run:
    """A classifier that learns from labelled rows alone: the discriminator's networks, and what the other two have to beat.

    Arguments:
        dropout: on the input of each layer but the first; by default 0.3, or what the paper's tables say.
        dropout_x: on x; by default 0.3, or what the paper's tables say.
        labelled: rows of each batch that are drawn from those with a known class; by default half. The others are left out.
    """
    from ali import games

    classes, labelled = _classes(parts, "supervised"), _share(parts, labelled)
    game = games.Supervised(parts.critic(outputs=classes, dropout=_dropout(parts, dropout_x, 0.3, dropout)), labelled)
    return parts.run(game, labelled=labelled)


def _classes(parts: Parts, name: str) -> int:
    """How many classes there are.

    Raises:
        AliError: fewer than two.
    """
    if len(parts.spec.classes) < 2:
        raise AliError(f"{name} learns classes, and this data has {len(parts.spec.classes)} of them: see `--help` for how to give them")
    return len(parts.spec.classes)


def _share(parts: Parts, labelled: int | None) -> int:
    """Labelled rows of each batch.

    Raises:
        AliError: more than half: the game is played on the others.
    """
    half = parts.given["batch_size"] // 2
    in_range("labelled", half if labelled is None else labelled, 1)
    if labelled is not None and labelled > half:
        raise AliError(f"labelled must be at most half of batch_size, which is {parts.given['batch_size']}, got {labelled}")
    return labelled or half


def _dropout(parts: Parts, on_x: float | None, usual_on_x: float, hidden: float | None) -> tuple[float, float] | None:
    """Dropout of D on x and on its hidden layers; nothing where the paper's tables are to decide."""
    if parts.paper and on_x is None and hidden is None:
        return None
    on_x, hidden = usual_on_x if on_x is None else on_x, 0.3 if hidden is None else hidden
    in_range("dropout_x", on_x, 0, 1), in_range("dropout", hidden, 0, 1)
    return on_x, hidden
