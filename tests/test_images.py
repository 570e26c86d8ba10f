"""Anybody's images: what becomes of one picture, and which pictures a path stands for."""

import io
import json
import shutil
import sys
import tracemalloc
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from test_cli import run, works

import ali
from ali import files, recipes
from ali.data import folders, pixels
from ali.data.images import images
from ali.data.official import cifar10
from ali.errors import AliError

RNG = np.random.default_rng(0)
TILES = RNG.integers(0, 256, (12, 8, 8), dtype=np.uint8)
COLOURS = RNG.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
RED, WHITE = (255, 0, 0), (255, 255, 255)


def put(file: Path, x: np.ndarray | Image.Image, **options) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    (x if isinstance(x, Image.Image) else Image.fromarray(x)).save(file, **options)
    return file


def put_all(folder: Path, xs=TILES, start: int = 0) -> Path:
    for k, x in enumerate(xs, start):
        put(folder / f"{k:03d}.png", x)
    return folder


def put_parquet(file: Path, xs, **columns) -> Path:
    """A file as ``datasets`` writes it, without the features beside the schema; x may be an array, bytes or None."""
    cells = []
    for x in xs:
        buffer = io.BytesIO()
        if isinstance(x, np.ndarray):
            Image.fromarray(x).save(buffer, "PNG")
        cells.append({"bytes": buffer.getvalue() if isinstance(x, np.ndarray) else x, "path": "x.png"})
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image": pa.array(cells, kind)} | columns), file)
    return file


def rows(data) -> list:
    return sorted(np.concatenate([part.x.reshape(len(part), -1) for part in data]).tolist())


def same(data, xs) -> bool:
    return rows(data) == sorted(np.stack(xs).reshape(len(xs), -1).tolist())


def decoded(file: Path | bytes, grey: bool) -> np.ndarray:
    with pixels.Picture("x", file).open() as opened:
        return np.asarray(pixels.bytes_of(opened, grey)[0])


# One picture.


UPRIGHT = {  # what a viewer does, by EXIF 2.3, table 6 (0x0112)
    1: lambda x: x,
    2: np.fliplr,
    3: lambda x: np.rot90(x, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(x, 2).T,
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_pictures_are_turned_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    x = np.kron(RNG.integers(0, 256, (5, 9), dtype=np.uint8), np.ones((8, 8), np.uint8))
    for ending in ("png", "tif", "jpg"):
        file = put(tmp_path / f"x.{ending}", x, exif=exif)
        assert np.abs(decoded(file, grey=True).astype(int) - UPRIGHT[orientation](x)).max() <= (3 if ending == "jpg" else 0)
    folder = put_all(tmp_path / "folder", TILES[:3])
    put(folder / "turned.png", TILES[3], exif=exif)
    data = images(str(folder))
    assert same(data, [*TILES[:3], UPRIGHT[orientation](TILES[3])])
    assert data.train.notes == data.test.notes == (() if orientation == 1 else ("images turned upright, as their EXIF data say: 1",))


def test_damaged_exif_costs_only_the_rotation(tmp_path):
    file = put(tmp_path / "x.png", TILES[0], exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff" + bytes(range(40)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.array_equal(decoded(file, grey=True), TILES[0])
    data = images(str(put_all(tmp_path, TILES[1:4], start=1)))
    assert same(data, [*TILES[1:4], TILES[0]])
    assert data.train.notes == ()


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_grey_of_16_bits_is_scaled_exactly(tmp_path, ending):
    x = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    y = decoded(put(tmp_path / f"x.{ending}", x), grey=True)
    assert np.array_equal(y, (x.astype(int) + 128) // 257)  # nearest; nothing lies half way
    assert (y[0, 0], y[-1, -1]) == (0, 255)
    assert np.array_equal(decoded(tmp_path / f"x.{ending}", grey=False), np.repeat(y[..., None], 3, -1))


def test_grey_of_32_bits_and_of_either_byte_order(tmp_path):
    x = np.array([[0, 257, 65535, 70000, -5]], np.int32)
    assert decoded(put(tmp_path / "x.tif", x), grey=True).tolist() == [[0, 1, 255, 255, 0]]
    big = Image.frombytes("I;16B", (2, 1), b"\xff\xff\x01\x01")
    assert decoded(put(tmp_path / "big.tif", big), grey=True).tolist() == [[255, 1]]


@pytest.mark.parametrize(
    ("x", "y"), [([0.0, 0.5, 1.0], [0, 128, 255]), ([0.0, 1.5, 255.0], [0, 2, 255]), ([-3.0, 100.4, 300.0], [0, 100, 255])]
)
def test_floating_point_goes_to_1_or_to_255(tmp_path, x, y):
    assert decoded(put(tmp_path / "x.tif", np.array([x], np.float32)), grey=True).tolist() == [y]


def flat(mode: str, colour, size=(8, 8)) -> Image.Image:
    return Image.new(mode, size, colour)


def palette(colours: list[tuple[int, int, int]], index: int, transparent: int | None = None) -> Image.Image:
    picture = flat("P", index)
    picture.putpalette([value for colour in colours for value in colour])
    if transparent is not None:
        picture.info["transparency"] = transparent
    return picture


KNOWN = {  # a picture of one colour, what it is saved as, what it is in colour
    "colour": (flat("RGB", (1, 2, 3)), "png", (1, 2, 3)),
    "grey": (flat("L", 77), "png", (77, 77, 77)),
    "one bit": (flat("1", 1), "png", WHITE),
    "palette": (palette([RED, (0, 200, 7)], 1), "png", (0, 200, 7)),
    "palette in a GIF": (palette([RED, (0, 200, 7)], 1), "gif", (0, 200, 7)),
    "a transparent colour of a palette": (palette([RED, (0, 200, 7)], 1, transparent=1), "png", WHITE),
    "opaque": (flat("RGBA", (9, 8, 7, 255)), "png", (9, 8, 7)),
    "transparent": (flat("RGBA", (9, 8, 7, 0)), "png", WHITE),
    "half transparent black": (flat("RGBA", (0, 0, 0, 128)), "png", (127, 127, 127)),
    "half transparent grey": (flat("LA", (0, 51)), "png", (204, 204, 204)),
    "cyan ink": (flat("CMYK", (255, 0, 0, 0)), "tif", (0, 255, 255)),
    "black ink": (flat("CMYK", (0, 0, 0, 255)), "tif", (0, 0, 0)),
    "no ink in a JPEG": (flat("CMYK", (0, 0, 0, 0)), "jpg", WHITE),
    "magenta ink in a JPEG": (flat("CMYK", (0, 255, 0, 0)), "jpg", (255, 0, 255)),
    "WebP": (flat("RGB", (40, 40, 40)), "webp", (40, 40, 40)),
    "BMP": (flat("RGB", (1, 2, 3)), "bmp", (1, 2, 3)),
}


@pytest.mark.parametrize("kind", KNOWN)
def test_known_colours(tmp_path, kind):
    picture, ending, colour = KNOWN[kind]
    file = put(tmp_path / f"x.{ending}", picture, **({"lossless": True} if ending == "webp" else {}))
    tolerance = 2 if ending == "jpg" else 0
    wanted = np.array(colour)
    assert np.abs(decoded(file, grey=False).reshape(-1, 3).astype(int) - wanted).max() <= tolerance
    luma = wanted @ (0.299, 0.587, 0.114)
    assert np.abs(decoded(file, grey=True).astype(int) - luma).max() <= 0.5 + 1e-3 + tolerance


def test_a_photo_of_several_pictures_is_one_picture(tmp_path):
    x, y = (Image.fromarray(np.full((9, 9, 3), value, np.uint8)) for value in (10, 200))
    x.save(tmp_path / "x.mpo", save_all=True, append_images=[y])
    (tmp_path / "x.mpo").rename(tmp_path / "x.jpg")
    assert (decoded(tmp_path / "x.jpg", grey=True) == 10).all()


def test_only_the_first_frame_is_taken(tmp_path):
    frames = [flat("L", value) for value in (10, 200)]
    for ending in ("gif", "tif"):
        frames[0].save(tmp_path / f"x.{ending}", save_all=True, append_images=frames[1:])
        assert (decoded(tmp_path / f"x.{ending}", grey=True) == 10).all()


@pytest.mark.parametrize("wide", [True, False])
def test_the_centre_is_cropped_or_the_whole_is_stretched(wide):
    bars = np.repeat(np.array([0, 100, 200], np.uint8), 16)  # 48 pixels, the square in the centre is 100
    x = np.broadcast_to(bars, (16, 48))
    x = Image.fromarray(np.ascontiguousarray(x if wide else x.T))
    centre, done = pixels.square(x, 16, "centre")
    assert (np.asarray(centre) == 100).all()
    assert done == ["cropped"]
    whole, done = pixels.square(x, 16, "none")
    assert done == ["stretched", "resized"]
    line = np.asarray(whole)[8] if wide else np.asarray(whole)[:, 8]
    assert np.abs(line[[0, 8, -1]].astype(int) - (0, 100, 200)).max() <= 1


def test_nothing_aliases_when_a_picture_shrinks():
    board = np.indices((240, 240)).sum(0) % 2 * 255
    small, done = pixels.square(Image.fromarray(board.astype(np.uint8)), 10, "centre")
    assert np.abs(np.asarray(small).astype(int) - 127).max() <= 3
    assert done == ["resized"]


def test_a_picture_that_fits_is_left_as_it_is():
    picture, done = pixels.square(Image.fromarray(COLOURS[0]), 8, "centre")
    assert np.array_equal(np.asarray(picture), COLOURS[0])
    assert done == []


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"]),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(8, 20),
    st.sampled_from(["centre", "none"]),
    st.booleans(),
)
def test_any_size_and_mode_gives_bytes_of_the_training_size(mode, width, height, size, crop, grey):
    file = io.BytesIO()
    Image.new(mode, (width, height)).save(file, "TIFF" if mode in ("CMYK", "I", "F") else "PNG")
    with pixels.Picture("x", file.getvalue()).open() as opened:
        whole, _ = pixels.bytes_of(opened, grey)
    x = np.asarray(pixels.square(whole, size, crop)[0])
    assert x.shape == ((size, size) if grey else (size, size, 3))
    assert x.dtype == np.uint8


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([np.uint8, np.uint16, np.int64, np.float32]),
    st.integers(1, 30),
    st.integers(1, 30),
    st.sampled_from([(), (1,), (3,)]),
    st.sampled_from(["centre", "none"]),
    st.booleans(),
)
def test_arrays_keep_their_type_and_range(dtype, height, width, channels, crop, grey):
    x = (np.random.default_rng(height).random((height, width, *channels)) * 200).astype(dtype)
    y, _ = pixels.array(x, 10, crop, grey)
    assert y.shape == ((10, 10) if grey else (10, 10, 3))
    assert y.dtype == x.dtype
    assert x.min() <= y.min() <= y.max() <= x.max()


@pytest.mark.parametrize("x", [RNG.integers(0, 256, (30, 21), dtype=np.uint8), RNG.integers(0, 256, (30, 21, 3), dtype=np.uint8)])
def test_an_array_and_a_picture_of_the_same_pixels_become_the_same(x):
    picture = np.asarray(pixels.square(Image.fromarray(x), 12, "centre")[0])
    assert np.array_equal(pixels.array(x, 12, "centre", grey=x.ndim == 2)[0], picture)
    grey, _ = pixels.array(x, 30, "none", grey=True)
    known = np.asarray(pixels.square(Image.fromarray(x).convert("L"), 30, "none")[0])
    assert np.abs(grey.astype(int) - known).max() <= 1


# Folders.


def test_a_folder_of_any_depth_is_read_in_order(tmp_path):
    put_all(tmp_path / "one" / "two", TILES)
    put(tmp_path / "one" / "two" / ".hidden.png", TILES[0])
    put(tmp_path / "one" / ".trash" / "x.png", TILES[0])
    (tmp_path / "one" / "two" / "notes.txt").write_text("not a picture")
    train, test = images(str(tmp_path), hold_out=0.25)
    assert (len(train), len(test)) == (9, 3)
    assert same((train, test), TILES)
    assert train.y is None
    assert (train.notes, train.classes) == ((), ())
    order = [next(k for k in range(12) if np.array_equal(TILES[k], x)) for x in train.x]
    assert order == sorted(order)


def test_endings_are_known_in_any_case(tmp_path):
    for k, ending in enumerate(("PNG", "Jpg", "jpeg", "webp", "BMP", "gif", "tif", "TIFF")):
        put(tmp_path / f"{k}.{ending}", flat("L", 50))
    data = images(str(tmp_path))
    assert len(data.train) + len(data.test) == 8
    assert data.train.x.shape[1:] == (8, 8, 3), "WebP knows no grey"
    assert np.abs(data.train.x.astype(int) - 50).max() <= 2


def test_subfolders_are_classes_however_deep_their_pictures_lie(tmp_path):
    put_all(tmp_path / "outer" / "bee" / "b", TILES[4:])
    put_all(tmp_path / "outer" / "ant", TILES[:4])
    (tmp_path / "outer" / "empty").mkdir()
    data = images(str(tmp_path), hold_out=0.3)
    for part in data:
        assert part.classes == ("ant", "bee")
        for x, y in zip(part.x, part.y, strict=True):
            assert y == (0 if any(np.array_equal(x, tile) for tile in TILES[:4]) else 1)


def test_pictures_beside_subfolders_make_these_no_classes(tmp_path):
    put_all(tmp_path / "ant", TILES[:4])
    put_all(tmp_path, TILES[4:])
    data = images(str(tmp_path))
    assert data.train.y is None
    assert same(data, TILES)
    assert "8 pictures lie beside the subfolders" in data.train.notes[0]


@pytest.mark.parametrize("names", [("train", "test"), ("Training", "val"), ("train", "valid"), ("train", "validation")])
@pytest.mark.parametrize("outer", ["", "download"])
def test_parts_are_kept_apart_and_number_their_classes_alike(tmp_path, names, outer):
    put_all(tmp_path / outer / names[0] / "ant", TILES[:5])
    put_all(tmp_path / outer / names[0] / "cat", TILES[5:8])
    put_all(tmp_path / outer / names[1] / "bee", TILES[8:10])
    put_all(tmp_path / outer / names[1] / "cat", TILES[10:])
    train, test = images(str(tmp_path), hold_out=0.9)
    assert np.array_equal(train.x, TILES[:8])
    assert np.array_equal(test.x, TILES[8:])
    assert train.classes == test.classes == ("ant", "bee", "cat")
    assert (train.y.tolist(), test.y.tolist()) == ([0] * 5 + [2] * 3, [1, 1, 2, 2])


def test_what_is_in_no_part_is_left_out_and_said_so(tmp_path):
    for name, part in {"train": TILES[:5], "test": TILES[5:8], "val": TILES[8:10], "": TILES[10:]}.items():
        put_all(tmp_path / name, part)
    train, test = images(str(tmp_path))
    assert (len(train), len(test)) == (5, 3)
    assert train.y is None
    assert train.notes == ("4 pictures in no subfolder, val left out: train and test are the parts",)


def test_a_train_among_cars_is_a_class(tmp_path):
    for k, name in enumerate(("car", "train", "bus")):
        put_all(tmp_path / name, TILES[4 * k : 4 * k + 4])
    assert images(str(tmp_path)).train.classes == ("bus", "car", "train")


def test_links_are_followed_but_not_in_circles(tmp_path):
    put_all(tmp_path / "elsewhere", TILES)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "circle").symlink_to(tmp_path / "here")
    assert same(images(str(tmp_path / "here")), TILES)


# The policy.


SIZES = {  # sizes of the pictures, the size asked for, the size they get
    "their own": ([(28, 28)] * 3, None, 28),
    "the least": ([(8, 8)] * 3, None, 8),
    "the most": ([(128, 128)] * 3, None, 128),
    "too large": ([(129, 129)] * 3, None, 64),
    "too small": ([(7, 7)] * 3, None, 8),
    "not square": ([(30, 20)] * 3, None, 20),
    "several": ([(20, 20), (20, 20), (30, 30)], None, 20),
    "the median of the shorter sides": ([(30, 40), (90, 24), (28, 28), (500, 600)], None, 28),
    "several, most of them large": ([(20, 20), (200, 300), (80, 70)], None, 64),
    "as asked": ([(28, 28), (31, 40), (5, 90)], 32, 32),
    "as asked although they are of one size": ([(28, 28)] * 3, 16, 16),
}


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("where", ["folder", "parquet"])
def test_the_training_size(tmp_path, kind, where):
    sizes, asked, size = SIZES[kind]
    xs = [np.full((height, width), 50, np.uint8) for width, height in sizes]
    path = put_all(tmp_path / "x", xs) if where == "folder" else put_parquet(tmp_path / "x.parquet", xs)
    for part in images(str(path), size=asked):
        assert part.x.shape[1:] == (size, size)
        assert part.x.dtype == np.uint8
        assert (part.x == 50).all()


@pytest.mark.parametrize(("size", "words"), [(7, "8 to 128 pixels, got 7$"), (256, "got 256; larger pictures are shrunk .* --size 128")])
def test_other_sizes_are_refused_with_advice(tmp_path, size, words):
    with pytest.raises(AliError, match=words):
        images(str(put_all(tmp_path)), size=size)


def test_what_was_done_is_counted(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    put(tmp_path / "a.png", flat("RGB", RED, (100, 100)))
    put(tmp_path / "b.png", flat("L", 9, (64, 64)))
    put(tmp_path / "c.png", flat("L", 9, (90, 30)), exif=exif)
    put(tmp_path / "d.jpg", flat("CMYK", (0, 0, 0, 0), (64, 80)))
    data = images(str(tmp_path))
    assert data.train.x.shape[1:] == (64, 64, 3)
    assert data.train.notes == (
        "images turned upright, as their EXIF data say: 1",
        "images grey, made colour like the others: 2",
        "images cropped to the square in their centre (--crop none keeps the whole): 2",
        "images resized to 64 x 64 pixels, 1 of them enlarged: 2",
    )
    data = images(str(tmp_path), crop="none", grey=True)
    assert data.train.x.shape[1:] == (64, 64)
    assert data.train.notes[1:] == (
        "images in colour, made grey: 2",
        "images not square, stretched to a square (--crop centre keeps the proportions): 2",
        "images resized to 64 x 64 pixels, 1 of them enlarged: 3",
    )
    assert images(str(tmp_path), grey=False).train.x.shape[1:] == (64, 64, 3)


def test_pictures_are_decoded_one_after_another(tmp_path):
    for k in range(12):
        put(tmp_path / f"{k}.png", flat("RGB", RED, (600, 600)))
    images(str(tmp_path))
    tracemalloc.start()  # it sees numpy's memory, not Pillow's
    images(str(tmp_path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * 12 * 64 * 64 * 3 + 600 * 600 * 3


# Parquet, arrays, the hub.


def test_parquet_goes_the_same_way_as_folders(tmp_path):
    xs = [COLOURS[0], TILES[1], np.full((30, 20), 7, np.uint8), COLOURS[3]]
    folder = images(str(put_all(tmp_path / "folder", xs)), size=9)
    table = images(str(put_parquet(tmp_path / "x.parquet", xs)), size=9)
    for a, b in zip(folder, table, strict=True):
        assert np.array_equal(a.x, b.x)
        assert a.notes == b.notes
    assert len(table.train.notes) == 3


def test_parquet_classes_by_name_are_numbered_over_both_parts(tmp_path):
    put_parquet(tmp_path / "train.parquet", TILES[:4], label=pa.array(["cat", "ant", "cat", "ant"]))
    put_parquet(tmp_path / "test.parquet", TILES[4:7], label=pa.array(["bee", "cat", "bee"]).dictionary_encode())
    put_parquet(tmp_path / "extra.parquet", TILES[7:])
    train, test = images(str(tmp_path))
    assert train.classes == test.classes == ("ant", "bee", "cat")
    assert (train.y.tolist(), test.y.tolist()) == ([2, 0, 2, 0], [1, 2, 1])
    assert train.notes == ("left out: extra.parquet",)


def test_unknown_labels_are_minus_one_and_others_no_classes(tmp_path):
    train = put_parquet(tmp_path / "train.parquet", TILES, label=pa.array([0, -1, 1] * 4))
    put_parquet(tmp_path / "test.parquet", TILES, label=pa.array([-1] * 12))
    data = images(str(tmp_path))
    assert data.train.y.tolist() == [0, -1, 1] * 4
    assert data.test.y is None
    for wrong in (-2, 10**9):
        put_parquet(train, TILES, label=pa.array([0] * 11 + [wrong]))
        with pytest.raises(AliError, match=rf"^{train}: labels go from .*{wrong}"):
            images(str(train))


def test_arrays_that_fit_stay_as_they_are(tmp_path):
    for k, x in enumerate((TILES, COLOURS, TILES[..., None], TILES / np.float32(255), TILES.astype(np.uint16) * 257)):
        np.save(tmp_path / f"{k}.npy", x)
        data = images(str(tmp_path / f"{k}.npy"))
        assert data.train.x.shape[1:] == x.shape[1:]
        assert data.train.x.dtype == x.dtype
        assert same(data, x)
        assert data.train.notes == ()


def test_other_arrays_are_brought_to_the_training_size(tmp_path):
    np.savez(tmp_path / "x.npz", x_train=np.full((4, 20, 30), 0.5), y_train=[0, 1, 0, 1], x_test=np.full((2, 9, 9, 3), 0.25))
    train, test = images(str(tmp_path / "x.npz"))
    for part, value in ((train, 0.5), (test, 0.25)):
        assert part.x.shape[1:] == (20, 20, 3)
        assert part.x.dtype == np.float32
        np.testing.assert_allclose(part.x, value, rtol=1e-6)
    assert train.y.tolist() == [0, 1, 0, 1]
    assert train.notes[0] == "images grey, made colour like the others: 4"
    assert images(str(tmp_path / "x.npz"), size=16, grey=True).train.x.shape == (4, 16, 16)


class Table:
    """As much of ``datasets.Dataset`` as is used."""

    def __init__(self, xs, labels=None, column="image", names=None, kind=None):
        buffers = [io.BytesIO() for _ in xs]
        for x, buffer in zip(xs, buffers, strict=True):
            Image.fromarray(x).save(buffer, "PNG")
        self.cells = {column: [{"bytes": buffer.getvalue(), "path": None} for buffer in buffers], "id": list(range(len(xs)))}
        self.features = {column: kind or Feature(), "id": object()}
        if labels is not None:
            self.cells["label"], self.features["label"] = labels, SimpleNamespace(names=names)

    column_names = property(lambda self: list(self.cells))

    def select_columns(self, columns):
        self.cells = {column: self.cells[column] for column in columns}
        return self

    def cast_column(self, column, feature):
        assert not feature.decode
        return self

    def __iter__(self):
        return (dict(zip(self.cells, row, strict=True)) for row in zip(*self.cells.values(), strict=True))


class Feature:
    def __init__(self, decode=True):
        self.decode = decode


@pytest.fixture
def hub(monkeypatch):
    """A hub with a few data sets."""
    asked = []
    known = {
        "a/parts": lambda: {
            "train": Table(TILES[:8], [0, 1] * 4, names=["ant", "bee"]), "test": Table(TILES[8:], [1] * 4), "extra": Table(TILES)
        },
        "a/one": lambda: {"everything": Table(COLOURS, column="img")},
        "a/none": lambda: {"train": Table(TILES, column="picture")},
        "a/lists": lambda: {"train": Table(TILES, kind=object())},
        "ufldl-stanford/svhn": lambda: {part: Table(np.zeros((2, 32, 32, 3), np.uint8)) for part in ("train", "test", "extra")},
    }  # fmt: skip

    def load_dataset(name, configuration):
        asked.append((name, configuration))
        if name not in known:
            raise ConnectionError(f"Couldn't reach {name!r} on the Hub\nlong story")
        return known[name]()

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset, Image=Feature))
    return asked


def test_a_data_set_is_read_from_the_hub(hub):
    train, test = images("hub:a/parts")
    assert np.array_equal(train.x, TILES[:8])
    assert np.array_equal(test.x, TILES[8:])
    assert train.classes == test.classes == ("ant", "bee")
    assert (train.y.tolist(), test.y.tolist()) == ([0, 1] * 4, [1] * 4)
    assert train.notes == ("left out: extra",)
    assert same(images("hub:a/one", hold_out=0.5), COLOURS)
    images("hub:a/one:small")
    recipes.DATASETS["svhn"].open("hub:ufldl-stanford/svhn")
    assert hub == [("a/parts", None), ("a/one", None), ("a/one", "small"), ("ufldl-stanford/svhn", "cropped_digits")]


def test_the_hub_is_refused_in_words(hub, monkeypatch):
    for name in ("a/none", "a/lists"):
        with pytest.raises(AliError, match=f"^hub:{name}, train: no column 'image' of images; its columns are"):
            images(f"hub:{name}")
    with pytest.raises(AliError, match=r"^hub:no/where: can not be loaded \(ConnectionError: Couldn't reach 'no/where' on the Hub\)"):
        images("hub:no/where")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(AliError, match=r"^hub:a/one: .*pip install 'ali\[hub\]'"):
        images("hub:a/one")


def test_a_run_remembers_a_name_on_the_hub_and_a_place_on_this_machine(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(put_all(tmp_path / "x").parent)
    for path, kept in (("hub:a/parts", "hub:a/parts"), ("x", str(tmp_path / "x"))):
        out = tmp_path / f"run-{path[0]}"
        ali.Model.train("images", path, out=out, networks="mlp", width=4, depth=1, latent=2, epochs=1)
        assert json.loads((out / "resume" / "data.json").read_text())["path"] == kept
        shutil.rmtree(out)


# Bad input.


def test_what_is_no_source_of_images_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    put_parquet(tmp_path / "download" / "files" / "train-0.parquet", TILES)
    (tmp_path / "phone").mkdir()
    for name in ("a.heic", "b.HEIC", "c"):
        (tmp_path / "phone" / name).write_bytes(b"x")
    (tmp_path / "x.zip").write_bytes(b"PK")
    refused = {
        "nowhere": r"nowhere: no such file or folder; .*hub:owner/name",
        "empty": "empty: there is no file in this folder",
        "phone": "phone: no pictures in this folder: it holds 2 .heic, 1 without an ending; pictures end in .png .jpg",
        "download": r"download: no pictures in this folder, but .*train-0\.parquet: give .*files$",
        "x.zip": r"x\.zip: images are read from .*unpack an archive first",
        "phone/c": "phone/c: images are read from",
        str(put(tmp_path / "one.png", TILES[0])): r"one\.png: is a single picture; give the folder",
        str(put_all(tmp_path / "single", TILES[:1])): "single: one image is all there is; training needs at least 2",
        str(put_parquet(tmp_path / "no.parquet", [])): r"no\.parquet: no images in it",
    }
    for name, words in refused.items():
        with pytest.raises(AliError, match=words):
            images(str(tmp_path / name))
    with pytest.raises(AliError, match="single: pictures class by class"):
        cifar10(str(tmp_path / "single"))


def bad_pictures() -> dict[str, tuple[str, bytes]]:
    noise = RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    made = {}
    for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"):
        buffer = io.BytesIO()
        Image.fromarray(noise).save(buffer, kind)
        made[f"half a {kind}"] = (f"x.{kind.lower()}", buffer.getvalue()[: len(buffer.getvalue()) // 2])
    nan = io.BytesIO()
    Image.fromarray(np.full((9, 9), np.nan, np.float32)).save(nan, "TIFF")
    return made | {
        "text": ("x.jpg", b"not a picture"),
        "nothing": ("x.png", b""),
        "a page of PostScript": ("x.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"),
        "a pixel that is not a number": ("x.tif", nan.getvalue()),
    }


@pytest.mark.parametrize("kind", bad_pictures())
def test_an_unreadable_picture_is_named_and_left_out_only_when_asked(tmp_path, kind):
    name, content = bad_pictures()[kind]
    put_all(tmp_path / "folder", COLOURS)
    (tmp_path / "folder" / name).write_bytes(content)
    with pytest.raises(AliError, match=rf"^{tmp_path / 'folder' / name}: not a readable image \(.+\); .*1[23] .*--skip-bad$") as refused:
        images(str(tmp_path / "folder"))
    assert "0x" not in str(refused.value), "no addresses"
    data = images(str(tmp_path / "folder"), size=8, skip_bad=True)
    assert same(data, COLOURS)
    assert data.train.notes == (f"unreadable images left out: 1 ({tmp_path / 'folder' / name})",)

    put_parquet(tmp_path / "x.parquet", [*COLOURS[:5], content, *COLOURS[5:]], label=pa.array(range(13)))
    with pytest.raises(AliError, match=rf"^{tmp_path / 'x.parquet'}, row 5: not a readable image .*--skip-bad$"):
        images(str(tmp_path / "x.parquet"))
    data = images(str(tmp_path / "x.parquet"), size=8, skip_bad=True)
    assert same(data, COLOURS)
    labels = {x.tobytes(): y for x, y in zip(COLOURS, [*range(5), *range(6, 13)], strict=True)}
    assert all(labels[x.tobytes()] == y for part in data for x, y in zip(part.x, part.y, strict=True)), "labels stay with their rows"


def test_bad_pictures_are_counted(tmp_path):
    put_all(tmp_path, TILES)
    for k in range(5):
        (tmp_path / f"bad{k}.png").write_bytes(b"bad")
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(AliError, match=r"bad0\.png: not a readable image \(its bytes are not PNG, .*\); 6 of 18 are unreadable: "):
        images(str(tmp_path))
    notes = images(str(tmp_path), skip_bad=True).train.notes
    assert notes == (f"unreadable images left out: 6 ({', '.join(str(tmp_path / f'bad{k}.png') for k in range(3))}, ...)",)


def test_something_must_be_left(tmp_path):
    for part in ("train", "test"):
        put_all(tmp_path / part)
    for k in range(12):
        (tmp_path / "test" / f"{k:03d}.png").write_bytes(b"bad")
    with pytest.raises(AliError, match=f"^{tmp_path}: no image is left in a part of it; unreadable are 12"):
        images(str(tmp_path), skip_bad=True)


def test_labels_in_parquet_that_are_none_are_refused(tmp_path):
    path = put_parquet(tmp_path / "x.parquet", TILES[:3], label=pa.array([0.5, 1, 2]))
    with pytest.raises(AliError, match=r"x\.parquet: column 'label' must hold a class.*holds numbers with fractions"):
        images(str(path))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_damaged_pictures_are_read_or_refused_and_never_a_traceback(data):
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"]))
    file = io.BytesIO()
    Image.fromarray(COLOURS[0]).save(file, kind)
    content = bytearray(file.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path = SHARED / "x.parquet"
    put_parquet(path, [COLOURS[1], COLOURS[2], bytes(content)])
    try:
        found = images(str(path), size=8)
    except AliError as refused:
        assert str(refused).startswith(f"{path}, row 2: ")  # noqa: PT017
    else:
        assert found.train.x.shape == (2, 8, 8, 3)


@pytest.fixture(autouse=True, scope="module")
def shared(tmp_path_factory):
    global SHARED
    SHARED = tmp_path_factory.mktemp("shared")


# From the folder to the run, and back.


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
