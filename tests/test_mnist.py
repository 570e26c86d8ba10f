"""MNIST from its official idx files: every form of them, and bad ones."""

import gzip
import os
import struct

import numpy as np
import pytest
from test_official import put, refused

from ali.data.official import mnist

pytestmark = pytest.mark.usefixtures("_tiny_files_are_not_the_published_ones")

RNG = np.random.default_rng(0)
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
