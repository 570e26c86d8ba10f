"""Precision of products, and memory that is kept."""

from __future__ import annotations

import json
import platform
import resource

import pytest
import torch

import ali
from ali import games, machine
from ali.data.digits import digits
from ali.data.source import Batch
from ali.errors import AliError
from ali.recipes import RECIPES, Spec
from ali.train import play

SMALL = {"networks": "conv", "width": 8, "latent": 4, "batch_size": 32, "epochs": 1}


def gradient(precision: str, recipe: str) -> torch.Tensor:
    """Of all players, after the first step of an optimiser that leaves gradients where they are."""
    torch.manual_seed(0)
    run = RECIPES[recipe](Spec((1, 8, 8), tuple("abc")), **SMALL)
    kept: list[torch.Tensor] = []

    class Keep(torch.optim.SGD):
        def step(self, closure=None):
            kept.extend(p.grad.clone().flatten() for group in self.param_groups for p in group["params"] if p.grad is not None)

    optimizers = {player: Keep(games.parameters(run.game, player), lr=0.0) for player in run.game.players}
    batch = Batch(torch.rand(32, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1, torch.arange(32) % 3)
    next(play(run.game, iter([batch]), optimizers, steps=1, seed=0, precision=precision))
    assert all(p.dtype == torch.float32 for p in run.game.parameters())
    assert all(slope.dtype == torch.float32 for slope in kept)
    return torch.cat(kept)


@pytest.mark.parametrize("recipe", ["ali", "bigan", "gan", "vae", "hali", "alad", "bigbigan"])
def test_bfloat16_gradients_are_those_of_full_precision_but_for_their_rounding(recipe):
    full, half = gradient("float32", recipe), gradient("bfloat16", recipe)
    assert not torch.equal(full, half)
    # bfloat16 keeps 8 bits, a rounding of 2^-9 = 0.2 % per product; through some ten layers forth and back, tens of them add up.
    assert (half - full).norm() < 0.2 * full.norm()


def test_a_run_in_bfloat16_says_so_and_goes_on_so(tmp_path):
    model = ali.Model.train("digits", out=tmp_path / "run", precision="bfloat16", **SMALL)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["precision"] == "bfloat16"
    assert model.reconstruct(digits().test.x[:3]).shape == (3, 8, 8)


def test_an_unknown_precision_is_refused():
    with pytest.raises(AliError, match=r"unknown precision 'float16': choose float32 or bfloat16"):
        machine.check_precision("float16", torch.device("cpu"))


def test_a_processor_without_bfloat16_is_told(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(machine.platform, "machine", lambda: "x86_64")
    with pytest.warns(UserWarning, match="no products of bfloat16"):
        machine.check_precision("bfloat16", torch.device("cpu"))


def test_memory_can_be_kept_anywhere(monkeypatch):
    glibc = platform.libc_ver()[0] == "glibc"
    assert machine.keep_memory() == (glibc and resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY)

    def missing(name: None) -> None:
        raise OSError

    monkeypatch.setattr(machine.ctypes, "CDLL", missing)  # a platform without such a library
    assert not machine.keep_memory()


@pytest.mark.parametrize("gradients", [0, 100])
def test_the_largest_step_that_a_gpu_has_memory_for_fits_and_is_no_fifth_smaller_than_need_be(gradients):
    held, each, free = 300, 10, 5000

    def peak(rows):
        return held + gradients + each * rows

    rows = machine.rows_that_fit(64, peak(64), held, free)
    assert peak(rows) <= held + free < peak(rows * 1.2 + 1)
