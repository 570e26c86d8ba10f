"""Runs that are trained together: each ends as it would alone, whatever its neighbours do."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import ali
from ali import checkpoint, games, recipes
from ali.data.digits import digits
from ali.data.source import Source, stream
from ali.ensemble import Ensemble, entries
from ali.session import Stopped
from ali.stacked import STACKING, Noise, Stacked, stack
from ali.train import noise_seed, play

STEPS, ROWS = 4, 12
OWN = ({"seed": 3}, {"seed": 8, "lr": 3e-3, "beta1": 0.2}, {"seed": 3, "scale": 0.5, "beta2": 0.9})
SHAPES = {"vector": (3,), "plane": (2,), "image": (1, 4, 4)}


def made(recipe: str, shape: tuple[int, ...], seed: int, **arguments) -> recipes.Run:
    """A run in float64, where rounding stays far below any difference."""
    torch.manual_seed(seed)
    given = {"networks": "mlp", "latent": 2, "width": 6, "depth": 2, "batch_size": ROWS, "ema": 0.9}
    run = recipes.RECIPES[recipe](recipes.Spec(shape), **given | arguments)
    run.game.double().train()
    return run


def rows(shape: tuple[int, ...]) -> Source:
    return Source(np.random.default_rng(0).normal(size=(40, *shape)))


def alone(run: recipes.Run, data: Source, seed: int):
    average = copy.deepcopy(run.game).eval()
    losses = [
        step.losses
        for step in play(
            run.game, stream(data, ROWS, seed), run.optimizers, steps=STEPS, seed=seed, rate=run.rate, average=average, decay=run.decay
        )
    ]
    return losses, average


def assert_near(one: torch.nn.Module, other: torch.nn.Module) -> None:
    a, b = one.state_dict(), other.state_dict()
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=1e-10, msg=lambda words, name=name: f"{name}: {words}")


CASES = {
    **{(recipe, kind, "modern"): {} for recipe in STACKING for kind in ("vector", "image")},
    **{(recipe, "vector", "paper"): {"face": "paper", "penalty": 0.0} for recipe in ("ali", "gan", "aae")},
    ("ali", "vector", "annealed"): {"penalty": 0.1, "penalty_end": 0.01, "schedule": "alternating"},
    ("ali", "vector", "seeds only"): {},
    ("ali", "vector", "implicit"): {"encoder": "implicit"},
    ("ali", "plane", "the mixture's networks"): {"networks": "mixture", "face": "paper", "penalty": 0.0},
    ("ali", "vector", "weight normalisation"): {"weight_norm": True},
    ("ali", "vector", "thin"): {"penalty": 0.1, "thin": 2, "likelihood": 0.5},
    ("ali", "vector", "fourier"): {"frequencies_x": (1.0, 3.0), "frequencies_z": (2.0,)},
    ("gan", "vector", "separate"): {"separate": True, "schedule": "alternating"},
    ("vae", "image", "bernoulli"): {"likelihood": "bernoulli"},
    ("latent_regressor", "vector", "deterministic"): {"encoder": "deterministic"},
}


@pytest.mark.parametrize(("case", "arguments"), CASES.items(), ids=lambda case: "-".join(case) if isinstance(case, tuple) else "")
def test_runs_trained_together_end_as_each_alone(case, arguments):
    recipe, kind, what = case
    shape, each = SHAPES[kind], [{"seed": own["seed"]} for own in OWN] if what == "seeds only" else OWN
    data = rows(shape)
    singles, together = ([made(recipe, shape, **arguments | own) for own in each] for _ in range(2))
    lost, kept = zip(*(alone(run, data, own["seed"]) for run, own in zip(singles, each, strict=True)), strict=True)

    averages = [copy.deepcopy(run.game).eval() for run in together]
    stacked = Stacked(together, [own["seed"] for own in each], averages)
    played = list(stacked.play([stream(data, ROWS, own["seed"]) for own in each], steps=STEPS))

    assert [step.done for step in played] == list(range(1, STEPS + 1))
    for k, single in enumerate(singles):
        assert_near(together[k].game, single.game)
        assert_near(averages[k], kept[k])
        for step, losses in zip(played, lost[k], strict=True):
            assert step.losses.keys() == losses.keys()
            for player, loss in losses.items():
                torch.testing.assert_close(step.losses[player][k], loss, rtol=0, atol=1e-10)
        for player, optimizer in single.optimizers.items():
            own = together[k].optimizers[player].state_dict()["state"]
            for index, state in optimizer.state_dict()["state"].items():
                for name, value in state.items():
                    torch.testing.assert_close(own[index][name], value, rtol=0, atol=1e-10)


SMALL = {"width": 8, "depth": 1, "epochs": 2, "batch_size": 64, "contrast": 0.0}


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "sweep"
    models = ali.Model.train("digits", out=out, runs=[{"seed": 4}, {"seed": 5, "lr": 1e-3, "beta1": 0.3, "scale": 0.7}], **SMALL)
    assert [type(model) for model in models] == [ali.Model, ali.Model]
    return out


def test_folders_are_those_of_runs_alone(together, tmp_path):
    ali.Model.train("digits", out=tmp_path / "alone", seed=5, lr=1e-3, beta1=0.3, scale=0.7, **SMALL)
    names = [{str(p.relative_to(run)) for p in run.rglob("*")} for run in (together / "1", tmp_path / "alone")]
    assert names[0] == names[1]
    configs = [json.loads((run / "config.json").read_text()) for run in (together / "1", tmp_path / "alone")]
    assert configs[0] == configs[1]
    logs = [[json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()] for run in (together / "1", tmp_path / "alone")]
    assert [line["step"] for line in logs[0]] == [line["step"] for line in logs[1]]
    for one, other in zip(*logs, strict=True):
        assert one["loss_generator"] == pytest.approx(other["loss_generator"], abs=1e-3)  # float32, and each step adds its rounding
    for file in ("model.safetensors", "resume/state.safetensors"):
        one, other = (load_file(run / file) for run in (together / "1", tmp_path / "alone"))
        assert one.keys() == other.keys()
        for name in one:
            torch.testing.assert_close(one[name], other[name], rtol=1e-2, atol=1e-3)


def test_a_run_of_several_goes_on_alone(together, tmp_path):
    whole = load_file(together / "0" / "resume" / "state.safetensors")
    ensemble = Ensemble.start("digits", digits(), tmp_path / "cut", entries(2, 4), **SMALL)
    played = ensemble.play()
    while next(played).step < 20:
        pass
    ensemble.stop()
    with pytest.raises(Stopped, match=r"each run goes on alone: `ali train --resume .*/cut/0`, `ali train --resume .*/cut/1`"):
        next(played)
    assert len(checkpoint.read_log(tmp_path / "cut" / "0" / "log.jsonl")) == 21
    ali.Model.resume(tmp_path / "cut" / "0")
    resumed = load_file(tmp_path / "cut" / "0" / "resume" / "state.safetensors")
    assert len(checkpoint.read_log(tmp_path / "cut" / "0" / "log.jsonl")) == 2 * (1397 // 64)
    for name in whole:
        torch.testing.assert_close(resumed[name], whole[name], rtol=1e-2, atol=1e-3)


def test_a_run_that_diverges_leaves_the_others_as_they_are(together, tmp_path):
    runs = [{"seed": 4}, {"seed": 5, "lr": 1e30}, {"seed": 5, "lr": 1e-3, "beta1": 0.3, "scale": 0.7}]
    with pytest.warns(UserWarning, match=r"run 1 of .*no longer a finite number|run 1 of .* became (nan|inf)"):
        models = ali.Model.train("digits", out=tmp_path / "sweep", runs=runs, **SMALL)
    assert models[1] is None
    assert not (tmp_path / "sweep" / "1" / "model.safetensors").exists()  # it had no good checkpoint yet
    for k, before in ((0, 0), (2, 1)):
        one, other = (load_file(run / "model.safetensors") for run in (tmp_path / "sweep" / str(k), together / str(before)))
        for name in one:
            torch.testing.assert_close(one[name], other[name], rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (0, "at least 1"),
        ("none.json", r"none\.json: can not be read .* number of runs, or a JSON file"),
        ([{"seed": 1}, {"width": 3}], r"entry 1: runs that are trained together differ in seed, lr, .* not in 'width'"),
        ([3], r"entry 0: must be an object"),
        ([{"seed": 1}, {"lr": "fast"}], r"run 1: .*lr must be float"),
        ([{"seed": 1.5}], r"entry 0: seed must be a whole number, got 1.5"),
        ([{"scale": 0}], r"run 0: scale must be above 0"),
        (True, "number of runs"),
    ],
)
def test_runs_that_are_none_are_refused_in_words(tmp_path, given, words):
    with pytest.raises(ali.AliError, match=words):
        ali.Model.train("digits", out=tmp_path / "x", runs=given, **SMALL)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("dataset", "options", "words"),
    [
        ("digits", {"recipe": "infogan"}, "recipe infogan: its runs can not be trained together"),
        ("digits", {"contrast": 1.0}, "say contrast 0"),
        ("digits", {"contrast": 0.0, "batch_size": 50, "thin": 4}, "thin must divide the batch size: 50 rows, thin 4"),
        ("digits", {"networks": "conv", "contrast": 0.0}, "a Conv2d: train them one after the other"),
        ("digits", {"recipe": "alad", "spectral": True}, "one after the other"),
        ("digits", {"face": "paper", "contrast": 0.0}, "one after the other"),
    ],
)
def test_what_does_not_stack_is_refused_in_words(tmp_path, dataset, options, words):
    with pytest.raises(ali.AliError, match=words):
        ali.Model.train(dataset, out=tmp_path / "x", runs=2, width=8, depth=1, epochs=2, **options)
    assert not (tmp_path / "x").exists()


def test_runs_that_differ_in_more_are_refused_by_name():
    for arguments, words in (({"width": 7}, "width"), ({"batch_size": 8}, "one batch_size: got 12 and 8"), ({"ema": 0.5}, "one ema")):
        with pytest.raises(ali.AliError, match=words):
            Stacked([made("ali", (3,), 0), made("ali", (3,), 1, **arguments)], [0, 1])


def test_noise_of_a_stack_is_each_run_s_own_and_no_other_is_let_through():
    noise = Noise([1, 2], torch.device("cpu"))
    noise.seed(5)
    noise.rows = 6
    with noise:
        drawn = torch.randn(6, 2), torch.rand_like(torch.zeros(6, 17))
        with pytest.raises(ali.AliError, match="not one for each of 6 rows"):
            torch.randn(5)
    for k, seed in enumerate((1, 2)):
        torch.manual_seed(noise_seed(seed, 5))
        assert torch.equal(drawn[0][k::2], torch.randn(3, 2))
        assert torch.equal(drawn[1][k::2], torch.rand(3, 17))


class Careless(games.GAN):
    """It draws noise as no stack knows it."""

    def losses(self, batch, progress):
        z = torch.empty(len(batch.x), self.prior.dim, dtype=batch.x.dtype).normal_()
        return {player: self.decoder(z).mean.square().mean() + self.discriminator(batch.x).mean() for player in self.players}


def test_a_game_whose_noise_can_not_be_told_apart_is_refused():
    runs = [made("gan", (3,), seed) for seed in (0, 1)]
    for run in runs:
        run.game.__class__ = Careless
    played = Stacked(runs, [0, 1]).play([stream(rows((3,)), ROWS, seed) for seed in (0, 1)], steps=1)
    with pytest.raises(ali.AliError, match="draws noise"):
        next(played)


@pytest.mark.parametrize("networks", ["mlp", "mixture"])
def test_stacked_networks_compute_in_bfloat16_as_networks_alone(networks):
    torch.manual_seed(0)
    arguments = {
        "face": "paper",
        "networks": networks,
        "encoder": "deterministic",
        "latent": 2,
        "penalty": 0.0,
        "cycle": 0.0,
        "regression": 0.0,
    }
    runs = [recipes.ali(recipes.Spec((2,)), **arguments) for _ in range(3)]
    stacked = stack([run.game.train() for run in runs])
    z = torch.randn(3, 20, 2)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        alone = [run.game.decode(z[k]).mean for k, run in enumerate(runs)]
        together = stacked.decode(z.transpose(0, 1).flatten(0, 1)).mean
    for k in range(3):
        assert together.dtype == alone[k].dtype
        torch.testing.assert_close(together[k::3], alone[k], rtol=0.05, atol=0.05 * float(alone[k].abs().max()))


def test_runs_trained_together_in_bfloat16_lose_what_each_loses_alone():
    """In the first step, whose weights are the same; what they lose has full precision."""
    data, found = Source(rows((3,)).x.astype("float32")), []
    singles, together = ([made("ali", (3,), **own) for own in OWN] for _ in range(2))
    for run in (*singles, *together):
        run.game.float()
    for run, own in zip(singles, OWN, strict=True):
        turns = play(run.game, stream(data, ROWS, own["seed"]), run.optimizers, steps=1, seed=own["seed"], precision="bfloat16")
        found.append(next(turns).losses)
    stacked = Stacked(together, [own["seed"] for own in OWN])
    (step,) = stacked.play([stream(data, ROWS, own["seed"]) for own in OWN], steps=1, precision="bfloat16")
    for k, losses in enumerate(found):
        for player, loss in losses.items():
            assert step.losses[player].dtype == torch.float32
            torch.testing.assert_close(step.losses[player][k], loss, rtol=0.02, atol=0.02)


def test_the_command_line_trains_several_runs(tmp_path):
    file = tmp_path / "sweep.json"
    file.write_text('[{"seed": 1}, {"seed": 2, "lr": 0.001}]')
    words = f"train digits --width 8 --depth 1 --epochs 1 --batch-size 64 --contrast 0 --runs {file} --out {tmp_path / 'runs'}".split()
    done = subprocess.run([sys.executable, "-m", "ali.cli", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "2 runs of 21 steps" in done.stdout
    assert [json.loads((tmp_path / "runs" / str(k) / "config.json").read_text())["seed"] for k in range(2)] == [1, 2]
    file.write_text('[{"depth": 1}]')
    done = subprocess.run([sys.executable, "-m", "ali.cli", *words[:-1], tmp_path / "other"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "sweep.json, entry 0" in done.stderr
    assert "Traceback" not in done.stderr
