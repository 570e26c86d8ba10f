"""FLOPs, kernels and bytes of a step, exactly: every operation that PyTorch dispatches is seen, those of backward passes, too."""

from __future__ import annotations

__all__ = ["BOUNDS", "KERNELS", "Counter", "count"]

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry

# MFLOP per image of one update of every player; (network, pairs).
BOUNDS = {
    ("svhn", "together"): 1008,
    ("svhn", "apart"): 945,
    ("cifar10", "together"): 1269,
    ("celeba", "apart"): 21_950,
    ("tiny_imagenet", "apart"): 3787,
}
KERNELS = {"svhn": 550}  # per step; on a CPU, where dropout and maxout are faster as several
PRODUCTS = ("conv", "mm", "linear", "attention", "bilinear", "mv", "dot")


class Counter(TorchDispatchMode):
    """Counts while it is entered.

    ``flops``: 2 for a multiplication and an addition, of products and convolutions; ``kernels``: operations but views and allocations;
    ``seconds``: the least time that a machine needs, the sum over operations of the longer of computing and of moving each operand
    to memory once.

    Arguments:
        limits: of the machine (:mod:`benchmarks.limits`); without them, no seconds are counted.
    """

    def __init__(self, limits: dict[str, float] | None = None):
        super().__init__()
        self.limits, self.flops, self.kernels, self.seconds = limits, 0, 0, 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        name = func._overloadpacket.__name__
        if func.is_view or name.startswith(("empty", "detach", "_unsafe_view", "lift")):
            return out
        known = flop_registry.get(func._overloadpacket)
        if known is None and any(word in name.split("_") or name.startswith(word) for word in PRODUCTS):
            raise LookupError(f"how many FLOPs has {func}? Say so in benchmarks/counting.py")
        flops = known(*args, **kwargs, out_val=out) if known else 0
        self.flops, self.kernels = self.flops + flops, self.kernels + 1
        if self.limits:
            tensors = [t for t in tree_iter((args, kwargs, out)) if isinstance(t, torch.Tensor)]
            half = any(t.dtype == torch.bfloat16 for t in tensors)
            moved = sum(t.nbytes for t in tensors)
            self.seconds += max(flops / self.limits["bfloat16" if half else "float32"], moved / self.limits["bytes"])
        return out


def count(step: Callable[[], Any], limits: dict[str, float] | None = None) -> Counter:
    """What one step takes."""
    with Counter(limits) as counter:
        step()
    return counter
