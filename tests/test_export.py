"""Exported encoders and decoders: ONNX Runtime's answers are the verbs' own, for any number of rows, in the data's units."""

from __future__ import annotations

import json
import sys
from statistics import NormalDist
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

import ali
from ali import preprocess
from ali.cli import main
from ali.data.tables import Column
from ali.distributions import Implicit
from ali.export import _columns
from ali.recipes import RECIPES, Spec

N = 5  # rows that are asked about; what is traced has others
NUMBERS = np.random.default_rng(0)
TABLE = (
    Column("age", "integer", decimals=0),
    Column("income", "number", missing=True),
    Column("job", "category", ("cook", "pilot", "smith"), missing=True),
    Column("member", "boolean", ("false", "true")),
)
SMALL = {"latent": 3, "width": 4, "depth": 1}
ROWS: dict[str, Any] = {
    "bytes": NUMBERS.integers(0, 256, (60, 8, 8, 3), np.uint8),
    "grey": NUMBERS.random((60, 8, 8), np.float32),
    "numbers": NUMBERS.normal((3.0, -100.0), (1.0, 20.0), (60, 2)),
    "whole": NUMBERS.integers(-1000, 1000, (60, 2), np.int16),
    "table": np.stack(
        [
            NUMBERS.integers(20, 70, 60).astype(float),
            np.where(NUMBERS.random(60) < 0.2, np.nan, NUMBERS.lognormal(8, 1, 60)),
            np.where(NUMBERS.random(60) < 0.2, np.nan, NUMBERS.integers(0, 3, 60)),
            NUMBERS.integers(0, 2, 60).astype(float),
        ],
        1,
    ),
}
LABELS = {"classes": np.arange(60) % 3, "attributes": NUMBERS.integers(0, 2, (60, 2)).astype(np.float32)}


def model_of(recipe: str, rows: str = "numbers", labels: str = "", **options: Any) -> ali.Model:
    """A model that nothing was taught: its weights, and what normalisation knows, are noise."""
    torch.manual_seed(0)
    classes, attributes = tuple("abc") if labels == "classes" else (), ("old", "smiling") if labels == "attributes" else ()
    source = ali.Source(ROWS[rows], LABELS.get(labels), classes, attributes, columns=TABLE if rows == "table" else ())
    prepared = preprocess.fit(source, options.get("face", "modern"))
    spec = Spec(prepared.network_shape, classes, prepared.heads, attributes, y=source.y)
    game = RECIPES[recipe](spec, **SMALL | {"networks": "mlp"} | options).game
    with torch.no_grad():
        for weight in game.parameters():
            weight += 0.1 * torch.randn_like(weight)
        for module in game.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.running_mean += 0.1 * torch.randn_like(module.running_mean)
                module.running_var *= 1 + torch.rand_like(module.running_var)
    config = {"recipe": recipe, "dataset": rows, "spec": spec.to_json(), "arguments": options}
    return ali.Model(game, prepared, config)


def asked(file: Any, **rows: np.ndarray) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(file).run(None, rows)


def close(found: np.ndarray, known: np.ndarray) -> None:
    """To 1e-5 of the largest; whole numbers may be rounded to the other side."""
    assert (found.shape, found.dtype) == (known.shape, known.dtype)
    if known.dtype.kind in "iu":
        off = np.abs(found.astype(int) - known.astype(int))
        assert off.max() <= 1
        assert (off > 0).mean() < 0.01
    else:
        np.testing.assert_allclose(found, known, rtol=1e-5, atol=1e-5 * np.nanmax(np.abs(known)))


CASES = {
    "pixels as bytes, the paper's face": ("ali", "bytes", "", {"networks": "conv", "face": "paper", "latent": 6}),
    "float64 numbers": ("ali", "numbers", "", {"frequencies_x": (1.0,), "weight_norm": True, "encoder": "deterministic"}),
    "an implicit encoder": ("alice", "numbers", "", {"encoder": "implicit"}),
    "pixels off or on": ("vae", "grey", "", {"likelihood": "bernoulli"}),
    "a table": ("ali", "table", "", {}),
    "classes, residual networks": ("conditional", "bytes", "classes", {"networks": "residual"}),
    "attributes of whole numbers, the paper's face": ("conditional", "whole", "attributes", {"face": "paper"}),
    "a hierarchy": ("hali", "grey", "", {}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_files_answer_as_the_verbs_do(case, tmp_path):
    recipe, rows, labels, options = CASES[case]
    model = model_of(recipe, rows, labels, **options)
    game: Any = model.game
    if options.get("encoder") == "implicit":  # fewer draws, because each is a copy of the network
        game.encoder.register_forward_hook(lambda _, seen, q: Implicit(q.f, q.noise, 4))
    given = {"y": LABELS[labels][-N:]} if labels else {}
    x, z = ROWS[rows][-N:], np.random.default_rng(1).standard_normal((N, model.latent), np.float32)
    files = model.export(tmp_path / "out")
    assert sorted(file.name for file in files) == sorted(file.name for file in (tmp_path / "out").iterdir())

    table = rows == "table"
    seen = model.preprocess.forward(torch.from_numpy(x)).numpy() if table else x
    mean, *std = asked(tmp_path / "out" / "encoder.onnx", x=seen, **given)
    close(mean, model.encode(x, **given))
    q = game.encode(model.preprocess.forward(torch.from_numpy(x)), *(torch.from_numpy(y) for y in given.values()))
    assert len(std) == hasattr(q, "log_sigma") == ("encoder" not in options)
    if std:
        close(std[0], q.log_sigma.exp().detach().numpy())
    (made,) = asked(tmp_path / "out" / "decoder.onnx", z=z, **given)
    close(model.preprocess.inverse(torch.from_numpy(made)).numpy() if table else made, model.decode(torch.from_numpy(z), **given).numpy())


def test_a_game_without_encoder_has_a_decoder_to_export(tmp_path):
    model = model_of("gan")
    assert {file.name for file in model.export(tmp_path / "out")} == {"README.md", "decoder.onnx"}
    z = np.random.default_rng(1).standard_normal((1, model.latent), np.float32)
    close(asked(tmp_path / "out" / "decoder.onnx", z=z)[0], model.decode(z))


def test_a_level_of_a_hierarchy_is_exported_by_itself(tmp_path):
    model = model_of("hali", "numbers").at(1)
    model.export(tmp_path / "out")
    x = ROWS["numbers"][:N]
    close(asked(tmp_path / "out" / "encoder.onnx", x=x)[0], model.encode(x))
    z = model.encode(x)
    close(asked(tmp_path / "out" / "decoder.onnx", z=z)[0], model.decode(z))


def test_what_the_readme_says_of_columns_goes_there_and_back():
    """The README's sentences, word for word, beside the conversion itself."""
    model = model_of("ali", "table")
    known: Any = model.preprocess
    said = json.loads(json.dumps(_columns(known)))
    normal, names = NormalDist(), [column.name for column in TABLE]

    def there(cell: float, place: dict) -> float:
        empty = np.isnan(cell)
        if place["what"] == "missing":
            return 0.9 if empty else 0.1
        if place["what"] == "category":
            own = None if empty else TABLE[names.index(place["column"])].categories[int(cell)]
            size = sum(other["column"] == place["column"] for other in said["positions"])
            return 0.1 / size + (0.9 if own == place["category"] else 0)
        if empty:
            return 0.0
        about = said["numbers"][place["column"]]
        values, below, upto = about["values"], about["below"], about["upto"]
        v = min(max(cell, values[0]), values[-1])
        k = next(k for k, value in enumerate(values) if value >= v)
        if v == values[k]:
            a, b = below[k], upto[k]
        else:
            a = b = upto[k - 1] + (below[k] - upto[k - 1]) * (v - values[k - 1]) / (values[k] - values[k - 1])
        return normal.inv_cdf(min(max((a + b) / 2, 0.00001), 0.99999)) + (cell - v) / about["scale"]

    def back(number: float, about: dict) -> float:
        values, below, upto, u = about["values"], about["below"], about["upto"], normal.cdf(number)
        k = next((k for k, share in enumerate(upto) if share >= u), len(values) - 1)
        x = values[k]
        if u < below[k] and k > 0 and below[k] != upto[k - 1]:
            x = values[k - 1] + (values[k] - values[k - 1]) * (u - upto[k - 1]) / (below[k] - upto[k - 1])
        return x if about["decimals"] is None else min(max(round(x, about["decimals"]), values[0]), values[-1])

    rows = np.concatenate([ROWS["table"], [[90.0, 1e6, 1.0, 0.0], [25.5, 1.0, np.nan, 1.0]]])
    seen = model.preprocess.forward(torch.from_numpy(rows)).numpy()
    assert [place["position"] for place in said["positions"]] == list(range(seen.shape[1]))
    for place in said["positions"]:
        own = [there(cell, place) for cell in rows[:, names.index(place["column"])]]
        np.testing.assert_allclose(seen[:, place["position"]], own, atol=2e-4)  # u is kept in single precision
    made = np.random.default_rng(0).normal(size=(60, seen.shape[1])).astype(np.float32)
    known = model.preprocess.inverse(torch.from_numpy(made)).numpy()
    for place in said["positions"][:2]:
        column = names.index(place["column"])
        there_is = ~np.isnan(known[:, column])
        own = np.array([back(float(number), said["numbers"][place["column"]]) for number in made[:, place["position"]]])
        np.testing.assert_allclose(known[there_is, column], own[there_is], rtol=1e-5)


def test_a_run_without_encoder_and_decoder_is_refused(tmp_path):
    with pytest.raises(ali.AliError, match="has no encoder and no decoder"):
        model_of("supervised", "numbers", "classes").export(tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_files_that_are_there_already_stay_and_packages_that_are_missing_are_named(tmp_path, monkeypatch):
    model, out = model_of("gan"), tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(ali.AliError, match="holds files already"):
        model.export(out)
    with pytest.raises(ali.AliError, match="is a file"):
        model.export(out / "mine.txt")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ali.AliError, match=r"onnxscript: pip install 'ali\[onnx\]'"):
        model.export(tmp_path / "other")
    assert [file.name for file in tmp_path.rglob("*")] == ["out", "mine.txt"]


class Fixed(nn.Module):
    """A layer of somebody's own that asks for the number of rows as a whole number."""

    def forward(self, u: torch.Tensor) -> torch.Tensor:
        return u.reshape(len(u), -1)


class Unknown(nn.Module):
    """A layer that ONNX has no word for."""

    def forward(self, u: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(u)


@pytest.mark.parametrize(
    ("recipe", "layer", "words"),
    [("gan", Fixed(), "fixes the number of its rows"), ("ali", Unknown(), "can not write this network")],  # ali's encoder is written first
)
def test_nothing_is_left_of_an_export_that_fails(recipe, layer, words, tmp_path):
    model = model_of(recipe)
    decoder: Any = model.game.decoder
    decoder.network = nn.Sequential(layer, decoder.network)
    with pytest.raises(ali.AliError, match=f"decoder: .*{words}") as refused:
        model.export(tmp_path / "out")
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_the_command_writes_what_it_says_and_nothing_else(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(sys, "argv", ["ali", "export", "digits", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match="0"):
        main()
    printed = capfd.readouterr()
    assert printed.out.splitlines() == [f"wrote {tmp_path / 'out' / name}" for name in ("README.md", "decoder.onnx", "encoder.onnx")]
    assert not printed.err
    readme = (tmp_path / "out" / "README.md").read_text()
    assert "| `encoder.onnx` | `x` uint8 (n, 8, 8) | `mean` float32 (n, 32), `std` float32 (n, 32) |" in readme
    assert '\nx, = onnxruntime.InferenceSession("decoder.onnx").run(None, {"z": z})\n' in readme
    rows = NUMBERS.integers(0, 17, (2, 8, 8), np.uint8)
    scope: dict[str, Any] = {"x": rows, "z": np.zeros((2, 32), np.float32)}
    monkeypatch.chdir(tmp_path / "out")
    exec(readme.split("```python\n")[1].split("```")[0], scope)  # what the README shows, as it stands
    close(scope["mean"], ali.load("digits").encode(rows))
