r"""A whole step as one CUDA graph: its kernels are launched once, by one call, instead of one by one by Python.

A step of a small network on a GPU mostly waits for its launches. What a graph replays is the same kernels in the same order, so
the same numbers; all that changes from step to step lies in tensors that they read: the batch, the progress, learning rates, the
average's weight. Noise is that of the seed that was set before, as without a graph.

A game can be captured if its losses ask nothing of the numbers on their way: no ``.item()``, no ``if`` on a tensor, no rows chosen by a
mask. What asks is played without a graph, and :attr:`Graphed.why_not` says why.
"""

from __future__ import annotations

__all__ = ["Graphed", "set_rate"]

import copy
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ali.data.source import Batch
from ali.games.game import Game

Turn = Callable[[Batch, Tensor, float | Tensor], dict[str, Tensor]]
WARM_UP = 3  # steps before the capture: optimisers get their states, libraries choose their kernels


def set_rate(group: dict[str, Any], rate: float) -> None:
    """Set the learning rate of an optimiser's group, which a graph reads from a tensor."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


class Graphed:
    """A step that is captured after a few, and replayed from then on.

    Arguments:
        turn: the step: (batch, progress, weight of the new in the average) to what each player lost.
        game: that is played.
        optimizers: of its players; from the capture on their learning rates are tensors.
    """

    def __init__(self, turn: Turn, game: Game, optimizers: Iterable[Optimizer]):
        self.turn, self.game, self.optimizers = turn, game, list(optimizers)
        self.why_not: str | None = None
        self._forget()

    def __call__(self, batch: Batch, progress: Tensor, new: float) -> dict[str, Tensor]:
        """Do a step.

        Arguments:
            batch: n rows, the same n each time.
            progress: share of the training that is done, 0-d, on the batch's device.
            new: weight of the new in the average, in [0, 1].

        Returns:
            What each player lost, 0-d.

        Raises:
            ValueError: a batch of another shape than that of the captured step.
        """
        if self._replay is not None and not self._same_states():  # somebody put other states in: the old ones are what would move
            self._forget()
        if self.why_not or self._warm < WARM_UP:
            self._warm += 1
            if self._warm == WARM_UP and (why := _asks(self.game, batch, progress)):
                self.why_not = why
                warnings.warn(f"this game's step can not be captured as a graph and is played without one: {why}", stacklevel=3)
            return self.turn(batch, progress, new)
        replay = self._replay or self._capture(batch, progress, new)
        held = self._batch
        if batch.x.shape != held.x.shape or (batch.y is None) != (held.y is None):
            raise ValueError(f"a captured step takes batches of one shape: {tuple(held.x.shape)}, not {tuple(batch.x.shape)}")
        held.x.copy_(batch.x)
        if held.y is not None and batch.y is not None:
            held.y.copy_(batch.y)
        self._progress.copy_(progress)
        self._new.fill_(new)
        replay()
        return {player: loss.clone() for player, loss in self._losses.items()}  # the next replay writes over them

    def _forget(self) -> None:
        self._replay: Callable[[], None] | None = None
        self._warm, self._states = 0, []

    def _capture(self, batch: Batch, progress: Tensor, new: float) -> Callable[[], None]:
        self._batch = Batch(batch.x.clone(), None if batch.y is None else batch.y.clone())
        self._progress, self._new = progress.clone(), torch.tensor(new, device=progress.device)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"], group["capturable"] = torch.as_tensor(group["lr"], device=progress.device).clone(), progress.is_cuda
        self._states = [(optimizer, p, dict(optimizer.state[p])) for optimizer in self.optimizers for p in optimizer.state]
        self._losses, self._replay = _captured(lambda: self.turn(self._batch, self._progress, self._new))
        return self._replay

    def _same_states(self) -> bool:
        return all(
            known.get(name) is tensor
            for optimizer, p, state in self._states
            for known in [optimizer.state.get(p, {})]
            for name, tensor in state.items()
        )


def _captured(work: Callable[[], dict[str, Tensor]]) -> tuple[dict[str, Tensor], Callable[[], None]]:
    """Record what work would do, without doing it; returns where its results will lie, and a function that does it."""
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        results = work()
    return results, graph.replay


def _asks(game: Game, batch: Batch, progress: Tensor) -> str | None:
    """Why a game's losses can not be captured, if they can not: they are computed once, on a copy, while questions are forbidden."""
    if not batch.x.is_cuda:
        return None
    tried, before = copy.deepcopy(game), torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        with torch.random.fork_rng([batch.x.device]):
            tried.losses(batch, progress)
    except RuntimeError as error:
        return str(error).partition("\n")[0]
    finally:
        torch.cuda.set_sync_debug_mode(before)
    return None
