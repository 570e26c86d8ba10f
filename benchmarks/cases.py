"""What is measured: a network, a loop, a precision. Ours goes through the public session and the public loop."""

from __future__ import annotations

__all__ = ["BATCH", "NETWORKS", "Case", "noise", "ours", "table"]

from collections.abc import Callable
from importlib import import_module
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch

from ali import recipes
from ali.data.arrays import check
from ali.data.source import Data, Source
from ali.session import Session
from ali.tables import generic
from ali.train import play
from benchmarks import peers

BATCH = 100
NETWORKS = ("svhn", "cifar10", "celeba", "tiny_imagenet", "digits", "mixture")


def table(network: str) -> Any:
    """The rows of a network in the paper's face, as a stand-in takes them."""
    if network != "digits":
        return import_module(f"ali.tables.{network}")
    given, shape = recipes.DATASETS["digits"].paper, (1, 8, 8)
    rows = generic.image(shape, 2 * given["latent"], given["width"], batch_norm=True, dropout=0.2, output="sigmoid")
    return SimpleNamespace(**rows._asdict(), X=shape, Z=given["latent"], SLOPE=0.1, PIECES=2)


def noise(shape: tuple[int, ...], n: int) -> Source:
    """Images of noise, shape (maps, height, width) as the networks see them, or vectors."""
    generator = np.random.default_rng(0)
    if len(shape) == 1:
        return Source(generator.standard_normal((n, *shape), np.float32))
    x = generator.integers(0, 256, (n, *shape[1:], shape[0]), np.uint8)
    return check(x[..., 0] if shape[0] == 1 else x, None, (3, 4), "noise")


def ours(
    dataset: str, shape: tuple[int, ...], batch: int, precision: Any = "float32", pairs: str = "", device: str = "cpu", **more: Any
) -> Callable[[], Any]:
    """A step of the public loop, of a run that is never written, at a learning rate that leaves the losses where they are.

    Arguments:
        precision: "float32" or "bfloat16".
        pairs: D's passes, "together" or "apart"; "" as the recipe has it.
        more: recipe, face, arguments of the recipe.
    """
    rows = noise(shape, max(batch, 4))
    own: dict[str, Any] = {"face": "paper", "lr": 1e-7} | ({"pairs": pairs} if pairs else {}) | more
    session = Session.start(dataset, Data(rows, rows), Path("not-written.run"), batch_size=batch, device=device, precision=precision, **own)
    run, batches = session.run, repeat(next(session.batches()))  # laid out as the session lays them out
    played = play(
        run.game.train(),
        batches,
        run.optimizers,
        steps=10**9,
        seed=0,
        average=session.average,
        decay=run.decay,
        precision=session.config["precision"],
        graph=session.graph,
    )
    return lambda: next(played).losses


class Case(NamedTuple):
    """One row of the table.

    Arguments:
        network: one of ``NETWORKS``.
        loop: "ours", or one of ``peers.LOOPS``.
        precision: "float32" or "bfloat16".
        pairs, face: of ours.
        graph: of ours, on a GPU: captured.
    """

    network: str
    loop: str = "ours"
    precision: str = "float32"
    pairs: str = ""
    face: str = "paper"
    graph: bool = False

    @property
    def words(self) -> str:
        said = [
            self.loop.replace("_", " "),
            "graph" * self.graph,
            "modern face" * (self.face == "modern"),
            f"pairs {self.pairs}" * bool(self.pairs),
        ]
        return ", ".join(word for word in [*said, "bfloat16" * (self.precision == "bfloat16")] if word)

    def step(self, batch: int = BATCH, device: str = "cpu") -> Callable[[], Any]:
        """A function that does one step: one update of D, one of E and G."""
        torch.manual_seed(0)
        rows = table(self.network)
        if self.loop == "ours":
            return ours(self.network, rows.X, batch, self.precision, self.pairs, device, face=self.face, graph=self.graph)
        return peers.LOOPS[self.loop](rows, torch.rand(batch, *rows.X).to(device), self.precision == "bfloat16", device)
