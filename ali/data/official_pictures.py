"""The official sets that are folders of picture files: which pictures CelebA and ImageNet have, with what labels, and their pixels."""

from __future__ import annotations

__all__ = [
    "attributes",
    "celeba_file",
    "classified_files",
    "cut_centre",
    "cut_face",
    "face_files",
    "picture_files",
    "read_pictures",
    "synsets",
]

import os
import re
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ali.data.official_checksums import Unofficial, compare, content_of, digest
from ali.errors import AliError

FACES = 202_599  # pictures in CelebA
FACES_TRAIN, FACES_TEST = range(1, 162_771), range(182_638, FACES + 1)  # partitions 0 and 2, by the number of the picture


# CelebA.


def celeba_file(pictures: Path, folder: Path, name: str, beside: str) -> Path | None:
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


def face_files(pictures: Path, partition: Path | None) -> tuple[list[str], list[str]]:
    """The pictures of the training and of the test part, in the order of their numbers."""
    if partition is not None:
        content = content_of(partition)
        compare(partition, digest(content).hexdigest(), partition.name)
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


def cut_face(picture: Any) -> Any:
    """Fuel's celeba_64, with which the authors trained."""
    from PIL import Image

    if picture.size != (178, 218):
        raise AliError(f"expected an aligned picture of 178 x 218 pixels, found {' x '.join(map(str, picture.size))}")
    return picture.convert("RGB").resize((64, 78), Image.Resampling.LANCZOS).crop((0, 7, 64, 71))


# ImageNet.


def synsets(folder: Path) -> list[str]:
    """Folders that are named like WordNet's synsets, n01440764 and so on, sorted."""
    if not os.path.isdir(folder):
        return []
    return sorted(name for name in os.listdir(folder) if re.fullmatch(r"n[0-9]{8}", name))


def classified_files(folder: Path, classes: list[str]) -> tuple[list[str], np.ndarray | None]:
    """Pictures, by class and name, and their class numbers, if they lie in folders of classes."""
    own = synsets(folder)
    unknown = sorted(set(own) - set(classes))
    if unknown:
        raise AliError(f"{folder / unknown[0]}: the training part has no such class")
    files = [picture_files(folder / name) for name in own] if own else [picture_files(folder)]
    if not any(files):
        raise AliError(f"{folder}: no pictures")
    y = np.repeat([classes.index(name) for name in own], [len(part) for part in files]) if own else None
    return list(chain(*files)), y


def cut_centre(picture: Any, size: int) -> Any:
    """The shorter side scaled to so many pixels, and the square in the middle."""
    from PIL import Image

    picture.draft("RGB", (2 * size, 2 * size))  # a JPEG much larger than needed is decoded at a fraction of its size
    short, (width, height) = min(picture.size), picture.size
    width, height = max(size, round(width * size / short)), max(size, round(height * size / short))
    left, top = (width - size) // 2, (height - size) // 2
    return picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS).crop((left, top, left + size, top + size))


# Any folder of pictures.


def picture_files(folder: Path) -> list[str]:
    """Pictures in a folder and below it, sorted."""
    endings = (".jpeg", ".jpg", ".png")
    return sorted(
        os.path.join(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(endings) and not name.startswith(".")
    )


def read_pictures(files: list[str], size: int, cut: Callable[[Any], Any]) -> np.ndarray:
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
