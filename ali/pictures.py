"""Arrays as pictures: grids, PNG files, animations. Rows in the data's own units, of images or of points in the plane."""

from __future__ import annotations

__all__ = ["animate", "grid", "picture", "save_folder", "to_bytes"]

import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ali.errors import AliError


def to_bytes(x: np.ndarray, maximum: float) -> np.ndarray:
    """Pixels 0..maximum to 0..255, uint8."""
    scaled = x.astype(np.float64)
    scaled *= 255 / maximum
    return np.clip(np.round(scaled, out=scaled), 0, 255, out=scaled).astype(np.uint8)


def grid(x: np.ndarray, maximum: float, columns: int | None = None, gap: int = 1, height: int = 0) -> Image.Image:
    """Images side by side, enlarged by a whole factor until the picture is at least ``height`` pixels high.

    Arguments:
        x: shape (n, height, width) or (n, height, width, channels), pixels in [0, maximum].
        columns: images per line; by default a square.
        gap: pixels between images.
        height: least height of the picture, in pixels.
    """
    x = to_bytes(x, maximum)
    x = x[..., None] if x.ndim == 3 else x
    n, h, w, channels = x.shape
    columns = columns or math.ceil(math.sqrt(n))
    lines = math.ceil(n / columns)
    sheet = np.full((lines * (h + gap) + gap, columns * (w + gap) + gap, channels), 255, np.uint8)
    for k, image in enumerate(x):
        top, left = gap + (k // columns) * (h + gap), gap + (k % columns) * (w + gap)
        sheet[top : top + h, left : left + w] = image
    picture = Image.fromarray(sheet[..., 0] if channels == 1 else sheet)
    factor = max(1, math.ceil(height / picture.height))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def cloud(x: np.ndarray, extent: float, size: int = 320) -> Image.Image:
    """Points of the plane as a picture of their density, dark on white; x of shape (n, 2), axes in [-extent, extent]."""
    counts, _, _ = np.histogram2d(x[:, 0], x[:, 1], bins=size, range=[[-extent, extent]] * 2)
    ink = 255 * (1 - np.clip(np.sqrt(counts / max(1.0, np.quantile(counts[counts > 0], 0.9) if counts.any() else 1.0)), 0, 1))
    return Image.fromarray(ink.T[::-1].astype(np.uint8)).resize((2 * size, 2 * size), Image.Resampling.BILINEAR)


def picture(x: np.ndarray, maximum: float | None, data: Any) -> Image.Image | None:
    """A picture of samples: a grid of images, a cloud of points in the plane, or None for other rows.

    Arguments:
        x: samples.
        maximum: the brightest pixel, if they are images.
        data: rows that say how far the plane goes.
    """
    if maximum is not None:
        return grid(x, maximum, height=320)
    if x.ndim != 2 or x.shape[1] != 2:
        return None
    return cloud(x[np.isfinite(x).all(1)], 1.2 * float(np.nanmax(np.abs(data[:10_000]))) or 1.0)


def save_folder(x: np.ndarray, maximum: float, folder: Path, first: int = 0) -> None:
    """One PNG per image, ``000000.png`` on, or as many later as ``first`` says, into a folder that is there."""
    for k, image in enumerate(to_bytes(x, maximum), first):
        Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image).save(folder / f"{k:06d}.png")


def animate(files: list[Path], out: Path, milliseconds: int = 180) -> None:
    """Pictures of one size, in order, to an animation that stops for a while on the last.

    Raises:
        AliError: there are no pictures.
    """
    if not files:
        raise AliError(f"{out}: no pictures to animate")
    frames = [Image.open(file, formats=("PNG",)).convert("P", palette=Image.Palette.ADAPTIVE) for file in files]
    durations = [milliseconds] * (len(frames) - 1) + [10 * milliseconds]
    frames[0].save(out, save_all=True, append_images=frames[1:], duration=durations, loop=0)
