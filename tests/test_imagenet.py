"""ImageNet from its official folders: classes, the size and order of pictures, and bad folders."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_celeba import picture
from test_official import put, refused

from ali.data.official import imagenet
from ali.data.official_pictures import cut_centre, read_pictures
from ali.data.source import Source

pytestmark = pytest.mark.usefixtures("_tiny_files_are_not_the_published_ones")

SYNSETS = ("n01440764", "n01443537", "n02102040")


def put_ilsvrc(folder: Path, val: str = "classes", inner: str = "") -> Path:
    """Two pictures per class to learn from, one to hold out; blue is 10 times the class plus the number."""
    for k, synset in enumerate(SYNSETS):
        for part, n in (("train", 2), ("val", 1)):
            place = folder / part if (part, val) == ("val", "flat") else folder / part / synset / inner
            place.mkdir(parents=True, exist_ok=True)
            for i in range(n):
                picture(10 * k + i, (100, 75) if i else (60, 90)).save(place / f"{synset}_{i}.JPEG", "JPEG", quality=95)
    return folder


def blues(source: Source) -> list[int]:
    return [round(float(blue)) for blue in source.x[..., 2].mean((1, 2))]


@pytest.mark.parametrize("form", ["classes", "one level down", "pictures one level deeper"])
def test_imagenet_is_read_by_class(tmp_path, form):
    put_ilsvrc(tmp_path / "CLS-LOC" if form == "one level down" else tmp_path, inner="images" if form.startswith("pictures") else "")
    train, test = imagenet(str(tmp_path))
    assert (train.x.shape, test.x.shape, train.x.dtype) == ((6, 64, 64, 3), (3, 64, 64, 3), np.uint8)
    assert train.classes == test.classes == SYNSETS
    assert (train.y.tolist(), test.y.tolist()) == ([0, 0, 1, 1, 2, 2], [0, 1, 2])
    assert (train.y.dtype, test.y.dtype) == (np.int64, np.int64)
    assert blues(train) == pytest.approx([0, 1, 10, 11, 20, 21], abs=1)
    assert blues(test) == pytest.approx([0, 10, 20], abs=1)


def test_without_classes_in_val_no_part_of_imagenet_has_labels(tmp_path):
    train, test = imagenet(str(put_ilsvrc(tmp_path, "flat")))
    assert (len(train), len(test)) == (6, 3)
    assert (train.y, test.y, train.classes) == (None, None, ())


@pytest.mark.parametrize("size", [(100, 75), (60, 90), (64, 64), (500, 375), (333, 1000), (64, 65), (32, 48)])
def test_imagenet_pictures_are_scaled_by_their_shorter_side_and_cut_in_the_middle(tmp_path, size):
    picture(7, size).save(tmp_path / "x.png")
    x = read_pictures([str(tmp_path / "x.png")], 64, lambda opened: cut_centre(opened, 64))[0]
    width, height = size
    scale = 64 / min(size)
    for channel, long, axis in ((0, height, 0), (1, width, 1)):
        line = x[:, 32, 0] if axis == 0 else x[32, :, 1]
        start = (round(long * scale) - 64) // 2
        wanted = 255 * (np.arange(64) + 0.5 + start) / (long * scale)
        assert np.abs(line.astype(float) - wanted)[8:-8].max() < 1.1 + 128 / min(size), channel
    assert x[..., 2].min() == x[..., 2].max() == 7


def test_a_large_jpeg_and_a_small_png_of_one_scene_agree(tmp_path):
    picture(7, (800, 600)).save(tmp_path / "x.jpeg", quality=95)
    picture(7, (800, 600)).save(tmp_path / "x.png")
    files = [str(tmp_path / name) for name in ("x.jpeg", "x.png")]
    jpeg, png = read_pictures(files, 64, lambda opened: cut_centre(opened, 64)).astype(int)
    assert np.abs(jpeg - png).max() <= 4


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGBA", "P"])
def test_pictures_of_other_kinds_become_colour(tmp_path, mode):  # ILSVRC has grey and CMYK pictures, and a PNG called .JPEG
    flat = Image.new("RGB", (80, 70), (204, 51, 102)).convert(mode)
    flat.save(tmp_path / "x.JPEG", "PNG" if mode in ("RGBA", "P") else "JPEG")
    x = read_pictures([str(tmp_path / "x.JPEG")], 64, lambda opened: cut_centre(opened, 64))
    wanted = [round(0.299 * 204 + 0.587 * 51 + 0.114 * 102)] * 3 if mode == "L" else [204, 51, 102]
    assert np.abs(x.astype(int) - wanted).max() <= 4


def test_size_and_limit_of_imagenet(tmp_path):
    put_ilsvrc(tmp_path)
    train, test = imagenet(str(tmp_path), size=16, limit=3)
    assert train.x.shape == (3, 16, 16, 3)
    assert (train.y.tolist(), test.y.tolist()) == ([0, 1, 2], [0, 1, 2]), "spread over the classes"
    assert [len(part) for part in imagenet(str(tmp_path), limit=5)] == [5, 3]
    refused(imagenet, tmp_path, "at least 1, got 64 and 0", limit=0)
    refused(imagenet, tmp_path, "at least 1, got 0 and None", size=0)


def test_many_pictures_stay_in_their_order(tmp_path):
    for k in range(9):
        Image.new("RGB", (8, 8), (k, 0, 0)).save(tmp_path / f"{k}.png")
    files = [str(tmp_path / f"{k % 9}.png") for k in range(5000)]
    x = read_pictures(files, 8, lambda opened: opened)
    assert np.array_equal(x[:, 0, 0, 0], np.arange(5000) % 9)


def test_bad_folders_of_imagenet_are_refused_by_name(tmp_path):
    put_ilsvrc(tmp_path)
    bad = tmp_path / "train" / SYNSETS[1] / f"{SYNSETS[1]}_0.JPEG"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:300])
    assert refused(imagenet, tmp_path, "not a readable picture").startswith(f"{bad}: ")
    bad.write_bytes(whole)
    put(tmp_path / "train" / SYNSETS[1], {"._mac.JPEG": b"no picture", "notes.txt": b""})
    assert len(imagenet(str(tmp_path)).train) == 6
    (tmp_path / "val" / "n09999999").mkdir()
    refused(imagenet, tmp_path, "val/n09999999: the training part has no such class")
    (tmp_path / "val").rename(tmp_path / "validation")
    refused(imagenet, tmp_path, "no folder val beside train")
    (tmp_path / "val").mkdir()
    refused(imagenet, tmp_path, "val: no pictures")
