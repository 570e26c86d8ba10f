"""The official readers on whatever a file holds, CelebA's attributes, SVHN's parts in Parquet, and images that are not the named set."""

import gzip
import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat
from test_celeba import NUMBERS, PARTS, partition, put_faces
from test_cifar10 import CIFAR, batch, records
from test_images import put_parquet
from test_mnist import MNIST, idx
from test_official import FORMS, READERS, put, refused
from test_svhn import SVHN, mat

from ali import recipes
from ali.data import official_formats, official_pictures
from ali.data.official import celeba, cifar10, mnist, svhn
from ali.data.official_pictures import attributes, face_files
from ali.errors import AliError

pytestmark = pytest.mark.usefixtures("_tiny_files_are_not_the_published_ones")

RNG = np.random.default_rng(0)


# CelebA's attributes.

ATTRIBUTES = ("5_o_Clock_Shadow", "Male", "Young")
BITS = np.array([[k % 2, k % 3 == 0, k < 4] for k in range(len(NUMBERS))], int)


def listed(numbers=NUMBERS, bits=BITS, names=ATTRIBUTES) -> bytes:
    lines = [f"{number:06d}.jpg " + " ".join(f"{2 * bit - 1:2d}" for bit in row) for number, row in zip(numbers, bits, strict=True)]
    return "\n".join([str(len(numbers)), " ".join(names) + " ", *lines, ""]).encode()


@pytest.mark.parametrize(
    ("inner", "place"),
    [
        ("img_align_celeba", "."),
        ("img_align_celeba", "img_align_celeba"),
        ("img_align_celeba/img_align_celeba", "img_align_celeba"),
        ("Img/img_align_celeba", "Anno"),
        ("Img/img_align_celeba", "."),
    ],
)
def test_attributes_of_celeba_are_read_wherever_the_archives_have_them(tmp_path, monkeypatch, inner, place):
    monkeypatch.setattr(official_pictures, "FACES", len(NUMBERS))
    put_faces(tmp_path, inner=inner)
    order = RNG.permutation(len(NUMBERS))
    put(tmp_path / place, {"list_attr_celeba.txt": listed(np.array(NUMBERS)[order], BITS[order])})
    train, test = celeba(str(tmp_path))
    assert train.attributes == test.attributes == ATTRIBUTES
    assert train.y.dtype == test.y.dtype == np.float32
    assert train.y.tolist() == BITS[:3].tolist()
    assert test.y.tolist() == BITS[5:].tolist()
    assert train.classes == train.notes == ()


def test_the_partition_is_found_in_eval_and_decides_the_attributes_too(tmp_path):
    put_faces(tmp_path, (1, 2, 3), inner="Img/img_align_celeba")
    put(tmp_path / "Eval", {"list_eval_partition.txt": partition((1, 2, 3), (2, 0, 1))})
    put(tmp_path / "Anno", {"list_attr_celeba.txt": listed((1, 2, 3), BITS[:3])})
    train, test = celeba(str(tmp_path))
    assert [part.x[..., 2].mean().round() for part in (train, test)] == pytest.approx([2, 1], abs=1)
    assert (train.y.tolist(), test.y.tolist()) == (BITS[1:2].tolist(), BITS[:1].tolist())


BAD_LISTS = {
    "no count": (b"Male Young\n000001.jpg -1 1\n", "expected a line with the number of pictures"),
    "nothing": (b"", "expected a line with the number of pictures"),
    "no names": (b"1\n\n000001.jpg\n", "one with the names of attributes"),
    "one name twice": (b"1\nMale Male\n000001.jpg 1 1\n", "one with the names of attributes"),
    "another number": (listed().replace(b"-1", b"2", 1), "line 3: expected a picture and 3 times -1 or 1"),
    "too few numbers": (listed() + b"000009.jpg 1 1\n", "line 10: expected a picture and 3 times"),
    "half a file": (listed()[:60], "announces 7 pictures|expected a picture"),
    "fewer lines than announced": (b"8" + listed()[1:], "announces 8 pictures, it has lines for 7"),
    "a picture twice": (b"8" + listed()[1:] + b"000001.jpg 1 1 1\n", r"line 10: 000001\.jpg has a line already"),
    "no line for a picture": (listed((*NUMBERS[:-1], 7)), r"has no line for 202599\.jpg"),
}


@pytest.mark.parametrize("kind", BAD_LISTS)
def test_bad_lists_of_attributes_are_refused_by_line(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(official_pictures, "FACES", len(NUMBERS))
    content, words = BAD_LISTS[kind]
    put_faces(tmp_path)
    put(tmp_path, {"list_attr_celeba.txt": content})
    assert refused(celeba, tmp_path, words).startswith(f"{tmp_path / 'list_attr_celeba.txt'}")


# SVHN's parts, in Parquet files as on the hub.


def put_numbers(folder, **parts: int) -> str:
    """Files of one-coloured images: the first of a part has the red given, the next one more."""
    for name, red in parts.items():
        x = np.zeros((3, 32, 32, 3), np.uint8)
        x[..., 0] = red + np.arange(3)[:, None, None]
        put_parquet(folder / f"{name}-00000-of-00001.parquet", list(x), label=[(red + k) % 10 for k in range(3)])
    return str(folder)


@pytest.mark.parametrize(
    ("part", "reds", "left"),
    [
        ("auto", [20, 21, 22], "left out: train-00000-of-00001.parquet"),
        ("extra", [20, 21, 22], "left out: train-00000-of-00001.parquet"),
        ("train", [10, 11, 12], "left out: extra-00000-of-00001.parquet"),
        ("train+extra", [10, 11, 12, 20, 21, 22], None),
    ],
)
def test_parts_of_svhn_in_parquet_files(tmp_path, part, reds, left):
    train, test = svhn(put_numbers(tmp_path, train=10, extra=20, test=30), part)
    assert train.x[:, 0, 0, 0].tolist() == reds
    assert train.y.tolist() == [red % 10 for red in reds]
    assert test.x[:, 0, 0, 0].tolist() == [30, 31, 32]
    assert train.notes == ((left,) if left else ())


def test_parts_of_svhn_that_are_not_there_are_refused(tmp_path):
    path = put_numbers(tmp_path, extra=20, test=30)
    assert svhn(path).train.x[:, 0, 0, 0].tolist() == [20, 21, 22]
    for part in ("train", "train+extra"):
        refused(svhn, path, r"no file called train-\*\.parquet is here", part=part)


# Images that are none of the named set.


def of(side: int, channels: int, classes: int = 3) -> dict:
    x = np.zeros((12, side, side, channels), np.uint8)
    return {"x_train": x, "y_train": np.arange(12) % classes, "x_test": x, "y_test": np.arange(12) % classes}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("form", [(8, 1), (28, 1), (28, 3), (32, 1), (32, 3), (64, 1), (64, 3)])
def test_images_of_another_form_are_refused_in_words(tmp_path, name, form):
    np.savez(tmp_path / "x.npz", **of(*form))
    resized = (64, form[1]) if name in ("celeba", "tiny_imagenet") else form
    entry = recipes.DATASETS[name]
    if resized in (FORMS[name], *([(32, 1)] if name == "mnist" else [])):
        assert entry.open(str(tmp_path / "x.npz")).train.x.shape[1:3] == (resized[0], resized[0])
        return
    shown = f"these are {resized[0]} x {resized[0]} {'colour' if form[1] == 3 else 'grey'} images; {name.replace('_', '-')} is "
    with pytest.raises(AliError, match=rf"x\.npz: {shown}.*: take `ali train images .*x\.npz`$"):
        entry.open(str(tmp_path / "x.npz"))


@pytest.mark.parametrize("name", ["mnist", "cifar10", "svhn"])
def test_more_classes_than_the_set_has_are_refused(tmp_path, name):
    for classes, words in ((10, None), (11, f"of 11 classes; {name} has 10")):
        np.savez(tmp_path / "x.npz", **of(*FORMS[name], classes))
        if words:
            refused(READERS[name], tmp_path / "x.npz", words)
        else:
            assert READERS[name](str(tmp_path / "x.npz")).train.classes == tuple(map(str, range(10)))


def test_official_files_of_another_form_are_refused_too(tmp_path):
    small = {name: idx(np.zeros((3, 8, 8) if "images" in name else 3, np.uint8)) for name in MNIST}
    refused(mnist, put(tmp_path, small), "these are 8 x 8 grey images; mnist is 28 x 28 or 32 x 32 grey")


# Whatever the files hold: a source, or a refusal that names the file.


def read_or_refused(read, folder, check=lambda data: None) -> None:
    try:
        data = read(str(folder))
    except AliError as error:
        assert str(error).startswith(str(folder))  # noqa: PT017
        return
    for part in data:
        assert len(part.x) == len(part.y) > 0
        assert part.x.dtype == np.uint8
        assert part.y.min() >= 0
        assert part.y.max() < max(10, len(part.attributes))
    check(data)


@st.composite
def damaged(draw, content: bytes) -> bytes:
    """Some bytes changed, cut off at the end, or added."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(0, 3))):
        changed[draw(st.integers(0, min(len(changed), 200) - 1))] = draw(st.integers(0, 255))
    return bytes(changed[: draw(st.one_of(st.just(len(changed)), st.integers(0, len(changed))))]) + draw(st.binary(max_size=5))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_idx_files_are_read_or_refused_by_name(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "idx"
    name = data.draw(st.sampled_from(sorted(MNIST)))
    sizes = data.draw(st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 40), min_size=0, max_size=4))
    header = struct.pack(f">4B{len(sizes)}I", 0, data.draw(st.integers(0, 1)), data.draw(st.sampled_from([8, 9, 13])), len(sizes), *sizes)
    content = data.draw(st.one_of(damaged(MNIST[name]), st.binary(max_size=40).map(lambda body: header + body)))
    if data.draw(st.booleans()):
        content = data.draw(damaged(gzip.compress(content)))
    put(folder, MNIST | {name: content})
    read_or_refused(mnist, folder)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 4).flatmap(lambda n: damaged(records(batch(1, n)) or b"\0")))
def test_any_records_of_cifar_are_read_or_refused_by_name(tmp_path_factory, content):
    file = put(tmp_path_factory.getbasetemp(), {"data_batch_1.bin": content}) / "data_batch_1.bin"
    try:
        source = official_formats.objects(*official_formats.records(file))
    except AliError as error:
        assert str(error).startswith(f"{file}: ")  # noqa: PT017
    else:
        assert (source.x.shape, len(source.y)) == ((len(content) // 3073, 32, 32, 3), len(content) // 3073)
        assert source.x[:, 0, 0, 0].tolist() == list(content[1::3073])
        assert source.y.tolist() == list(content[::3073])


MAT_VALUES = st.one_of(
    st.tuples(st.sampled_from([(32, 32, 3, 2), (32, 32, 3), (2, 32, 32, 3), (0, 0), (1, 2), (2, 1), (32, 32, 3, 0)]),
              st.sampled_from(["u1", "f8", "i4", "?", "c16", "U1"])).map(lambda form: np.ones(*form)),
    st.lists(st.integers(0, 12), max_size=3).map(np.array),
    st.floats().map(lambda x: np.array([[x], [1.0]])),
    st.just({"a": 1}),
    st.just(np.array([[1], ["x"]], object)),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(["X", "y", "z"]), MAT_VALUES, max_size=3), st.booleans(), st.data())
def test_any_mat_files_are_read_or_refused_by_name(tmp_path_factory, values, whole, data):
    folder = tmp_path_factory.getbasetemp() / "mat"
    file = io.BytesIO()
    savemat(file, values, do_compression=data.draw(st.booleans()))
    content = file.getvalue() if whole else data.draw(st.one_of(damaged(file.getvalue()), damaged(mat(1, [1, 2]))))
    put(folder, SVHN | {"train_32x32.mat": content})
    read_or_refused(lambda path: svhn(path, "train"), folder)


@settings(max_examples=80, deadline=None)
@given(st.one_of(st.binary(max_size=60), damaged(listed()), st.text("01- \n\x85\t.jpgMale", max_size=60).map(lambda text: text.encode())))
def test_any_list_of_attributes_is_read_or_refused_by_name(tmp_path_factory, content):
    file = put(tmp_path_factory.getbasetemp() / "list", {"list_attr_celeba.txt": content}) / "list_attr_celeba.txt"
    try:
        names, rows, values = attributes(file)
    except AliError as error:
        assert str(error).startswith(str(file))  # noqa: PT017
    else:
        assert values.shape == (len(rows), len(names))
        assert set(values.ravel().tolist()) <= {0, 1}
        assert sorted(rows.values()) == list(range(len(rows)))


@settings(max_examples=40, deadline=None)
@given(st.one_of(st.binary(max_size=60), damaged(partition())))
def test_any_partition_is_read_or_refused_by_name(tmp_path_factory, content):
    folder = tmp_path_factory.getbasetemp() / "partition"
    if not folder.exists():
        put(folder / "img_align_celeba", {f"{number:06d}.jpg": b"" for number in NUMBERS})
    put(folder, {"list_eval_partition.txt": content})
    try:
        train, test = face_files(folder / "img_align_celeba", folder / "list_eval_partition.txt")
    except AliError as error:
        assert str(error).startswith(str(folder))  # noqa: PT017
    else:
        known = {str(folder / "img_align_celeba" / f"{number:06d}.jpg") for number in NUMBERS}
        assert {*train, *test} <= known
        assert train
        assert test


def test_the_files_of_these_tests_are_read(tmp_path):
    """Without damage nothing above is refused."""
    read_or_refused(mnist, put(tmp_path / "m", MNIST), lambda data: len(data.train) == 7 or pytest.fail("rows are lost"))
    assert len(svhn(str(put(tmp_path / "s", SVHN)), "train").train) == 3
    assert len(cifar10(str(put(tmp_path / "c", CIFAR))).train) == 20
    assert attributes(put(tmp_path, {"list": listed()}) / "list")[2].tolist() == BITS.tolist()
    assert len(PARTS) == len(NUMBERS)
