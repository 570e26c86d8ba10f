"""Checksums of the official files: of what these hold, silent where they agree, and a warning where not."""

import hashlib

import numpy as np
import pytest
from test_cifar10 import CIFAR
from test_mnist import MNIST, MNIST_FORMS, Y_TEST
from test_official import put
from test_svhn import SVHN

from ali.data import official_checksums
from ali.data.official import cifar10, mnist, svhn
from ali.data.official_checksums import Unofficial


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
