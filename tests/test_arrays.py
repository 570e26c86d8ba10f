"""Arrays and their files: images, tables, labels and parts from .npy and .npz, and files of every quality."""

import io
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from test_data import COLOUR, GREY, ROWS, sorted_rows, take

from ali.data import arrays
from ali.data.images import images
from ali.data.source import Data
from ali.errors import AliError


def read_images(path: str, hold_out: float = 0.1) -> Data:
    """Images from an array file as they are, before any of them is brought to another size."""
    return arrays.read(path, (3, 4), hold_out)


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
