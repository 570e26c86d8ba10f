"""The paper's sets in whatever else a path holds: Parquet files, arrays, or nothing of the kind; and which readers they are."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ali import recipes
from ali.data.official import celeba, cifar10, imagenet, mnist, svhn
from ali.errors import AliError

pytestmark = pytest.mark.usefixtures("_tiny_files_are_not_the_published_ones")

READERS = {"mnist": mnist, "cifar10": cifar10, "svhn": svhn, "celeba": celeba, "tiny_imagenet": imagenet}


def refused(reader, path, words: str, **options) -> str:
    with pytest.raises(AliError, match=words) as error:
        reader(str(path), **options)
    return str(error.value)


def put(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


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
