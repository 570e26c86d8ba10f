r"""A network that learns from labelled rows alone: what semi-supervised learning has to beat.

The same trunk as the discriminator of :mod:`ali.games.k_plus_one`, with K logits and nothing but cross entropy:

.. math:: L = -\mathbb{E}_{(x, y)} \log \mathrm{softmax}(D(x))_y

Rows whose class is unknown teach it nothing; they are left out of the batch.
"""

from __future__ import annotations

__all__ = ["Supervised"]

from jaxtyping import Float
from torch import Tensor, nn

from ali.data.source import Batch
from ali.games.game import Game
from ali.objectives import known_classes


class Supervised(Game):
    """One player, who wants the classes right.

    Arguments:
        classifier: D(x), returns K logits.
        labelled: rows at the beginning of each batch that have a class.
    """

    schedule = (("classifier",),)

    def __init__(self, classifier: nn.Module, labelled: int):
        super().__init__()
        self.classifier, self.labelled = classifier, labelled
        self.players = {"classifier": [classifier]}

    def losses(self, batch: Batch, progress: Float[Tensor, ""]) -> dict[str, Float[Tensor, ""]]:
        x, y = batch.x[: self.labelled], None if batch.y is None else batch.y[: self.labelled]
        return {"classifier": known_classes(self.classifier(x), y)}

    def classify(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        return self.classifier(x).softmax(1)
