"""Networks for anybody's data: functions that return rows for an image of 8 to 128 pixels or a vector of any length.

The exception among the tables: these rows come from no page. ``batch_norm=True`` follows the manner of Tables 3 to 6
(batch normalisation in encoder and decoder, dropout in D); without it, penalties on D's gradient can be used.
"""

from __future__ import annotations

__all__ = ["Rows", "Rung", "image", "ladder", "mlp", "pyramid", "rungs"]

from typing import NamedTuple

from ali.errors import AliError
from ali.table import Row, conv, fourier, linear, tconv


class Rows(NamedTuple):
    """The tables of one model, under the names that the paper gives them."""

    G_z: tuple[Row, ...]  # encoder, x to z
    G_x: tuple[Row, ...]  # decoder, z to x
    D_x: tuple[Row, ...]
    D_z: tuple[Row, ...]
    D_xz: tuple[Row, ...]


def image(
    shape: tuple[int, int, int],
    codes: int,
    width: int = 32,
    *,
    batch_norm: bool = False,
    dropout: float = 0.0,
    output: str = "tanh",
    compact: bool = False,
) -> Rows:
    """Convolutions that halve a square image down to 4 to 7 pixels, doubling the maps, and the same way back.

    Arguments:
        shape: (maps, size, size), size from 8 to 128 pixels.
        codes: numbers that the encoder puts out: d for a deterministic encoder, 2d for a Gaussian one.
        width: maps at full size over two; at most eight times as many at the bottom.
        batch_norm: in encoder and decoder.
        dropout: in D.
        output: the decoder's last nonlinearity, "tanh" or "sigmoid".
        compact: 8 * width units between the bottom and the codes, of the decoder, too, and no hidden layer at full size, where maps
            cost most: for grey digits, which are lines. What colour needs at full size it has not.
    """
    maps = shape[0]
    sizes, widths = pyramid(shape, width)
    # Kernel 4 halves an even size and doubles it back; kernel 5 does so for an odd one (2n + 1).
    kernels = [4 + n % 2 for n in sizes[:-1]]
    halving = list(zip(kernels, widths, strict=True))
    bottom = sizes[-1]
    dense = 8 * width

    G_z = (
        *(conv(k, 2, w, batch_norm, 0.0, "lrelu", padding=1) for k, w in halving),
        conv(bottom, 1, dense if compact else 2 * widths[-1], batch_norm, 0.0, "lrelu"),
        conv(1, 1, codes, False, 0.0, "linear"),
    )
    first = (conv(1, 1, dense, batch_norm, 0.0, "lrelu"),)
    full = (tconv(kernels[0], 2, width, batch_norm, 0.0, "lrelu", padding=1), conv(1, 1, maps, False, 0.0, output))
    G_x = (
        *(first if compact else ()),
        tconv(bottom, 1, widths[-1], batch_norm, 0.0, "lrelu"),
        *(tconv(k, 2, w, batch_norm, 0.0, "lrelu", padding=1) for k, w in zip(kernels[:0:-1], widths[-2::-1], strict=True)),
        *((tconv(kernels[0], 2, maps, False, 0.0, output, padding=1),) if compact else full),
    )
    D_x = (
        *(conv(k, 2, w, False, dropout, "lrelu", padding=1) for k, w in halving),
        conv(bottom, 1, dense if compact else 4 * width, False, dropout, "lrelu"),
    )
    D_z = (conv(1, 1, 4 * width, False, dropout, "lrelu"), conv(1, 1, 4 * width, False, dropout, "lrelu"))
    D_xz = (
        conv(1, 1, 8 * width, False, dropout, "lrelu"),
        conv(1, 1, 8 * width, False, dropout, "lrelu"),
        conv(1, 1, 1, False, dropout, "sigmoid"),
    )
    return Rows(G_z, G_x, D_x, D_z, D_xz)


def pyramid(shape: tuple[int, int, int], width: int) -> tuple[list[int], list[int]]:
    """The sizes that a square image is halved to, its own first, and the maps after each halving."""
    _, height, size = shape
    if height != size or not 8 <= size <= 128:
        raise AliError(f"images must be square, 8 to 128 pixels wide: got {height} x {size}; crop, pad or resize them first")
    sizes = [size]
    while sizes[-1] > 7:
        sizes.append(sizes[-1] // 2)
    return sizes, [min(width * 2**level, 8 * width) for level in range(len(sizes) - 1)]


def mlp(
    size: int,
    codes: int,
    width: int = 256,
    depth: int = 2,
    *,
    batch_norm: bool = False,
    output: str = "linear",
    frequencies_x: tuple[float, ...] = (),
    frequencies_z: tuple[float, ...] = (),
) -> Rows:
    """Fully connected networks for a vector of ``size`` numbers, or a small image flattened.

    Arguments:
        size: numbers in one row of x.
        codes: numbers that the encoder puts out: d for a deterministic encoder, 2d for a Gaussian one.
        width: units per layer.
        depth: hidden layers of each network.
        batch_norm: in encoder and decoder.
        output: the decoder's last nonlinearity.
        frequencies_x: Fourier features of x, for encoder and D; radians per unit.
        frequencies_z: Fourier features of z, for the decoder.
    """
    hidden = tuple(linear(width, batch_norm, 0.0, "lrelu") for _ in range(depth))
    see_x = (fourier(*frequencies_x),) if frequencies_x else ()
    see_z = (fourier(*frequencies_z),) if frequencies_z else ()
    return Rows(
        G_z=(*see_x, *hidden, linear(codes, False, 0.0, "linear")),
        G_x=(*see_z, *hidden, linear(size, False, 0.0, output)),
        D_x=see_x,
        D_z=(),
        D_xz=(*(linear(width, False, 0.0, "lrelu") for _ in range(depth)), linear(1, False, 0.0, "sigmoid")),
    )


class Rung(NamedTuple):
    """The tables of one level of a hierarchy; shapes are those of the code of this level, and of what lies below it."""

    below: tuple[int, ...]  # x, or the code of the level below
    code: tuple[int, ...]
    G_z: tuple[Row, ...]  # below, or the image, to twice the code's maps
    G_x: tuple[Row, ...]  # code to below: x itself, or twice its maps
    D: tuple[Row, ...]  # the part of D that climbs from below to here
    seen: tuple[int, ...]  # what that part sees: below's size, with D's own maps beside the code


def ladder(
    shape: tuple[int, int, int], codes: tuple[int, ...], width: int = 32, *, batch_norm: bool = False, dropout: float = 0.0, output: str = "tanh", skip: bool = False
) -> list[Rung]:
    """A hierarchy for square images: levels below the top are maps at evenly spread sizes between the image's and its bottom.

    Arguments:
        shape, width, batch_norm, dropout, output: as for :func:`image`.
        codes: maps of each level, from the bottom up; the top one is a vector of so many numbers.
        skip: every encoder sees the image, not the code below.

    Raises:
        AliError: more levels than the image can be halved, or an image that :func:`image` refuses.
    """
    sizes, widths = pyramid(shape, width)
    halvings = len(sizes) - 1
    lower = len(codes) - 1
    if lower > halvings:
        raise AliError(f"images of {sizes[0]} pixels have at most {halvings + 1} levels, one for each size they are halved to: got {len(codes)}")
    places = [max(level, round(halvings * level / len(codes))) for level in range(1, len(codes))]
    rungs, below, at, own = [], tuple(shape), 0, 0
    for level, maps in enumerate(codes):
        top = level == lower
        to = halvings if top else places[level]
        kernels = [4 + n % 2 for n in sizes]
        code = (maps, 1, 1) if top else (maps, sizes[to], sizes[to])
        last = conv(1, 1, shape[0] if level == 0 else 2 * below[0], False, 0.0, output if level == 0 else "linear")
        up = [conv(kernels[i], 2, widths[i], batch_norm, 0.0, "lrelu", padding=1) for i in range(0 if skip else at, to)]
        down = [tconv(kernels[i], 2, widths[max(i - 1, 0)], batch_norm, 0.0, "lrelu", padding=1) for i in range(to - 1, at - 1, -1)]
        climb = [conv(kernels[i], 2, widths[i], False, dropout, "lrelu", padding=1) for i in range(at, to)]
        if top:
            up.append(conv(sizes[-1], 1, 2 * widths[-1], batch_norm, 0.0, "lrelu"))
            down.insert(0, tconv(sizes[-1], 1, widths[-1], batch_norm, 0.0, "lrelu"))
            climb.append(conv(sizes[-1], 1, 4 * width, False, dropout, "lrelu"))
        else:
            # A code of few maps is widened before it is enlarged, and features are mixed before they become one.
            up.append(conv(1, 1, widths[to - 1], batch_norm, 0.0, "lrelu"))
            down.insert(0, conv(1, 1, widths[to - 1], batch_norm, 0.0, "lrelu"))
        G_z = (*up, conv(1, 1, 2 * maps, False, 0.0, "linear"))
        rungs.append(Rung(below, code, G_z, (*down, last), tuple(climb), (below[0] + own, *below[1:])))
        below, at, own = code, to, climb[-1].maps
    return rungs


def rungs(
    size: int, codes: tuple[int, ...], width: int = 256, depth: int = 2, *, batch_norm: bool = False, output: str = "linear", skip: bool = False
) -> list[Rung]:
    """A hierarchy of vectors, fully connected.

    Arguments:
        size: numbers in one row of x.
        codes: numbers of each level, from the bottom up.
        width, depth, batch_norm, output: as for :func:`mlp`.
        skip: every encoder sees x, not the code below.
    """
    del skip  # the rows are the same, only their input is not
    hidden = tuple(linear(width, batch_norm, 0.0, "lrelu") for _ in range(depth))
    made, below = [], size
    for level, numbers in enumerate(codes):
        last = linear(size, False, 0.0, output) if level == 0 else linear(2 * below, False, 0.0, "linear")
        seen = size + sum(codes[:level])
        made.append(Rung((below,), (numbers,), (*hidden, linear(2 * numbers, False, 0.0, "linear")), (*hidden, last), (), (seen,)))
        below = numbers
    return made
