"""The command line as a user meets it: what it prints, writes and refuses."""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

import ali
from ali import files, recipes
from ali.cli import main
from ali.data.digits import digits

FAST = ["--width", "16", "--depth", "1", "--epochs", "2"]


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def run(*tokens: object, cwd: Path | None = None) -> Done:
    """A command in this process, as the entry point runs it: torch need not be loaded each time."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", ["ali", *map(str, tokens)])
        if cwd is not None:
            patch.chdir(cwd)
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 0
    return Done(status, out.getvalue(), err.getvalue())


def works(*tokens: object, cwd: Path | None = None) -> str:
    done = run(*tokens, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as picture:
        return np.asarray(picture)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "digits"
    printed = works("train", "digits", "--out", out, *FAST)
    assert "1,397 rows to learn from, 400 held out" in printed
    assert re.search(r"100 %  [\d,]+ rows/s, 0 s left; losses: discriminator \d", printed)
    return out


@pytest.fixture(scope="module")
def mixture(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "mixture"
    works("train", "mixture", "--shape", "rings", "--n", "2000", "--out", out, *FAST)
    return out


def test_a_reader_who_has_had_enough_is_no_error():
    """As ``ali ... | head``: the pipe is closed before anything is printed."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "ali.cli", "train", "digits", "--dry-run"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_help_does_not_load_torch_and_names_every_verb():
    code = "import sys; sys.argv = ['ali', '--help']\nfrom ali.cli import main\ntry: main()\nfinally: print('torch' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert printed.rstrip().endswith("False")
    for verb in ("train", "sample", "encode", "decode", "reconstruct", "interpolate", "edit", "export", "evaluate", "demo"):
        assert re.search(rf"\b{verb}\b", printed)


@pytest.mark.parametrize("face", ["modern", "paper"])
def test_help_of_a_data_set_lists_every_argument_with_the_defaults_of_the_face(face):
    printed = " ".join(re.sub("[│╭╮╰╯─]", " ", works("train", "digits", "--face", face, "--help")).split())
    for name, value in recipes.defaults(recipes.ali, "digits", face).items():
        flag = f"--{name.replace('_', '-')}"
        assert flag in printed
        if isinstance(value, int | float):
            described = printed.split(f"{flag} ", 1)[1].split(" --", 1)[0]
            assert f"[default: {value}]" in described, described


@pytest.mark.parametrize("recipe", recipes.RECIPES)
def test_every_recipe_has_its_flags_on_every_data_set(recipe):
    """A recipe's arguments must not be called like what every run, or a data set, has already."""
    for dataset in recipes.DATASETS:
        assert "--lr" in works("train", dataset.replace("_", "-"), "--recipe", recipe, "--help")


def test_labels_of_pictures_are_matched_by_their_names(conditional, tmp_path):
    rows = digits().test
    works("sample", conditional, "--n", 12, "--out", tmp_path / "pictures")
    names = [f"{k:06d}.png" for k in range(12)]
    order = np.random.default_rng(0).permutation(12)
    (tmp_path / "labels.csv").write_text("file_name,label\n" + "".join(f"{names[k]},{rows.y[k]}\n" for k in order))
    (tmp_path / "plain.csv").write_text("label\n" + "".join(f"{rows.y[k]}\n" for k in range(12)))
    for name in ("labels", "plain"):
        works("encode", conditional, tmp_path / "pictures", "--labels", tmp_path / f"{name}.csv", "--out", tmp_path / f"{name}.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "labels.npy"), np.load(tmp_path / "plain.npy"))
    np.save(tmp_path / "x.npy", rows.x[:12])
    refused = run("encode", conditional, tmp_path / "x.npy", "--labels", tmp_path / "labels.csv", "--out", tmp_path / "z.npy")
    assert refused.returncode == 2
    assert "file_name" in refused.stderr


def test_verbs_write_what_they_say(trained, tmp_path):
    works("sample", trained, "--n", 9, "--out", tmp_path / "grid.png", "--seed", 1)
    assert pixels(tmp_path / "grid.png").shape[0] >= 28
    works("sample", trained, "--n", 9, "--out", tmp_path / "folder", "--seed", 1)
    works("sample", trained, "--n", 9, "--out", tmp_path / "x.npy", "--seed", 1)
    x = np.load(tmp_path / "x.npy")
    assert x.shape == (9, 8, 8)
    pictures = sorted((tmp_path / "folder").glob("*.png"))
    assert len(pictures) == 9
    np.testing.assert_allclose(pixels(pictures[4]) / 255, x[4] / 16, atol=1 / 255)

    model = ali.load(trained)
    for ending in ("csv", "parquet", "npy"):
        works("encode", trained, tmp_path / "folder", "--out", tmp_path / f"z.{ending}")
        z = np.concatenate(list(files.read_numbers(tmp_path / f"z.{ending}")))
        np.testing.assert_allclose(z, model.encode(x), atol=1e-6)
        works("decode", trained, tmp_path / f"z.{ending}", "--out", tmp_path / "back.npy")
        np.testing.assert_array_equal(np.load(tmp_path / "back.npy"), model.reconstruct(x))
    works("reconstruct", trained, tmp_path / "x.npy", "--out", tmp_path / "r.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "r.npy"), model.reconstruct(x))
    works("interpolate", trained, "--out", tmp_path / "walk.npy", "--n", 3, "--steps", 5, "--how", "spherical")
    held = digits().test.x
    np.testing.assert_array_equal(
        np.load(tmp_path / "walk.npy").reshape(3, 5, 8, 8), model.interpolate(held[:3], held[3:6], 5, how="spherical")
    )
    for verb in ("reconstruct", "interpolate"):
        works(verb, trained, "--out", tmp_path / f"{verb}.png")
        assert pixels(tmp_path / f"{verb}.png").shape[1] > 80


def test_codes_are_read_by_the_names_of_their_columns(trained, tmp_path):
    works("encode", trained, "--out", tmp_path / "z.csv")
    lines = [line.split(",") for line in (tmp_path / "z.csv").read_text().splitlines()]
    (tmp_path / "turned.csv").write_text("\n".join(",".join(line[::-1]) for line in lines))
    for name in ("z", "turned"):
        works("decode", trained, tmp_path / f"{name}.csv", "--out", tmp_path / f"{name}.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "turned.npy"), np.load(tmp_path / "z.npy"))


def test_pictures_are_never_mixed_with_older_ones(trained, tmp_path):
    works("sample", trained, "--n", 3, "--out", tmp_path / "folder")
    again = run("sample", trained, "--n", 2, "--out", tmp_path / "folder")
    assert again.returncode == 2
    assert "folder" in again.stderr
    assert len(list((tmp_path / "folder").iterdir())) == 3


def test_list_flags_take_several_values(tmp_path):
    works("train", "mixture", *FAST, "--n", 600, "--frequencies-x", 3, 6, "--out", tmp_path / "run")
    assert json.loads((tmp_path / "run" / "config.json").read_text())["arguments"]["frequencies_x"] == [3, 6]


def test_what_is_on_can_be_put_off(tmp_path):
    works("train", "digits", *FAST, "--no-copies", "--out", tmp_path / "run")
    assert json.loads((tmp_path / "run" / "config.json").read_text())["arguments"]["copies"] is False


def test_evaluation_prints_writes_and_agrees_with_python(trained, tmp_path):
    printed = works("evaluate", trained, "--out", tmp_path / "report")
    values = json.loads((tmp_path / "report" / "metrics.json").read_text())
    model = ali.load(trained)
    assert values == pytest.approx(ali.evaluate(model, digits()))
    assert f"{values['reconstruction_mse']:.4f}" in printed
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count("data:image/") == 6
    assert not re.search(r"(src|href)='(?!data:)", page)
    assert "http" not in page.replace("http-equiv", "")


def test_mixture_remembers_its_shape_when_it_is_evaluated(mixture, tmp_path):
    printed = works("evaluate", mixture, "--out", tmp_path / "report")
    assert "modes, strict" in printed
    assert json.loads((tmp_path / "report" / "metrics.json").read_text())["modes"] <= 24
    works("sample", mixture, "--out", tmp_path / "x.csv", "--n", 11)
    assert np.concatenate(list(files.read_numbers(tmp_path / "x.csv"))).shape == (11, 2)
    works("sample", mixture, "--out", tmp_path / "x.png")
    works("encode", mixture, tmp_path / "x.csv", "--out", tmp_path / "z.csv")


def test_dry_run_measures_and_writes_nothing(tmp_path):
    printed = works("train", "digits", "--dry-run", "--batch-size", 64, *FAST, cwd=tmp_path)
    assert f"discriminator: {(64 + 32) * 16 + 16 + 16 + 1:,} parameters" in printed
    assert re.search(r"memory: [\d,]+ MiB", printed)
    assert re.search(r"time: about [\d.]+ (s|min|h|days) on this machine \(cpu\): 42 steps of 64 rows", printed)
    assert list(tmp_path.iterdir()) == []


def test_bigan_is_a_recipe_and_the_objective_an_argument(tmp_path):
    works("train", "digits", "--recipe", "bigan", "--objective", "hinge", "--out", tmp_path / "run", *FAST)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["recipe"] == "bigan"
    assert config["arguments"]["objective"] == "hinge"


def test_recipe_in_a_file_of_one_s_own(tmp_path):
    (tmp_path / "mine.py").write_text(
        '"""A game of mine."""\nfrom ali import recipes\n\n'
        "def tiny(spec, *, breadth: int = 8, epochs: int = 1):\n"
        '    """Tiny.\n\n    Arguments:\n        breadth: units per layer.\n    """\n'
        '    return recipes.ali(spec, networks="mlp", width=breadth, latent=2, epochs=epochs)\n'
    )
    recipe = f"{tmp_path / 'mine.py'}:tiny"
    assert "units per layer" in works("train", "digits", "--recipe", recipe, "--help")
    works("train", "digits", "--recipe", recipe, "--breadth", "4", "--out", tmp_path / "run")
    assert json.loads((tmp_path / "run" / "config.json").read_text())["recipe"] == "custom:tiny"
    refused = run("sample", tmp_path / "run")
    assert refused.returncode == 2
    assert "--recipe FILE.py:tiny" in refused.stderr
    works("sample", tmp_path / "run", "--recipe", recipe, "--out", tmp_path / "x.npy")
    assert "is finished" in works("train", "--resume", tmp_path / "run", "--recipe", recipe)


def test_game_in_the_guide_works_as_it_stands(tmp_path):
    guide = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (tmp_path / "mine.py").write_text(re.search(r"```python\n(# mine.py.*?)```", guide, re.S).group(1))
    recipe = ("--recipe", f"{tmp_path / 'mine.py'}:mine")
    works("train", "digits", *recipe, *FAST, "--weight", 2, "--latent", 8, "--out", tmp_path / "run")
    assert json.loads((tmp_path / "run" / "config.json").read_text())["arguments"]["weight"] == 2
    for verb in ("sample", "encode", "reconstruct"):
        works(verb, tmp_path / "run", *recipe, "--out", tmp_path / f"{verb}.npy")
    assert np.load(tmp_path / "encode.npy").shape == (400, 8)


def test_default_folders_are_numbered(tmp_path):
    for _ in range(2):
        works("train", "digits", *FAST, cwd=tmp_path)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["digits", "digits-2"]


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        ("train", "train on what? Choose one of digits"),
        ("train digts", "did you mean 'digits'"),
        ("train digits --lrr 3", "Did you mean --lr"),
        ("train digits --lr abc", "abc"),
        ("train digits --lr -1", "lr must be above 0"),
        ("train digits --epochs 0", "epochs must be at least 1"),
        ("train digits --recipe gam", "unknown recipe 'gam'"),
        ("train digits --recipe nowhere.py:f", "nowhere.py: no such file"),
        ("train digits --objective best", "unknown objective 'best'"),
        ("train digits --face paper --networks svhn", "networks 'svhn' are for x of shape (3, 32, 32), here it is (1, 8, 8)"),
        ("train mixture --shape cube", "unknown mixture 'cube': choose one of grid, rings, spirals"),
        ("train mnist", "PATH"),
        ("train mnist nowhere", "nowhere: no such file"),
        ("train --resume nowhere", "nowhere: no such run folder"),
        ("sample nowhere", "nowhere: no such run folder"),
        ("sample {run} --n 0", "at least 1, got 0"),
        ("sample {run} --out x.jpg", "x.jpg: images are written to a .png grid"),
        ("encode {run} nowhere.png", "nowhere.png: no such file"),
        ("encode {run} --out z.xlsx", "z.xlsx: numbers are written to .csv"),
        ("decode {run} nowhere.csv", "nowhere.csv: no such file"),
        ("decode {run} words.csv", "column 'a' holds string"),
        ("decode {run} short.csv", "codes have shape (n, 32), got (2, 1)"),
        ("interpolate {run} --n 0", "at least 1, got 0"),
        ("reconstruct {run} --n 0", "at least 1, got 0"),
        ("sample {run} --seed 99999999999999999999", "seed must be at least 0"),
        ("train digits --save-every -1", "save_every counts seconds"),
        ("train digits --batch-size 1", "batch_size must be at least 2"),
        ("train digits nowhere", "nowhere"),
        ("decode {run} headless.csv", "the first line holds numbers"),
        ("evaluate nowhere", "nowhere: no such run folder"),
        ("sample {run} --n 1000000000000", "below 2^31"),
        ("train digits --width 100000000", "does not fit"),
        ("dance", "dance"),
    ],
)
def test_bad_command_lines_get_one_clear_sentence(trained, tmp_path, tokens, words):
    (tmp_path / "words.csv").write_text("a\nx\ny\n")
    (tmp_path / "short.csv").write_text("a\n1\n2\n")
    (tmp_path / "headless.csv").write_text("1.5,2\n3,4\n")
    done = run(*tokens.format(run=trained).split(), cwd=tmp_path)
    assert done.returncode == 2
    printed = " ".join(re.sub("[│╭╮╰╯─]", " ", done.stdout + done.stderr).split())
    assert words in printed
    assert "Traceback" not in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["headless.csv", "short.csv", "words.csv"]


def test_demo_leaves_everything_that_it_promises_and_can_be_repeated(tmp_path):
    for _ in range(2):
        printed = works("demo", "--epochs", 2, cwd=tmp_path)
    run = tmp_path / "runs" / "demo"
    wanted = {
        "samples.png",
        "reconstructions.png",
        "interpolations.png",
        "latent.png",
        "samples.gif",
        "curves.png",
        "report.html",
        "metrics.json",
    }
    assert wanted <= {path.name for path in run.iterdir()}
    for number in ("reconstruction MSE", "variance", "label kept", "two-sample", "q(z)", "1-NN on codes", "1-NN on raw rows"):
        assert number in printed
    assert len(re.findall(r"^  ali ", printed, flags=re.MULTILINE)) == 3


def test_demo_never_removes_what_it_did_not_write(trained, tmp_path):
    for folder, name in (("other", "config.json"), ("run", "thesis.txt")):
        if folder == "run":
            shutil.copytree(trained, tmp_path / folder)
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_text("{}")
        assert run("demo", "--epochs", 1, "--out", tmp_path / folder).returncode == 2
        assert (tmp_path / folder / name).exists()


def test_tensorboard_is_an_extra_and_gets_every_report(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    refused = run("train", "digits", "--tensorboard", "--out", tmp_path / "run", *FAST)
    assert refused.returncode == 2
    assert "pip install 'ali[tensorboard]'" in refused.stderr
    assert not (tmp_path / "run").exists()

    scalars: list[tuple[str, int]] = []

    class SummaryWriter:
        def __init__(self, folder: str, purge_step: int):
            assert (tmp_path / "run" / "config.json").exists()
            Path(folder).mkdir()

        def add_scalar(self, name: str, value: float, step: int) -> None:
            scalars.append((name, step))

        def close(self) -> None:
            scalars.append(("closed", 0))

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    works("train", "digits", "--tensorboard", "--batch-size", 64, "--out", tmp_path / "run", *FAST)
    assert {name for name, _ in scalars} == {"loss/discriminator", "loss/generator", "rows_per_second", "closed"}
    assert max(step for _, step in scalars) == 42
    works("sample", tmp_path / "run", "--out", tmp_path / "x.png")


@pytest.fixture(scope="module")
def conditional(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "conditional"
    works("train", "digits", "--recipe", "conditional", "--out", out, *FAST)
    return out


def test_verbs_of_a_conditional_run_take_labels(conditional, tmp_path):
    x, y = digits().test.x[:6], digits().test.y[:6]
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "y.csv").write_text("label\n" + "\n".join(map(str, y)))
    model = ali.load(conditional)
    works("sample", conditional, "--label", 3, "--n", 4, "--seed", 1, "--out", tmp_path / "s.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "s.npy"), model.sample(4, y="3", seed=1))
    works("encode", conditional, tmp_path / "x.npy", "--labels", tmp_path / "y.csv", "--out", tmp_path / "z.npy")
    np.testing.assert_allclose(np.load(tmp_path / "z.npy"), model.encode(x, y), rtol=1e-6)
    works("decode", conditional, tmp_path / "z.npy", "--label", 5, "--out", tmp_path / "d.npy")
    works("edit", conditional, tmp_path / "x.npy", "--labels", tmp_path / "y.csv", "--label", 5, "--out", tmp_path / "e.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "d.npy"), np.load(tmp_path / "e.npy"))
    np.testing.assert_array_equal(np.load(tmp_path / "e.npy"), model.edit(x, y, label=5))
    for verb in (["reconstruct"], ["interpolate"], ["edit", "--label", 5], ["edit", "--direction", 3]):
        works(verb[0], conditional, *verb[1:], "--out", tmp_path / "own.png")  # held-out rows know their labels


def test_codes_that_were_told_the_class_are_not_praised_for_knowing_it(conditional, tmp_path):
    works("evaluate", conditional, "--out", tmp_path / "report")
    values = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert "label_kept" in values
    assert "nn_codes" not in values


def test_a_strip_of_edits_has_a_line_for_each_row_and_a_column_for_each_strength(trained, tmp_path):
    x = digits().test.x[:3]
    np.save(tmp_path / "x.npy", x)
    works("edit", trained, tmp_path / "x.npy", "--direction", 3, "--strength", "-1:1:3", "--out", tmp_path / "strip.npy")
    strip = np.load(tmp_path / "strip.npy").reshape(3, 3, 8, 8)
    model, train = ali.load(trained), digits().train
    np.testing.assert_array_equal(strip[:, 1], model.reconstruct(x))
    np.testing.assert_array_equal(strip, model.edit(x, direction=model.direction(train.x, train.y == 3), strength=[-1, 0, 1]))
    works("edit", trained, "--direction", 3, "--strength=-1:1:3", "--n", 2, "--how", "classifier", "--out", tmp_path / "strip.png")


@pytest.mark.parametrize(
    ("which", "tokens", "words"),
    [
        ("conditional", ["sample", "--label", "ten"], "unknown class 'ten'.*there are 0, 1, 2"),
        ("conditional", ["sample", "--attributes", "smiling=1"], "classes, not attributes"),
        ("conditional", ["sample", "--attributes", "smiling"], "name=number"),
        ("conditional", ["reconstruct", "--label", "3"], "held-out rows have labels of their own"),
        ("conditional", ["encode", "x.npy"], "needs labels, too: --label.*classes 0, 1"),
        ("conditional", ["encode", "x.npy", "--labels", "y.csv"], "which column holds the classes.*there are a, b"),
        ("conditional", ["encode", "x.npy", "--labels", "none.csv"], "no such file"),
        ("conditional", ["edit"], "Say one of --label, --attributes and --direction"),
        ("conditional", ["edit", "--label", "1", "--direction", "2"], "Say one of"),
        ("conditional", ["edit", "--label", "1", "--n", "0"], "at least 1, got 0"),
        ("trained", ["sample", "--label", "3"], "takes no labels"),
        ("trained", ["encode", "x.npy", "--label", "3"], "takes no labels; `ali train --recipe conditional`"),
        ("trained", ["edit", "--label", "3"], "takes no labels that could be changed"),
        ("conditional", ["edit", "--label", "5", "--strength", "0:1:3"], "--strength says how far to go along a --direction"),
        ("trained", ["edit", "--direction", "smiling"], "no such label: its classes are 0, 1"),
        ("trained", ["edit", "--direction", "3", "--strength", "1:2"], "lo:hi:n"),
        ("mixture", ["edit", "--direction", "smiling"], "classes"),
    ],
)
def test_labels_that_a_run_can_not_take_are_refused_in_words(which, tokens, words, request, tmp_path):
    np.save(tmp_path / "x.npy", digits().test.x[:2])
    (tmp_path / "y.csv").write_text("a,b\n1,2\n3,4\n")
    done = run(tokens[0], request.getfixturevalue(which), *tokens[1:], cwd=tmp_path)
    assert done.returncode == 2
    assert re.search(words, done.stderr), done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npy", "y.csv"]  # nothing is written


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        ("sample {run} --n 2.5", "2.5 is not a whole number"),
        ("train digits --epochs 2.5", "2.5 is not a whole number"),
        ("interpolate {run} --n 1000", "--n 1000: 400 rows make 200 pairs"),
        ("sample {run}/config.json", "is a file; give the run folder"),
        ("train table {run}", "is a folder; a table is one file"),
        ("train digits --latent 9999999999", "take a smaller --batch-size, --width or --latent"),
    ],
)
def test_what_can_not_be_done_as_said_is_refused(trained, tmp_path, tokens, words):
    done = run(*tokens.format(run=trained).split(), cwd=tmp_path)
    printed = " ".join(re.sub("[│╭╮╰╯─]", " ", done.stdout + done.stderr).split())
    assert done.returncode == 2
    assert words in printed
    assert list(tmp_path.iterdir()) == []


def test_walks_of_a_table_say_which_and_where(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 2))
    (tmp_path / "rows.csv").write_text("a,b\n" + "".join(f"{a:.3f},{b:.3f}\n" for a, b in x))
    works("train", "table", "rows.csv", "--out", "run", *FAST, "--latent", 2, cwd=tmp_path)
    works("interpolate", "run", "rows.csv", "--n", 3, "--steps", 4, "--out", "walk.csv", cwd=tmp_path)
    head, *lines = (tmp_path / "walk.csv").read_text().replace('"', "").splitlines()
    assert head == "pair,step,a,b"
    assert [tuple(map(int, line.split(",")[:2])) for line in lines] == [(pair, step) for pair in range(3) for step in range(4)]
    works("encode", "run", "walk.csv", "--out", "codes.csv", cwd=tmp_path)


def test_the_time_left_is_said_early_without_a_terminal(tmp_path, monkeypatch):
    from ali.cli import training

    clock = iter(range(0, 10_000_000, 3))  # each look at the clock finds it three seconds later
    monkeypatch.setattr(training, "time", types.SimpleNamespace(monotonic=lambda: next(clock)))
    printed = works("train", "digits", "--out", "run", "--batch-size", 64, *FAST, cwd=tmp_path)
    lines = re.findall(r"^ *(\d+) %  .* left; losses", printed, re.MULTILINE)
    assert int(lines[0]) < 10
    assert lines[1:] == [str(k) for k in range(10, 101, 10)]


@pytest.mark.parametrize("flags", [(), ("--out", "run"), ("--seed", 3)])
def test_an_unknown_data_set_is_said_before_its_flags(tmp_path, flags):
    done = run("train", "digts", *flags, cwd=tmp_path)
    assert done.returncode == 2
    assert "unknown data set 'digts', did you mean 'digits'?" in done.stderr
    assert not any(tmp_path.iterdir())


def test_a_folder_of_runs_is_told_from_a_run(tmp_path):
    works("train", "mixture", *FAST, "--n", 300, "--runs", 2, "--out", tmp_path / "runs")
    done = run("evaluate", tmp_path / "runs")
    assert done.returncode == 2
    assert f"there is one in {tmp_path / 'runs' / '0'}" in done.stderr
    done = run("train", "mixture", "--n", 300, "--runs", 0, "--out", tmp_path / "none")
    assert "at least 1" in done.stderr
    assert "got 0" in done.stderr


@pytest.mark.parametrize(
    ("flag", "words"),
    [("--candidates", "--candidates is of other recipes: --recipe ali or bigan"), ("--lower", "--recipe hali"), ("--wings", None)],
)
def test_a_flag_of_another_recipe_is_said_to_be_so(flag, words):
    done = run("train", "digits", "--recipe", "vae", flag, "4")
    assert done.returncode == 2
    assert (words in done.stderr) if words else "other recipes" not in done.stderr
