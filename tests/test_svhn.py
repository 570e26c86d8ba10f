"""SVHN from its official .mat files: which parts are learned from, and bad files."""

import io

import numpy as np
import pytest
from scipy.io import savemat
from test_official import put, refused

from ali.data.official import svhn

pytestmark = pytest.mark.usefixtures("_tiny_files_are_not_the_published_ones")


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
