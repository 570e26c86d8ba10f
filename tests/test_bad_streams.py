"""Streams that are damaged or make no sense: refused in words, at once or when the bad row is met."""

import shutil
import tarfile

import numpy as np
import pytest
from test_streams import SMALL, XS, YS, png, put_parquet, put_tar, with_cls

import ali
from ali.data.images import images

RNG = np.random.default_rng(0)


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
