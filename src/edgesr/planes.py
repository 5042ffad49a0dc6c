"""Operations on pixel planes around the network: colour under transparency, grey from RGB, and the last resize."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601


def to_grey(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(3, h, w) -> (1, h, w), the luma of what the network made of three equal planes."""
    red, green, blue = LUMA[:, None, None, None] * planes[:, None]
    return red + green + blue  # not a matrix product, whose rounding depends on the tile's shape


def fill_transparent(colour: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """Replace the colour of fully transparent pixels by that of the nearest visible ones, so that it cannot bleed into them.

    colour (H, W, 1 or 3), alpha (H, W, 1); visible pixels keep their values; a picture with none keeps them all.
    """
    hidden = alpha[:, :, 0] == 0
    if not hidden.any() or hidden.all():
        return colour
    filled = _pull_push(colour.astype(np.float32), (~hidden).astype(np.float32))
    out = colour.copy()
    out[hidden] = filled[hidden] if np.issubdtype(colour.dtype, np.floating) else np.rint(filled[hidden])
    return out


def hold_within_neighbours(plane: NDArray[Any], lr: NDArray[Any]) -> None:
    """Clip `plane` (4H, 4W, 1) in place to the range that `lr` (H, W, 1) has within one pixel of each position.

    For alpha: what is opaque, or transparent, up to its neighbours stays exactly so, and edges do not ring.
    """
    height, width = lr.shape[:2]
    low, high = (_extreme_of_neighbours(lr[:, :, 0], extreme)[:, None, :, None] for extreme in (np.minimum, np.maximum))
    blocks = plane.reshape(height, plane.shape[0] // height, width, plane.shape[1] // width)
    np.clip(blocks, low, high, out=blocks)


def _extreme_of_neighbours(plane: NDArray[Any], extreme: np.ufunc) -> NDArray[Any]:
    """The least or greatest value of (H, W) in the 3x3 pixels around each."""
    for axis in (0, 1):
        padded = np.moveaxis(np.pad(plane, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], mode="edge"), axis, 0)
        plane = np.moveaxis(extreme(extreme(padded[:-2], padded[1:-1]), padded[2:]), 0, axis)
    return plane


def _pull_push(colour: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fill where `weight` (H, W) is 0 from ever coarser weighted means of `colour` (H, W, C): pull and push of a pyramid."""
    if weight.all() or weight.size == 1:
        return colour
    height, width = weight.shape
    even = ((0, height % 2), (0, width % 2))
    w = np.pad(weight, even).reshape(-(-height // 2), 2, -(-width // 2), 2)
    c = np.pad(colour * weight[:, :, None], (*even, (0, 0))).reshape(*w.shape, colour.shape[2])
    total = w.sum(axis=(1, 3))
    coarse = c.sum(axis=(1, 3)) / np.maximum(total, 1)[:, :, None]
    coarse = _pull_push(coarse, (total > 0).astype(np.float32))
    fine = coarse.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    return np.where(weight[:, :, None] > 0, colour, fine)


def resize(pixels: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Lanczos (Pillow's) to `size` = (width, height) px, (H, W, C) of any supported type; at that size already, no copy."""
    height, width, channels = pixels.shape
    if (width, height) == size:
        return pixels
    out = np.empty((size[1], size[0], channels), pixels.dtype)
    for channel in range(channels):  # one at a time: Pillow has no 16-bit RGB, and a channel at a time needs the least memory
        plane = pixels[:, :, channel]
        if pixels.dtype == np.uint8:
            out[:, :, channel] = Image.fromarray(np.ascontiguousarray(plane)).resize(size, Image.Resampling.LANCZOS)
            continue
        white = np.iinfo(pixels.dtype).max if np.issubdtype(pixels.dtype, np.integer) else 1.0
        floats = np.asarray(Image.fromarray(plane.astype(np.float32)).resize(size, Image.Resampling.LANCZOS)).clip(0, white)
        out[:, :, channel] = np.rint(floats) if np.issubdtype(pixels.dtype, np.integer) else floats
    return out
