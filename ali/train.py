"""The one loop: every game is played here.

It knows no game's name and no data set. What it does not do is done by whoever consumes it: :func:`play` is a
generator, so progress bars, logs, checkpoints and a notebook's plots are lines of the consumer, never callbacks.

Step ``k`` draws all its noise from (seed, k) alone, and its batch from (seed, k) too (:func:`ali.data.source.stream`): that is
why a run that is stopped anywhere and resumed ends with the same weights, bit for bit.
"""

from __future__ import annotations

__all__ = ["Step", "constant", "hold_then_cosine", "noise_seed", "play", "warm_hold_cosine"]

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from ali import sweeps
from ali.data.source import Batch
from ali.games.game import Game, parameters
from ali.graphs import Graphed, set_rate
from ali.machine import Precision, precise


class Step(NamedTuple):
    """What a step leaves behind: how many steps are done, and what each player lost (0-d tensors, on the device)."""

    done: int
    losses: dict[str, Tensor]


def constant(progress: float) -> float:
    """The paper's learning rate: always the same."""
    return 1.0


def hold_then_cosine(progress: float, hold: float = 0.5) -> float:
    """Full learning rate for a share of the training, then half a cosine down to 1 %."""
    return 1.0 if progress < hold else 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (progress - hold) / (1 - hold)))


def warm_hold_cosine(progress: float, hold: float = 0.5) -> float:
    """The same after a straight rise over the first 2 %."""
    return min(1.0, 0.01 + progress / 0.02) * hold_then_cosine(progress, hold)


def noise_seed(seed: int, step: int) -> int:
    """What torch is seeded with for a step of a run."""
    return int(np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0])


def play(
    game: Game,
    batches: Iterable[Batch],
    optimizers: Mapping[str, Optimizer],
    *,
    steps: int,
    seed: int,
    start: int = 0,
    rate: Callable[[float], float] = constant,
    average: Game | None = None,
    decay: float = 0.999,
    precision: Precision = "float32",
    graph: bool = False,
) -> Iterator[Step]:
    """Play a game: Algorithm 1 for any number of players.

    Arguments:
        game: the players; updated in place, as are ``optimizers`` and ``average``.
        batches: a stream, its next batch that of step ``start``; if it ends, so does the game.
        optimizers: one for each player.
        steps: total number of steps; the loop yields after each of those in [start, steps).
        seed: of the noise.
        rate: learning rate at a share of the training in [0, 1], as a factor on each optimiser's own.
        average: a copy of the game to hold the exponential moving average of its weights.
        decay: of that average, per step.
        precision: of products and convolutions; weights, their gradients and what players lose have full precision.
        graph: capture the step as a CUDA graph and replay it (:mod:`ali.graphs`): on GPUs, where the game allows it.
    """
    owned = {player: parameters(game, player) for player in game.players}
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])

    def turn(batch: Batch, progress: Tensor, new: float | Tensor) -> dict[str, Tensor]:
        # Each round: fresh losses, every player's own gradient from the one graph, then all step together.
        reported: dict[str, Tensor] = {}
        for players in game.schedule:
            with sweeps.record() as tape, precise(precision, batch.x.device):
                losses = game.losses(batch, progress)
            tape.backward({player: losses[player] for player in players}, owned)
            for player in players:
                optimizers[player].step()
                optimizers[player].zero_grad()
                reported[player] = losses[player].detach()
        if average is not None:
            _average(average, game, new)
        return reported

    batches, turn = iter(batches), Graphed(turn, game, optimizers.values()) if graph else turn
    for step in range(start, steps):
        # All noise of this step comes from (seed, step), that of its batch included.
        torch.manual_seed(noise_seed(seed, step))
        batch = next(batches, None)
        if batch is None:
            return
        progress = torch.tensor(step / steps, device=batch.x.device)
        for optimizer in optimizers.values():
            for group in optimizer.param_groups:
                set_rate(group, group["initial_lr"] * rate(step / steps))
        # A short memory at first, so that the average forgets the initial weights.
        yield Step(step + 1, turn(batch, progress, 1 - min(decay, (1 + step) / (10 + step))))


@torch.no_grad()
def _average(average: Game, game: Game, new: float | Tensor) -> None:
    """Average the weights, ``kept = (1 - new) * kept + new * weight``; copy what is not learned (running statistics)."""
    for kept, weight in zip(average.parameters(), game.parameters(), strict=True):
        kept.lerp_(weight, new)
    for kept, buffer in zip(average.buffers(), game.buffers(), strict=True):
        kept.copy_(buffer)
