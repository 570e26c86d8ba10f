"""Pictures that stay where they are, and are decoded each time that they are asked for: for data larger than memory."""

from __future__ import annotations

__all__ = ["Streamed", "choose_window", "room"]

import hashlib
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from ali.data import pixels
from ali.data.pixels import Crop, Picture, Rows
from ali.errors import AliError

MIB = 2**20
WINDOW = 256  # MiB of undecoded pictures that are in memory at most, if nobody says otherwise


class Blocks:
    """The blocks of rows that were asked for last, undecoded.

    Arguments:
        rows: the pictures.
        window: bytes that are kept.
    """

    def __init__(self, rows: Rows, window: int):
        self.rows, self.window, self.held = rows, window, 0
        self._kept: OrderedDict[int, tuple[list[Picture], int]] = OrderedDict()

    def picture(self, row: int) -> Picture:
        if self.rows.starts is None:
            return self.rows.read(row)[0]
        block = int(np.searchsorted(self.rows.starts, row, "right")) - 1
        if block not in self._kept:
            # Make room first: what is about to be read must not lie beside all that is kept.
            expected = 0 if self.rows.sizes is None else int(self.rows.sizes[block])
            while self._kept and self.held + expected > self.window:
                self.held -= self._kept.popitem(last=False)[1][1]
            pictures = self.rows.read(block)
            size = sum(len(picture.file) for picture in pictures if isinstance(picture.file, bytes))
            self._kept[block] = pictures, size
            self.held += size
        self._kept.move_to_end(block)
        return self._kept[block][0][row - int(self.rows.starts[block])]


class Streamed:
    """Images, uint8, that are decoded when they are asked for, by any index that picks rows.

    Arguments:
        blocks: where they come from.
        size: side of the images, in pixels.
        crop: what becomes of images that are not square (:func:`ali.data.pixels.square`).
        grey: shape (n, size, size) instead of (n, size, size, 3).
        index: the rows that count, in their order; all of them by default.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, blocks: Blocks, size: int, crop: Crop, grey: bool, index: np.ndarray | None = None):
        self.blocks, self.size, self.crop, self.grey = blocks, size, crop, grey
        self.index = np.arange(len(blocks.rows.labels)) if index is None else index
        self.shape: tuple[int, ...] = (len(self.index), size, size) if grey else (len(self.index), size, size, 3)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """What they would take if all were decoded."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.index)

    def select(self, index: Any) -> Streamed:
        """Some of the rows, still undecoded."""
        return Streamed(self.blocks, self.size, self.crop, self.grey, self.index[index])

    def __getitem__(self, index: Any) -> np.ndarray:
        rows = np.atleast_1d(self.index[index])
        out = np.empty((len(rows), *self.shape[1:]), np.uint8)
        for place in np.argsort(rows, kind="stable"):  # in the order of the files
            out[place] = self._decode(int(rows[place]))
        return out if np.ndim(index) or isinstance(index, slice) else out[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:] if dtype is None else self[:].astype(dtype)

    def _decode(self, row: int) -> np.ndarray:
        picture = self.blocks.picture(row)
        try:
            whole, _ = pixels.bytes_at(picture, self.grey)
        except MemoryError:
            raise
        except Exception as error:  # damaged bytes raise anything: of Pillow, zlib, struct
            words = (str(error).splitlines() or [type(error).__name__])[0]
            raise AliError(
                f"{picture.where}: not a readable image ({words}), which shows only now that it is decoded; mend or remove it, or train "
                "anew with --skip-bad, which decodes all images once to find such ones; the last checkpoint is intact"
            ) from None
        return np.asarray(pixels.square(whole, self.size, self.crop)[0])

    def order(self, generator: np.random.Generator, among: int = 1) -> np.ndarray:
        """The rows of an epoch, shuffled: all of them, or where blocks are read as a whole, those of as many blocks as fit into the
        window, drawn at random, then those of the next. It depends on the generator, the rows and the window alone.

        Arguments:
            among: orders that are followed at the same time, and share the window.
        """
        order, rows = generator.permutation(len(self)), self.blocks.rows
        if rows.starts is None or rows.sizes is None or rows.sizes.sum() <= self.blocks.window:
            return order
        turn, number, held = np.empty(len(rows.starts), np.int64), 0, 0
        for block in generator.permutation(len(rows.starts)):
            if held and (held + rows.sizes[block]) * among > self.blocks.window:
                number, held = number + 1, 0
            turn[block] = number
            held += rows.sizes[block]
        blocks = np.searchsorted(rows.starts, self.index[order], "right") - 1
        return order[np.argsort(turn[blocks], kind="stable")]

    def fingerprint(self) -> str:
        """A hash of names, sizes, places and labels, of how images are decoded, and of the bytes of 16 of them."""
        digest = hashlib.sha256(f"{self.shape} {self.crop}".encode() + self.blocks.rows.mark)
        digest.update(np.ascontiguousarray(self.index, np.int64).data)
        for row in np.unique(np.linspace(0, len(self) - 1, 16).astype(int)):
            file = self.blocks.picture(int(self.index[row])).file
            digest.update(file if isinstance(file, bytes) else file.read_bytes() if file else b"")
        return digest.hexdigest()[:16]


def choose_window(where: str, rows: list[Rows], asked: int | None) -> int:
    """MiB of undecoded pictures to keep: as asked; else what a row group needs at least, at most WINDOW, and an eighth of what is free.

    Raises:
        AliError: a row group is larger than that.
    """
    largest = max((int(part.sizes.max()) for part in rows if part.sizes is not None and len(part.sizes)), default=0)
    free = room()
    window = max(1, min(WINDOW, free // 8 // MIB)) if asked is None else asked
    if asked is None and window * MIB < largest <= free // 2:
        window = -(-largest // MIB)
    if window < 1:
        raise AliError(f"window counts MiB of undecoded pictures in memory: at least 1, got {window}")
    if window * MIB < largest:
        raise AliError(
            f"{where}: a row group of {largest / MIB:,.0f} MiB is read as a whole, and {window:,} MiB are there for it: say --window "
            f"{-(-largest // MIB):,}, or decode it once with `ali prepare`, or write the file with smaller row groups"
        )
    return window


def room() -> int:
    """Bytes that this process may still take: what the machine or its container has free, and what ``ulimit -v`` leaves."""
    free = [2**62]
    try:
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        free.append(int(lines["MemAvailable"].split()[0]) * 1024)
    except (OSError, KeyError, ValueError):  # another system: half of what it has
        if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
            free.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    try:
        group = Path("/sys/fs/cgroup")
        cached = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())["file"]
        free.append(int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()) + int(cached))
    except (OSError, KeyError, ValueError):  # no container, or one without a limit ("max")
        pass
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        if limit != resource.RLIM_INFINITY:
            free.append(limit - taken)
    except (ImportError, OSError):
        pass
    return max(0, min(free))
