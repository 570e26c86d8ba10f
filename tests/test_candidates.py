"""A sample's code is chosen by the discriminator among several: their law, what is refused, and which runs do so."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import ali
from ali.cli import main

SMALL = {"networks": "mlp", "width": 8, "depth": 1, "latent": 2, "epochs": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "table"
    ali.Model.train("table", np.random.default_rng(0).normal(0.0, 1.0, (300, 2)), out=folder, **SMALL)
    return folder


@pytest.fixture
def plane(run) -> ali.Model:
    return ali.load(run)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_codes_are_chosen_in_proportion_to_the_density_ratio(plane, monkeypatch, k):
    """Where q / p is 5 for a positive first number and 1 elsewhere, of k codes m positive ones are chosen with 5m / (5m + k - m)."""
    monkeypatch.setattr(plane.game, "log_ratio", lambda x, z: math.log(5) * (z[:, 0] > 0))
    n = 20_000
    positive = (np.concatenate(list(plane.codes(n, seed=1, candidates=k)))[:, 0] > 0).mean()
    expected = sum(math.comb(k, m) / 2**k * 5 * m / (5 * m + k - m) for m in range(k + 1))
    assert abs(positive - expected) < 4 * math.sqrt(0.25 / n)


def test_what_is_weighed_is_the_sample_of_the_very_code(plane, monkeypatch):
    seen = []
    monkeypatch.setattr(plane.game, "log_ratio", lambda x, z: seen.append((x, z)) or torch.zeros(len(z)))
    chosen = torch.from_numpy(np.concatenate(list(plane.codes(10, seed=3, candidates=4))))
    x, z = (torch.cat(parts) for parts in zip(*seen, strict=True))
    assert len(z) == 40
    with torch.no_grad():
        torch.testing.assert_close(x, plane.game.decode(z).mean, rtol=0, atol=0)
    for code, four in zip(chosen, z.unflatten(0, (10, 4)), strict=True):
        assert (code == four).all(1).any()


def test_many_candidates_take_no_more_memory_at_once(plane, monkeypatch):
    drawn, draw = [], plane.game.prior.sample
    monkeypatch.setattr(plane.game.prior, "sample", lambda n: drawn.append(n) or draw(n))
    assert sum(map(len, plane.codes(100, seed=0, candidates=1000))) == 100
    assert sum(drawn) == 100 * 1000
    assert max(drawn) <= 2**14 + 16 * 1000


def test_samples_are_what_the_chosen_codes_stand_for(plane):
    for k in (None, 1, 3):
        z = np.concatenate(list(plane.codes(50, seed=2, candidates=k)))
        np.testing.assert_array_equal(plane.sample(50, seed=2, candidates=k), plane.decode(z))
    assert (plane.sample(50, seed=2) == plane.sample(50, seed=2, candidates=4)).all()
    assert (plane.sample(50, seed=2) != plane.sample(50, seed=2, candidates=1)).any()


def test_bad_numbers_of_candidates_are_refused_in_words(plane, tmp_path):
    for bad in (0, -1, 1001):
        with pytest.raises(ali.AliError, match=rf"candidates .* 1 to 1,000, got {bad}"):
            plane.samples(3, candidates=bad)  # before the first row is asked for
    with pytest.raises(ali.AliError, match="can not choose among 2: only its encoder and decoder were kept"):
        ali.load("digits").sample(3, candidates=2)
    for bad in (0, 1001):
        with pytest.raises(ali.AliError, match="candidates must be at least 1 and below 1001"):
            ali.Model.train("table", np.zeros((50, 2)) + np.arange(50)[:, None], out=tmp_path / "run", **SMALL, candidates=bad)


def test_a_hinge_chooses_no_codes(tmp_path):
    rows = np.random.default_rng(0).normal(0.0, 1.0, (60, 2))
    hinged = ali.Model.train("table", rows, out=tmp_path / "run", **SMALL, objective="hinge")
    hinged.sample(3, seed=0)
    for ask in (
        lambda: hinged.sample(3, candidates=4),
        lambda: ali.Model.train("table", rows, out=tmp_path / "other", **SMALL, objective="hinge", candidates=4),
    ):
        with pytest.raises(ali.AliError, match=r"estimates no ratio of densities .* candidates must be 1"):
            ask()
    assert not (tmp_path / "other").exists()


def test_answers_that_are_no_numbers_are_refused_in_words(plane, monkeypatch):
    monkeypatch.setattr(plane.game, "log_ratio", lambda x, z: torch.full((len(z),), math.nan))
    with pytest.raises(ali.AliError, match="candidates 1 does without"):
        plane.sample(3)


@pytest.mark.parametrize(
    ("arguments", "candidates"),
    [({}, 4), ({"face": "paper", "width": 8}, 1), ({"objective": "hinge"}, 1), ({"candidates": 7}, 7), ({"recipe": "bigan"}, 4)],
)
def test_who_chooses_by_default(tmp_path, arguments, candidates):
    """The paper draws its codes from p(z) alone; a hinge's discriminator does not estimate a ratio of densities."""
    model = ali.Model.train("table", np.random.default_rng(0).normal(0.0, 1.0, (60, 2)), out=tmp_path / "run", **(SMALL | arguments))
    assert model.game.candidates == candidates


def test_a_game_without_a_discriminator_of_pairs_draws_from_the_prior(tmp_path):
    model = ali.Model.train("table", np.random.default_rng(0).normal(0.0, 1.0, (60, 2)), out=tmp_path / "run", recipe="vae", **SMALL)
    assert (model.sample(20, seed=0) == model.sample(20, seed=0, candidates=1)).all()
    with pytest.raises(ali.AliError, match=r"can not choose among 4: vae draws codes straight from p\(z\)"):
        model.sample(3, candidates=4)


def test_command_line_takes_candidates(run, tmp_path, monkeypatch):
    files = [tmp_path / f"{name}.npy" for name in ("default", "four", "one")]
    for file, said in zip(files, ([], ["--candidates", "4"], ["--candidates", "1"]), strict=True):
        monkeypatch.setattr("sys.argv", ["ali", "sample", str(run), "--n", "30", "--seed", "0", "--out", str(file), *said])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
    default, four, one = (np.load(file) for file in files)
    assert (default == four).all()
    assert (default != one).any()


def test_evaluation_measures_the_samples_that_it_is_told_to(plane):
    rows = np.random.default_rng(1).normal(0.0, 1.0, (200, 2))
    numbers = [ali.evaluate(plane, (rows[:150], rows[150:]), candidates=k)["frechet"] for k in (None, 4, 1)]
    assert numbers[0] == numbers[1]
    assert all(a != b for a, b in itertools.pairwise(numbers[1:]))
