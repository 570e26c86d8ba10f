"""Streams: pictures decoded when they are asked for, the same rows, labels and weights as read at once."""

import io
import json
import shutil
import subprocess
import sys
import tarfile
import textwrap
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file

import ali
from ali.data import pixels, streams
from ali.data.images import images, prepare
from ali.data.source import stream

RNG = np.random.default_rng(0)
XS = [RNG.integers(0, 256, (12, 12, 3), dtype=np.uint8) for _ in range(60)]
YS = [k % 3 for k in range(60)]
NAMES = ("ant", "bee", "cow")
SMALL = {"networks": "mlp", "width": 4, "depth": 1, "latent": 3, "epochs": 2}


def png(x: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(x).save(buffer, kind)
    return buffer.getvalue()


def put_parquet(file: Path, cells: list[bytes], labels: list, rows: int = 7) -> Path:
    table = pa.table({"image": [{"bytes": cell, "path": None} for cell in cells], "label": labels})
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file, row_group_size=rows, use_dictionary=False)
    return file


def put_tar(file: Path, members: list[tuple[str, bytes]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file


def with_cls(start: int, stop: int) -> list[tuple[str, bytes]]:
    pairs = [((f"s/{k:03d}.png", png(XS[k])), (f"s/{k:03d}.cls", f"{YS[k]}\n".encode())) for k in range(start, stop)]
    return [member for pair in pairs for member in pair]


def sources(folder: Path) -> dict[str, Path]:
    """The same rows in every kind of file; long names make tar write headers of its own."""
    for k, x in enumerate(XS):
        place = folder / "folder" / f"{k:03d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(png(x))
    put_parquet(folder / "parquet" / "0.parquet", [png(x) for x in XS[:25]], YS[:25])
    put_parquet(folder / "parquet" / "1.parquet", [png(x) for x in XS[25:]], YS[25:])
    put_tar(folder / "shards" / "0.tar", with_cls(0, 33))
    put_tar(folder / "shards" / "1.tar", with_cls(33, 60))
    described = [[(f"{k}.json", json.dumps({"label": YS[k], "text": "x"}).encode()), (f"{k}.png", png(XS[k]))] for k in range(60)]
    put_tar(folder / "json.tar", [member for pair in described for member in pair])
    put_tar(folder / "classes.tar", [(f"./data/{NAMES[YS[k]]}/{'x' * 120}.{k}.png", png(XS[k])) for k in range(60)])
    return {name: folder / name for name in ("folder", "parquet", "shards", "json.tar", "classes.tar")}


@pytest.fixture(scope="module")
def lying(tmp_path_factory) -> dict[str, Path]:
    return sources(tmp_path_factory.mktemp("streams"))


KINDS = ("folder", "parquet", "shards", "json.tar", "classes.tar")


@pytest.mark.parametrize("kind", KINDS)
def test_streamed_rows_are_those_that_are_read_at_once(lying, tmp_path, kind):
    options = {"size": 9, "crop": "none", "grey": True}
    for chosen in ({}, options):
        once, streamed = (images(str(lying[kind]), stream=way, **chosen) for way in (False, True))
        for a, b in zip(once, streamed, strict=True):
            assert isinstance(a.x, np.ndarray)
            assert isinstance(b.x, streams.Streamed)
            assert (a.classes, a.x.shape, a.x.dtype, a.x.nbytes) == (b.classes, b.x.shape, b.x.dtype, b.x.nbytes)
            np.testing.assert_array_equal(np.asarray(b.x), a.x)
            np.testing.assert_array_equal(b.y, a.y)
    assert once.train.classes == (() if kind == "folder" else NAMES if kind == "classes.tar" else ("0", "1", "2"))
    if kind != "folder":
        known = {x.tobytes(): y for x, y in zip(XS, YS, strict=True)}
        data = images(str(lying[kind]), stream=True)
        assert [known[x.tobytes()] for x in data.train.x[:]] == data.train.y.tolist()
    stored = prepare(str(lying[kind]), str(tmp_path / "store"))
    assert sorted(x.tobytes() for part in stored for x in part.x[:]) == sorted(x.tobytes() for x in XS)


@pytest.fixture(scope="module")
def both(lying) -> dict[str, list]:
    return {kind: [images(str(lying[kind]), stream=way).train.x for way in (False, True)] for kind in ("parquet", "shards")}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-54, 53), max_size=20), st.slices(54), st.sampled_from(["parquet", "shards"]))
def test_every_index_gives_what_the_array_would(both, index, part, kind):
    once, streamed = both[kind]
    chosen = np.array(index, dtype=np.int64)
    np.testing.assert_array_equal(streamed[chosen], once[chosen])
    np.testing.assert_array_equal(streamed[part], once[part])
    np.testing.assert_array_equal(streamed[-7], once[-7])
    np.testing.assert_array_equal(np.asarray(streamed.select(part)), once[part])


def test_rows_that_cost_nothing_are_drawn_as_if_they_were_in_memory(lying):
    for kind in KINDS:
        once, streamed = (images(str(lying[kind]), stream=way).train for way in (False, True))
        a, b = stream(once, 7, seed=3, start=4), stream(streamed, 7, seed=3, start=4)
        for _ in range(9):
            assert torch.equal(next(a).x, next(b).x)


def test_parts_are_told_by_the_names_of_archives_and_by_folders_in_them(tmp_path):
    put_tar(tmp_path / "a" / "train-0.tar", with_cls(0, 20))
    put_tar(tmp_path / "a" / "train-1.tar", with_cls(20, 40))
    put_tar(tmp_path / "a" / "test-0.tar", with_cls(40, 50))
    put_tar(tmp_path / "a" / "more.tar", with_cls(50, 60))
    parts = [("train", k) if k < 40 else ("val", k) for k in range(50)]
    put_tar(tmp_path / "b.tar", [(f"{part}/{NAMES[YS[k]]}/{k}.png", png(XS[k])) for part, k in parts])
    for place in ("a", "b.tar"):
        data = images(str(tmp_path / place), stream=True)
        assert [len(part) for part in data] == [40, 10]
        np.testing.assert_array_equal(data.train.x[:], np.stack(XS[:40]))
        assert data.test.y.tolist() == YS[40:50]
    assert images(str(tmp_path / "a")).train.notes == ("left out: more.tar",)


# Labels and attributes.


TOLD = [None if k % 4 == 0 else YS[k] for k in range(60)]
BITS = [(k % 2, k % 5 > 2) for k in range(60)]


def with_json(described: list[dict]) -> list[tuple[str, bytes]]:
    pairs = [((f"{k:03d}.png", png(XS[k])), (f"{k:03d}.json", json.dumps(told).encode())) for k, told in enumerate(described)]
    return [member for pair in pairs for member in pair]


def labelled(folder: Path) -> dict[str, tuple[Path, dict, list]]:
    """The same pictures with classes, some of which are not known, and with attributes: place, how to open it, what stands there."""
    cells = [png(x) for x in XS]
    image = [{"bytes": cell, "path": None} for cell in cells]
    for name in ("classes", "attributes"):
        (folder / name).mkdir()
        for k, cell in enumerate(cells):
            (folder / name / f"{k:03d}.png").write_bytes(cell)
    names = ["" if y is None else NAMES[y] for y in TOLD]
    (folder / "classes" / "metadata.csv").write_text("file_name,label\n" + "".join(f"{k:03d}.png,{name}\n" for k, name in enumerate(names)))
    rows = "".join(f"{k:03d}.png,{a},{int(b)}\n" for k, (a, b) in enumerate(BITS))
    (folder / "attributes" / "metadata.csv").write_text("file_name,odd,late\n" + rows)
    put_parquet(folder / "classes.parquet", cells, TOLD)
    put_parquet(folder / "minus.parquet", cells, [-1 if y is None else y for y in TOLD])
    odd, late = (list(column) for column in zip(*BITS, strict=True))
    pq.write_table(pa.table({"image": image, "odd": [bool(a) for a in odd], "late": late}), folder / "attributes.parquet", row_group_size=7)
    put_tar(folder / "cls.tar", [(name, b"-1" if name.endswith("cls") and int(name[2:5]) % 4 == 0 else c) for name, c in with_cls(0, 60)])
    put_tar(folder / "bare.tar", [(name, c) for name, c in with_cls(0, 60) if name.endswith("png") or int(name[2:5]) % 4])
    put_tar(folder / "label.tar", with_json([{} if y is None else {"kind": y} for y in TOLD]))
    put_tar(folder / "attributes.tar", with_json([{"late": b, "odd": a} for a, b in BITS]))
    known, numbers, bits = [-1 if y is None else y for y in TOLD], {"label": "kind"}, {"attributes": ["odd", "late"]}
    plain = {name: {} for name in ("classes", "classes.parquet", "minus.parquet", "cls.tar", "bare.tar")}
    found = {name: (folder / name, options, known) for name, options in (plain | {"label.tar": numbers}).items()}
    asked = {"attributes": {}, "attributes.parquet": {}, "attributes.tar": bits}
    return found | {name: (folder / name, options, [list(map(float, row)) for row in BITS]) for name, options in asked.items()}


def test_labels_and_attributes_are_those_that_are_read_at_once(tmp_path):
    place = {x.tobytes(): k for k, x in enumerate(XS)}
    for name, (path, options, told) in labelled(tmp_path).items():
        once, streamed = (images(str(path), stream=way, **options) for way in (False, True))
        for a, b in zip(once, streamed, strict=True):
            assert (a.classes, a.attributes, a.y.dtype, a.notes) == (b.classes, b.attributes, b.y.dtype, b.notes), name
            np.testing.assert_array_equal(a.y, b.y)
            assert b.y.tolist() == [told[place[x.tobytes()]] for x in b.x[:]], name
        if isinstance(told[0], list):
            assert (streamed.train.classes, streamed.train.attributes) == ((), ("odd", "late"))
        else:
            assert streamed.train.classes == (NAMES if name == "classes" else ("0", "1", "2"))
            assert streamed.train.notes[-1:] == ("rows without a class (-1): 15 of 60",)
    bits = tmp_path / "attributes" / "metadata.csv"
    before = images(str(bits.parent), stream=True).train.fingerprint()
    bits.write_text(bits.read_text().replace("000.png,0", "000.png,1").replace("001.png,1", "001.png,0").replace("002.png,0", "002.png,1"))
    assert images(str(bits.parent), stream=True).train.fingerprint() != before


@pytest.mark.parametrize(
    ("described", "options", "words"),
    [
        ([{"odd": 1}, {}], {"attributes": ["odd"]}, r"001\.json: column 'odd' is empty; every row needs its attributes"),
        ([{"odd": 1}, {"odd": "x"}], {"attributes": ["odd"]}, r"001\.json: column 'odd' holds 'x', not a finite number"),
        ([{"odd": 1}, {"odd": 1}], {"label": "even"}, r"x\.tar: no \.json beside the pictures holds the class 'even'"),
        ([{"kind": [1]}, {"kind": 1}], {"label": "kind"}, r"000\.json: must hold a class"),
    ],
)
def test_json_without_what_is_asked_for_is_refused(tmp_path, described, options, words):
    with pytest.raises(ali.AliError, match=words):
        images(str(put_tar(tmp_path / "x.tar", with_json(described))), **options)
    put_tar(tmp_path / "y.tar", [*with_json([{"odd": 1}]), ("9.png", png(XS[0]))])
    with pytest.raises(ali.AliError, match=r"9: has no \.json beside it; every picture needs its attributes"):
        images(str(tmp_path / "y.tar"), attributes=["odd"])


# Training.


def assert_same_weights(one: Path, other: Path) -> None:
    for name in ("model.safetensors", "resume/state.safetensors"):
        a, b = load_file(one / name), load_file(other / name)
        assert [key for key in a if not torch.equal(a[key], b[key])] == []


def test_training_on_a_stream_gives_the_same_weights(lying, tmp_path):
    for way in (False, True):
        ali.Model.train("images", lying["parquet"], out=tmp_path / f"{way}", stream=way, **SMALL)
    assert_same_weights(tmp_path / "False", tmp_path / "True")
    assert isinstance(ali.model.open_data(tmp_path / "True").train.x, streams.Streamed)


def test_what_does_not_fit_is_streamed_and_a_run_remembers_how(lying, tmp_path, monkeypatch):
    needed = sum(x.nbytes for x in XS)
    monkeypatch.setattr(streams, "room", lambda: 3 * needed - 1)
    for kind in KINDS:
        data = images(str(lying[kind]))
        assert isinstance(data.train.x, streams.Streamed)
        assert any("decoded as they are needed" in note for note in data.train.notes)
        assert isinstance(images(str(lying[kind]), stream=False).train.x, np.ndarray)
    model = ali.Model.train("images", lying["parquet"], out=tmp_path / "run", **SMALL)
    kept = json.loads((tmp_path / "run" / "config.json").read_text())["data"]
    assert {key: kept[key] for key in ("stream", "size", "grey", "window")} == {"stream": True, "size": 12, "grey": False, "window": 1}

    monkeypatch.setattr(streams, "room", lambda: 2**40)
    assert isinstance(images(str(lying["parquet"])).train.x, np.ndarray)
    opened = []
    monkeypatch.setattr(pixels.Picture, "open", lambda picture: opened.append(picture))
    again = ali.model.open_data(tmp_path / "run")
    assert isinstance(again.train.x, streams.Streamed)
    assert not opened, "headers are not read again"
    monkeypatch.undo()
    assert model.encode(again.test.x).shape == (6, 3)


def test_free_memory_knows_the_limit_of_the_address_space():
    code = """
        import resource
        from ali.data import streams
        free = streams.room()
        resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
        print(free, streams.room())
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert 0 < after < 2**30
    assert 0 < before < 2**50


def test_fingerprint_knows_names_labels_and_ways_but_not_the_window(lying, tmp_path):
    def mark(place, **options) -> str:
        return images(str(place), stream=True, **options).train.fingerprint()

    for kind in ("parquet", "shards"):
        known = mark(lying[kind])
        assert known == mark(lying[kind], window=1)
        moved = shutil.copytree(lying[kind], tmp_path / kind / "elsewhere")
        assert mark(moved) == known
        others = [mark(lying[kind], size=8), mark(lying[kind], grey=True), mark(lying[kind], hold_out=0.2), mark(lying[kind], crop="none")]
        assert len({known, *others}) == 5
    labels = [*YS[:24], 1 + YS[24]]
    put_parquet(tmp_path / "parquet" / "elsewhere" / "0.parquet", [png(x) for x in XS[:25]], labels)
    assert mark(tmp_path / "parquet" / "elsewhere") != mark(lying["parquet"])
    members = [(name, b"2\n" if name == "s/059.cls" and content != b"2\n" else content) for name, content in with_cls(33, 60)]
    members = [(name, b"0\n" if name == "s/059.cls" else content) for name, content in members]
    put_tar(tmp_path / "shards" / "elsewhere" / "1.tar", members)
    assert mark(tmp_path / "shards" / "elsewhere") != mark(lying["shards"])
