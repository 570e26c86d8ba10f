"""What this machine can do: operations per second of large products and convolutions, bytes per second of a large copy."""

from __future__ import annotations

__all__ = ["clock", "limits"]

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F


def clock(device: str) -> Callable[[], float]:
    """Seconds: CPU time of this process; on a GPU wall time, when all that was asked for is done."""
    if device == "cpu":
        return time.process_time

    def now() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return now


def best(run: Callable[[], object], device: str, repeats: int = 5) -> float:
    """The shortest of some times, after one that does not count."""
    now, times = clock(device), []
    run()
    for _ in range(repeats):
        start = now()
        run()
        times.append(now() - start)
    return min(times)


def limits(device: str = "cpu") -> dict[str, float]:
    """FLOP/s of products and convolutions in both precisions, the better of the two under the precision's own name; bytes/s."""
    big = 1 if device == "cpu" else 4
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        name = str(dtype).removeprefix("torch.")
        size = 2048 * big
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        found[f"{name} products"] = 2 * size**3 / best(lambda a=a, b=b: a @ b, device)
        maps, rows = 128, 50 * big**2
        x, w = torch.randn(rows, maps, 32, 32, device=device).to(dtype), torch.randn(maps, maps, 4, 4, device=device).to(dtype)
        x, w = (t.contiguous(memory_format=torch.channels_last) for t in (x, w))
        found[f"{name} convolutions"] = 2 * rows * maps * maps * 16 * 29**2 / best(lambda x=x, w=w: F.conv2d(x, w), device)
        found[name] = max(found[f"{name} products"], found[f"{name} convolutions"])
    x = torch.ones(2**26 * big, device=device)
    y = torch.empty_like(x)
    found["bytes"] = 2 * x.nbytes / best(lambda: y.copy_(x), device)
    return found
