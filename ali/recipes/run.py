"""What a recipe takes and what it gives: the specification of the data, and a game that is ready to be played."""

from __future__ import annotations

__all__ = ["Face", "Later", "Run", "Spec", "in_range"]

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ali.errors import AliError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor
    from torch.optim import Optimizer

    from ali.games import Game

Face = Literal["modern", "paper"]


@dataclass(frozen=True)
class Spec:
    """What the data dictates.

    Arguments:
        shape: of one row, as the network sees it: (channels, height, width) or (columns,).
        classes: names of the classes, if rows have one of them each.
        attributes: names of the attributes, if rows have several labels each.
        heads: the decoder's output nonlinearities for a table of several kinds of columns (:class:`ali.layers.Heads`).
        mean: mean training row, in the network's range; only needed to initialise, so it is not stored.
        y: labels of the training rows (:class:`ali.data.source.Source`), for games that keep their distribution; not stored, either.
    """

    shape: tuple[int, ...]
    classes: tuple[str, ...] = ()
    heads: tuple[tuple[str, int], ...] = ()
    attributes: tuple[str, ...] = ()
    mean: Tensor | None = None
    y: np.ndarray | None = None

    def to_json(self) -> dict:
        return {
            "shape": list(self.shape),
            "classes": list(self.classes),
            "heads": [list(head) for head in self.heads],
            "attributes": list(self.attributes),
        }

    @classmethod
    def from_json(cls, state: dict) -> Spec:
        heads = tuple((kind, width) for kind, width in state.get("heads", ()))
        return cls(tuple(state["shape"]), tuple(state["classes"]), heads, tuple(state.get("attributes", ())))


class Later(Mapping[str, Any]):
    """What a function makes of each name, made when the first is asked for.

    Making an optimiser imports PyTorch's compiler, which takes longer than PyTorch itself: a run that is only used needs neither.

    Arguments:
        names: the keys.
        make: of a name, its value.
    """

    def __init__(self, names: Iterable[str], make: Callable[[str], Any]):
        self._names, self._make, self._made = tuple(names), make, {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        if not self._made:
            self._made = {name: self._make(name) for name in self._names}
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclass(frozen=True)
class Run:
    """A game, its optimisers, and how long to play: all that the loop and the run folder need.

    Arguments:
        game: the players.
        optimizers: one for each player.
        batch_size: rows per step.
        epochs: passes over the training rows.
        rate: learning rate as a factor, a function of the share of training done.
        decay: of the moving average of the weights, per step; 0 for none.
        labelled: rows of each batch that are drawn from the rows with a known class, at its beginning, at most half; 0: as they come.
    """

    game: Game
    optimizers: Mapping[str, Optimizer]
    batch_size: int
    epochs: int
    rate: Callable[[float], float]
    decay: float
    labelled: int = 0


def in_range(name: str, value: float, low: float, high: float = float("inf"), open: bool = False) -> None:
    """Refuse an argument that makes no sense, by name.

    Raises:
        AliError: says what it must be.
    """
    good = (low < value if open else low <= value) and (value < high or high == float("inf"))
    if not good or value != value or value == float("inf"):
        bound = f"{'above' if open else 'at least'} {low:g}" + (f" and below {high:g}" if high != float("inf") else "")
        bound += " and finite" if value == high == float("inf") else ""
        raise AliError(f"{name} must be {bound}, got {value}")
