"""Anybody's images, from whatever they lie in, at one size and in one mode."""

from __future__ import annotations

__all__ = ["images"]

import warnings
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ali.data import arrays, folders, hub, parquet, pixels
from ali.data.pixels import Crop, Part
from ali.data.source import Data, Source, split
from ali.errors import AliError

HUB = "hub:"
MOST_CLASSES = 100_000
Label = int | str | None


def images(
    path: str, size: int | None = None, crop: Crop = "centre", grey: bool | None = None, hold_out: float = 0.1, skip_bad: bool = False
) -> Data:
    """Images from a folder of pictures, Parquet files, an ``.npy`` or ``.npz`` array, or the Hugging Face hub.

    Arguments:
        path: a folder of pictures (its subfolders ``train`` and ``test`` or ``val`` are the parts, other subfolders classes); a
            Parquet file or a folder of them; an array; or ``hub:owner/name``.
        size: side of the training images, 8 to 128 pixels; by default their own, if all are square and of one such size,
            otherwise 64.
        crop: what becomes of images that are not square: "centre" keeps the square in the centre, "none" stretches the whole.
        grey: make all images grey; by default they are in colour if any is.
        hold_out: share of the images to hold out, where there is no test or validation part.
        skip_bad: leave out images that can not be read, instead of refusing them all.

    Raises:
        AliError: nothing there, no images, one that can not be read; the message names file and row.
    """
    pixels.check_size(size)
    if crop not in ("centre", "none"):
        raise AliError(f"unknown crop {crop!r}: choose centre or none")
    place = Path(path)
    if path.startswith(HUB):
        parts, left = hub.parts(path.removeprefix(HUB))
    elif not place.exists():
        raise AliError(f"{path}: no such file or folder; a data set on the Hugging Face hub is written hub:owner/name")
    elif parquet.find(place):
        parts, left = parquet.parts(place)
    elif place.is_dir():
        parts, left = folders.parts(place)
    elif place.suffix.lower() in (".npy", ".npz"):
        return _arrays(path, size, crop, grey, hold_out)
    elif place.suffix.lower() in folders.SUFFIXES:
        raise AliError(f"{path}: is a single picture; give the folder that it lies in")
    else:
        raise AliError(f"{path}: images are read from a folder of pictures, .parquet, .npy or .npz; unpack an archive first")
    sources = [replace(s, notes=(*left, *s.notes)) for s in _read(path, parts, size, crop, grey, skip_bad)]
    return Data(*sources) if len(sources) == 2 else split(sources[0], hold_out)


@dataclass
class Tally:
    """What was done to how many pictures, and which could not be read."""

    skip_bad: bool
    done: Counter[str] = field(default_factory=Counter)
    bad: list[tuple[str, Exception]] = field(default_factory=list)

    def refuse(self, count: str) -> None:
        """Raise for the first bad picture, unless they are to be left out."""
        if self.bad and not self.skip_bad:
            where, error = self.bad[0]
            words = (str(error).splitlines() or [type(error).__name__])[0]
            advice = "mend or remove it, or leave such images out with --skip-bad"
            raise AliError(f"{where}: not a readable image ({words}); {count}: {advice}")

    def words(self, side: int) -> tuple[str, ...]:
        """A line for each kind."""
        larger = f", {self.done['enlarged']:,} of them enlarged" if self.done["enlarged"] else ""
        lines = {
            "rotated": "turned upright, as their EXIF data say",
            "coloured": "grey, made colour like the others",
            "greyed": "in colour, made grey",
            "cropped": "cropped to the square in their centre (--crop none keeps the whole)",
            "stretched": "not square, stretched to a square (--crop centre keeps the proportions)",
            "resized": f"resized to {side} x {side} pixels{larger}",
        }
        notes = [f"images {words}: {self.done[key]:,}" for key, words in lines.items() if self.done[key]]
        if self.bad:
            names = ", ".join(where for where, _ in self.bad[:3]) + (", ..." if len(self.bad) > 3 else "")
            notes.append(f"unreadable images left out: {len(self.bad):,} ({names})")
        return tuple(notes)


def _read(path: str, parts: list[Part], size: int | None, crop: Crop, grey: bool | None, skip_bad: bool) -> list[Source]:
    """Read all headers, then all pictures, one after another, into arrays that are made at once."""
    tally = Tally(skip_bad)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about odd metadata
        numbers, sizes, colour = _survey(parts, skip_bad)
        if not sum(numbers):
            raise AliError(f"{path}: no images in it")
        side, to_grey = pixels.choose_size(sizes, size), not colour if grey is None else grey
        decoded = [_decode(part, number, side, crop, to_grey, tally) for part, number in zip(parts, numbers, strict=True)]
    for x, _ in decoded:
        if not len(x):
            raise AliError(f"{path}: no image is left in {'a part of it' if len(parts) > 1 else 'it'}; unreadable are {len(tally.bad):,}")
    if len(decoded) == 1 and len(decoded[0][0]) == 1:
        raise AliError(f"{path}: one image is all there is; training needs at least 2, one to learn from and one to hold out")
    classes, number = _classes(path, [label for _, labels in decoded for label in labels], max((part.classes for part in parts), key=len))
    sources = []
    for x, labels in decoded:
        y = np.array([number[label] for label in labels], np.int64)
        sources.append(Source(x, y if y.max() >= 0 else None, classes, notes=tally.words(side)))
    return sources


def _survey(parts: list[Part], skip_bad: bool) -> tuple[list[int], set[pixels.Size], bool]:
    """How many pictures each part has, their sizes, and whether any is in colour; from their headers."""
    numbers, sizes, colour, tally = [], set(), False, Tally(skip_bad)
    for part in parts:
        number = 0
        for picture in part.pictures():
            number += 1
            try:
                with picture.open() as opened:
                    sizes.add(opened.size)
                    colour = colour or not pixels.is_grey(opened)
            except Exception as error:  # damaged bytes raise anything: of Pillow, zlib, struct
                tally.bad.append((picture.where, error))
        numbers.append(number)
    tally.refuse(f"{len(tally.bad):,} of {sum(numbers):,} are unreadable")
    return numbers, sizes, colour


def _decode(part: Part, number: int, side: int, crop: Crop, grey: bool, tally: Tally) -> tuple[np.ndarray, list[Label]]:
    """The pictures of a part at the training size, (n, side, side[, 3]), and their labels."""
    x, labels = np.empty((number, side, side) if grey else (number, side, side, 3), np.uint8), []
    for picture in part.pictures():
        try:
            with picture.open() as opened:
                whole, converted = pixels.bytes_of(opened, grey)
        except Exception as error:
            tally.bad.append((picture.where, error))
            tally.refuse(f"{len(labels):,} of {number:,} were read before it")
            continue
        small, fitted = pixels.square(whole, side, crop)
        x[len(labels)] = np.asarray(small)
        labels.append(picture.label)
        tally.done.update(converted + fitted)
    return x[: len(labels)], labels


def _arrays(path: str, size: int | None, crop: Crop, grey: bool | None, hold_out: float) -> Data:
    """The same policy for images that are arrays already; they keep their type, and those that fit stay as they are."""
    data = arrays.read(path, (3, 4), hold_out)
    side = pixels.choose_size({(part.x.shape[2], part.x.shape[1]) for part in data}, size)
    to_grey = not any(part.x.shape[3:] == (3,) for part in data) if grey is None else grey
    tally, fitted = Tally(False), []
    for part in data:
        x = part.x
        if x.shape[1:3] != (side, side) or (x.shape[3:] == (3,)) == to_grey:
            x = np.empty((len(x), side, side) if to_grey else (len(x), side, side, 3), x.dtype)
            for row, image in enumerate(part.x):
                x[row], what = pixels.array(image, side, crop, to_grey)
                tally.done.update(what)
        fitted.append(replace(part, x=x))
    return Data(*(replace(part, notes=tally.words(side)) for part in fitted))


def _classes(path: str, labels: list[Label], names: tuple[str, ...]) -> tuple[tuple[str, ...], dict[Label, int]]:
    """Names of the classes by number, and the number of each label: -1 where it is unknown."""
    found = set(labels) - {None}
    if any(isinstance(label, str) for label in found):
        classes = tuple(sorted({str(label) for label in found}))
        return classes, {None: -1} | {label: classes.index(str(label)) for label in found}
    numbers = {int(label) for label in found if label is not None}
    if any(not -1 <= number < MOST_CLASSES for number in numbers):
        raise AliError(f"{path}: labels go from {min(numbers)} to {max(numbers)}; classes are numbered from 0 (-1: unknown)")
    if numbers and max(numbers) >= len(names):
        names = tuple(str(k) for k in range(max(numbers) + 1))
    return names if numbers else (), {label: -1 if label is None else int(label) for label in (None, *found)}
