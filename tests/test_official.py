"""The paper's sets from their official files: pixels, labels, order and splits of tiny files in each format, and bad ones."""

import builtins
import gzip
import hashlib
import inspect
import io
import os
import pickle
import resource
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy.io import savemat

from ali import recipes
from ali.data import images, official_checksums, official_formats, official_pictures
from ali.data.official import celeba, cifar10, imagenet, mnist, svhn
from ali.data.official_checksums import Unofficial
from ali.data.official_pictures import cut_centre, cut_face, read_pictures
from ali.data.source import Data, Source
from ali.errors import AliError

RNG = np.random.default_rng(0)
READERS = {"mnist": mnist, "cifar10": cifar10, "svhn": svhn, "celeba": celeba, "tiny_imagenet": imagenet}


@pytest.fixture(autouse=True)
def _tiny_files_are_not_the_published_ones(request, monkeypatch):
    if "checksums" not in request.node.name:
        monkeypatch.setattr(official_checksums, "MD5", {})


def refused(reader, path, words: str, **options) -> str:
    with pytest.raises(AliError, match=words) as error:
        reader(str(path), **options)
    return str(error.value)


# MNIST.

X, Y = RNG.integers(0, 256, (7, 28, 28), dtype=np.uint8), np.array([5, 0, 4, 1, 9, 2, 1])
X_TEST, Y_TEST = RNG.integers(0, 256, (3, 28, 28), dtype=np.uint8), np.array([7, 2, 1])


def idx(x: np.ndarray) -> bytes:
    return struct.pack(f">4B{x.ndim}I", 0, 0, 8, x.ndim, *x.shape) + x.astype(np.uint8).tobytes()


MNIST = {
    "train-images-idx3-ubyte": idx(X),
    "train-labels-idx1-ubyte": idx(Y),
    "t10k-images-idx3-ubyte": idx(X_TEST),
    "t10k-labels-idx1-ubyte": idx(Y_TEST),
}


def put(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def dotted(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name.replace("-idx", ".idx"): content for name, content in files.items()}


def packed(files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{name}.gz": gzip.compress(content) for name, content in files.items()}


MNIST_FORMS = {
    "plain": MNIST,
    "packed": packed(MNIST),
    "dotted": dotted(MNIST),
    "dotted and packed": packed(dotted(MNIST)),
    "unpacked, but still called gz": {f"{name}.gz": content for name, content in MNIST.items()},
    "some of each": dict(list(MNIST.items())[:2]) | packed(dict(list(MNIST.items())[2:])),
}


@pytest.mark.parametrize("inner", ["", "raw"])
@pytest.mark.parametrize("form", MNIST_FORMS)
def test_mnist_is_read_from_idx_files_in_every_form(tmp_path, form, inner):
    put(tmp_path / inner, MNIST_FORMS[form])
    train, test = mnist(str(tmp_path))
    for part, x, y in ((train, X, Y), (test, X_TEST, Y_TEST)):
        assert np.array_equal(part.x, x)
        assert np.array_equal(part.y, y)
        assert (part.x.dtype, part.y.dtype, part.classes) == (np.uint8, np.int64, tuple("0123456789"))
        assert part.x.flags.writeable, "or torch warns"


BAD_MNIST = {
    "labels for images": ("train-images-idx3-ubyte", idx(Y), "expected it to start with 00 00 08 03 .*found 00 00 08 01"),
    "images for labels": ("t10k-labels-idx1-ubyte", idx(X_TEST), "expected it to start with 00 00 08 01 .*found 00 00 08 03"),
    "numbers that are no bytes": ("train-images-idx3-ubyte", b"\0\0\x0d\x03" + idx(X)[4:], "found 00 00 0d 03"),
    "a page of the web": ("train-images-idx3-ubyte", b"<html>404", "found 3c 68 74 6d"),
    "an empty file": ("train-images-idx3-ubyte", b"", "found nothing"),
    "half a header": ("train-images-idx3-ubyte", idx(X)[:11], "not an idx file"),
    "a byte too few": ("train-images-idx3-ubyte", idx(X)[:-1], "announces 7 x 28 x 28 = 5,488 bytes, it holds 5,487"),
    "a byte too many": ("t10k-labels-idx1-ubyte", idx(Y_TEST) + b"\0", "announces 3 = 3 bytes, it holds 4"),
    "sizes beyond any memory": ("train-images-idx3-ubyte", idx(X)[:4] + b"\xff" * 12, "announces 4294967295 x .*it holds 0"),
    "another count of labels": ("train-labels-idx1-ubyte", idx(Y[:6]), r"7 images, but labels of shape \(6,\)"),
    "a label too large": ("t10k-labels-idx1-ubyte", idx(np.array([7, 10, 1])), "row 1 has label 10; labels go from 0 to 9"),
    "damaged gzip": ("train-images-idx3-ubyte", gzip.compress(idx(X))[:-9], "a damaged .gz file"),
    "no rows": ("t10k-images-idx3-ubyte", idx(X_TEST[:0]), "no rows"),
    "another size": ("t10k-images-idx3-ubyte", idx(X_TEST[:, :27]), r"\(28, 28\) to learn from, but of \(27, 28\)"),
}


@pytest.mark.parametrize("kind", BAD_MNIST)
def test_bad_idx_files_are_refused_by_name(tmp_path, kind):
    name, content, words = BAD_MNIST[kind]
    message = refused(mnist, put(tmp_path, MNIST | {name: content}), words)
    assert name in message or kind in ("another count of labels", "no rows")
    assert message.startswith(str(tmp_path))


@pytest.mark.parametrize("missing", MNIST)
def test_a_missing_idx_file_is_named(tmp_path, missing):
    put(tmp_path, {name: content for name, content in MNIST.items() if name != missing})
    refused(mnist, tmp_path, f"{missing}: is missing among the official files")


def test_two_folders_of_official_files_are_not_chosen_between(tmp_path):
    put(tmp_path / "fashion", MNIST)
    put(tmp_path / "digits", MNIST)
    refused(mnist, tmp_path, "official files are in digits and in fashion: give one of these folders")
    assert len(mnist(str(tmp_path / "digits")).train) == 7


def test_a_closed_folder_beside_is_no_obstacle(tmp_path, monkeypatch):  # lost+found
    put(tmp_path / "raw", MNIST)
    (tmp_path / "closed").mkdir(mode=0)
    stat = os.stat

    def refuse(path, *rest, **options):  # root may look into every folder: it is refused here as others are
        if os.path.basename(os.path.dirname(os.fspath(path))) == "closed":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return stat(path, *rest, **options)

    monkeypatch.setattr(os, "stat", refuse)
    with pytest.raises(PermissionError):
        (tmp_path / "closed" / "x").stat()
    assert len(mnist(str(tmp_path)).train) == 7


# Checksums: of what the files hold.


@pytest.mark.parametrize("form", ["plain", "packed"])
def test_checksums_that_agree_are_silent_and_others_warn_but_are_read(tmp_path, monkeypatch, form):
    put(tmp_path, MNIST_FORMS[form])
    sums = {name: hashlib.md5(content).hexdigest() for name, content in MNIST.items()}
    monkeypatch.setattr(official_checksums, "MD5", sums)
    mnist(str(tmp_path))  # a warning would be an error
    digest = sums["t10k-labels-idx1-ubyte"]
    monkeypatch.setitem(official_checksums.MD5, "t10k-labels-idx1-ubyte", "0" * 32)
    with pytest.warns(Unofficial, match=rf"t10k-labels-idx1-ubyte\S*: is not byte for byte the published .*{digest}") as caught:
        assert np.array_equal(mnist(str(tmp_path)).test.y, Y_TEST)
    assert len(caught) == 1


def test_checksums_of_pickles_and_mat_files_are_of_the_files(tmp_path, monkeypatch):
    cifar, numbers = put(tmp_path / "c", CIFAR), put(tmp_path / "s", SVHN)
    sums = {name: hashlib.md5(content).hexdigest() for name, content in (CIFAR | SVHN).items()}
    monkeypatch.setattr(official_checksums, "MD5", sums)
    cifar10(str(cifar)), svhn(str(numbers), part="train+extra")
    monkeypatch.setattr(official_checksums, "MD5", dict.fromkeys(sums, "0" * 32))
    with pytest.warns(Unofficial) as caught:
        cifar10(str(cifar)), svhn(str(numbers), part="train+extra")
    named = [str(warning.message).split(": ")[0].rpartition("/")[2] for warning in caught]
    assert sorted(named) == sorted(sums)


def test_checksums_are_known_for_every_official_file_that_has_one():
    assert all(len(md5) == 32 and set(md5) <= set("0123456789abcdef") for md5 in official_checksums.MD5.values())
    assert set(MNIST) | set(CIFAR) | set(SVHN) | {"list_eval_partition.txt", "list_attr_celeba.txt"} == set(official_checksums.MD5)


# CIFAR-10, in pickles as Python 2 wrote them.


class Python2Pickler(pickle._Pickler):
    """Writes protocol 2 as Python 2 did: words as byte strings, and numpy's module by its old name."""

    def __init__(self, file):
        super().__init__(file, protocol=2)

    def save_string(self, content):
        content = content.encode("latin1") if isinstance(content, str) else content
        short = len(content) < 256
        self.write(b"U" + bytes([len(content)]) if short else b"T" + struct.pack("<i", len(content)))
        self.write(content)

    dispatch = pickle._Pickler.dispatch | {str: save_string, bytes: save_string}


def python2(value) -> bytes:
    file = io.BytesIO()
    Python2Pickler(file).dump(value)
    return file.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def batch(k: int, n: int = 4, **changed) -> dict:
    """A batch like the official ones; image i of batch k has the colour (k, i, 100 + i), but for one pixel."""
    x = np.empty((n, 3, 32, 32), np.uint8)
    x[:, 0], x[:, 1], x[:, 2] = k, np.arange(n)[:, None, None], 100 + np.arange(n)[:, None, None]
    x[:, 0, 3, 5] = 255  # red, row 3, column 5
    names = [f"{i}.png" for i in range(n)]
    labels = [(3 * k + i) % 10 for i in range(n)]
    return {"batch_label": f"batch {k} of 5", "labels": labels, "data": x.reshape(n, 3072), "filenames": names} | changed


def records(b: dict) -> bytes:
    return np.c_[np.array(b["labels"], np.uint8), b["data"]].tobytes()


def batches(write, suffix: str = "") -> dict[str, bytes]:
    numbered = {f"data_batch_{k}": batch(k) for k in range(1, 6)} | {"test_batch": batch(6, 2)}
    return {f"{name}{suffix}": write(b) for name, b in numbered.items()}


CIFAR = batches(python2)
CIFAR_FORMS = {
    "py": CIFAR,
    "bin": batches(records, ".bin"),
    "Python 3, keys of bytes": batches(lambda b: pickle.dumps({key.encode(): value for key, value in b.items()}, protocol=3)),
    "Python 3, protocol 4": batches(lambda b: pickle.dumps(b, protocol=4)),
    "by column": batches(lambda b: python2(b | {"data": np.asfortranarray(b["data"])})),
}


def test_the_pickles_of_these_tests_are_like_those_of_python_2():
    content = CIFAR["data_batch_1"]
    assert content.startswith(b"\x80\x02")
    assert b"cnumpy.core.multiarray\n_reconstruct" in content
    assert b"U\x0bbatch_label" in content
    assert b"_codecs" not in content


@pytest.mark.parametrize("inner", ["", "cifar-10-batches"])
@pytest.mark.parametrize("form", CIFAR_FORMS)
def test_cifar10_is_read_in_every_form(tmp_path, form, inner):
    put(tmp_path / inner, CIFAR_FORMS[form])
    train, test = cifar10(str(tmp_path))
    assert (train.x.shape, test.x.shape) == ((20, 32, 32, 3), (2, 32, 32, 3))
    assert train.x[:, 0, 0].tolist() == [[k, i, 100 + i] for k in range(1, 6) for i in range(4)], "in order, channels last"
    assert test.x[:, 0, 0].tolist() == [[6, 0, 100], [6, 1, 101]]
    assert (train.x[:, 3, 5, 0] == 255).all()
    assert (train.x[:, 5, 3, 0] != 255).all(), "rows before columns"
    assert train.y.tolist() == [(3 * k + i) % 10 for k in range(1, 6) for i in range(4)]
    assert test.y.tolist() == [8, 9]
    assert train.classes == test.classes
    assert (train.classes[3], train.classes[9], len(train.classes)) == ("cat", "truck", 10)
    assert train.x.flags.c_contiguous
    assert train.x.flags.writeable


def test_the_first_rows_of_cifar10_are_to_learn_from(tmp_path):
    put(tmp_path, CIFAR)
    train, test = cifar10(str(tmp_path), train=18)
    whole = cifar10(str(tmp_path)).train
    assert np.array_equal(train.x, whole.x[:18])
    assert np.array_equal(train.y, whole.y[:18])
    assert len(test) == 2
    assert inspect.signature(cifar10).parameters["train"].default == 45_000
    refused(cifar10, tmp_path, "at least 1, got 0", train=0)


def test_cifar10_leaves_the_last_5000_training_images_of_other_files_for_validation(monkeypatch):
    rows = [Source(np.broadcast_to(np.uint8(0), (n, 32, 32, 3)), np.arange(n)) for n in (50_000, 10_000)]
    monkeypatch.setattr(images, "images", lambda path, size, hold_out, stream: Data(*rows))
    train, test = cifar10("folder")
    assert train.y.tolist() == list(range(45_000))
    assert len(test) == 10_000


class Malice:
    """What a pickle can do to whoever loads it."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("place", ["instead of the batch", "among the labels", "as the data", "beside the data"])
@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(("function", "name"), [(os.system, r"\w+\.system"), (builtins.eval, r"\w+\.eval"), (np.load, r"numpy\S*\.load")])
def test_a_pickle_that_calls_anything_is_refused_and_nothing_is_called(tmp_path, function, name, protocol, place):
    trace = tmp_path / "trace"
    code = {os.system: f"touch {trace}", builtins.eval: f"__import__('os').mkdir({str(trace)!r})", np.load: str(trace)}[function]
    bad = Malice(function, code)
    content = {
        "instead of the batch": bad,
        "among the labels": batch(1, labels=[0, 1, bad, 3]),
        "as the data": batch(1, data=bad),
        "beside the data": batch(1) | {"more": bad},
    }[place]
    put(tmp_path / "cifar", CIFAR | {"data_batch_3": pickle.dumps(content, protocol)})
    # Where numpy's own way of writing arrays is refused first, that is as good.
    message = refused(cifar10, tmp_path / "cifar", rf"data_batch_3: not one of.*asks for ({name}|_codecs\.encode|numpy\S*_frombuffer)")
    assert "which was not called" in message
    assert not trace.exists()
    if function is not np.load and place == "instead of the batch":
        pickle.loads(pickle.dumps(content, protocol))  # the same bytes are indeed malicious
        assert trace.exists()


BAD_PICKLES = {
    "no pickle": (b"hello", "not one of CIFAR-10's files"),
    "an empty file": (b"", "not one of CIFAR-10's files"),
    "half a pickle": (CIFAR["data_batch_1"][:-2000], "not one of CIFAR-10's files"),
    "a list": (python2([1, 2]), "not one of CIFAR-10's files"),
    "no data": (python2({"labels": [1]}), "KeyError: 'data'"),
    "no labels": (python2({"data": batch(1)["data"]}), "KeyError: 'labels'"),
    "CIFAR-100's labels": (python2({"data": batch(1)["data"], "fine_labels": [1]}), "KeyError: 'labels'"),
    "words as labels": (python2(batch(1, labels=["cat"] * 4)), "ValueError"),
    "a huge label": (python2(batch(1, labels=[0, 1, 2, 2**70])), "OverflowError"),
    "data of another type": (python2(batch(1, data=np.zeros((4, 3072), np.float32))), "an array of type f4"),
    "objects as data": (python2(batch(1, data=np.full((4, 3072), None))), "an array of type O8"),
    "a word as data": (python2(batch(1, data="pixels")), "AttributeError"),
    "another width": (python2(batch(1, data=np.zeros((4, 3071), np.uint8))), r"expected data of shape \(n, 3072\), found \(4, 3071\)"),
    "three dimensions": (python2(batch(1, data=np.zeros((4, 3, 1024), np.uint8))), r"found \(4, 3, 1024\)"),
    "too few labels": (python2(batch(1, labels=[1, 2, 3])), r"4 images, but labels of shape \(3,\)"),
    "labels in lists": (python2(batch(1, labels=[[1]] * 4)), r"4 images, but labels of shape \(4, 1\)"),
    "a label too large": (python2(batch(1, labels=[1, 2, 10, 3])), "row 2 has label 10; labels go from 0 to 9"),
    "a label below": (python2(batch(1, labels=[1, 2, 3, -1])), "row 3 has label -1"),
    "no rows": (python2(batch(1, 0)), "no rows"),
}


@pytest.mark.parametrize("kind", BAD_PICKLES)
def test_bad_pickles_are_refused_by_name(tmp_path, kind):
    content, words = BAD_PICKLES[kind]
    put(tmp_path, CIFAR | {"data_batch_4": content})
    assert refused(cifar10, tmp_path, words).startswith(f"{tmp_path / 'data_batch_4'}: ")


def test_damaged_pickles_are_read_or_refused_and_never_a_traceback(tmp_path):
    content, file = python2(batch(1, 1)), tmp_path / "data_batch_1"
    pixels = content.index(batch(1, 1)["data"].tobytes())
    places = [*range(pixels), *range(pixels, pixels + 3072, 400), *range(pixels + 3072, len(content))]
    read, raw = 0, {}
    for place in places:
        for flip in (0x01, 0xFF):
            file.write_bytes(content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :])
            try:
                official_formats.objects(*official_formats.unpickled(file))
                read += 1
            except AliError as error:
                assert str(error).startswith(f"{file}: ")  # noqa: PT017
            except Exception as error:
                raw[type(error)] = f"byte {place} ^ {flip}: {error}"
    assert raw == {}
    assert 0 < read < len(places)


def test_a_damaged_pickle_does_not_eat_the_memory(tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for index in (2**26, 2**31 - 1):  # one byte of the memo's index
        put(tmp_path, CIFAR | {"data_batch_1": b"\x80\x02Nr" + index.to_bytes(4, "little") + b"."})
        refused(cifar10, tmp_path, "not one of CIFAR-10's files")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024  # KiB


@pytest.mark.parametrize("form", ["py", "bin"])
def test_a_missing_batch_is_named(tmp_path, form):
    put(tmp_path, CIFAR_FORMS[form])
    for name in CIFAR_FORMS[form]:
        (tmp_path / name).rename(tmp_path / "away")
        refused(cifar10, tmp_path, f"{name}: is missing among the official files")
        (tmp_path / "away").rename(tmp_path / name)


def test_bad_records_are_refused_by_name(tmp_path):
    binary = CIFAR_FORMS["bin"]
    for content, words in (
        (binary["test_batch.bin"][:-1], "records of 3073 bytes.*6,145 bytes"),
        (b"", "no rows"),
        (b"\x0a" + binary["test_batch.bin"][1:], "row 0 has label 10"),
    ):
        assert "test_batch.bin: " in refused(cifar10, put(tmp_path, binary | {"test_batch.bin": content}), words)


# SVHN.


def mat(k: int, labels: list[int], **changed) -> bytes:
    """Images whose colour is (k, i, 7), but for one pixel; labels 1 to 10, in a column, as MATLAB has them."""
    x = np.empty((32, 32, 3, len(labels)), np.uint8)
    x[:, :, 0], x[:, :, 1], x[:, :, 2] = k, np.arange(len(labels)), 7
    x[3, 5, 0] = 255
    file = io.BytesIO()
    savemat(file, {"X": x, "y": np.array(labels, np.uint8)[:, None]} | changed, do_compression=True)
    return file.getvalue()


SVHN = {"train_32x32.mat": mat(1, [10, 1, 9]), "extra_32x32.mat": mat(2, [2, 10, 3, 4]), "test_32x32.mat": mat(3, [5, 10])}


@pytest.mark.parametrize("inner", ["", "svhn"])
@pytest.mark.parametrize(
    ("part", "colours", "y"),
    [
        ("train", [(1, 0), (1, 1), (1, 2)], [0, 1, 9]),
        ("extra", [(2, 0), (2, 1), (2, 2), (2, 3)], [2, 0, 3, 4]),
        ("auto", [(2, 0), (2, 1), (2, 2), (2, 3)], [2, 0, 3, 4]),
        ("train+extra", [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (2, 3)], [0, 1, 9, 2, 0, 3, 4]),
    ],
)
def test_svhn_is_read_from_mat_files(tmp_path, part, colours, y, inner):
    put(tmp_path / inner, SVHN)
    train, test = svhn(str(tmp_path), part)
    assert train.x.shape == (len(y), 32, 32, 3)
    assert train.x.dtype == np.uint8
    assert train.x.flags.c_contiguous
    assert train.x.flags.writeable
    assert train.x[:, 0, 0].tolist() == [[k, i, 7] for k, i in colours]
    assert (train.x[:, 3, 5, 0] == 255).all()
    assert (train.x[:, 5, 3, 0] != 255).all(), "rows before columns"
    assert (train.y.tolist(), test.y.tolist()) == (y, [5, 0])
    assert test.x[:, 0, 0].tolist() == [[3, 0, 7], [3, 1, 7]]
    assert train.classes == test.classes == tuple("0123456789")
    assert train.y.dtype == test.y.dtype == np.int64


def test_without_extra_svhn_learns_from_train(tmp_path):
    put(tmp_path, {name: content for name, content in SVHN.items() if "extra" not in name})
    assert svhn(str(tmp_path)).train.y.tolist() == [0, 1, 9]
    for part in ("extra", "train+extra"):
        refused(svhn, tmp_path, r"extra_32x32\.mat: is missing", part=part)
    (tmp_path / "test_32x32.mat").unlink()
    refused(svhn, tmp_path, r"test_32x32\.mat: is missing")


BAD_MATS = {
    "not a mat file": (b"hello" * 100, "not a MATLAB file"),
    "an empty file": (b"", "not a MATLAB file"),
    "half a file": (SVHN["train_32x32.mat"][:-60], "not a MATLAB file"),
    "a newer MATLAB's file": (b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(400), "not a MATLAB file .*HDF"),
    "another size": (mat(1, [1], X=np.zeros((28, 28, 3, 1), np.uint8)), r"\(32, 32, 3, n\).*found \(28, 28, 3, 1\)"),
    "one image": (mat(1, [1], X=np.zeros((32, 32, 3), np.uint8)), r"found \(32, 32, 3\)"),
    "pixels that are no bytes": (mat(1, [1, 2], X=np.zeros((32, 32, 3, 2))), "type uint8, found .*float64"),
    "too few labels": (mat(1, [1, 2], y=np.uint8([[1]])), r"2 images, but labels of shape \(1,\)"),
    "a label too large": (mat(1, [1, 11]), "row 1 has label 11; labels go from 1 to 10"),
    "a label too small": (mat(1, [0, 1]), "row 0 has label 0"),
    "words as labels": (mat(1, [1, 2], y="ab"), "y holds no real numbers"),
}


@pytest.mark.parametrize("kind", BAD_MATS)
def test_bad_mat_files_are_refused_by_name(tmp_path, kind):
    content, words = BAD_MATS[kind]
    put(tmp_path, SVHN | {"train_32x32.mat": content})
    assert refused(svhn, tmp_path, words, part="train").startswith(f"{tmp_path / 'train_32x32.mat'}: ")


def test_a_mat_file_without_images_or_labels_is_refused(tmp_path):
    for content in ({"X": 1}, {"y": 1}):
        file = io.BytesIO()
        savemat(file, content)
        refused(
            svhn, put(tmp_path, SVHN | {"train_32x32.mat": file.getvalue()}), "not a MATLAB file with images X and labels y", part="train"
        )


# CelebA.

NUMBERS = (1, 2, 162_770, 162_771, 182_637, 182_638, 202_599)  # the first and last of each part
PARTS = (0, 0, 0, 1, 1, 2, 2)


def picture(number: int, size: tuple[int, int] = (178, 218)) -> Image.Image:
    """Smooth ramps down and to the right, and a blue of its own."""
    down, right = np.mgrid[0 : 255 : size[1] * 1j, 0 : 255 : size[0] * 1j]
    return Image.fromarray(np.stack([down, right, np.full_like(down, number % 251)], -1).astype(np.uint8))


def put_faces(folder: Path, numbers=NUMBERS, inner: str = "img_align_celeba") -> Path:
    (folder / inner).mkdir(parents=True)
    for number in numbers:
        picture(number).save(folder / inner / f"{number:06d}.jpg", quality=95)
    return folder


def partition(numbers=NUMBERS, parts=PARTS) -> bytes:
    return "".join(f"{number:06d}.jpg {part}\n" for number, part in zip(numbers, parts, strict=True)).encode()


@pytest.mark.parametrize("form", ["in PATH", "one level down", "in itself", "without a partition"])
def test_celeba_is_cropped_as_the_authors_did_and_split_as_published(tmp_path, monkeypatch, form):
    monkeypatch.setattr(official_pictures, "FACES", len(NUMBERS))
    folder = tmp_path / "celeba" if form == "one level down" else tmp_path
    put_faces(folder, inner="img_align_celeba/img_align_celeba" if form == "in itself" else "img_align_celeba")
    if form != "without a partition":
        put(folder, {"list_eval_partition.txt": partition()})
    train, test = celeba(str(tmp_path))
    assert (train.x.shape, test.x.shape, train.x.dtype) == ((3, 64, 64, 3), (2, 64, 64, 3), np.uint8)
    assert train.y is test.y is None
    assert train.notes == ("no list_attr_celeba.txt lies near the pictures: rows have no attributes",)
    blue = [number % 251 for number in NUMBERS]
    means = [*train.x[..., 2].mean((1, 2)), *test.x[..., 2].mean((1, 2))]
    assert means == pytest.approx([*blue[:3], *blue[5:]], abs=2), "in the order of the numbers"
    # Row r of the result is row r + 7 of 78: centred at (r + 7.5) / 78 of the picture's height; columns keep the whole width.
    red, green = train.x[0, :, 32, 0], train.x[0, 32, :, 1]
    np.testing.assert_allclose(red[5:-5], (255 * (np.arange(64) + 7.5) / 78)[5:-5], atol=2.5)
    np.testing.assert_allclose(green[5:-5], (255 * (np.arange(64) + 0.5) / 64)[5:-5], atol=2.5)


def test_a_celeba_face_is_exactly_that_of_the_authors_pipeline(tmp_path):
    noise = Image.fromarray(RNG.integers(0, 256, (218, 178, 3), dtype=np.uint8))
    wanted = np.asarray(noise.resize((64, 78), Image.Resampling.LANCZOS))[7:71]
    assert np.array_equal(np.asarray(cut_face(noise)), wanted)


def test_the_partition_decides_not_the_numbers(tmp_path):
    put_faces(tmp_path, (1, 2, 3))
    put(tmp_path, {"list_eval_partition.txt": partition((1, 2, 3), (2, 0, 1))})
    train, test = celeba(str(tmp_path))
    assert [round(part.x[..., 2].mean()) for part in (train, test)] == pytest.approx([2, 1], abs=1)


def test_an_incomplete_folder_of_faces_without_a_partition_warns(tmp_path):
    put_faces(tmp_path, (1, 2, 182_638))
    with pytest.warns(Unofficial, match="holds 3 of CelebA's 202,599 pictures"):
        assert [len(part) for part in celeba(str(tmp_path))] == [2, 1]


def test_bad_partitions_are_refused_by_line(tmp_path):
    put_faces(tmp_path, (1, 182_638))
    for lines, words in (
        (b"000001.jpg 0\n000002.jpg 3\n", r"list_eval_partition\.txt, line 2: expected .*found '000002\.jpg 3'"),
        (b"000001.jpg\n", r"line 1: expected"),
        (b"000001.jpg 0\n000002.jpg 0\n182638.jpg 2\n", r"000002\.jpg: is missing, and list_eval_partition\.txt names it"),
        (b"000001.jpg 0\n", r"no picture of the test part \(182638\.jpg to 202599\.jpg\)"),
        (b"", "no picture of the training part"),
    ):
        refused(celeba, put(tmp_path, {"list_eval_partition.txt": lines}), words)


def test_bad_faces_are_refused_by_name(tmp_path):
    put_faces(tmp_path, (1, 2, 182_638))
    put(tmp_path, {"list_eval_partition.txt": partition((1, 2, 182_638), (0, 0, 2))})
    bad = tmp_path / "img_align_celeba" / "000002.jpg"
    whole = bad.read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2]):
        bad.write_bytes(content)
        assert refused(celeba, tmp_path, "not a readable picture").startswith(f"{bad}: ")
    picture(2, (89, 109)).save(bad)
    refused(celeba, tmp_path, rf"{bad}: expected an aligned picture of 178 x 218 pixels, found 89 x 109")


# ImageNet.

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


# Whatever else PATH is.


FORMS = {"mnist": (28, 1), "cifar10": (32, 3), "svhn": (32, 3), "celeba": (64, 3), "tiny_imagenet": (64, 3)}


def put_parquet(folder: Path, side: int = 64, channels: int = 3) -> str:
    def cell(k: int) -> dict:
        file = io.BytesIO()
        Image.new("RGB" if channels == 3 else "L", (side, side), (k, 0, 0) if channels == 3 else k).save(file, "PNG")
        return {"bytes": file.getvalue(), "path": ""}

    folder.mkdir(exist_ok=True)
    for part, rows in (("train", range(6)), ("test", range(6, 9))):
        pq.write_table(pa.table({"image": [cell(k) for k in rows], "label": [k % 3 for k in rows]}), folder / f"{part}-0.parquet")
    return str(folder)


@pytest.mark.parametrize("name", READERS)
def test_parquet_and_arrays_are_still_read(tmp_path, name):
    side, channels = FORMS[name]
    for path in (put_parquet(tmp_path / "parquet", side, channels), tmp_path / "x.npz"):
        if path == tmp_path / "x.npz":
            x = np.zeros((9, side, side, channels), np.uint8)
            x[..., 0] = np.arange(9)[:, None, None]
            np.savez(path, x_train=x[:6], y_train=np.arange(6) % 3, x_test=x[6:], y_test=np.arange(3))
        train, test = recipes.DATASETS[name].open(str(path))
        assert train.x.reshape(6, side * side, channels)[:, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]
        assert test.x.reshape(3, side * side, channels)[:, 0, 0].tolist() == [6, 7, 8]
        assert (train.y.tolist(), test.y.tolist()) == ([0, 1, 2, 0, 1, 2], [0, 1, 2])


def test_arguments_that_other_files_can_not_follow_are_refused(tmp_path):
    path = put_parquet(tmp_path / "parquet", 32)
    assert imagenet(path).train.x.shape[1:3] == (64, 64)
    assert [len(part) for part in imagenet(path, size=32, limit=2)] == [2, 2]
    assert len(cifar10(path, train=4).train) == 4
    assert len(svhn(path, part="train").train) == 6
    for part in ("extra", "train+extra"):
        refused(svhn, path, r"parquet: no file called extra-\*\.parquet is here", part=part)
        assert repr(part) in refused(svhn, tmp_path, r"chosen among SVHN's \.mat files, or train-\*.*; none are here", part=part)


@pytest.mark.parametrize("name", READERS)
def test_a_path_that_is_nothing_of_all_this_is_refused_with_the_official_names(tmp_path, name):
    official_name = {"mnist": "train-images-idx3-ubyte", "cifar10": "data_batch_1", "svhn": "test_32x32.mat"}
    official_name |= {"celeba": "img_align_celeba", "tiny_imagenet": "n01440764"}
    (tmp_path / "archive.tar.gz").write_bytes(b"packed")
    for path in (tmp_path / "nowhere", tmp_path / "archive.tar.gz", tmp_path):
        message = refused(READERS[name], path, "official files, unpacked")
        assert message.startswith(f"{path}: ")
        assert official_name[name] in message


@pytest.mark.parametrize("name", READERS)
def test_a_bad_file_of_another_kind_is_refused_in_its_own_words(tmp_path, name):
    (tmp_path / "x.parquet").write_bytes(b"hello")
    assert "official" not in refused(READERS[name], tmp_path, "not a readable Parquet file")


@pytest.mark.parametrize("name", READERS)
def test_the_paper_sets_are_these_readers(name):
    entry = recipes.DATASETS[name]
    assert entry.function() is READERS[name]
    assert "Parquet" in entry.needs
    assert "official" in entry.needs or "ILSVRC" in entry.needs
