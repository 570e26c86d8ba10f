"""One picture of any size and mode, brought to the training size as grey or colour bytes.

What becomes of it, in this order:

- The first frame of an animation, or page of a TIFF, is taken.
- It is turned upright, as its EXIF orientation says.
- Transparent pixels are laid on white; palettes are looked up; CMYK and the like become RGB, as Pillow converts them.
- Grey of 16 bits, and of whole numbers of 32 bits, goes from 0..65535 to 0..255; floating point from 0..1 if no pixel is above
  1, otherwise from 0..255; what lies outside is clipped.
- Grey becomes colour by repeating it; colour becomes grey as 0.299 R + 0.587 G + 0.114 B.
- It is cropped to the square in its centre (or not: then it is stretched to a square), and resized with Lanczos' filter, which
  widens with the factor when a picture shrinks, so that nothing aliases.
"""

from __future__ import annotations

__all__ = ["Part", "Picture", "Rows", "array", "bytes_at", "bytes_of", "check_size", "choose_size", "is_grey", "square"]

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from statistics import median_low
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ali.data.labels import Label
from ali.errors import AliError

Crop = Literal["centre", "none"]
Size = tuple[int, int]  # width, height

# No other formats: some of Pillow's readers start other programs.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
LEAST, MOST, USUAL = 8, 128, 64  # pixels; above the usual, only what is asked for or already so
ORIENTATION = 0x0112  # EXIF
LUMA = (0.299, 0.587, 0.114)  # ITU-R 601-2, as Pillow's


class Picture(NamedTuple):
    """A picture that is still to be read: where it stands, in words; its file, or the bytes of one; its class or its attributes."""

    where: str
    file: Path | bytes | None
    label: Label = None

    @contextmanager
    def open(self) -> Iterator[Image.Image]:
        """Read the header only; raises ``ValueError`` or whatever damaged bytes make Pillow raise."""
        if self.file is None:
            raise ValueError("there are no bytes")
        # Never by name: Pillow 13 maps uncompressed TIFFs into memory then, and garbles those that lie on their side.
        with BytesIO(self.file) if isinstance(self.file, bytes) else open(self.file, "rb") as stream:
            try:
                picture = Image.open(stream, formats=FORMATS)
            except UnidentifiedImageError:
                raise ValueError(f"its bytes are not {', '.join(FORMATS[:-1])} or {FORMATS[-1]}") from None
            with picture:
                yield picture


@dataclass(frozen=True)
class Rows:
    """Pictures that can be asked for in any order, a block of them at a time.

    Arguments:
        labels: of each row; attributes as one array.
        read: the pictures of a block, by its number.
        mark: says what is there without a look at any picture: names and sizes of files, and where rows lie in them.
        starts: the first row of each block; None where every row is a block of its own, which costs little to read.
        sizes: of each block, in bytes, as far as the file tells.
    """

    labels: Sequence[Label] | np.ndarray
    read: Callable[[int], list[Picture]]
    mark: bytes
    starts: np.ndarray | None = None
    sizes: np.ndarray | None = None


@dataclass(frozen=True)
class Part:
    """Pictures that belong together, as training or as held-out rows.

    Arguments:
        pictures: goes through them, as often as it is called.
        classes: names of the classes by number, where labels are numbers and have names.
        attributes: their names, where labels are attributes.
        rows: the same pictures for any order; None where they can only be gone through.
    """

    pictures: Callable[[], Iterable[Picture]]
    classes: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    rows: Callable[[], Rows] | None = None


def check_size(size: int | None) -> None:
    """Refuse a training size that the networks do not have."""
    if size is not None and not LEAST <= size <= MOST:
        advice = f"; larger pictures are shrunk to it: take --size {MOST} or less" if size > MOST else ""
        raise AliError(f"size is the side of the training images, {LEAST} to {MOST} pixels, got {size}{advice}")


def choose_size(sizes: Counter[Size], size: int | None) -> int:
    """The training size: the one asked for; else the one that all pictures have, if square and 8 to 128 pixels; else the median of their
    shorter sides, 8 to 64, so that few are enlarged.

    Arguments:
        sizes: how many pictures have which; none where no picture can be read, which is said later.
        size: that was asked for, in pixels.
    """
    if size is not None or not sizes:
        return size or USUAL
    width, height = next(iter(sizes))
    if len(sizes) == 1 and width == height and LEAST <= width <= MOST:
        return width
    return max(LEAST, min(USUAL, median_low(min(each) for each in sizes.elements())))


def is_grey(picture: Image.Image) -> bool:
    """Whether its mode has no colour (a palette counts as colour)."""
    return picture.mode in ("1", "L", "LA", "La", "I", "F") or picture.mode.startswith("I;16")


def bytes_at(picture: Picture, grey: bool) -> tuple[Image.Image, list[str]]:
    """:func:`bytes_of` a picture where it lies, whatever Pillow has to say of its metadata."""
    with warnings.catch_warnings(), picture.open() as opened:
        warnings.simplefilter("ignore")
        return bytes_of(opened, grey)


def bytes_of(picture: Image.Image, grey: bool) -> tuple[Image.Image, list[str]]:
    """Decode a picture, turn it upright, and make it mode L or RGB.

    Returns:
        The picture, and what was done to it: "rotated", "coloured", "greyed", "flattened".

    Raises:
        Exception: of any kind, if its bytes are damaged.
    """
    rotated = picture.format == "TIFF" and _lies(picture)  # these Pillow turns itself, as it loads them
    picture.load()
    upright = picture
    if _lies(picture):
        rotated, upright = True, ImageOps.exif_transpose(picture)
    done = ["rotated"] if rotated else []
    if is_grey(upright) != grey:
        done.append("greyed" if grey else "coloured")
    if upright.mode in ("I", "F") or upright.mode.startswith("I;16"):
        upright = Image.fromarray(_eight_bits(np.asarray(upright)))
    elif upright.has_transparency_data:
        upright = upright.convert("RGBA")
        done += ["flattened"] * (bool(np.asarray(upright)[..., 3].min() < 255))
        upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright).convert("RGB")
    return upright.convert("L" if grey else "RGB"), done


def square(picture: Image.Image, size: int, crop: Crop) -> tuple[Image.Image, list[str]]:
    """Bring a picture to size x size pixels.

    Arguments:
        picture: of mode L, RGB or F.
        size: side of the result, in pixels.
        crop: "centre" cuts out the largest square in the centre first, "none" gives up the proportions.

    Returns:
        The picture, and what was done to it: "cropped", "stretched", "resized", "enlarged".
    """
    width, height = picture.size
    done = []
    if width != height and crop == "centre":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        picture = picture.crop((left, top, left + side, top + side))
        done.append("cropped")
    elif width != height:
        done.append("stretched")
    if picture.size != (size, size):
        done += ["resized", "enlarged"] if min(picture.size) < size else ["resized"]
        picture = picture.resize((size, size), Image.Resampling.LANCZOS)
    return picture, done


def array(x: np.ndarray, size: int, crop: Crop, grey: bool) -> tuple[np.ndarray, list[str]]:
    """The same for an image that is an array: it keeps its type and stays within its own range.

    Arguments:
        x: (height, width), or (height, width, channels) with 1 or 3 channels.

    Returns:
        The image, (size, size[, channels]), and what was done to it.
    """
    colour = x.shape[2:] == (3,)
    kind = np.uint8 if x.dtype == np.uint8 else np.float32
    planes = [plane.astype(kind) for plane in (np.moveaxis(x, -1, 0) if x.ndim == 3 else [x])]
    done = [] if colour != grey else ["greyed" if grey else "coloured"]
    if colour and grey:
        luma = np.tensordot(LUMA, np.stack(planes), 1)
        planes = [(luma.round() if kind == np.uint8 else luma).astype(kind)]
    squares = [square(Image.fromarray(plane), size, crop) for plane in planes]
    y = np.stack([np.asarray(picture) for picture, _ in squares], -1).clip(x.min(), x.max())
    y = np.repeat(y, 3, -1) if y.shape[-1] == 1 and not grey else y
    y = y.round() if x.dtype.kind in "iu" else y
    return (y[..., 0] if grey else y).astype(x.dtype), done + squares[0][1]


def _lies(picture: Image.Image) -> bool:
    """Whether its EXIF data say that it is to be turned; damaged ones say nothing."""
    try:
        return picture.getexif().get(ORIENTATION, 1) in range(2, 9)
    except Exception:
        return False


def _eight_bits(x: np.ndarray) -> np.ndarray:
    """Grey of 16 or 32 bits, or floating point, to bytes."""
    if not np.isfinite(x).all():
        raise ValueError("a pixel is not a finite number")
    brightest = 65535 if x.dtype.kind in "iu" else 1 if x.max() <= 1 else 255
    return np.round(x.clip(0, brightest) * (255 / brightest)).astype(np.uint8)
