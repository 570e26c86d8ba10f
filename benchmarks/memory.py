"""Peak memory: what a process holds at its highest, beyond what it held when all was imported. A process for each case.

python -m benchmarks.memory svhn ours float32 "" paper 100 cpu
"""

from __future__ import annotations

__all__ = ["in_child", "peak"]

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def in_child(module: str, *arguments: object) -> float:
    """The number that a module prints in a process of its own."""
    done = subprocess.run([sys.executable, "-m", module, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{module} {arguments}: {done.stderr}")
    return float(done.stdout)


def peak(work: Callable[[], Any], device: str) -> float:
    """MB that some work holds at its highest; the first thing that a process does."""
    if device != "cpu":
        import torch

        work()
        return torch.cuda.max_memory_allocated() / 2**20

    def resident(which: str) -> float:
        # Not ru_maxrss: a child inherits that of the process that started it.
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(which)) / 1024

    before = resident("VmRSS")
    work()
    return resident("VmHWM") - before


def main() -> None:
    import torch

    from ali.graphs import WARM_UP
    from benchmarks.cases import Case

    *case, graph, batch, device = sys.argv[1:]
    torch.set_num_threads(1)
    torch.optim.Adam([torch.zeros(1, device=device)])  # imports PyTorch's compiler

    def steps() -> None:  # from the second on there are the optimisers' memories; a captured step comes after those that warm up
        step = Case(*case, graph=graph == "True").step(int(batch), device)
        for _ in range(WARM_UP + 2 if graph == "True" else 2):
            step()

    print(peak(steps, device))


if __name__ == "__main__":
    main()
