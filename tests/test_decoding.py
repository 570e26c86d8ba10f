"""What becomes of one picture: turned upright, to bytes, grey or in colour, cropped, stretched and resized."""

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from test_images import COLOURS, RED, TILES, WHITE, flat, put, put_all, same

from ali.data import pixels
from ali.data.images import images

RNG = np.random.default_rng(0)


def decoded(file: Path | bytes, grey: bool) -> np.ndarray:
    with pixels.Picture("x", file).open() as opened:
        return np.asarray(pixels.bytes_of(opened, grey)[0])


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
