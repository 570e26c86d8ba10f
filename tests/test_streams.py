"""Streams: pictures decoded when they are asked for, the same rows as read at once."""

import io
import json
import os
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
from ali.data import pixels, store, streams
from ali.data.images import images, prepare
from ali.data.source import Source, stream
from ali.session import Session, Stopped

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


# The order.


def blocks(reads: list[int], sizes: tuple[int, ...], rows: int = 10, window: int = 100) -> streams.Streamed:
    """Rows in blocks of these many bytes; what is read is noted."""
    labels = [None] * (rows * len(sizes))

    def read(block: int) -> list[pixels.Picture]:
        reads.append(block)
        return [pixels.Picture("", b"x" * (sizes[block] // rows))] * rows

    known = pixels.Rows(labels, read, b"", np.arange(len(sizes)) * rows, np.array(sizes))
    return streams.Streamed(streams.Blocks(known, window), 8, "centre", True)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([10, 30, 50, 100]), min_size=1, max_size=30), st.integers(0, 2**32))
def test_an_epoch_visits_every_row_once_and_reads_every_block_once(sizes, seed):
    reads: list[int] = []
    x = blocks(reads, tuple(sizes)).select(slice(None, None, 3))
    order = x.order(np.random.default_rng(seed))
    np.testing.assert_array_equal(np.sort(order), np.arange(len(x)))
    np.testing.assert_array_equal(order, x.order(np.random.default_rng(seed)))
    for row in order:
        x.blocks.picture(int(x.index[row]))
        assert x.blocks.held <= 100
    assert sorted(reads) == list(range(len(sizes)))


def test_rows_are_shuffled_within_and_between_windows():
    x = blocks([], (50,) * 40)
    first, second = (x.order(np.random.default_rng((0, epoch))) for epoch in (0, 1))
    assert (first != second).mean() > 0.9
    starts = first.reshape(-1, 20) // 10  # two blocks are shuffled together
    assert all(len(set(window)) == 2 for window in starts)
    assert (np.diff(starts, axis=1) != 0).mean() == pytest.approx(10 / 19, abs=0.07)
    neighbours = [abs(len(set(window)) and max(window) - min(window)) for window in starts]
    assert np.mean(neighbours) == pytest.approx(41 / 3, abs=5), "any two blocks may meet"


def test_rows_that_cost_nothing_are_drawn_as_if_they_were_in_memory(lying):
    for kind in KINDS:
        once, streamed = (images(str(lying[kind]), stream=way).train for way in (False, True))
        a, b = stream(once, 7, seed=3, start=4), stream(streamed, 7, seed=3, start=4)
        for _ in range(9):
            assert torch.equal(next(a).x, next(b).x)


def test_the_batch_of_a_step_depends_on_seed_and_step_alone():
    x = blocks([], (50,) * 12)
    told = Source(_Told(x))
    whole = stream(told, 7, seed=5)
    batches = [next(whole).x.tolist() for _ in range(40)]
    for start in (1, 16, 17, 33):
        assert next(stream(told, 7, seed=5, start=start)).x.tolist() == batches[start]
    assert len({row for batch in batches[:17] for row in batch}) == 119, "120 rows fill 17 batches but for one row"


def test_a_labelled_share_keeps_to_the_window():
    """Two orders at a time, one of labelled rows, and still no block is read more than once by each in an epoch."""
    reads: list[int] = []
    x = blocks(reads, (25,) * 40, rows=20)
    y = np.where(np.arange(800) % 8 == 0, np.arange(800) % 3, -1)
    told = _Told(x, touch=True)
    batches = stream(Source(told, y), 10, seed=3, labelled=2)
    drawn = [next(batches) for _ in range(50)]  # 100 labelled rows, each once; 400 others
    heads = [int(row) for batch in drawn for row in batch.x[:2]]
    assert sorted(heads) == list(range(0, 800, 8))
    assert len({int(row) for batch in drawn for row in batch.x[2:]}) == 400
    assert len(reads) < 40 + 40, "half of the blocks for half an epoch, and all once for labelled rows"
    again = stream(Source(told, y), 10, seed=3, start=31, labelled=2)
    assert next(again).x.tolist() == drawn[31].x.tolist()


class _Told:
    """Row numbers in the order of other rows, which may be read, too."""

    def __init__(self, x: streams.Streamed, touch: bool = False):
        self.x, self.touch, self.dtype, self.nbytes, self.shape = x, touch, np.dtype(int), 8 * len(x), (len(x),)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index) -> np.ndarray:
        rows = self.x.index[index]
        for row in rows if self.touch else ():
            self.x.blocks.picture(int(row))
        return rows

    def select(self, index) -> "_Told":
        return _Told(self.x.select(index), self.touch)

    def order(self, generator, among: int = 1) -> np.ndarray:
        return self.x.order(generator, among)

    def fingerprint(self) -> str:
        return ""


# Training.


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """Three windows of 1 MiB."""
    cells = [png(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8), "BMP") for _ in range(250)]
    return put_parquet(tmp_path_factory.mktemp("large") / "x.parquet", cells, [k % 2 for k in range(250)], 20)


def assert_same_weights(one: Path, other: Path) -> None:
    for name in ("model.safetensors", "resume/state.safetensors"):
        a, b = load_file(one / name), load_file(other / name)
        assert [key for key in a if not torch.equal(a[key], b[key])] == []


def test_training_on_a_stream_gives_the_same_weights(lying, tmp_path):
    for way in (False, True):
        ali.Model.train("images", lying["parquet"], out=tmp_path / f"{way}", stream=way, **SMALL)
    assert_same_weights(tmp_path / "False", tmp_path / "True")
    assert isinstance(ali.model.open_data(tmp_path / "True").train.x, streams.Streamed)


def test_a_stopped_stream_goes_on_to_the_same_weights(large, tmp_path):
    data = images(str(large), stream=True, window=1)
    order = data.train.x.order(np.random.default_rng((0, 0)))
    assert not np.array_equal(order, np.random.default_rng((0, 0)).permutation(len(order))), "windows are at work"
    options = SMALL | {"batch_size": 32}
    for _ in Session.start("images", data, tmp_path / "whole", path=str(large), **options).play():
        pass
    session = Session.start("images", data, tmp_path / "parts", path=str(large), **options)
    reports = session.play()
    for _ in range(5):
        next(reports)
    session.stop()
    with pytest.raises(Stopped, match="--resume"):
        next(reports)
    ali.Model.resume(tmp_path / "parts")
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")


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


# What is damaged.


def test_unreadable_pictures_are_refused_at_once_or_when_they_are_met_or_left_out(tmp_path):
    cells = [png(x) for x in XS]
    headless, half = cells.copy(), cells.copy()
    headless[11] = b"not a picture"
    half[11] = half[11][:200]
    with pytest.raises(ali.AliError, match=r"x\.parquet, row 11: not a readable image .*1 of 60 are unreadable"):
        images(str(put_parquet(tmp_path / "x.parquet", headless, YS)), stream=True)
    tar = [(f"{k:03d}.png", cell) for k, cell in enumerate(half)]
    places = put_parquet(tmp_path / "half.parquet", half, YS), put_tar(tmp_path / "half.tar", tar)
    for place, where in zip(places, ("row 11", r"011\.png"), strict=True):
        data = images(str(place), stream=True)
        words = rf"half\.\w+, {where}: not a readable image .*only now.*--skip-bad.*last checkpoint is intact"
        with pytest.raises(ali.AliError, match=words):
            data.train.x[:], data.test.x[:]
        with pytest.raises(ali.AliError, match=words):
            ali.Model.train("images", data, out=tmp_path / place.suffix, **SMALL)
    for place in (*places, tmp_path / "x.parquet"):
        once, streamed = (images(str(place), skip_bad=True, stream=way) for way in (False, True))
        assert [len(part) for part in streamed] == [53, 6]
        np.testing.assert_array_equal(streamed.train.x[:], once.train.x)
        assert streamed.train.notes == once.train.notes


def test_archives_that_are_cut_off_are_refused_wherever_they_are(tmp_path):
    whole = put_tar(tmp_path / "whole.tar", [(f"{k}.png", png(x)) for k, x in enumerate(XS[:4])]).read_bytes()
    with tarfile.open(tmp_path / "whole.tar") as archive:
        end = archive.getmembers()[-1]
    last = end.offset_data + -(-end.size // 512) * 512
    cut = tmp_path / "cut.tar"
    for length in [*range(1, last + 1, 101), last - 512, last, last + 100]:
        cut.write_bytes(whole[:length])
        with pytest.raises(ali.AliError, match=r"cut\.tar: (is cut off|not a readable \.tar)"):
            images(str(cut))
    cut.write_bytes(whole[: last + 512])
    assert len(images(str(cut)).train) == 4 - 1
    damaged = bytearray(whole)
    damaged[end.offset : end.offset + 300] = b"\xff" * 300
    cut.write_bytes(damaged)
    with pytest.raises(ali.AliError, match=r"cut\.tar: (is cut off|not a readable \.tar)"):
        images(str(cut))


def test_truncated_parquet_is_refused_in_words(large, tmp_path):
    content = large.read_bytes()
    for share in (0.1, 0.9, 0.999):
        (tmp_path / "cut.parquet").write_bytes(content[: int(share * len(content))])
        with pytest.raises(ali.AliError, match=r"cut\.parquet: not a readable Parquet file"):
            images(str(tmp_path / "cut.parquet"), stream=True)
    hole = bytearray(content)
    middle = len(hole) // 2
    hole[middle : middle + 200_000] = bytes(200_000)
    (tmp_path / "hole.parquet").write_bytes(hole)
    with pytest.raises(ali.AliError, match=r"hole\.parquet(: not a readable Parquet file, after row|, row)"):
        images(str(tmp_path / "hole.parquet"), stream=True)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([("a.txt", b"x"), ("b.tar", b"x")], r"no pictures in it: it holds 1 \.txt, 1 \.tar; .*unpack these archives once"),
        ([*with_cls(0, 3), ("s/9.cls", b"1")], r"s/9: has a label but no picture beside it; .*tar --sort=name"),
        ([("1.png", png(XS[0])), ("1.seg.png", png(XS[0])), ("1.cls", b"0")], "1: has several pictures for one label"),
        ([("1.png", png(XS[0])), ("1.cls", b"")], r"1\.cls: must hold a class, by number or name; it holds ''"),
        ([("1.png", png(XS[0])), ("1.json", b'{"label": [1]}')], r"1\.json: must hold a class"),
        ([("1.png", png(XS[0])), ("1.json", b"{")], r"1\.json: not readable as \.json"),
    ],
)
def test_archives_that_make_no_sense_are_refused(tmp_path, members, words):
    with pytest.raises(ali.AliError, match=words):
        images(str(put_tar(tmp_path / "x.tar", members)))


def test_what_can_not_be_streamed_says_what_to_do(large, tmp_path):
    (tmp_path / "x.tar.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(ali.AliError, match=r"x\.tar\.gz: is compressed.*unpack it"):
        images(str(tmp_path / "x.tar.gz"))
    (tmp_path / "photos").mkdir()
    shutil.copy(tmp_path / "x.tar.gz", tmp_path / "photos")
    for k in range(2):
        (tmp_path / "photos" / f"{k}.png").write_bytes(png(XS[k]))
    assert len(images(str(tmp_path / "photos")).train) == 1, "beside pictures an archive does not matter"
    put_tar(tmp_path / "photos" / "y.tar", with_cls(0, 3))
    with pytest.raises(ali.AliError, match=r"x\.tar\.gz: is compressed"):
        images(str(tmp_path / "photos"))
    np.save(tmp_path / "x.npy", np.stack(XS))
    with pytest.raises(ali.AliError, match="an array is read as a whole"):
        images(str(tmp_path / "x.npy"), stream=True)
    with pytest.raises(ali.AliError, match="window counts MiB"):
        images(str(large), stream=True, window=0)
    cells = [png(RNG.integers(0, 256, (200, 200, 3), dtype=np.uint8)) for _ in range(12)]
    with pytest.raises(ali.AliError, match=r"row group of 1 MiB .* --window 2, or .*`ali prepare`.*smaller row groups"):
        images(str(put_parquet(tmp_path / "x.parquet", cells, [0] * 12, 12)), stream=True, window=1)


def test_address_space_does_not_grow_with_the_data(tmp_path):
    """Train on, encode and reconstruct 80 MB of pictures when only 64 MB of address space are left after the libraries are loaded."""
    n, cells = 6400, [png(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8), "BMP") for _ in range(100)]
    put_tar(tmp_path / "x.tar", [(f"{'ab'[k % 2]}/{k}.bmp", cells[k % 100]) for k in range(n)])
    schema = pa.schema({"image": pa.struct({"bytes": pa.binary()}), "label": pa.int64()})
    with pq.ParquetWriter(tmp_path / "x.parquet", schema, use_dictionary=False, compression="none") as writer:
        for first in range(0, n, 200):
            rows = [{"image": {"bytes": cells[k % 100]}, "label": k % 2} for k in range(first, first + 200)]
            writer.write_table(pa.Table.from_pylist(rows, schema))
    code = textwrap.dedent(f"""
        import resource
        from pathlib import Path
        import numpy as np
        import pyarrow.parquet, pyarrow.csv
        import ali, ali.evaluation, ali.session
        from ali import files
        from ali.data.images import images
        resource.setrlimit(resource.RLIMIT_AS, (2**45, 2**45))  # limited from the start, as by `ulimit -v`
        small = dict(networks="mlp", width=4, depth=1, latent=2, epochs=1, batch_size=16)
        x = np.random.default_rng(0).integers(0, 256, (80, 64, 64, 3), dtype=np.uint8)
        warm = ali.Model.train("images", x, out="warm", **small)
        warm.encode(np.zeros((1000, 64, 64, 3), np.uint8))
        files.write_numbers(Path("z.parquet"), [np.zeros((9, 2))])
        size = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) * 1024
        resource.setrlimit(resource.RLIMIT_AS, (size + 64 * 2**20,) * 2)
        for kind in ("parquet", "tar"):
            data = images("x." + kind)
            assert any("decoded as they are needed" in note for note in data.train.notes)
            assert data.train.x.nbytes + data.test.x.nbytes == {n} * 64 * 64 * 3
            session = ali.session.Session.start("images", data, kind, path="x." + kind, **small)
            for number, _ in enumerate(session.play()):
                if number == 10:
                    break
            del data, session, number, _
            x = ali.model.open_data(kind).train.x
            files.write_numbers(Path("z.parquet"), warm.each("encode", x))
        files.write_images(Path("x.npy"), warm.each("reconstruct", x), 255.0)
        files.write_numbers(Path("z.npy"), warm.each("encode", files.read_images(Path("x.npy"), (64, 64, 3), 255.0, "uint8")))
        print(len(x))
    """)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = int(done.stdout)
    assert rows == 5760
    assert np.load(tmp_path / "z.npy").shape == (rows, 2)
    assert pq.read_metadata(tmp_path / "z.parquet").num_rows == rows
    assert store.Stored(tmp_path / "x.npy").shape == (rows, 64, 64, 3)
    shutil.rmtree(tmp_path)
