"""Images in uncompressed ``.tar`` archives, whose headers are read once: from then on any picture is a seek away.

Classes come from labels beside the pictures, as WebDataset writes them (``000.jpg`` and ``000.cls``, or ``000.json`` with a
``label``; files of one key, the name before the first dot, follow one another), or from folders, as in a folder of pictures. A
picture without a label has no class. Attributes, and a label of another name, are read from ``.json``, if they are asked for.
"""

from __future__ import annotations

__all__ = ["find", "parts"]

import hashlib
import json
import re
import tarfile
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from ali.data import folders
from ali.data.labels import NOTHING, Chosen, Label, numbers
from ali.data.parquet import by_part
from ali.data.pixels import Part, Picture, Rows
from ali.errors import AliError

KEYS = ("label", "cls", "class")  # of a label in a .json
LARGEST = 2**20  # bytes of a .cls or .json


def find(place: Path) -> list[Path]:
    """A ``.tar``, or those in a folder, in the order of their names.

    Raises:
        AliError: it, or one beside others, is compressed.
    """
    if not place.is_file() and not place.is_dir():
        return []
    files = [place] if place.is_file() else sorted(file for file in place.iterdir() if not file.name.startswith("."))
    found = [file for file in files if file.suffix.lower() == ".tar" and file.is_file()]
    packed = next((file for file in files if re.search(r"\.(t(gz|bz2?|xz)|tar\.(gz|bz2|xz|zst))$", file.name.lower())), None)
    if packed and (found or place.is_file()):  # beside pictures it is nobody's business
        raise AliError(f"{packed}: is compressed, so no picture in it can be read without all before it; unpack it to a .tar or a folder")
    return found


def parts(place: Path, asked: Chosen = NOTHING) -> tuple[list[Part], list[str]]:
    """The pictures of one archive, or of a folder of them, whose names may begin with their part: ``train-*``, ``test-*``.

    Arguments:
        place: a file, or a folder with at least one.
        asked: what to read of ``.json`` files, if it is named.

    Returns:
        Training part and held-out part, or one part, and what there is to say.

    Raises:
        AliError: an archive that is cut off or none, a label without a picture, a picture without the attributes that are asked for.
    """
    chosen, notes = by_part(place, find(place))
    made: list[Part] = []
    for files in chosen:
        index = _index(files, asked)
        if index.labels is not None:
            made.append(_part(index, array("q", range(len(index.offsets))), index.labels, asked.attributes))
            continue
        held = Counter(index.folder)
        paths = {place / name / "x": number for name, number in index.folders.items()}
        arranged, said = folders.arrange(place, list(paths), None, lambda some, n=held, p=paths: sum(n[p[path]] for path in some))
        if len(chosen) > 1:  # the names of the files tell the parts; folders tell classes
            arranged = [[row for rows in arranged for row in rows]]
        notes += said
        for rows in arranged:
            label_of = {paths[path]: label for path, label in rows}
            kept = array("q", (row for row, folder in enumerate(index.folder) if folder in label_of))
            made.append(_part(index, kept, [label_of[index.folder[row]] for row in kept]))
    return made, notes


class Index(NamedTuple):
    """Where each picture lies: archive, offset and size in bytes, folder, end of its name in names; and labels, if they lie beside."""

    files: list[Path]
    file: array
    offsets: array
    sizes: array
    folder: array
    folders: dict[str, int]
    names: bytearray
    ends: array
    labels: Sequence[Label] | np.ndarray | None

    def name(self, row: int) -> str:
        return self.names[self.ends[row - 1] if row else 0 : self.ends[row]].decode("utf-8", "surrogateescape")


def _part(index: Index, kept: array, labels: Sequence[Label] | np.ndarray, attributes: tuple[str, ...] = ()) -> Part:
    def read(row: int) -> list[Picture]:
        place = kept[row]
        file = index.files[index.file[place]]
        where = f"{file}, {index.name(place)}"
        try:
            with open(file, "rb", buffering=0) as opened:
                opened.seek(index.offsets[place])
                content = opened.read(index.sizes[place])
        except OSError as error:
            raise AliError(f"{where}: can not be read ({error})") from None
        return [Picture(where, content, labels[row])]

    def pictures() -> Iterator[Picture]:
        return (read(row)[0] for row in range(len(kept)))

    def rows() -> Rows:
        digest = hashlib.sha256(index.names)
        for file in index.files:
            digest.update(f"{file.name} {file.stat().st_size}\n".encode("utf-8", "surrogateescape"))
        for places in (index.file, index.offsets, index.sizes, kept):
            digest.update(places.tobytes())
        for label in labels:
            digest.update(label.tobytes() if isinstance(label, np.ndarray) else f"{label}\n".encode("utf-8", "surrogateescape"))
        return Rows(labels, read, digest.digest())

    return Part(pictures, (), attributes, rows)


def _index(files: list[Path], asked: Chosen) -> Index:
    """Read all headers, and the labels that lie beside pictures."""
    index = Index(files, array("i"), array("q"), array("q"), array("i"), {}, bytearray(), array("q"), None)
    labels: list[Any] = []
    known: dict[Any, Any] = {}  # one object for each class, not for each row
    labelled: str | None = None  # the first picture that has a label, and the first that has none
    bare: str | None = None
    orphan: str | None = None
    doubled: str | None = None
    others: Counter[str] = Counter()
    for number, file in enumerate(files):
        key, found, label = None, 0, None  # of the files that belong together

        def close(key: str | None, found: int, label: Any, file: Path = file) -> None:
            nonlocal labelled, bare, orphan, doubled
            where = f"{file}, {key}"
            labels.extend([label if asked.attributes else known.setdefault(label, label)] * found)
            if found and label is not None:
                labelled = labelled or where
                doubled = doubled or (where if found > 1 else None)
            elif found:
                bare = bare or where
            elif label is not None:
                orphan = orphan or where

        for member, content in _members(file):
            path = PurePosixPath(member.name)
            stem, _, ending = path.name.partition(".")
            this = str(path.parent / stem)
            if this != key:
                close(key, found, label)
                key, found, label = this, 0, None
            if content is not None:
                label = _label(f"{file}, {member.name}", ending, content, label, asked)
            elif path.suffix.lower() in folders.SUFFIXES:
                found += 1
                index.file.append(number)
                index.offsets.append(member.offset_data)
                index.sizes.append(member.size)
                parent = str(path.parent).lstrip("/") or "."
                index.folder.append(index.folders.setdefault(parent, len(index.folders)))
                index.names.extend(member.name.encode("utf-8", "surrogateescape"))
                index.ends.append(len(index.names))
            else:
                others[path.suffix.lower() or "without an ending"] += 1
        close(key, found, label)
    if not index.offsets:
        endings = ", ".join(f"{n:,} {ending}" for ending, n in others.most_common(5)) or "nothing"
        inner = "; unpack these archives once" if others[".tar"] else ""
        raise AliError(f"{files[0]}: no pictures in it: it holds {endings}; pictures end in {' '.join(folders.SUFFIXES)}{inner}")
    if labelled is None and asked != NOTHING:
        raise AliError(f"{files[0]}: no .json beside the pictures holds {asked}")
    if labelled is None and orphan is None:
        return index
    together = "files of one key, the name before the first dot, stand together in WebDataset's archives (tar --sort=name)"
    if orphan:
        raise AliError(f"{orphan}: has a label but no picture beside it; {together}")
    if bare and asked.attributes:
        raise AliError(f"{bare}: has no .json beside it; every picture needs its attributes; {together}")
    if doubled:
        raise AliError(f"{doubled}: has several pictures for one label; leave one of them, or take the labels out")
    return index._replace(labels=np.stack(labels) if asked.attributes else labels)


def _members(file: Path) -> Iterator[tuple[tarfile.TarInfo, bytes | None]]:
    """The files in an archive; with their content, if it may be a label."""
    try:
        with tarfile.open(file, "r:") as opened:
            while (member := opened.next()) is not None:
                opened.members.clear()  # pyrefly: ignore  (it would keep a kilobyte for each)
                path = PurePosixPath(member.name)
                if not member.isreg() or any(part.startswith(".") for part in path.parts):
                    continue
                if path.name.partition(".")[2] in ("cls", "json") and member.size <= LARGEST:
                    opened_member = opened.extractfile(member)
                    assert opened_member is not None
                    yield member, opened_member.read()
                else:
                    yield member, None
            end = opened.offset
        with open(file, "rb") as whole:
            whole.seek(end)
            if whole.read(512) != bytes(512):
                raise AliError(f"{file}: is cut off or damaged at byte {end:,}, before the mark that ends an archive; copy it again")
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise AliError(f"{file}: not a readable .tar file ({error}); copy it again") from None


def _label(where: str, ending: str, content: bytes, label: Label, asked: Chosen) -> Label:
    """A class by number or name, or attributes; of a file without what is asked for, what was known before."""
    try:
        text = content.decode("utf-8").strip()
        found = json.loads(text) if ending == "json" else {"cls": int(text) if text.lstrip("-").isdigit() else text}
    except (ValueError, RecursionError) as error:
        raise AliError(f"{where}: not readable as .{ending} ({error})") from None
    if not isinstance(found, dict):
        return label
    if asked.attributes:
        return label if ending == "cls" else numbers([found.get(name) for name in asked.attributes], asked.attributes, where)
    value = next((found[key] for key in ((asked.label,) if asked.label else KEYS) if key in found), label)
    if isinstance(value, bool):
        return str(value).lower()
    if value == "" or not isinstance(value, int | str | None):
        raise AliError(f"{where}: must hold a class, by number or name; it holds {value!r}")
    return value
