"""Ready models: small, found by name after folders, and the same networks as the runs that they were made of."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from test_cli import run, works

import ali
from ali import AliError, ready
from ali.data.digits import digits
from ali.session import Session
from experiments.ready import make, size

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    ali.Model.train("digits", out=out, width=16, depth=1, epochs=2)
    return out


def test_they_are_small_and_hold_no_discriminator():
    assert ready.names() == ["digits", "mnist"]
    assert sum(size(ready.HERE / name) for name in ready.names()) < 2e6
    for name in ready.names():
        with safe_open(ready.HERE / name / "model.safetensors", "pt") as weights:
            assert {key.split(".")[0] for key in weights.keys()} == {"encoder", "decoder"}  # noqa: SIM118
            assert {weights.get_tensor(key).dtype for key in weights.keys()} == {torch.float16}  # noqa: SIM118


def test_the_shipped_weights_are_trained():
    model, data = ali.load("digits"), digits()
    error = (model.reconstruct(data.test.x).astype(float) - data.test.x).var() / (data.test.x - data.train.x.mean(0)).var()
    assert error < 0.158  # what PCA with 16 components leaves (experiments/README.md)
    x = ali.load("mnist").sample(64, seed=0)
    assert (x.shape, x.dtype) == ((64, 28, 28), np.uint8)
    assert 0.08 < (x / 255).mean() < 0.18  # MNIST's mean is 0.13


def test_half_precision_changes_the_networks_by_rounding_alone(trained, tmp_path):
    whole, halved = ali.load(trained), ali.load(make(trained, tmp_path / "half"))
    z = torch.randn(50, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        exact, rounded = whole.game.decode(z).mean, halved.game.decode(z).mean
        for weight in whole.game.parameters():
            weight.copy_(weight.half())
        same = whole.game.decode(z).mean
    assert rounded.dtype == torch.float32
    assert 0 < (exact - rounded).abs().max() < 0.01  # of a range of 2; half precision keeps 11 bits
    np.testing.assert_array_equal(rounded, same)
    x = digits().test.x
    np.testing.assert_array_equal(halved.encode(x), whole.encode(x))
    # Without its discriminator a run has nothing to choose codes with.
    np.testing.assert_array_equal(halved.sample(64, seed=3), whole.sample(64, seed=3, candidates=1))


def test_a_folder_of_that_name_comes_first(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ali.load("digits").config["arguments"]["width"] != 16
    trained_here = tmp_path / "digits"
    trained_here.mkdir()
    with pytest.raises(AliError, match="not a run folder"):
        ali.load("digits")
    for name in ("config.json", "preprocess.json", "model.safetensors"):
        (trained_here / name).write_bytes((trained / name).read_bytes())
    assert ali.load("digits").config["arguments"]["width"] == 16
    assert ali.load(ready.HERE / "digits").config["arguments"]["width"] != 16


def test_every_verb_finds_them(tmp_path):
    works("sample", "digits", "--n", 4, "--out", "x.npy", cwd=tmp_path)
    works("encode", "digits", "x.npy", "--out", "z.npy", cwd=tmp_path)
    works("decode", "mnist", "--out", "y.npy", _codes(tmp_path), cwd=tmp_path)
    works("reconstruct", "digits", "--out", "pairs.png", cwd=tmp_path)  # the run's own held-out rows
    works("interpolate", "digits", "--out", "walks.png", cwd=tmp_path)
    assert np.load(tmp_path / "z.npy").shape == (4, 32)
    assert np.load(tmp_path / "y.npy").shape == (3, 28, 28)


def _codes(folder: Path) -> Path:
    np.save(folder / "codes.npy", np.zeros((3, ali.load("mnist").latent), np.float32))
    return folder / "codes.npy"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("score digits", "only its encoder and decoder were kept. Train one that can: `ali train digits`"),
        ("classify digits", "its game has no classifier"),
        ("train --resume digits", "can not go on"),
        ("evaluate digits", "say where to write with --out"),
        ("encode mnist", "give it rows"),
        ("sample digit", "no ready model (digits, mnist)"),
    ],
)
def test_what_they_can_not_do_is_said(command, words, tmp_path):
    done = run(*command.split(), cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert not list(tmp_path.iterdir())


def test_an_encoder_is_learned_after_one(tmp_path):
    session = Session.start("digits", digits(), tmp_path / "run", recipe="post_hoc", parent="digits", width=8, depth=1, epochs=1)
    z = torch.randn(5, 32)
    with torch.no_grad():
        np.testing.assert_array_equal(session.run.game.decode(z).mean, ali.load("digits").game.decode(z).mean)


@pytest.mark.parametrize(("parts", "words"), [(["decoder"], "encoder"), ("decoder", "parts must be a list of names")])
def test_weights_that_lack_a_part_are_refused(trained, tmp_path, parts, words):
    half = make(trained, tmp_path / "half")
    config = json.loads((half / "config.json").read_text())
    with safe_open(half / "model.safetensors", "pt") as weights:
        kept = {key: weights.get_tensor(key) for key in weights.keys() if key.startswith("decoder")}  # noqa: SIM118
    from safetensors.torch import save_file

    save_file(kept, half / "model.safetensors")
    with pytest.raises(AliError, match=r"not the weights .* encoder"):
        ali.load(half)
    (half / "config.json").write_text(json.dumps(config | {"parts": parts}))
    if isinstance(parts, str):
        with pytest.raises(AliError, match=words):
            ali.load(half)
    else:
        assert ali.load(half).sample(2).shape == (2, 8, 8)


def test_a_run_without_both_parts_makes_none(tmp_path):
    ali.Model.train("digits", out=tmp_path / "gan", recipe="gan", width=8, depth=1, epochs=1)
    with pytest.raises(AliError, match="one encoder and one decoder, and this is gan"):
        make(tmp_path / "gan", tmp_path / "half")
    assert not (tmp_path / "half").exists()


def test_sampling_imports_nothing_that_it_does_not_need(tmp_path):
    heavy = ("matplotlib", "sklearn", "scipy", "pyarrow", "sympy", "torch._dynamo")
    code = f"""
import sys
from ali.cli import application

tokens = "sample digits --n 4".split()
application(tokens)(tokens, result_action="return_value")
print([name for name in {heavy} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path, env=_env())
    assert done.stdout.splitlines() == ["wrote samples.png", "[]"]


def test_the_wheel_holds_them(tmp_path):
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        tmp_path / "out",
        _copy(tmp_path / "source"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = (tmp_path / "out").glob("*.whl")
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("ali/ready/")}
    files = {
        f"ali/ready/{name}/{file}"
        for name in ready.names()
        for file in ("config.json", "preprocess.json", "model.safetensors", "README.md")
    }
    assert files | {"ali/ready/__init__.py"} == inside


def _copy(folder: Path) -> Path:
    import shutil

    shutil.copytree(ROOT / "ali", folder / "ali", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def _env() -> dict[str, str]:
    import os

    return os.environ | {"PYTHONPATH": str(ROOT)}
