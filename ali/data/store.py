"""Images decoded once, into plain ``.npy`` files that are read row by row: for data that does not fit into memory.

A store is a folder: ``train-x.npy``, ``test-x.npy`` (bytes, (n, height, width[, 3])), ``train-y.npy``, ``test-y.npy`` where there
are classes or attributes, and ``store.json``. It is written by ``ali prepare`` and opened by ``ali train images``.

Rows are read with plain reads, not through a memory map: neither memory nor address space grows with the data.
"""

from __future__ import annotations

__all__ = ["Stored", "Writer", "header", "is_store", "open_store"]

import os
from pathlib import Path
from typing import Any

import numpy as np

from ali.data.source import Data, Source
from ali.errors import AliError

NAME = "store.json"
HEADER = 128  # bytes of an .npy header that has room for any number of rows


class Stored:
    """An array in an ``.npy`` file whose rows are read when they are asked for, by any index that picks rows.

    Arguments:
        file: C-ordered ``.npy``.
        index: the rows that count, in their order; all of them by default.
    """

    def __init__(self, file: Path, index: np.ndarray | None = None):
        shape, fortran, self.dtype, self._start = header(file)
        self.file, self.index = file, np.arange(shape[0]) if index is None else index
        self.shape: tuple[int, ...] = (len(self.index), *shape[1:])
        self._bytes = int(np.prod(shape[1:], dtype=np.int64)) * self.dtype.itemsize
        if fortran or os.path.getsize(file) < self._start + shape[0] * self._bytes:
            raise AliError(f"{file}: is shorter than its header says; prepare it again")

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        return len(self) * self._bytes

    def __len__(self) -> int:
        return len(self.index)

    def select(self, index: Any) -> Stored:
        """Some of the rows, still unread."""
        return Stored(self.file, self.index[index])

    def __getitem__(self, index: Any) -> np.ndarray:
        rows = np.atleast_1d(self.index[index])
        out = np.empty((len(rows), *self.shape[1:]), self.dtype)
        flat = out.reshape(-1).view(np.uint8).reshape(len(rows), self._bytes)
        with open(self.file, "rb", buffering=0) as opened:
            for place in np.argsort(rows, kind="stable"):  # in the order of the file
                opened.seek(self._start + int(rows[place]) * self._bytes)
                if opened.readinto(flat[place].data) != self._bytes:
                    raise AliError(f"{self.file}: row {rows[place]} can not be read; prepare it again")
        return out if np.ndim(index) or isinstance(index, slice) else out[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:] if dtype is None else self[:].astype(dtype)


def header(file: Path) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """What an ``.npy`` file says of itself: shape, whether its first index runs fastest, type, and where the numbers begin.

    Raises:
        AliError: it is none.
    """
    try:
        with open(file, "rb") as opened:
            version = np.lib.format.read_magic(opened)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            return *read(opened), opened.tell()
    except (OSError, ValueError) as error:
        raise AliError(f"{file}: not a readable .npy file ({error})") from None


class Writer:
    """Appends rows to an ``.npy`` file, whose number of rows is written last.

    Arguments:
        file: to write.
        shape: of one row.
        dtype: of the numbers.
    """

    def __init__(self, file: Path, shape: tuple[int, ...], dtype: Any = np.uint8):
        self.shape, self.dtype, self.rows = shape, np.dtype(dtype), 0
        self._file = open(file, "wb")  # noqa: SIM115 (closed by close)
        self._file.write(b"\0" * HEADER)

    def append(self, row: np.ndarray) -> None:
        self.extend(row[None])

    def extend(self, rows: np.ndarray) -> None:
        self._file.write(np.ascontiguousarray(rows, dtype=self.dtype).data)
        self.rows += len(rows)

    def close(self) -> None:
        shape = (self.rows, *self.shape)
        text = f"{{'descr': {self.dtype.str!r}, 'fortran_order': False, 'shape': {shape}, }}".ljust(HEADER - 11) + "\n"
        self._file.seek(0)
        self._file.write(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode())
        self._file.close()


def is_store(place: Path) -> bool:
    """Whether a folder was written by ``ali prepare``."""
    return (place / NAME).is_file()


def open_store(place: Path, size: int | None = None, crop: str = "centre", grey: bool | None = None, hold_out: float = 0.1) -> Data:
    """Open a store; no row is read.

    Arguments:
        size, crop, grey, hold_out: as for :func:`ali.data.images.images`; a store holds decoded images, and has them already.

    Raises:
        AliError: a file of it is missing or broken, or it was prepared in another way than is asked for.
    """
    import json

    try:
        described = json.loads((place / NAME).read_text(encoding="utf-8"))
        classes, attributes, notes = (tuple(described.get(key, ())) for key in ("classes", "attributes", "notes"))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise AliError(f"{place / NAME}: broken ({error}); prepare it again") from None
    parts = []
    for part in ("train", "test"):
        x = Stored(place / f"{part}-x.npy")
        y = None
        if (place / f"{part}-y.npy").exists():
            try:
                y = np.load(place / f"{part}-y.npy", allow_pickle=False)
            except (OSError, ValueError) as error:
                raise AliError(f"{place / f'{part}-y.npy'}: not a readable .npy file ({error}); prepare it again") from None
            if y.shape != ((len(x), len(attributes)) if attributes else (len(x),)):
                raise AliError(f"{place}: {len(x):,} images in {part}, but labels of shape {y.shape}; prepare it again")
        parts.append(Source(x, y, classes, attributes, notes=notes))
    shape, colour = parts[0].x.shape[1:], "grey" if parts[0].x.ndim == 3 else "in colour"
    wrong = [f"its images are of size {shape[0]}, not {size}"] * (size not in (None, shape[0]))
    wrong += [f"its images are {colour}"] * (grey is not None and grey != (parts[0].x.ndim == 3))
    wrong += ["its images were cropped already"] * (crop not in ("centre", described.get("crop", crop)))
    wrong += ["its held-out part is chosen already"] * (hold_out != 0.1)
    if wrong:
        raise AliError(f"{place}: {'; '.join(wrong)}: prepare the images again, with these flags, or leave them out here")
    return Data(*parts)
