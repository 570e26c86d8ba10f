"""Official files byte for byte: read, and compared with the published ones.

A file whose checksum is another one is read all the same, with a warning: people pack these sets anew.
"""

from __future__ import annotations

__all__ = ["Unofficial", "compare", "content_of", "digest"]

import hashlib
import warnings
from pathlib import Path
from typing import Any

from ali.errors import AliError

# MD5 of the published files; those of MNIST are of the unpacked files, so that it does not matter how they were packed.
MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
    "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
    "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
    "extra_32x32.mat": "a93ce644f1a588dc4d68dda5feec44a7",
    "list_eval_partition.txt": "d32c9cbf5e040fd4025c592c306e6668",
    "list_attr_celeba.txt": "75e246fa4810816ffd6ee81facbd244c",
}


class Unofficial(UserWarning):
    """Files that are read, but are not, byte for byte, the published ones."""


def content_of(file: Path) -> bytes:
    """All bytes of a file, which is refused if it is missing or can not be read."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise AliError(f"{file}: is missing among the official files") from None
    except OSError as error:
        raise AliError(f"{file}: can not be read ({error})") from None


def compare(file: Path, md5: str, name: str) -> None:
    """Warn if a file is not the published one."""
    if MD5.get(name, md5) != md5:
        warnings.warn(f"{file}: is not byte for byte the published {name} (MD5 {md5}); read all the same", Unofficial, stacklevel=4)


def digest(content: bytes = b"") -> Any:
    """The MD5 of some bytes, to which more can be added."""
    return hashlib.md5(content, usedforsecurity=False)
