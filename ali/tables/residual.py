"""Residual networks for anybody's square images, without normalisation: a shortcut around every pair of convolutions.

After the networks of R3GAN (Huang et al. 2024, arXiv:2501.05441), with strided convolutions in the branches and averages in the
shortcuts. Each stage halves the size or doubles it back, as in :func:`ali.tables.generic.image`, with twice the layers.
"""

from __future__ import annotations

__all__ = ["image"]

from ali.table import conv, residual, tconv, tresidual
from ali.tables.generic import Rows, pyramid


def image(shape: tuple[int, int, int], codes: int, width: int = 32, *, output: str = "tanh") -> Rows:
    """Residual stages that halve a square image down to 4 to 7 pixels, doubling the maps, and the same way back.

    Arguments:
        shape: (maps, size, size), size from 8 to 128 pixels.
        codes: numbers that the encoder puts out: d for a deterministic encoder, 2d for a Gaussian one.
        width: maps at full size and after the first halving; at most eight times as many at the bottom.
        output: the decoder's last nonlinearity, "tanh" or "sigmoid".
    """
    sizes, widths = pyramid(shape, width)
    kernels = [4 + n % 2 for n in sizes[:-1]]  # 4 halves an even size, 5 an odd one
    bottom, top = sizes[-1], widths[-1]
    stages = list(zip(kernels, widths, strict=True))
    back = list(zip(kernels[::-1], [*widths[-2::-1], width], strict=True))

    #   kernel stride maps  BN?   dropout  nonlinearity padding
    G_z = (
        conv(3, 1, width, False, 0.0, "linear", padding=1),
        *(residual(k, 2, w, 0.0, "lrelu", padding=1) for k, w in stages),
        conv(bottom, 1, 2 * top, False, 0.0, "lrelu"),
        conv(1, 1, codes, False, 0.0, "linear"),
    )
    G_x = (
        tconv(bottom, 1, top, False, 0.0, "lrelu"),
        *(tresidual(k, 2, w, 0.0, "lrelu", padding=1) for k, w in back),
        conv(3, 1, shape[0], False, 0.0, output, padding=1),
    )
    D_x = (
        conv(3, 1, width, False, 0.0, "linear", padding=1),
        *(residual(k, 2, w, 0.0, "lrelu", padding=1) for k, w in stages),
        conv(bottom, 1, 4 * width, False, 0.0, "lrelu"),
    )
    D_z = (conv(1, 1, 4 * width, False, 0.0, "lrelu"), conv(1, 1, 4 * width, False, 0.0, "lrelu"))
    D_xz = (
        conv(1, 1, 8 * width, False, 0.0, "lrelu"),
        conv(1, 1, 8 * width, False, 0.0, "lrelu"),
        conv(1, 1, 1, False, 0.0, "sigmoid"),
    )
    return Rows(G_z, G_x, D_x, D_z, D_xz)
