"""The paper's data sets from the files that their authors publish, split as the ALI authors split them.

=========  ==============================================================  ========================================
reader     official files                                                  rows to learn from, rows held out
=========  ==============================================================  ========================================
mnist      four idx files, packed or not                                   60,000 and 10,000
cifar10    cifar-10-batches-py or cifar-10-batches-bin                     the first 45,000 of 50,000, and 10,000
svhn       extra_32x32.mat, train_32x32.mat, test_32x32.mat                531,131 (extra), and 26,032
celeba     img_align_celeba, list_eval_partition.txt and                   162,770 (partition 0), and 19,962 (2)
           list_attr_celeba.txt (both may be missing)
imagenet   ILSVRC 2012: train and val                                      1,281,167, and 50,000
=========  ==============================================================  ========================================

PATH is the folder that holds these files, or the one around it; whatever else it is goes to the reader of anybody's
images. Nothing is downloaded, and nothing is unpickled that is not plain numbers. A file whose checksum is not the
published one is read all the same, with a warning: people pack these sets anew.
"""

from __future__ import annotations

__all__ = ["Unofficial", "attributes", "celeba", "cifar10", "imagenet", "mnist", "svhn"]

import gzip
import hashlib
import os
import re
import warnings
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import chain
from pathlib import Path
from pickle import UnpicklingError, _Unpickler
from typing import Any, Literal

import numpy as np

from ali.data import images, matlab, parquet
from ali.data.source import Data, Source
from ali.errors import AliError

# MD5 of the published files; those of MNIST are of the unpacked files, so that it does not matter how they were packed.
MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
    "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
    "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
    "extra_32x32.mat": "a93ce644f1a588dc4d68dda5feec44a7",
    "list_eval_partition.txt": "d32c9cbf5e040fd4025c592c306e6668",
    "list_attr_celeba.txt": "75e246fa4810816ffd6ee81facbd244c",
}

DIGITS = tuple("0123456789")
OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")  # as in batches.meta
BATCHES = tuple(f"data_batch_{k}" for k in range(1, 6))
FACES = 202_599  # pictures in CelebA
FACES_TRAIN, FACES_TEST = range(1, 162_771), range(182_638, FACES + 1)  # partitions 0 and 2, by the number of the picture


class Unofficial(UserWarning):
    """Files that are read, but are not, byte for byte, the published ones."""


def mnist(path: str, hold_out: float = 0.1) -> Data:
    """MNIST: 60,000 handwritten digits to learn from, 10,000 held out, 28 x 28 grey (LeCun et al. 1998).

    Arguments:
        path: a folder with train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
            t10k-labels-idx1-ubyte, also packed (.gz); or other images.
        hold_out: share of the rows to hold out, where other images name no test part.

    Raises:
        AliError: a file is missing, is not in the idx format, is too short or too long, or does not fit the others.
    """
    names = [f"{part}-{kind}" for part in ("train", "t10k") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
    folder = _folder(path, _has(chain(*(_spellings(name) for name in names))))
    if folder is None:
        official = "a folder with train-images-idx3-ubyte and its three companions, also packed (.gz)"
        return _checked(_other(path, hold_out, official), path, "mnist")
    train, test = _digits(folder, "train"), _digits(folder, "t10k")
    if train.x.shape[1:] != test.x.shape[1:]:
        raise AliError(f"{folder}: images of {train.x.shape[1:]} to learn from, but of {test.x.shape[1:]} in t10k-images-idx3-ubyte")
    return _checked(Data(train, test), path, "mnist")


def cifar10(path: str, train: int = 45_000) -> Data:
    """CIFAR-10 as the authors split it: the first 45,000 of 50,000 training images, and the 10,000 test images (Krizhevsky 2009).

    Arguments:
        path: a folder with data_batch_1 to data_batch_5 and test_batch, of cifar-10-batches-py or (.bin)
            cifar-10-batches-bin; or other images.
        train: rows to learn from, the first of the training part; the others, with which the authors validated, are left out.

    Raises:
        AliError: a file is missing, holds anything but images and labels, or is too short or too long.
    """
    if train < 1:
        raise AliError(f"train counts the rows to learn from: at least 1, got {train}")
    names = (*BATCHES, "test_batch")
    pickled, binary = _folder(path, _has(names)), _folder(path, _has(f"{name}.bin" for name in names))
    if pickled is not None:
        *parts, test = (_objects(*_unpickled(pickled / name)) for name in names)
    elif binary is not None:
        *parts, test = (_objects(*_records(binary / f"{name}.bin")) for name in names)
    else:
        official = "a folder with data_batch_1 to data_batch_5 and test_batch, or the same with .bin"
        if Path(path).is_dir() and not parquet.find(Path(path)) and _listed(Path(path)):
            raise AliError(f"{path}: pictures class by class have no first {train:,} rows; take `ali train images`, or {official}")
        data = _checked(_other(path, 0.1, official), path, "cifar10")
        return Data(data.train.rows(slice(0, train)), data.test)
    return Data(_joined(parts).rows(slice(0, train)), test)


def svhn(path: str, part: Literal["auto", "train", "extra", "train+extra"] = "auto", hold_out: float = 0.1) -> Data:
    """SVHN's cropped house numbers, 32 x 32 colour; the 26,032 of the test part are held out (Netzer et al. 2011).

    Arguments:
        path: a folder with test_32x32.mat and train_32x32.mat, extra_32x32.mat or both; or other images.
        part: rows to learn from, of .mat or Parquet files: extra (531,131; the authors' choice), train (73,257), train+extra, or
            auto: extra where the file is there, else train.
        hold_out: share of the rows to hold out, where other images name no test part.

    Raises:
        AliError: a file is missing or is no MATLAB file with images X and labels y, or labels are out of range.
    """
    folder = _folder(path, _has(f"{name}_32x32.mat" for name in ("train", "extra", "test")))
    if folder is None:
        return _checked(_other_numbers(path, part, hold_out), path, "svhn")
    if part == "auto":
        part = "extra" if (folder / "extra_32x32.mat").exists() else "train"
    return Data(_joined([_numbers(folder / f"{name}_32x32.mat") for name in part.split("+")]), _numbers(folder / "test_32x32.mat"))


def celeba(path: str, hold_out: float = 0.1) -> Data:
    """CelebA, 64 x 64 colour, cropped as the authors did: 162,770 faces to learn from, 19,962 held out (Liu et al. 2015).

    The aligned pictures, 178 x 218, are made 64 x 78 (Lanczos) and rows 7 to 70 kept. The validation part is left out.

    Arguments:
        path: a folder with the folder img_align_celeba and, if you have them, list_eval_partition.txt (without, the parts are
            known by the numbers of the pictures) and list_attr_celeba.txt (the 40 attributes, made 0 and 1), or both in the
            folders Eval and Anno beside. Or other images.
        hold_out: share of the rows to hold out, where other images name no test part.

    Raises:
        AliError: a picture is missing, can not be read or has another size, a part is empty, or the attributes are no such list.
    """
    folder = _folder(path, _has(["img_align_celeba"]))
    if folder is None:
        official = "a folder with the folder img_align_celeba and list_eval_partition.txt"
        return _checked(_other(path, hold_out, official, 64), path, "celeba")
    pictures = folder / "img_align_celeba"
    if (pictures / "img_align_celeba").is_dir():  # as some archives unpack
        pictures = pictures / "img_align_celeba"
    parts, listed = _faces(pictures, _near(pictures, folder, "list_eval_partition.txt", "Eval")), {}
    table = _near(pictures, folder, "list_attr_celeba.txt", "Anno")
    if table is None:
        listed = [{"notes": ("no list_attr_celeba.txt lies near the pictures: rows have no attributes",)}] * 2
    else:
        _compare(table, _md5(_read(table)).hexdigest(), table.name)
        names, rows, values = attributes(table)
        missing = next((file for part in parts for file in part if os.path.basename(file) not in rows), None)
        if missing is not None:
            raise AliError(f"{table}: has no line for {os.path.basename(missing)}")
        chosen = [values[[rows[os.path.basename(file)] for file in part]].astype(np.float32) for part in parts]
        listed = [{"y": y, "attributes": names} for y in chosen]
    return Data(*(Source(_pictures(part, 64, _face), **beside) for part, beside in zip(parts, listed, strict=True)))


def imagenet(path: str, size: int = 64, limit: int | None = None, hold_out: float = 0.1) -> Data:
    """ImageNet (ILSVRC 2012), small: the shorter side scaled to 64 pixels, the centre cut out (Russakovsky et al. 2015).

    All rows are held in memory, 12 kB each at 64 x 64: 16 GB for the whole set.

    Arguments:
        path: a folder with train (folders n01440764, ... of pictures) and val (the same, or all pictures in one folder: then
            no row has a label); or other images of this size.
        size: height and width of the images, pixels.
        limit: rows per part, evenly spread over the sorted files; all of them by default.
        hold_out: share of the rows to hold out, where other images name no test part.

    Raises:
        AliError: no pictures, one that can not be read, or a class that the training part lacks.
    """
    if size < 1 or (limit is not None and limit < 1):
        raise AliError(f"size and limit are at least 1, got {size} and {limit}")
    folder = _folder(path, lambda place: bool(_synsets(place / "train")))
    if folder is None:
        data = _other(path, hold_out, "a folder with the folders train (of folders n01440764, ...) and val", size)
        data = _checked(data, path, "tiny_imagenet", size)
        return Data(*(part.rows(_spread(len(part), limit)) for part in data))
    if not (folder / "val").is_dir():
        raise AliError(f"{folder}: there is no folder val beside train")
    classes = _synsets(folder / "train")
    parts = [_classified(folder / name, classes) for name in ("train", "val")]
    labelled = all(y is not None for _, y in parts)
    sources = []
    for files, y in parts:
        kept = _spread(len(files), limit)
        x = _pictures([files[k] for k in kept], size, lambda picture: _centre(picture, size))
        sources.append(Source(x, y[kept], tuple(classes)) if labelled and y is not None else Source(x))
    return Data(*sources)


# What PATH is, and whether its files are the published ones.


def _folder(path: str, holds: Callable[[Path], bool]) -> Path | None:
    """PATH, or the one folder in it, that holds official files; None if there is none."""
    place = Path(path)
    if not place.is_dir():
        return None
    found = [place] if holds(place) else [folder for folder in sorted(place.iterdir()) if os.path.isdir(folder) and holds(folder)]
    if len(found) > 1:
        raise AliError(f"{path}: official files are in {' and in '.join(folder.name for folder in found)}: give one of these folders")
    return found[0] if found else None


def _has(names: Iterable[str]) -> Callable[[Path], bool]:
    wanted = tuple(names)
    return lambda folder: any(os.path.exists(folder / name) for name in wanted)  # of pathlib's own, some raise for closed folders


def _other(path: str, hold_out: float, official: str, size: int | None = None) -> Data:
    """PATH holds no official files: the reader of anybody's images takes it, and its refusal names them, too."""
    try:
        return images.images(path, size, hold_out=hold_out, stream=False)
    except AliError as error:
        if str(error).startswith(f"{path}: ") and Path(path).suffix not in (".npy", ".npz", ".parquet"):
            raise AliError(f"{error}; the official files, unpacked, would be {official}") from None
        raise


def _other_numbers(path: str, part: str, hold_out: float) -> Data:
    """House numbers that are in no .mat file: Parquet files are parts by their names, as .mat files are."""
    place, known = Path(path), ("train", "extra")
    files = parquet.find(place) if place.is_dir() else []
    there = [name for name in known if any(file.name.lower().startswith(name) for file in files)]
    if not there:
        if part not in ("auto", "train"):
            raise AliError(f"{path}: part {part!r} is chosen among SVHN's .mat files, or train-* and extra-*.parquet; none are here")
        return _other(path, hold_out, "a folder with test_32x32.mat and train_32x32.mat, extra_32x32.mat or both")
    train = (there[-1],) if part == "auto" else tuple(part.split("+"))
    lacking = next((name for name in train if name not in there), None)
    if lacking is not None:
        raise AliError(f"{path}: no file called {lacking}-*.parquet is here")
    return images.read(path, *parquet.parts(place, train=train), hold_out=hold_out)


# What is no such data set is not read under its name: of each, sides in pixels (any, if asked for), colour, and its classes.
FORMS: dict[str, tuple[tuple[int, ...], bool, int | None]] = {
    "mnist": ((28, 32), False, 10),  # 32: padded, as LeNet has it
    "cifar10": ((32,), True, 10),
    "svhn": ((32,), True, 10),
    "celeba": ((64,), True, None),
    "tiny_imagenet": ((), True, None),
}


def _checked(data: Data, path: str, name: str, size: int | None = None) -> Data:
    """Refuse images of another form or with more classes than the data set of this name has."""
    sides, colour, classes = FORMS[name]
    sides = sides or (size or 64,)
    advice = f"take `ali train images {path}`"
    for part in data:
        height, width, *channels = part.x.shape[1:]
        shown = f"{width} x {height} {'colour' if channels == [3] else 'grey'}"
        if height != width or width not in sides or (channels == [3]) != colour:
            form = f"{' or '.join(f'{side} x {side}' for side in sides)} {'colour' if colour else 'grey'}"
            raise AliError(f"{path}: these are {shown} images; {name.replace('_', '-')} is {form}: {advice}")
        if classes is not None and len(part.classes) > classes:
            raise AliError(f"{path}: these images are of {len(part.classes)} classes; {name} has {classes}: {advice}")
    return data


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise AliError(f"{file}: is missing among the official files") from None
    except OSError as error:
        raise AliError(f"{file}: can not be read ({error})") from None


def _compare(file: Path, md5: str, name: str) -> None:
    """Warn if a file is not the published one."""
    if MD5.get(name, md5) != md5:
        warnings.warn(f"{file}: is not byte for byte the published {name} (MD5 {md5}); read all the same", Unofficial, stacklevel=4)


def _md5(content: bytes = b"") -> Any:
    return hashlib.md5(content, usedforsecurity=False)


def _joined(parts: list[Source]) -> Source:
    if len(parts) == 1:
        return parts[0]
    return Source(
        np.concatenate([part.x for part in parts]), np.concatenate([part.y for part in parts if part.y is not None]), parts[0].classes
    )


def _check_labels(y: np.ndarray, n: int, low: int, high: int, file: Path) -> None:
    if n == 0:
        raise AliError(f"{file}: no rows")
    if y.shape != (n,):
        raise AliError(f"{file}: {n:,} images, but labels of shape {y.shape}")
    bad = np.flatnonzero((y < low) | (y > high))
    if len(bad):
        raise AliError(f"{file}: row {bad[0]} has label {y[bad[0]]}; labels go from {low} to {high}")


# MNIST: big-endian idx files.


def _spellings(name: str) -> list[str]:
    """train-images-idx3-ubyte and train-images.idx3-ubyte are both about, packed and not."""
    dotted = name.replace("-idx", ".idx")
    return [name, f"{name}.gz", dotted, f"{dotted}.gz"]


def _digits(folder: Path, part: str) -> Source:
    x, _ = _idx(folder, f"{part}-images-idx3-ubyte", 3)
    y, file = _idx(folder, f"{part}-labels-idx1-ubyte", 1)
    _check_labels(y, len(x), 0, 9, file)
    return Source(x, y.astype(np.int64), DIGITS)


def _idx(folder: Path, name: str, dimensions: int) -> tuple[np.ndarray, Path]:
    """An array of bytes: two zeros, type 8 and the number of dimensions; their sizes, four bytes each; the array."""
    file = next((folder / spelling for spelling in _spellings(name) if (folder / spelling).exists()), folder / name)
    content = _read(file)
    if content[:2] == b"\x1f\x8b":  # packed, whatever it is called
        try:
            content = gzip.decompress(content)
        except Exception as error:  # of gzip, zlib, struct
            raise AliError(f"{file}: a damaged .gz file ({error})") from None
    start = 4 + 4 * dimensions
    if content[:4] != bytes([0, 0, 8, dimensions]) or len(content) < start:
        expected = f"00 00 08 {dimensions:02x} and {dimensions} size(s)"
        raise AliError(
            f"{file}: not an idx file of {name}: expected it to start with {expected}, found {content[:4].hex(' ') or 'nothing'}"
        )
    shape = [int.from_bytes(content[place : place + 4], "big") for place in range(4, start, 4)]
    if len(content) != start + (length := int(np.prod(shape, dtype=object))):
        raise AliError(f"{file}: its header announces {' x '.join(map(str, shape))} = {length:,} bytes, it holds {len(content) - start:,}")
    _compare(file, _md5(content).hexdigest(), name)
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy(), file  # of bytes, it may not be written to


# CIFAR-10: rows of 3072 bytes, channels first, in pickles of Python 2 or in plain records.


class _Bytes:
    """Stands in for numpy's array while a pickle is read; numpy's own would believe whatever the file says."""

    def __init__(self, *_: Any):
        self.x = np.empty(0, np.uint8)

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, by_column, content = state
        if kind.name not in ("u1", b"u1"):
            raise UnpicklingError(f"an array of type {kind.name}")
        content = content.encode("latin1") if isinstance(content, str) else content
        self.x = np.frombuffer(content, np.uint8).reshape(shape, order="F" if by_column else "C")


class _Kind:
    """Stands in for numpy's dtype."""

    def __init__(self, name: Any, *_: Any):
        self.name = name

    def __setstate__(self, state: tuple) -> None:
        """Byte order and alignment mean nothing for bytes."""


class _PlainUnpickler(_Unpickler):
    """Reads a pickle of numbers, words, lists and one array of bytes: whatever else it asks for is refused, and never called.

    The unpickler in C would take gigabytes for a single damaged byte (an index of its memo); this one takes a second.
    """

    known = {  # noqa: RUF012
        ("numpy.core.multiarray", "_reconstruct"): _Bytes,
        ("numpy._core.multiarray", "_reconstruct"): _Bytes,
        ("numpy", "ndarray"): _Bytes,
        ("numpy", "dtype"): _Kind,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.known:
            raise UnpicklingError(f"it asks for {module}.{name}, which was not called")
        return self.known[module, name]


def _unpickled(file: Path) -> tuple[np.ndarray, np.ndarray, Path]:
    content = _read(file)
    try:
        batch = _PlainUnpickler(BytesIO(content), encoding="latin1").load()
        batch = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
        x, y = batch["data"].x, np.array(batch["labels"], np.int64)
    except Exception as error:  # damaged bytes raise anything
        words = f"{type(error).__name__}: {error}"
        raise AliError(f"{file}: not one of CIFAR-10's files, a pickle of data and labels alone ({words}); fetch it again") from None
    if x.ndim != 2 or x.shape[1] != 3072:
        raise AliError(f"{file}: expected data of shape (n, 3072), found {x.shape}")
    _compare(file, _md5(content).hexdigest(), file.name)
    return x, y, file


def _records(file: Path) -> tuple[np.ndarray, np.ndarray, Path]:
    content = _read(file)
    if len(content) % 3073:
        raise AliError(
            f"{file}: expected records of 3073 bytes, a label and an image; its {len(content):,} bytes are no whole number of them"
        )
    rows = np.frombuffer(content, np.uint8).reshape(-1, 3073)
    return rows[:, 1:], rows[:, 0].astype(np.int64), file


def _objects(x: np.ndarray, y: np.ndarray, file: Path) -> Source:
    _check_labels(y, len(x), 0, 9, file)
    return Source(np.ascontiguousarray(x.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), y, OBJECTS)


# SVHN: MATLAB files, rows last, and 10 for the digit 0.


def _numbers(file: Path) -> Source:
    try:
        with open(file, "rb") as opened:
            md5 = hashlib.file_digest(opened, _md5).hexdigest()
        found = matlab.read(file, {"X", "y"})
        x, y = found["X"], found["y"].ravel()
    except FileNotFoundError:
        raise AliError(f"{file}: is missing among the official files") from None
    except (OSError, ValueError, KeyError, zlib.error) as error:
        raise AliError(f"{file}: not a MATLAB file with images X and labels y ({type(error).__name__}: {error})") from None
    if x.ndim != 4 or x.shape[:3] != (32, 32, 3) or x.dtype != np.uint8:
        raise AliError(f"{file}: expected X of shape (32, 32, 3, n) and type uint8, found {x.shape} and {x.dtype}")
    _check_labels(y, x.shape[3], 1, 10, file)
    _compare(file, md5, file.name)
    return Source(np.ascontiguousarray(x.transpose(3, 0, 1, 2)), y.astype(np.int64) % 10, DIGITS)


# CelebA and ImageNet: folders of pictures.


def _near(pictures: Path, folder: Path, name: str, beside: str) -> Path | None:
    """A file that belongs to CelebA: in the folder of pictures, beside or around it, or where the official archive has it."""
    places = [pictures, *(place for place in pictures.parents if place.is_relative_to(folder)), Path(os.path.abspath(folder)).parent]
    return next((file for place in places for file in (place / name, place / beside / name) if file.is_file()), None)


def attributes(file: Path) -> tuple[tuple[str, ...], dict[str, int], np.ndarray]:
    """CelebA's list of attributes: a line with their count, one with their names, then ``000001.jpg -1 1 ...`` for each picture.

    Returns:
        Their names, the row of each picture, and the attributes, bytes 0 and 1 of shape (rows, attributes).

    Raises:
        AliError: a line that is none of these, or a picture that stands there twice; the message names file and line.
    """
    rows: dict[str, int] = {}
    values = bytearray()
    known = {"-1": 0, "1": 1}
    try:
        with open(file, encoding="latin1") as lines:
            count, names = next(lines, "").strip(), tuple(next(lines, "").split())
            if not re.fullmatch(r"[0-9]{1,9}", count) or not names or len(set(names)) < len(names):
                raise AliError(f"{file}: expected a line with the number of pictures and one with the names of attributes")
            for number, line in enumerate(lines, 3):
                if not line.strip():
                    continue
                picture, *cells = line.split()
                if len(cells) != len(names) or not known.keys() >= set(cells):
                    raise AliError(f"{file}, line {number}: expected a picture and {len(names)} times -1 or 1, found {line.strip()[:60]!r}")
                if picture in rows:
                    raise AliError(f"{file}, line {number}: {picture} has a line already")
                rows[picture] = len(rows)
                values += bytes(known[cell] for cell in cells)
    except OSError as error:
        raise AliError(f"{file}: can not be read ({error})") from None
    if len(rows) != int(count):
        raise AliError(f"{file}: announces {int(count):,} pictures, it has lines for {len(rows):,}")
    return names, rows, np.frombuffer(bytes(values), np.uint8).reshape(len(rows), len(names))


def _faces(pictures: Path, partition: Path | None) -> tuple[list[str], list[str]]:
    """The pictures of the training and of the test part, in the order of their numbers."""
    if partition is not None:
        content = _read(partition)
        _compare(partition, _md5(content).hexdigest(), partition.name)
        lines = [line.split() for line in content.decode("latin1").splitlines() if line.strip()]
        bad = next((k for k, line in enumerate(lines) if len(line) != 2 or line[1] not in ("0", "1", "2")), None)
        if bad is not None:
            raise AliError(f"{partition}, line {bad + 1}: expected a picture and 0, 1 or 2, found {' '.join(lines[bad])!r}")
        there = set(os.listdir(pictures))
        missing = next((name for name, _ in lines if name not in there), None)
        if missing is not None:
            raise AliError(f"{pictures / missing}: is missing, and {partition.name} names it")
        train, test = ([name for name, part in lines if part == wanted] for wanted in "02")
    else:
        numbers = sorted((int(name[:6]), name) for name in os.listdir(pictures) if re.fullmatch(r"[0-9]{6}\.jpg", name))
        if len(numbers) != FACES:
            warnings.warn(f"{pictures}: holds {len(numbers):,} of CelebA's {FACES:,} pictures", Unofficial, stacklevel=3)
        train, test = ([name for number, name in numbers if number in part] for part in (FACES_TRAIN, FACES_TEST))
    for names, part, of in ((train, "training", FACES_TRAIN), (test, "test", FACES_TEST)):
        if not names:
            raise AliError(f"{pictures}: no picture of the {part} part ({of[0]:06d}.jpg to {of[-1]:06d}.jpg)")
    return [str(pictures / name) for name in train], [str(pictures / name) for name in test]


def _face(picture: Any) -> Any:
    """Fuel's celeba_64, with which the authors trained."""
    from PIL import Image

    if picture.size != (178, 218):
        raise AliError(f"expected an aligned picture of 178 x 218 pixels, found {' x '.join(map(str, picture.size))}")
    return picture.convert("RGB").resize((64, 78), Image.Resampling.LANCZOS).crop((0, 7, 64, 71))


def _centre(picture: Any, size: int) -> Any:
    from PIL import Image

    picture.draft("RGB", (2 * size, 2 * size))  # a JPEG much larger than needed is decoded at a fraction of its size
    short, (width, height) = min(picture.size), picture.size
    width, height = max(size, round(width * size / short)), max(size, round(height * size / short))
    left, top = (width - size) // 2, (height - size) // 2
    return picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS).crop((left, top, left + size, top + size))


def _pictures(files: list[str], size: int, cut: Callable[[Any], Any]) -> np.ndarray:
    """Files of pictures as an array (n, size, size, 3) of bytes, read on all cores."""
    from PIL import Image

    x = np.empty((len(files), size, size, 3), np.uint8)

    def read(row: int) -> None:
        try:
            with Image.open(files[row]) as picture:
                x[row] = np.asarray(cut(picture))
        except AliError as error:
            raise AliError(f"{files[row]}: {error}") from None
        except Exception as error:  # damaged bytes raise anything
            raise AliError(f"{files[row]}: not a readable picture ({error})") from None

    with ThreadPoolExecutor() as threads:
        for start in range(0, len(files), 4096):  # a task for every one of a million files would take more memory than the pictures
            for _ in threads.map(read, range(start, min(start + 4096, len(files)))):
                pass
    return x


def _synsets(folder: Path) -> list[str]:
    """Folders that are named like WordNet's synsets, n01440764 and so on, sorted."""
    if not os.path.isdir(folder):
        return []
    return sorted(name for name in os.listdir(folder) if re.fullmatch(r"n[0-9]{8}", name))


def _classified(folder: Path, classes: list[str]) -> tuple[list[str], np.ndarray | None]:
    """Pictures, by class and name, and their class numbers, if they lie in folders of classes."""
    own = _synsets(folder)
    unknown = sorted(set(own) - set(classes))
    if unknown:
        raise AliError(f"{folder / unknown[0]}: the training part has no such class")
    files = [_listed(folder / name) for name in own] if own else [_listed(folder)]
    if not any(files):
        raise AliError(f"{folder}: no pictures")
    y = np.repeat([classes.index(name) for name in own], [len(part) for part in files]) if own else None
    return list(chain(*files)), y


def _listed(folder: Path) -> list[str]:
    """Pictures in a folder and below it, sorted."""
    endings = (".jpeg", ".jpg", ".png")
    return sorted(
        os.path.join(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(endings) and not name.startswith(".")
    )


def _spread(n: int, limit: int | None) -> np.ndarray:
    """At most ``limit`` of n rows, evenly spread."""
    kept = n if limit is None else min(n, limit)
    return np.arange(kept) * n // kept
