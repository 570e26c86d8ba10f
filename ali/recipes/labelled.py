"""Learning classes from few labels: semi-supervised ALI, the K + 1 GAN, and a network that sees labelled rows alone."""

from __future__ import annotations

__all__ = ["k_plus_one", "semi_supervised", "supervised"]

from ali.errors import AliError
from ali.recipes.parts import Parts, in_range, recipe
from ali.recipes.run import Run


@recipe(beta1=0.5, dropout=0.3)
def semi_supervised(
    parts: Parts,
    *,
    dropout: float | None = None,
    labelled: int = 32,
    label_weight: float = 1.0,
) -> Run:
    """Semi-supervised ALI: a discriminator of K + 1 classes on pairs (x, z), no feature matching (section 4.3 of the paper).

    Arguments:
        dropout: on the input of each layer of D; by default what the table says.
        labelled: rows of each batch that are drawn from those with a known class, and only teach classes.
        label_weight: weight of their cross entropy.
    """
    from ali import games

    classes = _classes(parts, "semi_supervised", dropout, labelled, label_weight)
    game = games.SemiSupervised(
        parts.encoder(),
        parts.decoder(),
        parts.discriminator(outputs=classes, dropout=dropout),
        parts.prior,
        labelled=labelled,
        label_weight=label_weight,
    )
    return parts.run(game, labelled=labelled)


@recipe(beta1=0.5, dropout=0.3)
def k_plus_one(
    parts: Parts,
    *,
    feature_matching: bool = True,
    dropout: float | None = None,
    labelled: int = 32,
    label_weight: float = 2.0,
) -> Run:
    """GAN with a discriminator of K + 1 classes (Salimans et al. 2016): learns classes from few labels, has no encoder.

    Arguments:
        feature_matching: the generator matches the mean of D's penultimate features; otherwise it fools D.
        dropout: on the input of each layer of D; by default what the table says.
        labelled: rows of each batch that are drawn from those with a known class, and only teach classes.
        label_weight: weight of their cross entropy.
    """
    from ali import games

    classes = _classes(parts, "k_plus_one", dropout, labelled, label_weight)
    game = games.KPlusOne(
        parts.decoder(),
        parts.critic(outputs=classes, dropout=dropout),
        parts.prior,
        feature_matching=feature_matching,
        labelled=labelled,
        label_weight=label_weight,
    )
    return parts.run(game, labelled=labelled)


@recipe(beta1=0.5, dropout=0.3)
def supervised(parts: Parts, *, dropout: float | None = None, labelled: int = 32) -> Run:
    """A classifier that learns from labelled rows alone: the discriminator's networks, and what the other two have to beat.

    Arguments:
        dropout: on the input of each layer; by default what the table says.
        labelled: rows of each step, drawn from those with a known class.
    """
    from ali import games

    game = games.Supervised(parts.critic(outputs=_classes(parts, "supervised", dropout, labelled), dropout=dropout), labelled)
    return parts.run(game, labelled=labelled)


def _classes(parts: Parts, name: str, dropout: float | None, labelled: int, label_weight: float = 1.0) -> int:
    """How many classes there are, if the arguments make sense.

    Raises:
        AliError: fewer than two classes, or an argument out of range.
    """
    in_range("dropout", dropout or 0.0, 0, 1)
    in_range("labelled", labelled, 1)
    in_range("label_weight", label_weight, 0, open=True)
    if len(parts.spec.classes) < 2:
        raise AliError(f"{name} learns classes, and this data has {len(parts.spec.classes)} of them: see `--help` for how to give them")
    return len(parts.spec.classes)
