"""The formats of the official files that hold rows of pixels: MNIST's idx, CIFAR-10's pickles and records, SVHN's MATLAB files.

Nothing is unpickled that is not plain numbers.
"""

from __future__ import annotations

__all__ = ["digits", "numbers", "objects", "records", "spellings", "unpickled"]

import gzip
import hashlib
import zlib
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError, _Unpickler
from typing import Any

import numpy as np

from ali.data import matlab
from ali.data.official_checksums import compare, content_of, digest
from ali.data.source import Source
from ali.errors import AliError

DIGITS = tuple("0123456789")
OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")  # as in batches.meta


def _check_labels(y: np.ndarray, n: int, low: int, high: int, file: Path) -> None:
    if n == 0:
        raise AliError(f"{file}: no rows")
    if y.shape != (n,):
        raise AliError(f"{file}: {n:,} images, but labels of shape {y.shape}")
    bad = np.flatnonzero((y < low) | (y > high))
    if len(bad):
        raise AliError(f"{file}: row {bad[0]} has label {y[bad[0]]}; labels go from {low} to {high}")


# MNIST: big-endian idx files.


def spellings(name: str) -> list[str]:
    """train-images-idx3-ubyte and train-images.idx3-ubyte are both about, packed and not."""
    dotted = name.replace("-idx", ".idx")
    return [name, f"{name}.gz", dotted, f"{dotted}.gz"]


def digits(folder: Path, part: str) -> Source:
    """A part of MNIST, train or t10k: its file of images and its file of labels."""
    x, _ = _idx(folder, f"{part}-images-idx3-ubyte", 3)
    y, file = _idx(folder, f"{part}-labels-idx1-ubyte", 1)
    _check_labels(y, len(x), 0, 9, file)
    return Source(x, y.astype(np.int64), DIGITS)


def _idx(folder: Path, name: str, dimensions: int) -> tuple[np.ndarray, Path]:
    """An array of bytes: two zeros, type 8 and the number of dimensions; their sizes, four bytes each; the array."""
    file = next((folder / spelling for spelling in spellings(name) if (folder / spelling).exists()), folder / name)
    content = content_of(file)
    if content[:2] == b"\x1f\x8b":  # packed, whatever it is called
        try:
            content = gzip.decompress(content)
        except Exception as error:  # of gzip, zlib, struct
            raise AliError(f"{file}: a damaged .gz file ({error})") from None
    start = 4 + 4 * dimensions
    if content[:4] != bytes([0, 0, 8, dimensions]) or len(content) < start:
        expected = f"00 00 08 {dimensions:02x} and {dimensions} size(s)"
        raise AliError(
            f"{file}: not an idx file of {name}: expected it to start with {expected}, found {content[:4].hex(' ') or 'nothing'}"
        )
    shape = [int.from_bytes(content[place : place + 4], "big") for place in range(4, start, 4)]
    if len(content) != start + (length := int(np.prod(shape, dtype=object))):
        raise AliError(f"{file}: its header announces {' x '.join(map(str, shape))} = {length:,} bytes, it holds {len(content) - start:,}")
    compare(file, digest(content).hexdigest(), name)
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy(), file  # of bytes, it may not be written to


# CIFAR-10: rows of 3072 bytes, channels first, in pickles of Python 2 or in plain records.


class _Bytes:
    """Stands in for numpy's array while a pickle is read; numpy's own would believe whatever the file says."""

    def __init__(self, *_: Any):
        self.x = np.empty(0, np.uint8)

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, by_column, content = state
        if kind.name not in ("u1", b"u1"):
            raise UnpicklingError(f"an array of type {kind.name}")
        content = content.encode("latin1") if isinstance(content, str) else content
        self.x = np.frombuffer(content, np.uint8).reshape(shape, order="F" if by_column else "C")


class _Kind:
    """Stands in for numpy's dtype."""

    def __init__(self, name: Any, *_: Any):
        self.name = name

    def __setstate__(self, state: tuple) -> None:
        """Byte order and alignment mean nothing for bytes."""


class _PlainUnpickler(_Unpickler):
    """Reads a pickle of numbers, words, lists and one array of bytes: whatever else it asks for is refused, and never called.

    The unpickler in C would take gigabytes for a single damaged byte (an index of its memo); this one takes a second.
    """

    known = {  # noqa: RUF012
        ("numpy.core.multiarray", "_reconstruct"): _Bytes,
        ("numpy._core.multiarray", "_reconstruct"): _Bytes,
        ("numpy", "ndarray"): _Bytes,
        ("numpy", "dtype"): _Kind,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.known:
            raise UnpicklingError(f"it asks for {module}.{name}, which was not called")
        return self.known[module, name]


def unpickled(file: Path) -> tuple[np.ndarray, np.ndarray, Path]:
    """Rows and labels of a file of cifar-10-batches-py, and the file."""
    content = content_of(file)
    try:
        batch = _PlainUnpickler(BytesIO(content), encoding="latin1").load()
        batch = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
        x, y = batch["data"].x, np.array(batch["labels"], np.int64)
    except Exception as error:  # damaged bytes raise anything
        words = f"{type(error).__name__}: {error}"
        raise AliError(f"{file}: not one of CIFAR-10's files, a pickle of data and labels alone ({words}); fetch it again") from None
    if x.ndim != 2 or x.shape[1] != 3072:
        raise AliError(f"{file}: expected data of shape (n, 3072), found {x.shape}")
    compare(file, digest(content).hexdigest(), file.name)
    return x, y, file


def records(file: Path) -> tuple[np.ndarray, np.ndarray, Path]:
    """Rows and labels of a file of cifar-10-batches-bin, and the file."""
    content = content_of(file)
    if len(content) % 3073:
        raise AliError(
            f"{file}: expected records of 3073 bytes, a label and an image; its {len(content):,} bytes are no whole number of them"
        )
    rows = np.frombuffer(content, np.uint8).reshape(-1, 3073)
    return rows[:, 1:], rows[:, 0].astype(np.int64), file


def objects(x: np.ndarray, y: np.ndarray, file: Path) -> Source:
    """CIFAR-10's rows as images."""
    _check_labels(y, len(x), 0, 9, file)
    return Source(np.ascontiguousarray(x.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), y, OBJECTS)


# SVHN: MATLAB files, rows last, and 10 for the digit 0.


def numbers(file: Path) -> Source:
    """A part of SVHN."""
    try:
        with open(file, "rb") as opened:
            md5 = hashlib.file_digest(opened, digest).hexdigest()
        found = matlab.read(file, {"X", "y"})
        x, y = found["X"], found["y"].ravel()
    except FileNotFoundError:
        raise AliError(f"{file}: is missing among the official files") from None
    except (OSError, ValueError, KeyError, zlib.error) as error:
        raise AliError(f"{file}: not a MATLAB file with images X and labels y ({type(error).__name__}: {error})") from None
    if x.ndim != 4 or x.shape[:3] != (32, 32, 3) or x.dtype != np.uint8:
        raise AliError(f"{file}: expected X of shape (32, 32, 3, n) and type uint8, found {x.shape} and {x.dtype}")
    _check_labels(y, x.shape[3], 1, 10, file)
    compare(file, md5, file.name)
    return Source(np.ascontiguousarray(x.transpose(3, 0, 1, 2)), y.astype(np.int64) % 10, DIGITS)
