"""Images in uncompressed ``.tar`` archives, whose headers are read once: from then on any picture is a seek away.

Classes come from labels beside the pictures, as WebDataset writes them (``000.jpg`` and ``000.cls``, or ``000.json`` with a
``label``; files of one key, the name before the first dot, follow one another), or from folders, as in a folder of pictures.
"""

from __future__ import annotations

__all__ = ["find", "parts"]

import hashlib
import json
import tarfile
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ali.data import folders
from ali.data.parquet import by_part
from ali.data.pixels import Label, Part, Picture, Rows
from ali.errors import AliError

PACKED = (".gz", ".bz2", ".xz", ".zst", ".tgz", ".tbz", ".tbz2", ".txz")
KEYS = ("label", "cls", "class")  # of a label in a .json
LARGEST = 2**20  # bytes of a .cls or .json


def find(place: Path) -> list[Path]:
    """A ``.tar``, or those in a folder, in the order of their names.

    Raises:
        AliError: one is compressed.
    """
    if not place.is_file() and not place.is_dir():
        return []
    files = [place] if place.is_file() else sorted(file for file in place.iterdir() if not file.name.startswith("."))
    for file in files:
        if file.suffix.lower() in (".tgz", ".tbz", ".tbz2", ".txz") or (file.suffix.lower() in PACKED and Path(file.stem).suffix == ".tar"):
            raise AliError(f"{file}: is compressed, so no picture in it can be read without all before it; unpack it to a .tar or a folder")
    return [file for file in files if file.suffix.lower() == ".tar" and file.is_file()]


def parts(place: Path) -> tuple[list[Part], list[str]]:
    """The pictures of one archive, or of a folder of them, whose names may begin with their part: ``train-*``, ``test-*``.

    Returns:
        Training part and held-out part, or one part, and what there is to say.

    Raises:
        AliError: an archive that is cut off or none, a key with labels and no picture, or the other way round.
    """
    chosen, notes = by_part(place, find(place))
    made: list[Part] = []
    for files in chosen:
        index = _index(files)
        if index.labels is not None:
            made.append(_part(index, array("q", range(len(index.offsets))), index.labels))
            continue
        numbers = Counter(index.folder)
        paths = {place / name / "x": number for name, number in index.folders.items()}
        arranged, said = folders.arrange(place, list(paths), lambda some, n=numbers, p=paths: sum(n[p[path]] for path in some))
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
    labels: list[Label] | None

    def name(self, row: int) -> str:
        return self.names[self.ends[row - 1] if row else 0 : self.ends[row]].decode("utf-8", "surrogateescape")


def _part(index: Index, kept: array, labels: list[Label]) -> Part:
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
        for numbers in (index.file, index.offsets, index.sizes, kept):
            digest.update(numbers.tobytes())
        for label in labels:
            digest.update(f"{label}\n".encode("utf-8", "surrogateescape"))
        return Rows(labels, read, digest.digest())

    return Part(pictures, (), rows)


def _index(files: list[Path]) -> Index:
    """Read all headers, and the labels that lie beside pictures."""
    index = Index(files, array("i"), array("q"), array("q"), array("i"), {}, bytearray(), array("q"), None)
    labels: list[Label] = []
    known: dict[Label, Label] = {}  # one object for each class, not for each row
    labelled: str | None = None  # the first picture that has a label, and the first that has none
    bare: str | None = None
    orphan: str | None = None
    doubled: str | None = None
    others: Counter[str] = Counter()
    for number, file in enumerate(files):
        key, found, label, asked = None, 0, None, False  # of the files that belong together

        def close(key: str | None, found: int, label: Label, asked: bool, file: Path = file) -> None:
            nonlocal labelled, bare, orphan, doubled
            where = f"{file}, {key}"
            labels.extend([known.setdefault(label, label)] * found)
            if found and label is not None:
                labelled = labelled or where
                doubled = doubled or (where if found > 1 else None)
            elif found:
                bare = bare or where
            elif asked:
                orphan = orphan or where

        for member, content in _members(file):
            path = PurePosixPath(member.name)
            stem, _, ending = path.name.partition(".")
            this = str(path.parent / stem)
            if this != key:
                close(key, found, label, asked)
                key, found, label, asked = this, 0, None, False
            if content is not None:
                label, asked = _label(f"{file}, {member.name}", ending, content, label), True if ending == "cls" else asked
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
        close(key, found, label, asked)
    if not index.offsets:
        endings = ", ".join(f"{n:,} {ending}" for ending, n in others.most_common(5)) or "nothing"
        inner = "; unpack these archives once" if others[".tar"] else ""
        raise AliError(f"{files[0]}: no pictures in it: it holds {endings}; pictures end in {' '.join(folders.SUFFIXES)}{inner}")
    if labelled is None:
        return index
    together = "files of one key, the name before the first dot, stand together in WebDataset's archives (tar --sort=name)"
    if orphan:
        raise AliError(f"{orphan}: has a label but no picture beside it; {together}")
    if bare:
        raise AliError(f"{bare}: has no label beside it, but {labelled} has; {together}")
    if doubled:
        raise AliError(f"{doubled}: has several pictures for one label; leave one of them, or take the labels out")
    return index._replace(labels=labels)


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


def _label(where: str, ending: str, content: bytes, label: Label) -> Label:
    """A class by number or name; of a .json without one, what was known before."""
    try:
        text = content.decode("utf-8").strip()
        if ending == "cls":
            value = int(text) if text.lstrip("-").isdigit() else text
        else:
            found = json.loads(text)
            value = next((found[key] for key in KEYS if key in found), label) if isinstance(found, dict) else label
    except ValueError as error:
        raise AliError(f"{where}: not readable as .{ending} ({error})") from None
    if value == "" or isinstance(value, bool) or not isinstance(value, int | str | None):
        raise AliError(f"{where}: must hold a class, by number or name; it holds {value!r}")
    return value
