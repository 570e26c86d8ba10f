"""The dry run: what training would cost on this machine."""

from __future__ import annotations

__all__ = ["compare", "duration", "measure", "show"]

import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ali.session import Session


def show(session: Session) -> None:
    """What a run would cost, measured on a few of its own steps."""
    from ali.process import load

    game = session.run.game
    print(game)
    for player, modules in game.players.items():
        print(f"{player}: {sum(p.numel() for module in modules for p in module.parameters()):,} parameters")
    print("measuring a few steps ...", flush=True)
    cost = measure(session)
    data = session.data.train.x.nbytes + session.data.test.x.nbytes
    print(f"memory: {cost['memory'] / 2**20:,.0f} MiB at its highest, of which {data / 2**20:,.0f} MiB are data")
    if "fit" in cost:
        print(f"this GPU has memory for steps of about {cost['fit']:,.0f} rows (--batch-size; another size is another training)")
    if (busy := load()) > (os.cpu_count() or 1):
        fewer = "; --threads 1 may help" if session.config["threads"] > 1 else ""
        print(f"this machine is busy (load {busy:.1f} on {os.cpu_count()} cores): alone, it would be faster{fewer}")
    print(
        f"time: about {duration(cost['seconds_per_step'] * session.steps)} on this machine ({session.device}): "
        f"{session.steps:,} steps of {session.batch_size} rows at {cost['seconds_per_step']:.3f} s "
        f"(median of {cost['steps']:.0f} after {cost['warmup']:.0f} to warm up)"
    )


def compare(effort: str, session: Session) -> None:
    """How long another effort would take."""
    seconds, arguments = measure(session)["seconds_per_step"] * session.steps, session.config["arguments"]
    print(f"--effort {effort}: about {duration(seconds)}, {session.steps:,} steps of {session.batch_size} rows, width {arguments['width']}")


def measure(session: Session, steps: int = 3, warmup: int = 1) -> dict[str, float]:
    """Play a few steps to measure what a run costs; the session is of no use afterwards.

    Returns:
        ``seconds_per_step`` (median), ``memory`` (bytes at the highest), ``steps`` and ``warmup``; on a GPU also ``fit``, the rows
        of the largest step that it has memory for.
    """
    import numpy as np
    import torch

    from ali.graphs import WARM_UP
    from ali.machine import keep_memory, rows_that_fit
    from ali.process import threads
    from ali.train import play

    warmup += WARM_UP if session.graph else 0
    batches = session.batches()
    session.run.game.train()
    times, last = [], time.monotonic()
    played = play(
        session.run.game,
        batches,
        session.run.optimizers,
        steps=max(session.steps, warmup + steps),
        seed=0,
        average=session.average,
        decay=session.run.decay,
        precision=session.config["precision"],
        graph=session.graph,
    )
    keep_memory()
    with threads(session.config["threads"]):
        for _ in range(warmup + steps):
            losses = next(played).losses
            _ = [float(loss) for loss in losses.values()]  # waits for the device
            times.append(time.monotonic() - last)
            last = time.monotonic()
    cost = {"seconds_per_step": float(np.median(times[warmup:])), "steps": steps, "warmup": warmup}
    if session.device.type == "cuda":
        peak, held = torch.cuda.max_memory_allocated(session.device), torch.cuda.memory_allocated(session.device)
        # What PyTorch keeps for later is not free to the driver, but to a step.
        free = torch.cuda.mem_get_info(session.device)[0] + torch.cuda.memory_reserved(session.device) - held
        return cost | {"memory": peak, "fit": rows_that_fit(session.batch_size, peak, held, free)}
    import resource

    return cost | {"memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def duration(seconds: float) -> str:
    """Seconds in words."""
    for size, unit in ((172_800, "days"), (7200, "h"), (120, "min")):
        if seconds >= size:
            return f"{seconds / {'days': 86_400, 'h': 3600, 'min': 60}[unit]:.1f} {unit}"
    return f"{seconds:.0f} s"
