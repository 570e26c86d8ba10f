"""Runs on anybody's images: from the folder to the run, and back."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from test_cli import run, works
from test_images import RED, flat, put

import ali
from ali import files
from ali.data import folders, pixels
from ali.errors import AliError

RNG = np.random.default_rng(0)


def test_a_run_on_a_folder_of_all_sorts(tmp_path):
    for k in range(30):
        picture = flat("RGB" if k % 3 else "L", int(RNG.integers(256)), (20 + k, 30))
        put(tmp_path / "photos" / ("ant" if k % 2 else "bee") / f"{k}.{'png' if k % 4 else 'jpg'}", picture)
    model = ali.Model.train("images", tmp_path / "photos", out=tmp_path / "run", size=16, networks="conv", width=4, latent=3, epochs=1)
    assert model.shape == (16, 16, 3)
    assert model.classes == ("ant", "bee")
    assert model.sample(2, seed=0).shape == (2, 16, 16, 3)
    again = ali.model.open_data(tmp_path / "run")
    assert again.train.x.shape[1:] == (16, 16, 3), "the run knows how its data were opened"
    assert json.loads((tmp_path / "run" / "config.json").read_text())["data"]["size"] == 16

    np.testing.assert_array_equal(model.encode(again.test.x[:2]), model.encode(again.test.x[:2]))
    for k, ending in enumerate(("png", "bmp", "tif")):
        put(tmp_path / "fits" / f"{k}.{ending}", again.test.x[k])
    assert np.array_equal(next(files.read_images(tmp_path / "fits", (16, 16, 3), 255.0, "uint8")), again.test.x[:3])
    works("encode", tmp_path / "run", tmp_path / "fits", "--out", tmp_path / "codes.npy")
    np.testing.assert_allclose(np.load(tmp_path / "codes.npy"), model.encode(again.test.x[:3]), rtol=1e-4, atol=1e-5)
    put(tmp_path / "fits" / "9.jpg", flat("RGB", RED, (20, 16)))
    # Pictures of any size are brought to the run's as in training; what has one size only is refused in another.
    works("encode", tmp_path / "run", tmp_path / "fits", "--out", tmp_path / "more.npy")
    assert np.load(tmp_path / "more.npy").shape == (4, *model.encode(again.test.x[:1]).shape[1:])
    with pytest.raises(AliError, match=r"9\.jpg: 20 x 16 pixels; this run knows 16 x 16: resize it first"):
        list(files.read_images(tmp_path / "fits", (16, 16, 3), 255.0, "uint8"))
    (tmp_path / "fits" / "9.jpg").write_bytes(b"bad")
    assert "9.jpg: not a readable picture" in run("encode", tmp_path / "run", tmp_path / "fits").stderr


def test_the_flags_of_the_command_line(tmp_path):
    for k in range(12):
        put(tmp_path / "x" / f"{k}.png", flat("RGB", (k, 9, 9), (30, 40)))
    (tmp_path / "x" / "bad.png").write_bytes(b"bad")
    fast = ("--networks", "mlp", "--width", 4, "--depth", 1, "--latent", 2, "--epochs", 1)
    asked = ("train", "images", tmp_path / "x", "--size", 8, "--crop", "none", "--grey", "--out", tmp_path / "run", *fast)
    refused = run(*asked)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"ali: {tmp_path / 'x' / 'bad.png'}: not a readable image")
    assert run(*asked, "--skip-bad", "--crop", "middle").returncode == 2
    printed = works(*asked, "--skip-bad")
    assert "images in colour, made grey: 12\n" in printed
    assert "unreadable images left out: 1" in printed
    kept = json.loads((tmp_path / "run" / "config.json").read_text())
    assert kept["spec"]["shape"] == [1, 8, 8]
    assert kept["data"] == {
        "size": 8, "crop": "none", "grey": True, "hold_out": 0.1, "skip_bad": True, "stream": False, "window": None,
        "label": None, "attributes": [],
    }  # fmt: skip
    assert "is finished" in works("train", "--resume", tmp_path / "run")
    for words in ("--size", "--crop", "--grey", "--skip-bad", "8 to 128 pixels"):
        assert words in " ".join(works("train", "images", "--help").split())


def test_the_endings_and_the_formats_are_the_same():
    Image.init()
    assert {Image.EXTENSION[ending] for ending in folders.SUFFIXES} == set(pixels.FORMATS)


def test_a_run_encodes_what_it_was_trained_on_whatever_its_size(tmp_path):
    """The same codes as of the rows that training read: folders and Parquet files, sizes mixed, some grey among colour."""
    generator = np.random.default_rng(0)
    for k in range(12):
        size = tuple(int(n) for n in generator.integers(12, 40, 2))
        put(tmp_path / "x" / f"{k:02d}.png", generator.integers(0, 255, (*size, 3) if k % 3 else size, dtype=np.uint8))
    flags = ("--size", 16, "--width", 4, "--epochs", 1)
    works("train", "images", tmp_path / "x", *flags, "--out", tmp_path / "run")
    model, rows = ali.load(tmp_path / "run"), ali.model.open_data(tmp_path / "run")
    works("encode", tmp_path / "run", tmp_path / "x", "--out", tmp_path / "codes.npy")
    codes = np.load(tmp_path / "codes.npy")
    assert len(codes) == 12
    for code in np.concatenate([model.encode(rows.train.x), model.encode(rows.test.x)]):
        assert np.abs(codes - code).max(1).min() < 1e-4
    names = sorted((tmp_path / "x").iterdir())
    table = pa.table({"image": [{"bytes": name.read_bytes(), "path": name.name} for name in names]})
    pq.write_table(table, tmp_path / "x.parquet")
    works("encode", tmp_path / "run", tmp_path / "x.parquet", "--out", tmp_path / "again.npy")
    np.testing.assert_allclose(np.load(tmp_path / "again.npy"), codes, atol=1e-5)
