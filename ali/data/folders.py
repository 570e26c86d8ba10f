"""Folders of picture files: parts and classes by the names of subfolders."""

from __future__ import annotations

__all__ = ["any_pictures", "arrange", "find", "parts"]

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ali.data import metadata
from ali.data.labels import Chosen, Label
from ali.data.pixels import Part, Picture, Rows
from ali.errors import AliError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
TRAIN = re.compile(r"train(ing)?", re.IGNORECASE)
TEST = re.compile(r"test(ing)?", re.IGNORECASE)
UNLABELLED = re.compile(r"unlabell?ed", re.IGNORECASE)
VALID = re.compile(r"val(id|idation)?|dev", re.IGNORECASE)


def find(folder: Path) -> list[Path]:
    """The picture files in a folder at any depth, sorted by their paths; what is hidden is left out.

    Raises:
        AliError: there are none, or a subfolder can not be opened.
    """
    files = list(_walk(folder))
    found = sorted((file for file in files if file.suffix.lower() in SUFFIXES), key=lambda file: file.relative_to(folder).parts)
    if found:
        return found
    if not files:
        raise AliError(f"{folder}: there is no file in this folder")
    readable = next((file for file in sorted(files) if file.suffix.lower() in (".parquet", ".npz", ".npy")), None)
    if readable is not None:
        there = readable.parent if readable.suffix.lower() == ".parquet" else readable
        raise AliError(f"{folder}: no pictures in this folder, but {readable}: give {there}")
    endings = ", ".join(f"{n:,} {ending or 'without an ending'}" for ending, n in Counter(f.suffix.lower() for f in files).most_common(5))
    raise AliError(f"{folder}: no pictures in this folder: it holds {endings}; pictures end in {' '.join(SUFFIXES)}")


def any_pictures(folder: Path) -> bool:
    """Whether there is a picture file in a folder, at any depth."""
    return any(file.suffix.lower() in SUFFIXES for file in _walk(folder))


def parts(folder: Path, asked: Chosen) -> tuple[list[Part], list[str]]:
    """The pictures of a folder, as :func:`arrange` does. What ``metadata.csv`` says of classes goes before the names of folders.

    Arguments:
        folder: to look into.
        asked: the columns of metadata to read, if they are named.

    Returns:
        Training part and held-out part, or one part, and what there is to say.

    Raises:
        AliError: as for :func:`find` and :func:`ali.data.metadata.read`.
    """
    files = find(folder)
    known = metadata.read(folder, files, asked)
    made, notes = arrange(folder, files, known)
    attributes = known.attributes if known else ()
    return [Part(partial(_pictures, rows), (), attributes, partial(_rows, folder, rows, bool(attributes))) for rows in made], notes


def arrange(
    folder: Path, files: list[Path], known: metadata.Metadata | None = None, number: Callable[[list[Path]], int] = len
) -> tuple[list[list[tuple[Path, Label]]], list[str]]:
    """Part and class of files by their paths; those of ``train`` and of ``test`` (or ``val``, ``valid``, ``validation``) apart.

    Subfolders, of the folder or of a part, are classes, except one called ``unlabelled``: its pictures have none, and neither have
    those that lie beside several subfolders. A subfolder that is alone is looked into.

    Arguments:
        folder: all files are below it; nothing needs to exist.
        known: what is said of the files elsewhere.
        number: how many pictures some of the files stand for.

    Returns:
        Files and their classes of the training part and the held-out part, or of one part, and what there is to say.
    """
    groups = _groups(folder, files)
    while len(groups) == 1 and "" not in groups:
        folder = folder / next(iter(groups))
        groups = _groups(folder, files)

    def named(pattern: re.Pattern) -> list[str]:
        return [name for name in groups if pattern.fullmatch(name)]

    train, held = named(TRAIN), named(TEST) or named(VALID)
    if not train or not held:
        return _finish([[(folder, files)]], known, number)
    left = {name: number(files) for name, files in groups.items() if name not in (*train, *held)}
    made, notes = _finish([[(folder / name, groups[name]) for name in names] for names in (train, held)], known, number)
    if left:
        names = ", ".join(name or "no subfolder" for name in left)
        notes.append(f"{sum(left.values()):,} pictures in {names} left out: {', '.join(train)} and {', '.join(held)} are the parts")
    return made, notes


def _finish(
    places: list[list[tuple[Path, list[Path]]]], known: metadata.Metadata | None, number: Callable[[list[Path]], int]
) -> tuple[list[list[tuple[Path, Label]]], list[str]]:
    """Parts with their classes; each part is the files of one or more folders."""
    notes = list(known.notes) if known else []
    if known and known.files:
        return [[(file, known.of(file)) for _, files in part for file in files] for part in places], notes
    labelled: list[list[tuple[Path, Label]]] = []
    for part in places:
        rows = []
        for folder, files in part:
            groups = _groups(folder, files)
            several = sum(name != "" and not UNLABELLED.fullmatch(name) for name in groups) > 1
            if "" in groups and len(groups) > 1:
                what = "these have no class" if several else "these are not taken as classes"
                notes.append(f"{number(groups['']):,} pictures lie beside the subfolders of {folder}: {what}")
            classes = {name: name for name in groups if name and not UNLABELLED.fullmatch(name) and (several or "" not in groups)}
            rows += [(file, classes.get(file.relative_to(folder).parts[0])) for file in files]
        labelled.append(rows)
    if len({label for rows in labelled for _, label in rows} - {None}) < 2:  # one class says nothing
        labelled = [[(file, None) for file, _ in rows] for rows in labelled]
    return labelled, notes


def _pictures(rows: list[tuple[Path, Label]]) -> Iterable[Picture]:
    return (Picture(str(file), file, label) for file, label in rows)


def _rows(folder: Path, rows: list[tuple[Path, Label]], attributes: bool) -> Rows:
    digest = hashlib.sha256()
    for file, _ in rows:
        size = os.path.getsize(file) if file.exists() else -1  # a link to nowhere is refused as a picture that can not be read
        digest.update(f"{file.relative_to(folder)} {size}\n".encode("utf-8", "surrogateescape"))
    labels: Any = [label for _, label in rows]
    if attributes:
        labels = np.stack(labels)
    digest.update(labels.tobytes() if attributes else f"{labels}".encode("utf-8", "surrogateescape"))
    return Rows(labels, lambda row: [Picture(str(rows[row][0]), *rows[row])], digest.digest())


def _groups(folder: Path, files: list[Path]) -> dict[str, list[Path]]:
    """Files by the subfolder that they are in; "" for those in none."""
    groups: dict[str, list[Path]] = {}
    for file in files:
        first, *rest = file.relative_to(folder).parts
        groups.setdefault(first if rest else "", []).append(file)
    return groups


def _walk(folder: Path) -> Iterable[Path]:
    """Files at any depth, through links, never twice into the same folder."""

    def stop(error: OSError) -> None:
        raise AliError(f"{error.filename}: can not be opened ({error.strerror})")

    seen = set()
    for place, below, names in os.walk(folder, onerror=stop, followlinks=True):
        real = os.path.realpath(place)
        below[:] = sorted(name for name in below if not name.startswith(".") and real not in seen)
        if real not in seen:
            seen.add(real)
            yield from (Path(place, name) for name in names if not name.startswith("."))
