"""Anybody's images: which pictures a path stands for, and what size they get, from folders, Parquet files and arrays."""

import io
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ali.data.images import images
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


def flat(mode: str, colour, size=(8, 8)) -> Image.Image:
    return Image.new(mode, size, colour)


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


# Parquet and arrays.


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
