"""Stores: decoded once, read row by row, the same rows as before; neither memory nor address space grows with the data."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pyarrow import parquet

import ali
from ali.cli import main
from ali.data.images import images, prepare
from ali.data.source import split, stream
from ali.data.store import Stored, Writer, open_store

RNG = np.random.default_rng(0)


def pictures(folder: Path, n: int = 40, size: int = 12) -> Path:
    """Colour pictures of two classes."""
    for k in range(n):
        place = folder / ("ant", "bee")[k % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(place / f"{k:03d}.png")
    return folder


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> tuple[np.ndarray, Path]:
    x = RNG.integers(0, 256, (50, 8, 9, 3), dtype=np.uint8)
    file = tmp_path_factory.mktemp("store") / "x.npy"
    writer = Writer(file, (8, 9, 3))
    for row in x:
        writer.append(row)
    writer.close()
    return x, file


def test_file_is_an_ordinary_npy(rows):
    x, file = rows
    np.testing.assert_array_equal(np.load(file), x)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-50, 49), max_size=20), st.slices(50))
def test_every_index_gives_what_the_array_would(rows, index, part):
    x, file = rows
    stored = Stored(file)
    assert (stored.shape, stored.dtype, stored.ndim, len(stored), stored.nbytes) == (x.shape, x.dtype, x.ndim, len(x), x.nbytes)
    chosen = np.array(index, dtype=np.int64)
    np.testing.assert_array_equal(stored[chosen], x[chosen])
    np.testing.assert_array_equal(stored[part], x[part])
    np.testing.assert_array_equal(stored.select(chosen)[::-1], x[chosen][::-1])
    np.testing.assert_array_equal(np.asarray(stored.select(part)), x[part])
    np.testing.assert_array_equal(stored[7], x[7])


def test_store_holds_the_images_that_would_be_read_at_once(tmp_path):
    folder = pictures(tmp_path / "photos")
    once, stored = images(str(folder)), prepare(str(folder), str(tmp_path / "store"))
    for a, b in zip(once, stored, strict=True):
        assert isinstance(b.x, Stored)
        assert a.classes == b.classes == ("ant", "bee")
        np.testing.assert_array_equal(np.sort(a.x.reshape(len(a), -1), 0), np.sort(np.asarray(b.x).reshape(len(b), -1), 0))
        assert sorted(a.y) == sorted(b.y)
    again = images(str(tmp_path / "store"))
    assert [part.fingerprint() for part in again] == [part.fingerprint() for part in once]


def test_parts_and_sizes_are_kept(tmp_path):
    pictures(tmp_path / "photos" / "train", 10, 20)
    pictures(tmp_path / "photos" / "test", 4, 30)
    train, test = prepare(str(tmp_path / "photos"), str(tmp_path / "store"), size=16, grey=True)
    assert (train.x.shape, test.x.shape) == ((10, 16, 16), (4, 16, 16))
    assert any("resized to 16 x 16 pixels: 14" in note for note in train.notes)


def test_batches_do_not_depend_on_where_the_rows_lie(rows):
    x, file = rows
    for source in split(ali.data.source.Source(x), 0.2), split(ali.data.source.Source(Stored(file)), 0.2):
        batches = stream(source.train, 7, seed=3, start=4)
        seen = [next(batches).x.numpy() for _ in range(8)]
        if source.train.x is x or isinstance(source.train.x, np.ndarray):
            expected = seen
    np.testing.assert_array_equal(np.concatenate(seen), np.concatenate(expected))


def test_training_on_a_store_gives_the_same_weights(tmp_path):
    folder = pictures(tmp_path / "photos")
    prepare(str(folder), str(tmp_path / "store"))
    small = {"networks": "mlp", "width": 4, "depth": 1, "latent": 3, "epochs": 2}
    runs = [ali.Model.train("images", place, out=tmp_path / f"run{k}", **small) for k, place in enumerate((folder, tmp_path / "store"))]
    np.testing.assert_array_equal(*(run.sample(5, seed=0) for run in runs))
    stored = open_store(tmp_path / "store").test
    np.testing.assert_array_equal(runs[1].encode(stored.x), runs[0].encode(np.asarray(stored.x)))
    assert ali.evaluate(runs[1], images(str(tmp_path / "store"))) == pytest.approx(ali.evaluate(runs[0], images(str(folder))))


def test_command_prepares_and_trains(tmp_path, monkeypatch, capsys):
    folder = pictures(tmp_path / "photos")
    (folder / "ant" / "broken.png").write_bytes(b"not a picture")
    monkeypatch.chdir(tmp_path)
    for tokens, status, words in (
        (["prepare", "photos", "store"], 2, "broken.png: not a readable image"),
        (["prepare", "photos", "store", "--skip-bad"], 0, "36 images to learn from, 4 held out"),
        (["prepare", "photos", "store", "--skip-bad"], 2, "store: exists already"),
        (["prepare", "nowhere", "other"], 2, "nowhere: no such file or folder"),
        (["train", "images", "store", "--width", "2", "--epochs", "1", "--latent", "2"], 0, "36 rows to learn from"),
    ):
        monkeypatch.setattr(sys, "argv", ["ali", *tokens])
        with pytest.raises(SystemExit, match=str(status)):
            main()
        printed = capsys.readouterr()
        assert words in " ".join((printed.out + printed.err).split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "runs", "store"]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda store: (store / "store.json").write_text("{"), "store.json: broken"),
        (lambda store: (store / "train-x.npy").write_bytes((store / "train-x.npy").read_bytes()[:-1]), "shorter than its header says"),
        (lambda store: (store / "test-x.npy").unlink(), "test-x.npy: not a readable .npy file"),
        (lambda store: np.save(store / "train-y.npy", np.zeros(3)), "36 images in train, but labels of shape"),
    ],
)
def test_broken_stores_are_refused_in_words(tmp_path, damage, words):
    prepare(str(pictures(tmp_path / "photos")), str(tmp_path / "store"))
    damage(tmp_path / "store")
    with pytest.raises(ali.AliError, match=words):
        images(str(tmp_path / "store"))


def test_address_space_does_not_grow_with_the_data(tmp_path):
    """Train on and encode from 240 MB of rows when only 80 MB of address space are left after the libraries are loaded."""
    store = tmp_path / "store"
    store.mkdir()
    rows = 20_000
    for name, n in (("train", rows), ("test", 100)):
        writer = Writer(store / f"{name}-x.npy", (64, 64, 3))
        block = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        for k in range(n):
            block[k % 64, 0, 0] = k % 256
            writer.append(block)
        writer.close()
    (store / "store.json").write_text('{"classes": [], "notes": []}')
    code = textwrap.dedent(f"""
        import resource
        import numpy as np
        import ali, ali.evaluation, ali.session
        from ali.data.images import images
        warm = ali.Model.train("images", np.random.default_rng(0).integers(0, 256, (80, 64, 64, 3), dtype=np.uint8), out="warm",
                               networks="mlp", width=4, depth=1, latent=2, epochs=1)
        warm.encode(np.zeros((1000, 64, 64, 3), np.uint8))
        size = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) * 1024
        resource.setrlimit(resource.RLIMIT_AS, (size + 80 * 2**20,) * 2)
        data = images({str(store)!r})
        assert data.train.x.nbytes > 3 * 80 * 2**20 - 2**23
        session = ali.session.Session.start("images", data, "run", networks="mlp", width=4, depth=1, latent=2, epochs=1)
        for number, _ in enumerate(session.play()):
            if number == 20:
                break
        print(warm.encode(data.train.x).shape)
    """)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == f"({rows}, 2)"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 16}, "of size 12, not 16"),
        ({"grey": True}, "its images are in colour"),
        ({"crop": "none"}, "cropped already"),
        ({"hold_out": 0.3}, "held-out part is chosen already"),
    ],
)
def test_flags_that_a_store_can_no_longer_follow_are_refused(tmp_path, options, words):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for k in range(6):
        Image.fromarray(np.full((12, 12, 3), (k, 0, 9), np.uint8)).save(pictures / f"{k}.png")
    prepare(str(pictures), str(tmp_path / "store"))
    assert images(str(tmp_path / "store"), size=12, grey=False).train.x.shape[1:] == (12, 12, 3)
    with pytest.raises(ali.AliError, match=words):
        images(str(tmp_path / "store"), **options)


def test_pictures_laid_on_white_are_counted_and_data_sets_of_the_hub_are_looked_into(tmp_path):
    (tmp_path / "set" / "data").mkdir(parents=True)
    (tmp_path / "pictures").mkdir()
    cells = []
    for k in range(6):
        file = tmp_path / "pictures" / f"{k}.png"
        Image.fromarray(np.full((8, 8, 4), (k, 0, 9, 255 if k % 2 else 0), np.uint8)).save(file)
        cells.append({"bytes": file.read_bytes(), "path": None})
    train = images(str(tmp_path / "pictures")).train
    assert "images with transparent pixels, laid on white: 3" in train.notes
    parquet.write_table(pa.table({"image": cells}), tmp_path / "set" / "data" / "train-00000-of-00001.parquet")
    (tmp_path / "set" / "README.md").write_text("a card")
    np.testing.assert_array_equal(images(str(tmp_path / "set")).train.x, train.x)
