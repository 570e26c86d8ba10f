"""Where rows come from: known data sets, splitting, the stream of batches, and files of every quality."""

import io
import json
import warnings
from collections import Counter
from collections.abc import Callable
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import chisquare, kstest
from sklearn.datasets import load_digits

from ali.data import arrays
from ali.data.digits import digits
from ali.data.images import images
from ali.data.mixtures import SHAPES, SIGMA, centres, mixture
from ali.data.source import Batch, Data, Source, split, stream
from ali.errors import AliError

GREY = np.random.default_rng(0).integers(0, 256, (20, 6, 5), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (20, 6, 5, 3), dtype=np.uint8)
ROWS = np.random.default_rng(2).normal(size=(20, 3)).astype(np.float32)


def numbered(n: int, labels: bool = True) -> Source:
    """Rows that carry their own number, as x and as y."""
    return Source(np.arange(n, dtype=np.float32)[:, None], np.arange(n) if labels else None)


def read_images(path: str, hold_out: float = 0.1) -> Data:
    """Images from an array file as they are, before any of them is brought to another size."""
    return arrays.read(path, (3, 4), hold_out)


def sorted_rows(*parts: np.ndarray) -> list:
    """The rows of some arrays together, in an order of their own."""
    return sorted(np.concatenate(parts).reshape(sum(map(len, parts)), -1).tolist())


# Data sets that need no file.


def test_digits_are_those_of_scikit_learn():
    train, test = digits()
    bunch = load_digits()
    assert (len(train), len(test)) == (1397, 400)
    assert train.x.shape[1:] == (8, 8)
    assert (train.x.dtype, train.y.dtype) == (np.uint8, np.int64)
    assert train.x.max() == test.x.max() == train.maximum == test.maximum == 16
    assert train.classes == tuple("0123456789")
    labelled = [np.c_[part.x.reshape(len(part), -1), part.y] for part in (train, test)]
    assert sorted_rows(*labelled) == sorted_rows(np.c_[bunch.data, bunch.target])


def test_digits_can_hold_out_another_share():
    train, test = digits(hold_out=0.5)
    assert (len(train), len(test)) in ((899, 898), (898, 899))


def test_centres_of_the_grid_and_of_the_rings():
    grid = [(a, b) for a in (-4, -2, 0, 2, 4) for b in (-4, -2, 0, 2, 4)]
    assert sorted(map(tuple, centres("grid").tolist())) == sorted(grid)
    rings = centres("rings")
    assert Counter(np.linalg.norm(rings, axis=1).round(9).tolist()) == {2.0: 8, 4.0: 16}
    for radius, n in ((2, 8), (4, 16)):
        angles = np.sort(np.arctan2(*rings[np.isclose(np.linalg.norm(rings, axis=1), radius)].T))
        np.testing.assert_allclose(np.diff(angles), 2 * np.pi / n)


def test_centres_of_the_spirals_lie_on_two_opposite_arms():
    spirals = centres("spirals")
    np.testing.assert_allclose(sorted_rows(spirals), sorted_rows(-spirals), atol=1e-12)
    for arm in (spirals[:12], spirals[12:]):
        assert (np.diff(np.linalg.norm(arm, axis=1)) > 0).all(), "outwards"
        turned = np.unwrap(np.arctan2(arm[:, 1], arm[:, 0]))
        assert turned[-1] - turned[0] == pytest.approx(2 * np.pi)


@pytest.mark.parametrize(("shape", "k"), [("grid", 25), ("rings", 24), ("spirals", 24)])
def test_mixtures_have_the_density_that_they_state(shape, k):
    train, test = mixture(shape, n=50_000)
    means = centres(shape)
    assert means.shape == (k, 2)
    gaps = np.linalg.norm(means[:, None] - means[None], axis=2) + 10 * np.eye(k)
    assert gaps.min() > 6 * SIGMA, "components stand apart"
    assert (len(train), len(test)) == (50_000, 10_000)
    assert (train.x.dtype, len(train.classes)) == (np.float32, k)
    for part in (train, test):
        assert chisquare(np.bincount(part.y, minlength=k)).pvalue > 1e-3
        noise = (part.x - means[part.y]) / 0.05
        assert all(kstest(column, "norm").pvalue > 1e-3 for column in noise.T)
        assert np.cov(noise.T) == pytest.approx(np.eye(2), abs=4 * np.sqrt(2 / len(part)))
        nearest = np.linalg.norm(part.x[:, None] - means[None], axis=2).argmin(1)
        assert (nearest == part.y).all()


def test_mixtures_are_drawn_from_their_seed():
    again, other = mixture(n=100), mixture(n=100, data_seed=1)
    first = mixture(n=100)
    assert np.array_equal(first.train.x, again.train.x)
    assert np.array_equal(first.test.x, again.test.x)
    assert not np.isin(first.train.x, other.train.x).any()
    assert not np.isin(first.train.x, first.test.x).all(1).any()


def test_unknown_mixtures_and_empty_ones_are_refused():
    with pytest.raises(AliError, match=f"'ring'.*{', '.join(SHAPES)}"):
        mixture("ring")
    with pytest.raises(AliError, match="at least 1, got 0"):
        mixture(n=0)


# Splitting.


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 300), st.floats(0.001, 0.999), st.integers(0, 5))
def test_a_split_is_disjoint_complete_and_always_the_same(n, hold_out, seed):
    train, test = split(numbered(n), hold_out, seed)
    assert len(train) >= 1
    assert len(test) >= 1
    assert abs(len(test) - hold_out * n) <= 1
    assert sorted(np.r_[train.x[:, 0], test.x[:, 0]].tolist()) == list(range(n))
    for part in (train, test):
        assert np.array_equal(part.x[:, 0], part.y), "labels stay with their rows"
        assert (np.diff(part.y) > 0).all(), "in the order of the file"
    again = split(numbered(n), hold_out, seed)
    assert np.array_equal(train.x, again.train.x)


def test_a_split_is_drawn_at_random():
    held = [split(numbered(1000), 0.3, seed).test.y for seed in range(2)]
    assert not np.array_equal(*held)
    counts = np.histogram(held[0], bins=10, range=(0, 1000))[0]
    assert chisquare(counts).pvalue > 1e-3


def test_a_split_keeps_classes_and_brightest_pixel():
    source = Source(GREY, np.zeros(20, np.int64), ("only",), maximum=300)
    for part in split(source, 0.5):
        assert (part.classes, part.maximum) == (("only",), 300)
    assert split(numbered(5, labels=False), 0.5).train.y is None


@pytest.mark.parametrize("hold_out", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(hold_out):
    with pytest.raises(AliError, match="hold_out"):
        split(numbered(10), hold_out)


@pytest.mark.parametrize("n", [0, 1])
def test_data_that_can_not_be_split_are_refused(n):
    with pytest.raises(AliError, match=rf"{n} row\(s\).*at least 2"):
        split(numbered(n), 0.5)


def test_a_fingerprint_knows_every_value_the_shape_and_the_type():
    changed = GREY.copy()
    changed[-1, -1, -1] ^= 1
    kinds = [GREY, changed, GREY[::-1], GREY.reshape(20, 5, 6), GREY.view(np.int8), GREY[:-1]]
    assert len({Source(x).fingerprint() for x in kinds}) == len(kinds)
    assert Source(GREY).fingerprint() == Source(np.asfortranarray(GREY)).fingerprint() == Source(GREY.copy()).fingerprint()


# The stream of batches.


def take(source: Source, batch_size: int, seed: int, steps: int, start: int = 0, **options) -> list[Batch]:
    return list(islice(stream(source, batch_size, seed, start, **options), steps))


def numbers(batches: list[Batch]) -> list[list[float]]:
    return [batch.x[:, 0].tolist() for batch in batches]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 3), st.integers(0, 60))
def test_a_stream_visits_each_row_at_most_once_per_epoch_and_can_start_anywhere(n, batch_size, seed, start):
    batch_size = min(batch_size, n)
    per_epoch = n // batch_size
    batches = numbers(take(numbered(n), batch_size, seed, 3 * per_epoch))
    assert all(len(batch) == batch_size for batch in batches)
    for epoch in range(3):
        seen = list(chain(*batches[epoch * per_epoch : (epoch + 1) * per_epoch]))
        assert len(set(seen)) == len(seen) == per_epoch * batch_size
    later = numbers(take(numbered(n), batch_size, seed, 2, start=start))
    assert later == numbers(take(numbered(n), batch_size, seed, start + 2))[start:]


def test_epochs_and_seeds_have_orders_of_their_own():
    batches = numbers(take(numbered(100), 100, 0, 3))
    others = numbers(take(numbered(100), 100, 1, 3))
    assert len({tuple(order) for order in batches + others}) == 6
    assert all(sorted(order) == list(range(100)) for order in batches + others)


def test_every_row_is_left_out_of_some_epoch_and_none_of_all():
    left = [set(range(10)) - set(chain(*numbers(take(numbered(10), 4, 0, 2, start=2 * epoch)))) for epoch in range(40)]
    assert all(len(rows) == 2 for rows in left)
    assert set.union(*left) == set(range(10))


def test_labels_stay_with_their_rows_and_rows_are_transformed():
    for batch in take(numbered(30), 7, 0, 6, transform=lambda x: 10 * x + 1):
        torch.testing.assert_close(batch.x[:, 0], 10.0 * batch.y + 1)
        assert batch.y.dtype == torch.int64
    assert take(numbered(30, labels=False), 7, 0, 1)[0].y is None


def test_batches_have_the_datas_own_type_and_shape_before_they_are_transformed():
    batch = take(Source(COLOUR), 4, 0, 1)[0]
    assert (batch.x.dtype, batch.x.shape) == (torch.uint8, (4, 6, 5, 3))
    assert take(Source(GREY), 4, 0, 1, device="meta")[0].x.device.type == "meta"


def test_rows_that_may_not_be_written_to_can_be_streamed():
    x = ROWS.copy()
    x.setflags(write=False)
    assert take(Source(x), 4, 0, 1)[0].x.shape == (4, 3)


# Arrays and their files.


def npy(x) -> bytes:
    file = io.BytesIO()
    np.save(file, x, allow_pickle=True)
    return file.getvalue()


def npz(save: Callable = np.savez, **named) -> bytes:
    file = io.BytesIO()
    save(file, **named)
    return file.getvalue()


@pytest.fixture
def put(tmp_path) -> Callable[[str, bytes], str]:
    """Writes a file, and returns its path."""

    def write(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    return write


def same_rows(data: Data, x: np.ndarray) -> bool:
    return sorted_rows(data.train.x, data.test.x) == sorted_rows(x)


@pytest.mark.parametrize("x", [GREY, COLOUR, GREY / np.float32(255), GREY > 100], ids=["grey", "colour", "float", "bool"])
def test_images_are_read_from_npy(put, x):
    data = read_images(put("x.npy", npy(x)), hold_out=0.25)
    assert (len(data.train), len(data.test)) == (15, 5)
    assert data.train.x.shape[1:] == x.shape[1:]
    assert data.train.x.dtype == (np.uint8 if x.dtype == bool else x.dtype)
    assert same_rows(data, x)
    assert data.train.y is None


@pytest.mark.parametrize("dtype", ["float64", "float16", "int64", "uint8"])
def test_tables_are_read_from_npy(put, dtype):
    x = (10 * np.abs(ROWS)).astype(dtype)
    data = arrays.table(put("x.npy", npy(x)))
    assert data.train.x.dtype == (np.float32 if dtype.startswith("float") else dtype)
    assert same_rows(data, x.astype(np.float32))


@pytest.mark.parametrize("dtype", [">f4", ">i2", "<f8"])
def test_arrays_of_any_byte_order_can_be_streamed(put, dtype):
    x = np.arange(40).reshape(20, 2).astype(dtype)
    data = arrays.table(put("x.npy", npy(x)))
    batches = take(data.train, 9, 0, 2)
    assert sorted_rows(*(batch.x.numpy() for batch in batches), data.test.x) == sorted_rows(x)


@pytest.mark.parametrize("key", ["x", "X", "data", "images", "anything"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_array_in_an_npz_is_known_by_its_name_or_by_being_alone(put, key, save):
    assert same_rows(arrays.table(put("x.npz", npz(save, **{key: ROWS}))), ROWS)


@pytest.mark.parametrize("key", ["y", "Y", "labels", "targets"])
@pytest.mark.parametrize(
    ("y", "classes"),
    [(np.arange(20) % 3, ("0", "1", "2")), (np.array(["cat", "ant"])[np.arange(20) % 2], ("ant", "cat")), (np.full(20, 7), ("7",))],
)
def test_labels_in_an_npz_become_numbers_and_names(put, key, y, classes):
    data = arrays.table(put("x.npz", npz(x=ROWS, **{key: y})))
    assert data.train.classes == data.test.classes == classes
    known = {tuple(row): str(name) for row, name in zip(ROWS.tolist(), y, strict=True)}
    for part in data:
        assert part.y.dtype == np.int64
        assert [classes[number] for number in part.y] == [known[tuple(row)] for row in part.x.tolist()]


def test_parts_in_an_npz_are_kept_apart(put):
    named = {"x_train": GREY[:15], "y_train": np.arange(15) % 3, "x_test": GREY[15:], "y_test": np.arange(15, 20) % 3}
    data = read_images(put("x.npz", npz(**named)), hold_out=0.9)
    assert np.array_equal(data.train.x, GREY[:15])
    assert np.array_equal(data.test.x, GREY[15:])
    assert np.array_equal(data.train.y, np.arange(15) % 3)
    assert np.array_equal(data.test.y, np.arange(15, 20) % 3)


def test_a_training_part_alone_is_split(put):
    data = read_images(put("x.npz", npz(x_train=GREY, y_train=np.arange(20))), hold_out=0.2)
    assert (len(data.train), len(data.test)) == (16, 4)
    assert np.array_equal(data.test.x, GREY[data.test.y])


def test_a_class_has_the_same_number_in_both_parts(put):
    named = {"x_train": ROWS[:15], "y_train": np.arange(15) % 3 + 3, "x_test": ROWS[15:], "y_test": np.array([4, 5, 5, 4, 5])}
    train, test = arrays.table(put("x.npz", npz(**named)))
    assert [train.classes[number] for number in train.y] == [str(y) for y in named["y_train"]]
    assert [train.classes[number] for number in test.y] == [str(y) for y in named["y_test"]]


def at(x: np.ndarray, place: tuple[int, ...], value: float) -> np.ndarray:
    x = x.astype(np.float64)
    x[place] = value
    return x


BAD_IMAGES = {
    "not an array": (b"hello", "not a .npy or .npz file"),
    "an empty file": (b"", "not a .npy or .npz file"),
    "a pickled object": (npy(np.array([{"x": 1}], object)), "not a .npy or .npz file of plain numbers"),
    "a truncated npy": (npy(GREY)[:-1], "not a .npy or .npz file"),
    "a truncated npz": (npz(x=GREY)[:-100], "not a .npy or .npz file"),
    "a pickle in an npz": (npz(x=GREY, y=np.array([{}] * 20, object)), "not a .npy or .npz file of plain numbers"),
    "no known name": (npz(a=GREY, b=GREY), "found arrays a, b; name the data x"),
    "a table": (npy(ROWS), r"expected .*\(n, height, width\).*found \(20, 3\)"),
    "five dimensions": (npy(COLOUR[None]), r"expected .*found \(1, 20, 6, 5, 3\)"),
    "one number": (npy(np.float32(3)), r"expected .*found \(\)"),
    "channels first": (npy(COLOUR.transpose(0, 3, 1, 2)), r"channels, last; found shape \(20, 3, 6, 5\): .*transpose\(0, 2, 3, 1\)"),
    "two channels": (npy(COLOUR[..., :2]), r"channels, last; found shape \(20, 6, 5, 2\)"),
    "no rows": (npy(GREY[:0]), r"empty.*\(0, 6, 5\)"),
    "no pixels": (npy(GREY[:, :0]), r"empty.*\(20, 0, 5\)"),
    "text": (npy(np.full((2, 2, 2), "a")), "expected numbers, found type"),
    "complex numbers": (npy(GREY * 1j), "expected numbers, found type complex128"),
    "NaN": (npy(at(GREY, (13, 2, 4), np.nan)), r"row 13, pixel \(2, 4\) is nan"),
    "infinity in colour": (npy(at(COLOUR, (13, 2, 4, 1), -np.inf)), r"row 13, pixel \(2, 4, 1\) is -inf"),
    "a negative pixel": (npy(at(GREY, (13, 2, 4), -3)), r"row 13\b.*-3"),
    "too few labels": (npz(x=GREY, y=np.arange(19)), r"20 rows, but labels of shape \(19,\)"),
    "labels in a column": (npz(x=GREY, y=np.arange(20)[:, None]), r"20 rows, but labels of shape \(20, 1\)"),
    "one row": (npy(GREY[:1]), "at least 2"),
    "a bad training part": (npz(x_train=at(GREY, (5, 0, 0), np.nan), x_test=GREY), r"x_train: row 5"),
    "a bad test part": (npz(x_train=GREY, x_test=at(GREY, (5, 0, 0), np.nan)), r"x_test: row 5"),
    "too few test labels": (npz(x_train=GREY, y_train=np.arange(20), x_test=GREY, y_test=np.arange(2)), r"x_test: 20 rows"),
}


@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_bad_image_files_are_refused_with_file_and_place(put, kind):
    content, words = BAD_IMAGES[kind]
    path = put("bad.npz", content)
    with pytest.raises(AliError, match=words) as refused:
        read_images(path)
    if kind != "one row":  # splitting does not know the file
        assert str(refused.value).startswith(f"{path}: ")


BAD_TABLES = {
    "images": (npy(GREY), r"expected .*\(n, columns\), found \(20, 6, 5\)"),
    "one column": (npy(ROWS[:, 0]), r"expected .*\(n, columns\), found \(20,\)"),
    "NaN": (npy(at(ROWS, (17, 2), np.nan)), r"row 17, column 2 is nan.*\(1 are not"),
    "infinity": (npy(at(ROWS, (17, 2), np.inf)), r"row 17, column 2 is inf"),
    "too large for single precision": (npy(at(ROWS, (17, 2), 1e300)), r"row 17, column 2"),
    "no columns": (npy(ROWS[:, :0]), r"empty.*\(20, 0\)"),
}


@pytest.mark.parametrize("kind", BAD_TABLES)
def test_bad_tables_are_refused_with_file_and_place(put, kind):
    content, words = BAD_TABLES[kind]
    path = put("bad.npz", content)
    with pytest.raises(AliError, match=words) as refused:
        arrays.table(path)
    assert str(refused.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    "content", [npy(GREY[:4]), npz(x=GREY[:4]), npz(np.savez_compressed, x=GREY[:4])], ids=["npy", "npz", "compressed"]
)
def test_a_damaged_file_is_read_or_refused_and_never_a_traceback(put, content):
    refused, raw = set(), {}
    for place in range(len(content)):
        for flip in (0x01, 0xFF):
            path = put("damaged.npz", content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :])
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    read_images(path)
            except AliError as error:
                refused.add(str(error).split(": ")[0])
            except Exception as error:
                raw[type(error)] = f"byte {place} ^ {flip}: {error}"
    assert raw == {}
    assert refused == {path}


@pytest.mark.parametrize("read", [read_images, arrays.table, images])
def test_a_missing_file_is_named(tmp_path, read):
    with pytest.raises(AliError, match=r"nowhere\.npz: no such file"):
        read(str(tmp_path / "nowhere.npz"))


def test_arrays_in_memory_are_checked_in_the_callers_words():
    with pytest.raises(AliError, match=r"^data: row 2, column 1 is nan"):
        arrays.check(at(ROWS, (2, 1), np.nan), None, (2,), "data")
    with pytest.raises(AliError, match=r"^data: labels"):
        arrays.check(ROWS[:3], np.array([1, None, "a"], object), (2,), "data")
    source = arrays.check(ROWS.astype(np.float64), np.arange(20), (2,), "data")
    assert source.x.dtype == np.float32
    np.testing.assert_array_equal(source.x, ROWS)


# Parquet files of images.

TILES = np.random.default_rng(3).integers(0, 256, (20, 8, 8), dtype=np.uint8)
COLOURS = np.random.default_rng(4).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)


def encode(x: np.ndarray, kind: str = "PNG", mode: str | None = None) -> bytes:
    file = io.BytesIO()
    picture = Image.fromarray(x)
    (picture.convert(mode) if mode else picture).save(file, kind)
    return file.getvalue()


def put_parquet(
    file: Path, cells: list, labels: list | pa.Array | None = None, names: list[str] | None = None, column: str = "image"
) -> str:
    """A Parquet file as ``datasets`` writes it: a struct of bytes and path, and the features beside the schema."""
    cells = [cell if isinstance(cell, dict | None) else {"bytes": cell, "path": "x.png"} for cell in cells]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns, features = {column: pa.array(cells, kind)}, {column: {"_type": "Image"}}
    if labels is not None:
        columns["label"] = labels
        features["label"] = {"names": names, "_type": "ClassLabel"} if names else {"dtype": "int64", "_type": "Value"}
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    file.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), file)
    return str(file)


PNGS = [encode(x) for x in TILES]


@pytest.mark.parametrize("x", [TILES, COLOURS], ids=["grey", "colour"])
@pytest.mark.parametrize("column", ["image", "img"])
def test_images_labels_and_class_names_are_read_from_parquet(tmp_path, x, column):
    labels = (np.arange(20) % 3).tolist()
    path = put_parquet(tmp_path / "x.parquet", [encode(picture) for picture in x], labels, ["ant", "bee", "cat"], column)
    data = images(path, hold_out=0.25)
    assert (len(data.train), len(data.test)) == (15, 5)
    assert same_rows(data, x)
    known = {picture.tobytes(): label for picture, label in zip(x, labels, strict=True)}
    for part in data:
        assert part.classes == ("ant", "bee", "cat")
        assert part.x.dtype == np.uint8
        assert part.y.tolist() == [known[picture.tobytes()] for picture in part.x]


def test_labels_without_names_are_called_by_number_and_none_are_needed(tmp_path):
    assert images(put_parquet(tmp_path / "a.parquet", PNGS, [0, 4] * 10)).train.classes == ("0", "1", "2", "3", "4")
    data = images(put_parquet(tmp_path / "b.parquet", PNGS))
    assert data.train.y is None
    assert data.train.classes == ()


@pytest.mark.parametrize(("mode", "kind"), [("RGBA", "PNG"), ("P", "PNG"), ("RGB", "BMP"), ("RGB", "WEBP"), ("RGB", "JPEG")])
def test_pictures_of_other_kinds_become_colour_images(tmp_path, mode, kind):
    flat = np.broadcast_to(np.array([204, 51, 102], np.uint8), (8, 16, 16, 3))  # a colour that every palette has
    data = images(put_parquet(tmp_path / "x.parquet", [encode(x, kind, mode) for x in flat]))
    assert data.train.x.shape[1:] == (16, 16, 3)
    assert np.abs(data.train.x.astype(int) - flat[0]).max() <= (0 if kind in ("PNG", "BMP") else 4)


def test_a_folder_is_read_by_the_names_of_its_parts(tmp_path):
    put_parquet(tmp_path / "train-00001-of-00002.parquet", PNGS[8:15], list(range(8, 15)))
    put_parquet(tmp_path / "train-00000-of-00002.parquet", PNGS[:8], list(range(8)))
    put_parquet(tmp_path / "test-00000-of-00001.parquet", PNGS[15:], list(range(15, 20)))
    put_parquet(tmp_path / "validation-00000-of-00001.parquet", PNGS[:2], [0, 1])
    train, test = images(str(tmp_path), hold_out=0.9)
    assert np.array_equal(train.x, TILES[:15])
    assert np.array_equal(test.x, TILES[15:])
    assert (train.y.tolist(), test.y.tolist()) == (list(range(15)), list(range(15, 20)))


def test_validation_stands_in_for_a_test_part(tmp_path):
    put_parquet(tmp_path / "train.parquet", PNGS[:12])
    put_parquet(tmp_path / "validation.parquet", PNGS[12:])
    assert np.array_equal(images(str(tmp_path)).test.x, TILES[12:])


@pytest.mark.parametrize(
    "names", [("train-0.parquet", "train-1.parquet"), ("a.parquet", "b.parquet"), ("test-0.parquet", "test-1.parquet")]
)
def test_a_folder_without_two_parts_is_split(tmp_path, names):
    for name, part in zip(names, (PNGS[:9], PNGS[9:]), strict=True):
        put_parquet(tmp_path / name, part)
    data = images(str(tmp_path), hold_out=0.3)
    assert (len(data.train), len(data.test)) == (14, 6)
    assert same_rows(data, TILES)


HUGE = b"BM" + encode(TILES[0], "BMP")[2:18] + (2**20).to_bytes(4, "little") * 2 + encode(TILES[0], "BMP")[26:]

BROKEN_CELLS = {
    "no picture": b"hello",
    "nothing": b"",
    "a truncated PNG": PNGS[0][: len(PNGS[0]) - 25],
    "a truncated JPEG": encode(np.zeros((32, 32, 3), np.uint8), "JPEG")[:-60],
    "no bytes": {"bytes": None, "path": "x.png"},
    "an empty cell": None,
    "a picture that announces a tera-pixel": HUGE,
}


@pytest.mark.parametrize("kind", BROKEN_CELLS)
def test_a_broken_picture_is_named_by_file_and_row(tmp_path, kind):
    put_parquet(tmp_path / "train-0.parquet", PNGS)
    path = put_parquet(tmp_path / "train-1.parquet", [*PNGS[:3], BROKEN_CELLS[kind], *PNGS[4:]])
    with pytest.raises(AliError) as refused:
        images(str(tmp_path))
    assert str(refused.value).startswith(f"{path}, row 3: ")


BAD_LABELS = {
    "names": [*("ant", "bee") * 10],
    "lists": [[0], [1, 2]] * 10,
}


@pytest.mark.parametrize("kind", BAD_LABELS)
def test_labels_that_are_no_class_numbers_are_named_or_refused(tmp_path, kind):
    path = put_parquet(tmp_path / "x.parquet", PNGS, BAD_LABELS[kind])
    try:
        data = images(path)
    except AliError as refused:
        assert str(refused).startswith(path)  # noqa: PT017
        assert "label" in str(refused)  # noqa: PT017
    else:  # words may just as well become classes
        assert kind == "names"
        assert data.train.classes == ("ant", "bee")


def test_a_file_that_lacks_labels_among_others_is_refused(tmp_path):
    put_parquet(tmp_path / "train-0.parquet", PNGS, [0] * 20)
    put_parquet(tmp_path / "train-1.parquet", PNGS)
    with pytest.raises(AliError, match=r"train-1\.parquet: has no column 'label', but .*train-0\.parquet has"):
        images(str(tmp_path))


@pytest.mark.parametrize("metadata", [b"{broken", b'{"info": null}', b'{"info": {"features": {"label": {"names": null}}}}', b"[]"])
def test_features_that_can_not_be_understood_cost_only_the_names(tmp_path, metadata):
    path = put_parquet(tmp_path / "x.parquet", PNGS, [0, 1] * 10, ["a", "b"])
    pq.write_table(pq.read_table(path).replace_schema_metadata({b"huggingface": metadata}), path)
    assert images(path).train.classes == ("0", "1")


def test_parquet_without_images_is_refused_with_its_columns(tmp_path):
    for columns in ({"a": [1, 2], "b": [3, 4]}, {"image": [1, 2], "b": [3, 4]}):
        pq.write_table(pa.table(columns), tmp_path / "x.parquet")
        with pytest.raises(AliError, match=rf"x\.parquet: no column 'image'.*{', '.join(columns)}"):
            images(str(tmp_path / "x.parquet"))


def test_truncated_parquet_files_are_refused_at_every_length(tmp_path):
    path = Path(put_parquet(tmp_path / "x.parquet", PNGS[:4]))
    content = path.read_bytes()
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        with pytest.raises(AliError, match=r"x\.parquet: not a readable Parquet file"):
            images(str(path))


def test_folders_and_files_without_images_are_refused(tmp_path):
    with pytest.raises(AliError, match=f"{tmp_path}: there is no file in this folder"):
        images(str(tmp_path))
    with pytest.raises(AliError, match=r"x\.parquet: no images in it"):
        images(put_parquet(tmp_path / "x.parquet", []))
