"""What a machine is asked for: memory that is kept, and the precision of its products."""

from __future__ import annotations

__all__ = ["PRECISIONS", "Precision", "check_precision", "keep_memory", "precise"]

import ctypes
import warnings
from contextlib import AbstractContextManager
from typing import Literal

import torch

from ali.errors import AliError

Precision = Literal["float32", "bfloat16"]
PRECISIONS = ("float32", "bfloat16")


def keep_memory() -> None:
    """Ask the C library to keep what was freed: a step frees and takes the same pages again, and getting them anew costs more than use.

    A seventh of a step of the networks of Table 4. It holds for the whole process; where the C library is another than glibc, nothing.
    """
    try:
        import resource

        if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
            return  # where address space is short, what is freed is to be given back
    except ImportError:
        return  # another kind of system
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    most = 2**31 - 1
    mallopt(-3, 2**30)  # M_MMAP_THRESHOLD: blocks up to 1 GiB come from the heap ...
    mallopt(-1, most)  # M_TRIM_THRESHOLD: ... which does not shrink


def check_precision(precision: str, device: torch.device) -> None:
    """Refuse what can not be computed, and warn of what is slower than full precision.

    Raises:
        AliError: an unknown precision.
    """
    if precision not in PRECISIONS:
        raise AliError(f"unknown precision {precision!r}: choose {' or '.join(PRECISIONS)}")
    if precision == "bfloat16" and device.type == "cpu" and not getattr(torch.cpu, "_is_avx512_bf16_supported", bool)():
        warnings.warn("this processor has no products of bfloat16: precision float32 is faster on it", stacklevel=3)


def precise(precision: str, device: torch.device) -> AbstractContextManager:
    """Where products and convolutions are computed in a precision; weights, sums and losses stay in full precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
