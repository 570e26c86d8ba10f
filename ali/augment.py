r"""What D sees of x while it learns: images shifted, recoloured, partly covered, both the data's and the decoder's.

Only D's view changes, :math:`D(T(x), \hat z)` and :math:`D(T(\tilde x), z)`: with random T for every row, on *both* kinds of pair, and
differentiable, so that what is generated need not look augmented. On data alone it would. D then can not learn few rows by heart.

References:
    | Zhao et al., Differentiable Augmentation for Data-Efficient GAN Training, 2020: the operations and their ranges (arXiv:2006.10738)
    | Karras et al., Training Generative Adversarial Networks with Limited Data, 2020: flips among others (arXiv:2006.06676)
"""

from __future__ import annotations

__all__ = ["OPERATIONS", "Augment", "colour", "cutout", "flip", "policy", "translation"]

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ali.errors import AliError

Images = Float[Tensor, "n c h w"]


def colour(x: Images) -> Images:
    r"""Brightness, saturation and contrast of each row at random.

    .. math:: x \mapsto x + b, \quad x \mapsto \bar x_{hw} + s (x - \bar x_{hw}), \quad x \mapsto \bar x + c (x - \bar x)

    where :math:`b \in [-0.5, 0.5]` (pixels being in [-1, 1]), :math:`s \in [0, 2]` around a pixel's mean over its maps, and
    :math:`c \in [0.5, 1.5]` around the image's mean.
    """
    b, s, c = (torch.rand(len(x), 1, 1, 1, dtype=x.dtype, device=x.device) for _ in range(3))
    x = x + (b - 0.5)
    grey = x.mean(1, keepdim=True)
    x = grey + 2 * s * (x - grey)
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (c + 0.5) * (x - mean)


def translation(x: Images) -> Images:
    """Shift each row by up to an eighth of its size, along both axes; what comes in from outside is 0."""
    for axis in (2, 3):
        size = x.shape[axis]
        most = size // 8
        shift = torch.randint(-most, most + 1, (len(x), 1), device=x.device)
        source = torch.arange(size, device=x.device) - shift
        shape = (len(x), 1, size, 1) if axis == 2 else (len(x), 1, 1, size)
        x = x.gather(axis, source.clamp(0, size - 1).reshape(shape).expand_as(x))
        x = x * ((source >= 0) & (source < size)).reshape(shape)
    return x


def cutout(x: Images) -> Images:
    """Cover a square of each row with 0, half as wide as it is; near the edges only a part of the square is in the image."""
    covered = []
    for axis in (2, 3):
        size = x.shape[axis]
        width = size // 2
        first = torch.randint(size + 1 - width % 2, (len(x), 1), device=x.device) - width // 2
        places = torch.arange(size, device=x.device)
        covered.append((places >= first) & (places < first + width))
    return x * ~(covered[0][:, None, :, None] & covered[1][:, None, None, :])


def flip(x: Images) -> Images:
    """Mirror each row, left to right, or not: even odds."""
    return torch.where(torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5, x.flip(3), x)


OPERATIONS: dict[str, Callable[[Tensor], Tensor]] = {"colour": colour, "translation": translation, "cutout": cutout, "flip": flip}


def policy(words: str) -> tuple[str, ...]:
    """The operations that are asked for, in the order of ``OPERATIONS``.

    Arguments:
        words: names separated by commas; "" for none.

    Raises:
        AliError: an unknown name.
    """
    asked = [word.strip() for word in words.split(",") if word.strip()]
    for word in asked:
        if word not in OPERATIONS:
            raise AliError(f"augment: unknown operation {word!r}: choose among {', '.join(OPERATIONS)}, separated by commas")
    return tuple(name for name in OPERATIONS if name in asked)


class Augment(nn.Module):
    """A layer that augments images in training mode and leaves them alone in evaluation mode, as dropout does; no row sees another.

    Arguments:
        operations: names in ``OPERATIONS``; each pass draws their numbers anew, for every row its own.
    """

    def __init__(self, operations: tuple[str, ...]):
        super().__init__()
        self.operations = operations

    def forward(self, x: Images) -> Images:
        for name in self.operations if self.training else ():
            x = OPERATIONS[name](x)
        return x

    def extra_repr(self) -> str:
        return ", ".join(self.operations)
