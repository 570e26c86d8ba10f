"""Arrays of numbers from MATLAB files of version 5 to 7, packed or not.

scipy's reader believes what a file says of itself: a few damaged bytes end the whole process (a segmentation fault). This one
reads no more than plain arrays, and whatever does not fit together is a ``ValueError``.

Source: MATLAB, "MAT-File Format" (R2019b), chapter 1.
"""

from __future__ import annotations

__all__ = ["read"]

import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}  # as stored
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}  # as MATLAB sees them
MATRIX, PACKED = 14, 15
COMPLEX = 0x800
BLOCK = 2**20


class _Content:
    """The bytes of one element, unpacked as they are asked for."""

    def __init__(self, file: BinaryIO, size: int, packed: bool):
        self.file, self.left = file, size
        self.unpacker, self.rest = zlib.decompressobj() if packed else None, b""
        self.most = 1040 * size + 1024 if packed else size  # deflate packs 1,032 bytes into one at best

    def read(self, n: int) -> bytes:
        """Exactly n bytes."""
        parts, wanted = [], n
        while wanted:
            if self.unpacker is None:
                part = self._raw(wanted)
            else:
                part = self.unpacker.decompress(self.rest or self._raw(BLOCK), wanted)
                self.rest = self.unpacker.unconsumed_tail
                if not part and not self.rest and (self.unpacker.eof or not self.left):
                    raise ValueError("it ends too early")
            parts.append(part)
            wanted -= len(part)
        return b"".join(parts)

    def _raw(self, n: int) -> bytes:
        part = self.file.read(min(n, self.left))
        self.left -= len(part)
        if not part:
            raise ValueError("it ends too early")
        return part


def read(file: Path, names: set[str]) -> dict[str, np.ndarray]:
    """Some of a file's variables.

    Arguments:
        file: of version 5 to 7; 7.3 is another format.
        names: of the variables.

    Returns:
        Those that are there.

    Raises:
        ValueError: not such a file, a damaged one, or a variable that is no array of real numbers.
    """
    found = {}
    with open(file, "rb") as opened:
        header, end = opened.read(128), os.fstat(opened.fileno()).st_size
        if header[124:128] in (b"\x00\x02IM", b"\x02\x00MI"):
            raise ValueError("version 7.3, which is HDF5: save it as version 7")
        if header[124:128] not in (b"\x00\x01IM", b"\x01\x00MI"):
            raise ValueError("no header of version 5")
        order = "<" if header[126:] == b"IM" else ">"
        while (at := opened.tell()) < end:
            kind, size = struct.unpack(f"{order}II", _Content(opened, 8, False).read(8))
            if at + 8 + size > end:
                raise ValueError("it ends too early")
            content = _Content(opened, size, kind == PACKED)
            if kind == PACKED:
                kind, _ = struct.unpack(f"{order}II", content.read(8))
            if kind == MATRIX:
                name, x = _matrix(content, names, order)
                if x is not None:
                    found[name] = x
            opened.seek(at + 8 + size)
    return found


def _matrix(content: _Content, names: set[str], order: str) -> tuple[str, np.ndarray | None]:
    flags, sizes, name = (_small(content, order) for _ in range(3))
    word = name.decode("latin1")
    if word not in names:
        return word, None
    if len(flags) != 8 or len(sizes) < 8 or len(sizes) % 4:
        raise ValueError(f"{word} has a damaged header")
    about = struct.unpack(f"{order}I", flags[:4])[0]
    if about & 0xFF not in CLASSES or about & COMPLEX:
        raise ValueError(f"{word} holds no real numbers")
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    kind, size, data = _tag(content, order)
    count = int(np.prod(shape, dtype=object))
    if kind not in TYPES or min(shape) < 0 or len(shape) > 32 or size != count * np.dtype(TYPES[kind]).itemsize or size > content.most:
        raise ValueError(f"{word} does not hold what its header announces")
    x = np.empty(size, np.uint8)
    if data is not None:
        x[:] = np.frombuffer(data[:size], np.uint8)
    else:
        for first in range(0, size, BLOCK):
            n = min(BLOCK, size - first)
            x[first : first + n] = np.frombuffer(content.read(n), np.uint8)
    with np.errstate(invalid="ignore"):
        return word, x.view(np.dtype(order + TYPES[kind])).reshape(shape, order="F").astype(CLASSES[about & 0xFF], copy=False)


def _tag(content: _Content, order: str) -> tuple[int, int, bytes | None]:
    """Type and size of an element, and its bytes, if they are so few that they stand in the tag."""
    tag = content.read(8)
    kind, size = struct.unpack(f"{order}II", tag)
    if kind >> 16:
        kind, size = kind & 0xFFFF, kind >> 16
        if size > 4:
            raise ValueError("a damaged tag")
        return kind, size, tag[4:]
    return kind, size, None


def _small(content: _Content, order: str) -> bytes:
    """An element of the header of an array, padded to eight bytes."""
    _, size, data = _tag(content, order)
    if data is not None:
        return data[:size]
    if size > 4096:
        raise ValueError("a damaged tag")
    return content.read(size + -size % 8)[:size]
