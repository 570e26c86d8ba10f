"""Health while training: numbers against other implementations, trouble provoked and told, no false alarms, going back, exact resuming."""

from __future__ import annotations

import json
import math
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.stats import wasserstein_distance
from torch import Tensor, nn

import ali
from ali import games, health, recipes
from ali.data.source import Batch, Data, Source
from ali.distributions import Dirac, StandardNormal
from ali.evaluation import metrics
from ali.health import Gauge, Watch
from ali.networks import Deterministic
from ali.recovery import TRIES
from ali.session import Session, Stopped
from ali.train import constant


def normal(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("n", "d"), [(300, 2), (200, 30), (4, 3)])
def test_coverage_equals_that_of_the_evaluation(n, d):
    for fake in (normal(n, d, 1), 0.5 * normal(n, d, 1) + 1, normal(n, d).round()):
        for real in (normal(n, d), normal(n, d).round()):  # rounded rows have neighbours at distance 0
            assert health.coverage(real, fake) == pytest.approx(metrics.prdc(real.numpy(), fake.numpy())["coverage"], abs=1e-12)


class Plain(games.Game):
    """x = a z + b and back: all of its numbers are known."""

    def __init__(self, d: int, a: float = 1.0, b: float = 0.0, back: float = 1.0):
        super().__init__()
        self.prior, self.a, self.b, self.back = StandardNormal(d).double(), a, b, back
        self.players, self.unused = {}, nn.Linear(1, 1)

    def losses(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        return {}

    def encode(self, x: Tensor) -> Dirac:
        return Dirac(self.back * x)

    def decode(self, z: Tensor) -> Dirac:
        return Dirac(self.a * z + self.b)


def test_a_perfect_game_gets_perfect_numbers():
    values = [Gauge(normal(400, 3, seed)).measure(Plain(3)) for seed in range(5)]
    mean = {name: np.mean([v[name] for v in values]) for name in values[0]}
    assert mean["reconstruction"] == pytest.approx(0, abs=1e-20)
    assert mean["coverage"] == pytest.approx(1 - 2**-5, abs=0.02)  # Naeem et al. 2020
    assert mean["codes"] == pytest.approx(mean["codes_floor"], rel=0.35)
    assert mean["samples"] == pytest.approx(math.sqrt(2) * mean["codes_floor"], rel=0.35)  # the rows are draws, too
    assert mean["precision"] == pytest.approx(1, abs=0.05)


def test_sliced_distances_equal_the_mean_of_scipy_s_on_each_slice():
    x, game, torch_noise = normal(80, 5), Plain(5, a=2.0, b=1.0), torch.get_rng_state()
    values = Gauge(x).measure(game)
    torch.manual_seed(0)
    made, drawn = 2 * game.prior.sample(80) + 1, torch.cat([game.prior.sample(80) for _ in range(health.FINE)])
    torch.set_rng_state(torch_noise)
    slices = health._directions(5).T
    samples, codes = (np.mean([wasserstein_distance((a @ u).numpy(), (b @ u).numpy()) for u in slices]) for a, b in ((made, x), (x, drawn)))
    assert values["samples"] == pytest.approx(samples / x.var(0, unbiased=False).mean().sqrt().item(), rel=1e-6)
    # Against the middles of the prior's small steps, not the steps themselves.
    assert values["codes"] == pytest.approx(codes, rel=0.05)


def test_numbers_of_games_that_are_wrong_by_a_known_amount():
    x = normal(500, 1)
    x = (x - x.mean()) / x.std(unbiased=False)
    shifted = Gauge(x).measure(Plain(1, b=10.0))
    assert shifted["samples"] == pytest.approx(10, abs=0.2)
    assert shifted["reconstruction"] == pytest.approx(100, rel=1e-9)
    assert shifted["coverage"] == shifted["precision"] == 0
    narrow, wide = (Gauge(normal(500, 3)).measure(Plain(3, a=a)) for a in (0.3, 3.0))
    assert narrow["precision"] == 1 > narrow["coverage"] + 0.5
    assert wide["precision"] < 0.4 < wide["coverage"]
    silent = Gauge(x).measure(Plain(1, back=0.0))  # codes all 0, so reconstructions all the mean
    assert silent["reconstruction"] == pytest.approx(1, rel=1e-9)
    assert silent["codes"] == pytest.approx(math.sqrt(2 / math.pi), abs=0.02)  # E |z|
    loud = Gauge(x).measure(Plain(1, back=2.0))
    assert loud["codes"] == pytest.approx(math.sqrt(2 / math.pi), abs=0.1)  # E |2 z - z|: quantiles are compared
    assert silent["codes_floor"] == loud["codes_floor"] < 0.06


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"coverage": 0.02, "reconstruction": 2.8}, "reconstructions are worse than the mean row: an error of 280% of the variance"),
        ({"coverage": 0.02}, "samples cover little: they come near 2% of the held-out rows, with 100% of the training done"),
    ],
)
def test_a_bad_run_is_not_called_healthy_because_it_was_short(values, words):
    watch = Watch()
    assert watch.look(1.0, values) == []  # one look: nothing to compare it with
    assert watch.verdict(values).startswith("Not healthy: ")
    assert words in watch.verdict(values)


def test_a_discriminator_that_loses_more_than_who_guesses_has_not_won():
    watch = Watch()
    watch.hear({"discriminator": 158.0})
    watch.look(0.5, {"samples": 3.0})
    watch.hear({"discriminator": 7.0})
    assert watch.look(0.6, {"samples": 3.0}) == []


def test_measuring_leaves_noise_and_mode_alone_and_is_repeatable():
    gauge, game = Gauge(normal(50, 2), at_once=7), Plain(2).train()
    torch.manual_seed(3)
    want = torch.randn(4)
    torch.manual_seed(3)
    one = gauge.measure(game)
    assert torch.equal(torch.randn(4), want)
    assert game.training
    assert one == gauge.measure(game)
    assert one == Gauge(normal(50, 2), at_once=50).measure(game)  # whatever is looked at together
    assert one != gauge.measure(game, seed=1)


@pytest.mark.parametrize(("steps", "batch_size", "there"), [(3003, 64, 400), (6248, 128, 500), (100_000, 100, 10_000), (500, 64, 400)])
def test_rows_measured_are_few_beside_those_trained_on(steps, batch_size, there):
    looks, n = health.moments(steps, batch_size, there)
    assert len(looks) * n <= health.SHARE * steps * batch_size
    assert looks[-1] == steps
    assert looks == sorted(set(looks))
    assert health.ROWS[0] <= n <= min(there, health.ROWS[1])
    assert np.ptp(np.diff([0, *looks])) <= 1  # evenly
    assert health.moments(2, 2, there)[0] == [2]  # a short run is measured at its end


def test_trouble_is_told_once_and_again_when_it_returns():
    watch, good, bad = Watch(), {"coverage": 0.9}, {"coverage": 0.3}
    told = [watch.look(0.1 * k, values) for k, values in enumerate([good, bad, bad, good, bad])]
    assert [len(words) for words in told] == [0, 1, 0, 0, 1]
    assert "samples collapsed: they come near 30% of the held-out rows, after 90% before" in told[1][0]
    assert watch.verdict(bad).startswith("Not healthy: samples collapsed")
    watch.look(0.6, good)
    assert watch.verdict(good) == "Healthy: covers 90%."


@pytest.mark.parametrize(
    ("before", "now", "losses", "words"),
    [
        ({"reconstruction": 0.1}, {"reconstruction": 0.35}, {}, "reconstructions got worse: an error of 35% of the variance, after 10%"),
        ({}, {"codes": 0.5, "codes_floor": 0.1}, {}, r"codes ignore the prior: q\(z\) lies 0.40 standard deviations"),
        ({}, {"coverage": 0.01}, {}, "samples cover little: they come near 1% of the held-out rows"),
        ({}, {"samples": 0.5}, {"discriminator": 0.001}, "the discriminator has won: its loss is 0.001, after 1.400 at first"),
        ({}, {}, {"generator": 200.0}, "the loss of the generator explodes: 200, after at most 2"),
    ],
)
def test_each_kind_of_trouble_has_words(before, now, losses, words):
    watch = Watch()
    watch.hear({"discriminator": 1.4, "generator": 1.4})
    for progress in (0.1, 0.2, 0.3, 0.4):
        watch.hear({"discriminator": 1.2, "generator": 2.0})
        assert watch.look(progress, before) == []
    watch.hear({"discriminator": 1.0, "generator": 2.0} | losses)
    found = watch.look(0.9, now)
    assert len(found) == 1
    assert re.search(words, found[0])


class Harmed(games.Game):
    """An autoencoder of three numbers that is harmed for a share of its training: its loss is no number, or drives samples to one point,
    or its weights double at each step."""

    def __init__(self, start: float, end: float, how: str):
        super().__init__()
        self.encoder, self.decoder = Deterministic(nn.Linear(3, 3)), Deterministic(nn.Linear(3, 3))
        self.prior, self.start, self.end, self.how = StandardNormal(3), start, end, how
        self.players, self.schedule = {"generator": [self.encoder, self.decoder]}, (("generator",),)

    def losses(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        wrong = bool(self.start <= progress < self.end)
        if wrong and self.how == "far":
            with torch.no_grad():
                for weights in self.parameters():
                    weights.mul_(2)
        z_hat = self.encoder(batch.x).rsample()
        loss = (self.decoder(z_hat).mean - batch.x).square().mean() + (z_hat.T @ z_hat / len(z_hat) - torch.eye(3)).square().mean()
        if wrong and self.how != "far":
            loss = loss * math.nan if self.how == "nan" else 1e3 * (self.decoder(self.prior.sample(64)).mean - 5).square().mean()
        return {"generator": loss + 0 * torch.randn(())}

    def encode(self, x: Tensor) -> Dirac:
        return self.encoder(x)

    def decode(self, z: Tensor) -> Dirac:
        return self.decoder(z)


def harmed(spec: recipes.Spec, *, start: float = 2.0, end: float = 2.0, how: str = "nan") -> recipes.Run:
    """Recipe of a game that goes wrong when it is told to."""
    game = Harmed(start, end, how)
    optimizers: dict[str, Any] = {"generator": torch.optim.Adam(game.parameters(), lr=0.02)}
    return recipes.Run(game, optimizers, batch_size=100, epochs=40, rate=constant, decay=0.9)


ROWS = np.random.default_rng(0).normal(size=(1500, 3)).astype(np.float32)


def start(out: Path, face: str = "modern", **options: Any) -> Session:
    data = Data(Source(ROWS[:1000]), Source(ROWS[1000:]))
    return Session.start("table", data, out, recipe=harmed, face=face, **options)


def finish(session: Session, until: int | None = None) -> list[str]:
    words = []
    reports = session.play()
    for report in reports:
        words += report.warnings
        if until is not None and report.step >= until:
            session.stop()
            with pytest.raises(Stopped):
                next(reports)
            break
    return words


def weights(run: Path) -> dict[str, Tensor]:
    return load_file(run / "model.safetensors") | load_file(run / "resume" / "state.safetensors")


def test_a_loss_that_is_no_number_is_survived(tmp_path):
    session = start(tmp_path / "run", start=0.5, end=0.5001)  # one step in the middle
    words = finish(session)
    assert len(words) == 1
    assert re.search("the loss of the generator became nan. Step 201: back to the networks of step (80|160),", words[0])
    assert "learning rates times 0.5" in words[0]
    assert session.step == session.steps == 400
    assert session.run.optimizers["generator"].param_groups[0]["lr"] == pytest.approx(0.01)
    assert all(torch.isfinite(tensor).all() for tensor in weights(tmp_path / "run").values())
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["warnings"] for line in lines if "warnings" in line] == [words]
    assert lines[-1]["verdict"].startswith("Healthy: covers 9")
    assert lines[-1]["health_reconstruction"] < 0.01


def test_a_loss_that_stays_no_number_stops_the_run_after_a_few_times(tmp_path):
    session = start(tmp_path / "run", start=0.5)
    with pytest.raises(Stopped, match=r"the loss of the generator became nan at step 204 of 400"):
        finish(session)
    assert session.guard.tries == TRIES == 3


def test_the_papers_face_only_says_so(tmp_path):
    session = start(tmp_path / "nan", face="paper", start=0.5, end=0.5001)
    with pytest.raises(Stopped, match="became nan at step 201"):
        finish(session)
    session = start(tmp_path / "collapse", face="paper", start=0.5, end=0.6, how="collapse")
    words = finish(session)
    assert any("samples collapsed: they come near" in said for said in words)
    assert session.guard.tries == 0


def test_a_collapse_is_told_and_gone_back_from(tmp_path):
    session = start(tmp_path / "run", start=0.5, end=0.6, how="collapse")
    words = finish(session)
    assert 1 <= session.guard.tries <= TRIES
    assert all("samples collapsed" in said and "back to the networks of step" in said for said in words)
    assert session.guard.verdict().startswith("Healthy: covers 9")


@pytest.mark.parametrize(("held", "words"), [(300, None), (60, "140 of the 200 rows looked at were learned from")])
def test_a_verdict_says_how_many_rows_it_learned_from(tmp_path, held, words):
    data = Data(Source(ROWS[held:1000]), Source(ROWS[:held]))
    session = Session.start("table", data, tmp_path / "run", recipe=harmed)
    finish(session)
    assert (words in session.verdict()) if words else "learned from" not in session.verdict()


def test_a_run_that_goes_astray_at_once_begins_anew(tmp_path):
    session = start(tmp_path / "run", start=0.0, end=0.02, how="far")
    words = finish(session)
    assert len(words) == 1
    assert re.search(r"the networks went astray: their score is .*back to the networks of step 0, learning rates times 0.5", words[0])
    assert session.guard.tries == 1
    assert session.guard.verdict().startswith("Healthy: covers 9")
    words = finish(start(tmp_path / "paper", face="paper", start=0.0, end=0.02, how="far"))
    assert any("the networks went astray" in said for said in words)


def test_a_run_that_ends_worse_than_it_was_keeps_its_best_networks(tmp_path):
    session = start(tmp_path / "run", start=0.97, how="collapse")  # after the last moment but one
    words = finish(session)
    assert "the last networks are worse than those of step" in words[-1]
    kept, best = load_file(tmp_path / "run" / "model.safetensors"), session.guard.best
    assert all(torch.equal(kept[name], best[name]) for name in best)
    assert session.guard.verdict().startswith("Kept the networks of step ")
    x = ali.load(tmp_path / "run", recipe=harmed).sample(500, seed=1)
    assert np.abs(x.mean(0)).max() < 1  # the collapsed ones are at 5
    # A finished run that is resumed still ends with them.
    finish(Session.resume(tmp_path / "run", Data(Source(ROWS[:1000]), Source(ROWS[1000:])), recipe=harmed))
    assert all(torch.equal(tensor, kept[name]) for name, tensor in load_file(tmp_path / "run" / "model.safetensors").items())


@pytest.mark.parametrize("until", [100, 230, 399])
@pytest.mark.parametrize(("how", "end"), [("nan", 0.5001), ("collapse", 0.6)])
def test_a_run_that_went_back_is_resumed_bit_for_bit(tmp_path, how, end, until):
    data = Data(Source(ROWS[:1000]), Source(ROWS[1000:]))
    words = finish(start(tmp_path / "whole", start=0.5, end=end, how=how))
    told = finish(start(tmp_path / "parts", start=0.5, end=end, how=how), until=until)
    torch.manual_seed(99)
    told += finish(Session.resume(tmp_path / "parts", data, recipe=harmed))
    assert told == words != []
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_watching_changes_nothing_in_training(tmp_path, monkeypatch):
    small = {"width": 16, "depth": 1, "epochs": 20}
    ali.Model.train("digits", out=tmp_path / "watched", **small)
    monkeypatch.setattr(health, "MOMENTS", 1)
    ali.Model.train("digits", out=tmp_path / "alone", **small)
    logs = [[json.loads(line) for line in (tmp_path / run / "log.jsonl").read_text().splitlines()] for run in ("watched", "alone")]
    assert [sum("health_coverage" in line for line in log) for log in logs] == [3, 1]
    one, other = (load_file(tmp_path / run / "model.safetensors") for run in ("watched", "alone"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_trouble_is_a_warning_in_python(tmp_path):
    with pytest.warns(UserWarning, match="step 201: the loss of the generator became nan"):
        ali.Model.train("table", Data(Source(ROWS[:1000]), Source(ROWS[1000:])), out=tmp_path / "run", recipe=harmed, start=0.5, end=0.5001)


@pytest.mark.parametrize("rows", [3, 12])
def test_few_rows_are_enough(tmp_path, rows):
    session = Session.start("table", Data(Source(ROWS[:rows]), Source(ROWS[rows : rows + 1])), tmp_path / "run", recipe=harmed)
    assert finish(session) == []
    assert session.guard.gauge is not None
    assert len(session.guard.gauge.x) == rows + 1


@pytest.mark.parametrize("recipe", ["ali", "vae"])
def test_measuring_costs_less_than_a_fiftieth_of_training(tmp_path, monkeypatch, recipe):
    spent, measure = [], Gauge.measure

    def timed(self, *given, **named):
        began = time.process_time()
        values = measure(self, *given, **named)
        spent.append(time.process_time() - began)
        return values

    monkeypatch.setattr(Gauge, "measure", timed)
    session = Session.start("digits", recipes.DATASETS["digits"].open(), tmp_path / "run", recipe=recipe, epochs=16)
    began = time.process_time()
    assert finish(session) == []
    assert len(spent) >= 2
    assert sum(spent) < 0.02 * (time.process_time() - began)
