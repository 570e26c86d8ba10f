"""Anybody's images, from whatever they lie in, at one size and in one mode."""

from __future__ import annotations

__all__ = ["images", "pictures", "prepare", "read"]

import json
import os
import shutil
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ali.data import arrays, folders, hub, labels, parquet, pixels, store, streams, tars
from ali.data.labels import NOTHING, Chosen, Label
from ali.data.pixels import Crop, Part
from ali.data.source import Data, Source, check_share, split
from ali.data.store import Writer
from ali.errors import AliError

HUB = "hub:"
SHARE = 3  # images are decoded into memory if they take at most one part in so many of what is free: to split them takes as much again


def images(
    path: str,
    size: int | None = None,
    crop: Crop = "centre",
    grey: bool | None = None,
    hold_out: float = 0.1,
    skip_bad: bool = False,
    stream: bool | None = None,
    window: int | None = None,
    label: str | None = None,
    attributes: Sequence[str] = (),
) -> Data:
    """Images from a folder of pictures, Parquet files, tar archives, an ``.npy`` or ``.npz`` array, or the Hugging Face hub.

    Images that are streamed are decoded each time that they are asked for (:mod:`ali.data.streams`). Their headers are read once, so
    that a picture without one is refused, or left out, at once; what is damaged behind its header is met only in training, which then
    ends with the file and row. With ``skip_bad`` all are decoded once beforehand, which takes as long as an epoch's decoding, and
    again whenever the run's data is opened.

    Arguments:
        path: a folder of pictures (its subfolders ``train`` and ``test`` or ``val`` are the parts, other subfolders classes); a
            Parquet file or a folder of them; a .tar or a folder of them; an array; ``hub:owner/name``; or a folder that
            ``ali prepare`` wrote.
        size: side of the training images, 8 to 128 pixels; by default their own, if all are square and of one such size,
            otherwise the median of their shorter sides, at most 64.
        crop: what becomes of images that are not square: "centre" keeps the square in the centre, "none" stretches the whole.
        grey: make all images grey; by default they are in colour if any is.
        hold_out: share of the images to hold out, where there is no test or validation part.
        skip_bad: leave out images that can not be read, instead of refusing them all.
        stream: decode images when they are asked for, not all of them beforehand; by default if they would take more than a third
            of the memory that is free.
        window: MiB of Parquet row groups that are in memory, and shuffled together, while streaming; by default an eighth of the
            memory that is free, at most 256.
        label: the column of Parquet files, of metadata.csv (.jsonl, .parquet) beside pictures, or the key of .json in .tar, that
            holds the class; "label" if there is one.
        attributes: the columns that hold attributes, numbers or booleans; by default all that are boolean, if there is no class; of
            .json in .tar only those that are named.

    Raises:
        AliError: nothing there, no images, one that can not be read, no such column; the message names file and row.
    """
    pixels.check_size(size)
    asked = labels.asked(label, attributes)
    if crop not in ("centre", "none"):
        raise AliError(f"unknown crop {crop!r}: choose centre or none")
    place = Path(path)
    stored, array = store.is_store(place), place.is_file() and place.suffix.lower() in (".npy", ".npz")
    if (stored or array) and asked != NOTHING:
        how = "name them as `ali prepare` writes it" if stored else "put classes beside x, as y, into an .npz"
        raise AliError(f"{path}: has no columns that could be named as label or attributes; {how}")
    if stored:
        return store.open_store(place, size, crop, grey, hold_out)
    if array and stream:
        raise AliError(f"{path}: an array is read as a whole; only pictures can be streamed")
    if array:
        return _arrays(path, size, crop, grey, hold_out)
    parts, left = _find(path, place, asked)
    return read(path, parts, left, size, crop, grey, hold_out, skip_bad, stream, window)


def read(
    path: str,
    parts: list[Part],
    left: list[str],
    size: int | None = None,
    crop: Crop = "centre",
    grey: bool | None = None,
    hold_out: float = 0.1,
    skip_bad: bool = False,
    stream: bool | None = False,
    window: int | None = None,
) -> Data:
    """The same for pictures that were found already.

    Arguments:
        path: what the messages call them.
        parts: training part and held-out part, or one part.
        left: what there is to say about them.
        size, crop, grey, hold_out, skip_bad, stream, window: as for :func:`images`.
    """
    if stream and any(part.rows is None for part in parts):
        raise AliError(f"{path}: can not be streamed; save it as Parquet files or pictures, or decode it once with `ali prepare`")
    if stream and size is not None and grey is not None and not skip_bad:
        survey = None  # nothing is left to find out: this is how a run that was streamed opens its data again
    else:
        survey = _survey_all(path, parts, size, grey, skip_bad)
        needed = sum(survey.numbers) * survey.side**2 * (1 if survey.grey else 3)
        if stream is None and needed > streams.room() // SHARE and all(part.rows is not None for part in parts):
            stream = True
            left = [
                *left,
                f"images are decoded as they are needed: all at once would take {needed / 2**20:,.0f} MiB, of "
                f"{streams.room() / 2**20:,.0f} MiB free (`ali prepare` decodes them once, which makes an epoch faster)",
            ]
    if survey is not None and not stream:
        sources = _read(path, parts, survey, crop)
    else:
        sources = _stream(path, parts, survey, size, crop, grey, window)
    sources = [replace(s, notes=(*left, *s.notes)) for s in sources]
    return Data(*sources) if len(sources) == 2 else split(sources[0], hold_out)


def prepare(
    path: str,
    out: str,
    size: int | None = None,
    crop: Crop = "centre",
    grey: bool | None = None,
    hold_out: float = 0.1,
    skip_bad: bool = False,
    label: str | None = None,
    attributes: Sequence[str] = (),
) -> Data:
    """Decode images once, into a folder from which they are read row by row (:mod:`ali.data.store`).

    One picture at a time is in memory, however many there are.

    Arguments:
        path, size, crop, grey, hold_out, skip_bad, label, attributes: as for :func:`images`; no arrays, which are decoded already.
        out: folder to write; it must not exist yet, and appears whole or not at all.

    Raises:
        AliError: as for :func:`images`, or a folder that exists.
    """
    pixels.check_size(size)
    place, target = Path(path), Path(out)
    if target.exists():
        raise AliError(f"{out}: exists already; choose another folder")
    check_share(hold_out)
    parts, left = _find(path, place, labels.asked(label, attributes))
    survey = _survey_all(path, parts, size, grey, skip_bad)
    shape = (survey.side, survey.side) if survey.grey else (survey.side, survey.side, 3)
    temporary = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        writers = {name: Writer(temporary / f"{name}-x.npy", shape) for name in ("train", "test")}
        beside: dict[str, list[Label]] = {"train": [], "test": []}
        held = set(np.random.default_rng(0).permutation(sum(survey.numbers))[: max(1, round(hold_out * sum(survey.numbers)))].tolist())
        row = 0
        for number, part in enumerate(parts):
            for image, y in _decode(part, survey, crop, survey.numbers[number]):
                name = "test" if (number if len(parts) == 2 else row in held) else "train"
                writers[name].append(image)
                beside[name].append(y)
                row += 1
        for writer in writers.values():
            writer.close()
        if not (beside["train"] and beside["test"]):
            raise AliError(f"{path}: no image is left in a part of it; unreadable are {len(survey.tally.bad):,}")
        known, said = labels.finish(path, parts, list(beside.values()))
        for name, found in zip(beside, known, strict=True):
            if found["y"] is not None:
                np.save(temporary / f"{name}-y.npy", found["y"])
        names = {key: known[0].get(key, ()) for key in ("classes", "attributes")}
        described = {**names, "crop": crop, "notes": [*left, *survey.tally.words(survey.side), *said]}
        (temporary / store.NAME).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
        os.rename(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return store.open_store(target)


def pictures(place: Path) -> Iterator[pixels.Picture]:
    """All pictures of a place, one after another, without their labels: a folder's in the order of their names.

    Raises:
        AliError: none are there.
    """
    if not place.is_dir() and not parquet.find(place) and not tars.find(place):
        yield pixels.Picture(str(place), place)
    elif place.is_dir() and folders.any_pictures(place):
        yield from (pixels.Picture(str(file), file) for file in folders.find(place))
    else:
        for part in _find(str(place), place, NOTHING)[0]:
            yield from part.pictures()


def _find(path: str, place: Path, asked: Chosen) -> tuple[list[Part], list[str]]:
    """The pictures that a path stands for."""
    if path.startswith(HUB):
        return hub.parts(path.removeprefix(HUB), asked)
    if not place.exists():
        raise AliError(f"{path}: no such file or folder; a data set on the Hugging Face hub is written hub:owner/name")
    if not parquet.find(place) and parquet.find(place / "data") and not folders.any_pictures(place):
        place = place / "data"  # as data sets lie on the Hugging Face hub
    if parquet.find(place):
        return parquet.parts(place, asked)
    if tars.find(place):
        return tars.parts(place, asked)
    if place.is_dir():
        return folders.parts(place, asked)
    if place.suffix.lower() in folders.SUFFIXES:
        raise AliError(f"{path}: is a single picture; give the folder that it lies in")
    raise AliError(f"{path}: images are read from a folder of pictures, .parquet, .tar, .npy or .npz; unpack an archive first")


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
            "flattened": "with transparent pixels, laid on white",
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


class Survey(NamedTuple):
    """What is known of pictures from their headers: how many each part has, their common side, whether they are to be grey, and which
    rows of each part are bad."""

    numbers: list[int]
    side: int
    grey: bool
    tally: Tally
    bad: list[list[int]]


def _survey_all(path: str, parts: list[Part], size: int | None, grey: bool | None, skip_bad: bool) -> Survey:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about odd metadata
        numbers, sizes, colour, bad = _survey(parts, skip_bad)
    if not sum(numbers):
        raise AliError(f"{path}: no images in it")
    return Survey(numbers, pixels.choose_size(sizes, size), not colour if grey is None else grey, Tally(skip_bad), bad)


def _stream(
    path: str, parts: list[Part], survey: Survey | None, size: int | None, crop: Crop, grey: bool | None, window: int | None
) -> list[Source]:
    """Sources of pictures that stay encoded; those that are known to be bad are left out."""
    side, grey = (survey.side, survey.grey) if survey is not None else (size or pixels.USUAL, bool(grey))
    rows = [part.rows() for part in parts if part.rows is not None]
    window = streams.choose_window(path, rows, window)
    kept, notes = [np.arange(len(part.labels)) for part in rows], ()
    if survey is not None and survey.tally.skip_bad:
        bad = [{*known, *_undecodable(part, survey, set(known))} for part, known in zip(parts, survey.bad, strict=True)]
        kept = [np.array([row for row in places if row not in some], np.int64) for places, some in zip(kept, bad, strict=True)]
        notes = survey.tally.words(side)
    _check_left(path, [len(places) for places in kept], 0 if survey is None else len(survey.tally.bad))
    beside = [
        part.labels[places] if isinstance(part.labels, np.ndarray) else [part.labels[row] for row in places]
        for part, places in zip(rows, kept, strict=True)
    ]
    known, said = labels.finish(path, parts, beside)
    chosen = {"stream": True, "window": window, "size": side, "grey": grey}
    xs = [
        streams.Streamed(streams.Blocks(part, window * streams.MIB), side, crop, grey, places)
        for part, places in zip(rows, kept, strict=True)
    ]
    return [Source(x, **found, maximum=255.0, notes=(*notes, *said), chosen=chosen) for x, found in zip(xs, known, strict=True)]


def _undecodable(part: Part, survey: Survey, known: set[int]) -> Iterator[int]:
    """The rows of a part that have a header but can not be decoded."""
    for row, picture in enumerate(part.pictures()):
        try:
            with warnings.catch_warnings(), picture.open() as opened:
                warnings.simplefilter("ignore")  # Pillow's, about odd metadata
                pixels.bytes_of(opened, survey.grey)
        except MemoryError:
            raise
        except Exception as error:
            survey.tally.bad.append((picture.where, error))
            if row not in known:
                yield row


def _check_left(path: str, numbers: list[int], bad: int) -> None:
    if not all(numbers):
        raise AliError(f"{path}: no image is left in {'a part of it' if len(numbers) > 1 else 'it'}; unreadable are {bad:,}")
    if numbers == [1]:
        raise AliError(f"{path}: one image is all there is; training needs at least 2, one to learn from and one to hold out")


def _read(path: str, parts: list[Part], survey: Survey, crop: Crop) -> list[Source]:
    """Read all pictures, one after another, into arrays that are made at once."""
    decoded: list[tuple[np.ndarray, list[Label]]] = []
    for part, number in zip(parts, survey.numbers, strict=True):
        x = np.empty((number, survey.side, survey.side) if survey.grey else (number, survey.side, survey.side, 3), np.uint8)
        beside: list[Label] = []
        for image, y in _decode(part, survey, crop, number):
            x[len(beside)] = image
            beside.append(y)
        decoded.append((x[: len(beside)], beside))
    _check_left(path, [len(x) for x, _ in decoded], len(survey.tally.bad))
    known, said = labels.finish(path, parts, [beside for _, beside in decoded])
    notes = (*survey.tally.words(survey.side), *said)
    return [Source(x, **found, maximum=255.0, notes=notes, chosen={"stream": False}) for (x, _), found in zip(decoded, known, strict=True)]


def _survey(parts: list[Part], skip_bad: bool) -> tuple[list[int], Counter[pixels.Size], bool, list[list[int]]]:
    """How many pictures each part has, how many are how large, whether any is in colour, and bad rows; from their headers."""
    numbers, sizes, colour, tally = [], Counter(), False, Tally(skip_bad)
    bad: list[list[int]] = [[] for _ in parts]
    for part, bad_rows in zip(parts, bad, strict=True):
        number = 0
        for picture in part.pictures():
            number += 1
            try:
                with picture.open() as opened:
                    sizes[opened.size] += 1
                    colour = colour or not pixels.is_grey(opened)
            except MemoryError:
                raise
            except Exception as error:  # damaged bytes raise anything: of Pillow, zlib, struct
                tally.bad.append((picture.where, error))
                bad_rows.append(number - 1)
        numbers.append(number)
    tally.refuse(
        f"{len(tally.bad):,} of {sum(numbers):,} are unreadable: from their first bytes, damage further in shows when they are decoded"
    )
    return numbers, sizes, colour, bad


def _decode(part: Part, survey: Survey, crop: Crop, number: int) -> Iterator[tuple[np.ndarray, Label]]:
    """The pictures of a part, one after another, at the training size, (side, side[, 3]), each with its label."""
    read = 0
    for picture in part.pictures():
        try:
            whole, converted = pixels.bytes_at(picture, survey.grey)
        except MemoryError:
            raise
        except Exception as error:
            survey.tally.bad.append((picture.where, error))
            survey.tally.refuse(f"{read:,} of {number:,} were read before it")
            continue
        small, fitted = pixels.square(whole, survey.side, crop)
        survey.tally.done.update(converted + fitted)
        read += 1
        yield np.asarray(small), picture.label


def _arrays(path: str, size: int | None, crop: Crop, grey: bool | None, hold_out: float) -> Data:
    """The same policy for images that are arrays already; they keep their type, and those that fit stay as they are."""
    data = arrays.read(path, (3, 4), hold_out)
    side = pixels.choose_size(Counter({(part.x.shape[2], part.x.shape[1]): len(part.x) for part in data}), size)
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
    return Data(*(replace(part, notes=(*tally.words(side), *part.notes)) for part in fitted))
