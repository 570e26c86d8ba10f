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

__all__ = ["celeba", "cifar10", "imagenet", "mnist", "svhn"]

import os
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np

from ali.data import images, parquet
from ali.data.official_checksums import compare, content_of, digest
from ali.data.official_formats import digits, numbers, objects, records, spellings, unpickled
from ali.data.official_pictures import (
    attributes,
    celeba_file,
    classified_files,
    cut_centre,
    cut_face,
    face_files,
    picture_files,
    read_pictures,
    synsets,
)
from ali.data.source import Data, Source
from ali.errors import AliError

BATCHES = tuple(f"data_batch_{k}" for k in range(1, 6))


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
    folder = _folder(path, _has(chain(*(spellings(name) for name in names))))
    if folder is None:
        official = "a folder with train-images-idx3-ubyte and its three companions, also packed (.gz)"
        return _checked(_other(path, hold_out, official), path, "mnist")
    train, test = digits(folder, "train"), digits(folder, "t10k")
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
        *parts, test = (objects(*unpickled(pickled / name)) for name in names)
    elif binary is not None:
        *parts, test = (objects(*records(binary / f"{name}.bin")) for name in names)
    else:
        official = "a folder with data_batch_1 to data_batch_5 and test_batch, or the same with .bin"
        if Path(path).is_dir() and not parquet.find(Path(path)) and picture_files(Path(path)):
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
    return Data(_joined([numbers(folder / f"{name}_32x32.mat") for name in part.split("+")]), numbers(folder / "test_32x32.mat"))


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
    parts, listed = face_files(pictures, celeba_file(pictures, folder, "list_eval_partition.txt", "Eval")), {}
    table = celeba_file(pictures, folder, "list_attr_celeba.txt", "Anno")
    if table is None:
        listed = [{"notes": ("no list_attr_celeba.txt lies near the pictures: rows have no attributes",)}] * 2
    else:
        compare(table, digest(content_of(table)).hexdigest(), table.name)
        names, rows, values = attributes(table)
        missing = next((file for part in parts for file in part if os.path.basename(file) not in rows), None)
        if missing is not None:
            raise AliError(f"{table}: has no line for {os.path.basename(missing)}")
        chosen = [values[[rows[os.path.basename(file)] for file in part]].astype(np.float32) for part in parts]
        listed = [{"y": y, "attributes": names} for y in chosen]
    return Data(*(Source(read_pictures(part, 64, cut_face), **beside) for part, beside in zip(parts, listed, strict=True)))


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
    folder = _folder(path, lambda place: bool(synsets(place / "train")))
    if folder is None:
        data = _other(path, hold_out, "a folder with the folders train (of folders n01440764, ...) and val", size)
        data = _checked(data, path, "tiny_imagenet", size)
        return Data(*(part.rows(_spread(len(part), limit)) for part in data))
    if not (folder / "val").is_dir():
        raise AliError(f"{folder}: there is no folder val beside train")
    classes = synsets(folder / "train")
    parts = [classified_files(folder / name, classes) for name in ("train", "val")]
    labelled = all(y is not None for _, y in parts)
    sources = []
    for files, y in parts:
        kept = _spread(len(files), limit)
        x = read_pictures([files[k] for k in kept], size, lambda picture: cut_centre(picture, size))
        sources.append(Source(x, y[kept], tuple(classes)) if labelled and y is not None else Source(x))
    return Data(*sources)


# What PATH is.


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


# Which rows.


def _joined(parts: list[Source]) -> Source:
    if len(parts) == 1:
        return parts[0]
    return Source(
        np.concatenate([part.x for part in parts]), np.concatenate([part.y for part in parts if part.y is not None]), parts[0].classes
    )


def _spread(n: int, limit: int | None) -> np.ndarray:
    """At most ``limit`` of n rows, evenly spread."""
    kept = n if limit is None else min(n, limit)
    return np.arange(kept) * n // kept
