"""CIFAR-10 from its official pickles and records: pixels, labels and order, pickles that call something, and bad files."""

import builtins
import inspect
import io
import os
import pickle
import resource
import struct

import numpy as np
import pytest
from test_official import put, refused

from ali.data import images, official_formats
from ali.data.official import cifar10
from ali.data.source import Data, Source
from ali.errors import AliError

pytestmark = pytest.mark.usefixtures("_tiny_files_are_not_the_published_ones")


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
