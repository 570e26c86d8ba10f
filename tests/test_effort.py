"""One dial: quick, normal and best follow the data, leave a named data set's normal alone, and give way to what a person says."""

import json
from dataclasses import replace

import numpy as np
import pytest
from test_cli import run, works

import ali
from ali import AliError, recipes
from ali.data.digits import digits
from ali.recipes.effort import EFFORTS, PASSES, SMALLEST, STEPS, arranged, length_said
from ali.session import Session

TABLE = recipes.defaults(recipes.ali, "table", "modern")
SMALL = {"networks": "mlp", "width": 8, "depth": 1}


def resolved(effort, rows, known=TABLE, sized=False, cuda=False, shape=(9,), **said):
    return known | arranged(effort, known, said, rows=rows, shape=shape, sized=sized, cuda=cuda) | said


def steps(arguments, rows):
    return arguments["epochs"] * (rows // min(arguments["batch_size"], rows))


@pytest.mark.parametrize(
    ("shape", "latent", "fine"),  # fine: of x, and of z
    [
        ((1000, 2), 2, (True, True)),
        ((999, 2), 2, (False, False)),
        ((5000, 16), 8, (True, True)),
        ((5000, 17), 8, (False, True)),
        ((4999, 17), 8, (False, False)),
        ((), 8, (False, False)),
    ],
)
def test_networks_see_fine_structure_where_there_are_rows_to_learn_it_from(shape, latent, fine):
    for name in ("ali", "bigan", "egbad", "vae"):
        found = recipes.defaults(recipes.RECIPES[name], "table", "modern", shape)
        assert found["latent"] == latent, "q(z) of fewer numbers than z has can not match p(z)"
        seen = bool(found["frequencies_x"]), bool(found["frequencies_z"])
        assert seen == (fine if name in ("ali", "bigan") else (False, False))
    assert recipes.defaults(recipes.ali, "table", "paper", shape)["latent"] == 8


@pytest.mark.parametrize("dataset", [name for name in recipes.DATASETS if length_said(recipes.ali, name)])
@pytest.mark.parametrize("rows", [100, 1397, 60_000, 10**6])
def test_normal_is_what_a_named_data_set_says(dataset, rows):
    known = recipes.defaults(recipes.ali, dataset, "modern")
    assert arranged("normal", known, {}, rows=rows, shape=(28, 28), sized=True) == {}
    quick, best = (resolved(effort, rows, known, sized=True) for effort in ("quick", "best"))
    assert quick["epochs"] == max(1, round(known["epochs"] / 4))
    assert best["epochs"] * best["width"] > 2 * known["epochs"] * known["width"]


def test_only_tables_and_images_count_in_steps():
    assert {name for name in recipes.DATASETS if not length_said(recipes.ali, name)} == {"images", "table"}


@pytest.mark.parametrize("rows", [16, 90, 270, 1000, 7777, 50_000, 400_000])
@pytest.mark.parametrize("effort", EFFORTS)
def test_the_length_is_counted_in_steps_whatever_the_rows(rows, effort):
    made, wanted = resolved(effort, rows), STEPS["rows"] * {"quick": 0.25, "normal": 1, "best": 2}[effort]
    if effort == "best" and rows <= 1000:  # as long as normal, or until each row has been seen 600 times
        assert made["epochs"] == max(PASSES, resolved("normal", rows)["epochs"])
    else:
        assert wanted / 1.5 <= steps(made, rows) <= 1.5 * wanted
    assert made["batch_size"] <= max(SMALLEST, rows / 4)


def test_very_many_rows_are_seen_once_in_larger_batches():
    made = resolved("quick", 10**6)
    assert (made["epochs"], made["batch_size"]) == (1, 1024)


def test_more_effort_is_longer_and_wider():
    quick, normal, best = (resolved(effort, 5000) for effort in EFFORTS)
    assert steps(quick, 5000) < steps(normal, 5000) < steps(best, 5000)
    assert quick["width"] <= normal["width"] == TABLE["width"] < best["width"]


def test_what_is_said_wins_and_the_rest_follows():
    assert resolved("best", 300, epochs=3, width=5) == TABLE | {"epochs": 3, "width": 5}
    assert resolved("normal", 300, batch_size=100)["epochs"] == round(STEPS["rows"] / 3)


def test_large_images_are_as_wide_as_the_machine_bears():
    known = recipes.defaults(recipes.ali, "images", "modern")

    def width(size, cuda, effort="normal"):
        return resolved(effort, 300, known, shape=(size, size, 3), cuda=cuda)["width"]

    assert width(64, False) < width(8, False) == width(8, True) == known["width"] < width(64, True)
    assert width(64, False, "best") == 1.5 * width(64, False)
    assert steps(resolved("normal", 300, known, shape=(64, 64, 3)), 300) == pytest.approx(STEPS["images"], rel=0.01)
    assert arranged("normal", known | {"epochs": 9}, {}, rows=300, shape=(64, 64, 3), sized=True, cuda=True) == {}


def test_deeper_networks_learn_slowly_unless_a_rate_is_said():
    known = recipes.defaults(recipes.ali, "images", "modern")
    assert resolved("normal", 300, known, shape=(32, 32, 3), networks="residual")["lr"] == 5e-4
    assert resolved("normal", 300, known, shape=(32, 32, 3), networks="residual", lr=1e-3)["lr"] == 1e-3
    assert resolved("normal", 300, known, shape=(32, 32, 3), networks="conv")["lr"] == known["lr"] == 2e-3


def test_a_run_stores_what_was_resolved(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 3))
    model = ali.Model.train("table", x, out=tmp_path / "run", effort="quick", batch_size=4, width=8, depth=1, recipe="vae")
    assert model.config["effort"] == "quick"
    assert model.config["arguments"]["epochs"] == round(STEPS["rows"] / 4 / 9)  # of 36 rows
    assert json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])["step"] == 9 * model.config["arguments"]["epochs"]
    assert Session.resume(tmp_path / "run", ali.Data(*_split(x))).steps == 9 * model.config["arguments"]["epochs"]


def _split(x):
    from ali.data.source import split
    from ali.opening import in_memory

    return split(in_memory(x, True), 0.1)


def test_rows_that_are_drawn_for_their_labels_do_not_lengthen_a_training():
    known = {"epochs": 50, "batch_size": 64, "width": 32, "labelled": None}
    for labelled in (None, 16):
        now = known | {"labelled": labelled}
        changed = now | arranged("normal", now, {}, rows=1800, shape=(16, 16), sized=False)
        plain = changed["batch_size"] - (labelled or changed["batch_size"] // 2)
        assert changed["epochs"] * (1800 // plain) == pytest.approx(STEPS["images"], rel=0.03)


def test_normal_is_the_default_and_the_paper_has_none(tmp_path):
    modern = Session.start("digits", digits(), tmp_path / "a", **SMALL)
    paper = Session.start("digits", digits(), tmp_path / "b", face="paper", **SMALL)
    assert (modern.config["effort"], paper.config["effort"]) == ("normal", None)
    assert modern.config["arguments"]["epochs"] == recipes.defaults(recipes.RECIPES["ali"], "digits", "modern")["epochs"]
    assert paper.config["arguments"]["epochs"] == recipes.DATASETS["digits"].paper["epochs"]


def mine(spec, width=8):
    return replace(recipes.ali(spec, networks="mlp", width=width, depth=1), epochs=1)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"effort": "quack"}, "choose one of quick, normal, best"),
        ({"effort": "quick", "face": "paper"}, "as the paper says: leave effort out"),
        ({"effort": "best", "recipe": mine}, "mine says itself how it is trained"),
    ],
)
def test_an_effort_that_there_is_not_is_refused(given, words, tmp_path):
    with pytest.raises(AliError, match=words):
        Session.start("digits", digits(), tmp_path / "run", **given)


def test_a_recipe_of_one_s_own_keeps_its_length(tmp_path):
    session = Session.start("digits", digits(), tmp_path / "run", recipe=mine)
    assert (session.config["effort"], session.run.epochs) == (None, 1)


def test_on_the_command_line(tmp_path):
    assert "--effort" in works("train", "table", "--help")
    done = run("train", "digits", "--face", "paper", "--effort", "best", cwd=tmp_path)
    assert (done.returncode, "leave effort out" in done.stderr) == (2, True)
    printed = works("train", "digits", "--dry-run", "--width", 8, "--depth", 1, cwd=tmp_path)
    assert "--effort quick: about " in printed
    assert "--effort best: about " in printed
    assert not list(tmp_path.iterdir())
