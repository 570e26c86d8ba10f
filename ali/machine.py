"""What a machine is asked for: memory that is kept, and the precision of its products. Torch is imported where it is used."""

from __future__ import annotations

__all__ = ["Precision", "check_precision", "keep_memory", "precise", "rows_that_fit"]

import ctypes
import platform
import warnings
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Literal, get_args

from ali.errors import AliError

if TYPE_CHECKING:
    import torch

Precision = Literal["float32", "bfloat16"]

M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1  # of glibc's mallopt


def keep_memory() -> bool:
    """Ask the C library to keep what was freed: a step frees and takes the same pages again, and getting them anew costs more than use.

    It holds for the whole process.

    Returns:
        False where nothing was changed: another C library than glibc, or a limit on address space, under which memory is given back.
    """
    try:
        import resource

        if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
            return False
        mallopt = ctypes.CDLL(None).mallopt
    except (ImportError, OSError, AttributeError, TypeError):
        return False
    # Blocks up to 1 GiB come from the heap (older versions take no more than 32 MiB), which does not shrink.
    return bool((mallopt(M_MMAP_THRESHOLD, 2**30) or mallopt(M_MMAP_THRESHOLD, 2**25)) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


def check_precision(precision: str, device: torch.device) -> None:
    """Refuse what can not be computed, and warn of what is slower than full precision.

    Raises:
        AliError: an unknown precision.
    """
    import torch

    if precision not in get_args(Precision):
        raise AliError(f"unknown precision {precision!r}: choose {' or '.join(get_args(Precision))}")
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # it can only be asked of these processors
    if precision == "bfloat16" and device.type == "cpu" and platform.machine() in ("x86_64", "AMD64") and known and not known():
        warnings.warn("this processor has no products of bfloat16: precision float32 is faster on it", stacklevel=3)


def precise(precision: str, device: torch.device) -> AbstractContextManager:
    """Where products and convolutions are computed in a precision; weights, sums and losses stay in full precision."""
    import torch

    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def rows_that_fit(rows: int, peak: float, held: float, free: float) -> int:
    r"""How many rows a step may have: what it takes beyond what is held between steps grows with its rows.

    .. math:: n = \lfloor \text{rows} \cdot \text{free} / (\text{peak} - \text{held}) \rfloor

    Gradients of the weights, which do not grow, are counted as if they did, so that it is rather too few.

    Arguments:
        rows: of a step that was measured.
        peak, held: bytes at its highest, and between steps.
        free: bytes that a step may take beyond those held.
    """
    return int(rows * free / max(1.0, peak - held))
