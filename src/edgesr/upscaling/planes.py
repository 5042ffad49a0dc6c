"""Operations on pixel planes around the network: value ranges, colour under transparency, grey from RGB, the last resize."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgesr.images.bands import Bands

_ROWS = 64  # rows per resize: always the same blocks, so that the result does not depend on the bands of the input
_REACH = 3  # radius of Lanczos, px of the smaller image
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601


def to_network(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """(h, w, 1 or 3) -> (1, 3, h, w) float32 in [0, 1]."""
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32) / np.float32(_white(pixels.dtype))
    return np.clip(np.broadcast_to(planes, (3, *planes.shape[1:])), 0, 1)[None]


def from_network(values: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values in [0, 1] -> the same shape in `dtype`, rounded to the nearest level."""
    if np.issubdtype(dtype, np.floating):
        return values.astype(dtype)
    levels = values * np.float32(_white(dtype))
    levels += np.float32(0.5)
    return levels.astype(dtype)


def _white(dtype: np.dtype[Any]) -> float:
    return float(np.iinfo(dtype).max) if np.issubdtype(dtype, np.integer) else 1.0


def to_grey(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(3, h, w) -> (1, h, w), the luma of the network's output for a grey input."""
    red, green, blue = LUMA[:, None, None, None] * planes[:, None]
    return red + green + blue  # not a matrix product: its rounding depends on the shape of the tile


def fill_transparent(colour: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """Replace the colour of fully transparent pixels by that of nearby visible ones, so that it does not bleed into those.

    colour (H, W, 1 or 3), alpha (H, W, 1). Visible pixels keep their values; an image without any is returned as it is.
    """
    hidden = alpha[:, :, 0] == 0
    if not hidden.any() or hidden.all():
        return colour
    out = colour.copy()
    coarse = _pull_push(*_pull(colour, ~hidden))
    for top in range(0, len(out), _ROWS):  # a float copy of a large picture would be four times its size
        band, chosen = out[top : top + _ROWS], hidden[top : top + _ROWS]
        filled = _push(coarse[top // 2 : (top + _ROWS) // 2], *chosen.shape)[chosen]
        band[chosen] = filled if np.issubdtype(colour.dtype, np.floating) else np.rint(filled)
    return out


def hold_within_neighbours(bands: Bands, lr: NDArray[Any]) -> Bands:
    """Clip the bands of a plane (4H, 4W, 1) to the range of `lr` (H, W, 1) in the 3x3 pixels around each position.

    For alpha: areas that are fully opaque or transparent stay so, and edges do not ring. A band covers whole rows of `lr`.
    """
    scale = bands.shape[0] // lr.shape[0]

    def held() -> Iterator[NDArray[Any]]:
        top = 0
        for plane in bands:
            bottom = top + len(plane) // scale
            first = max(0, top - 1)
            near = lr[first : bottom + 1, :, 0]
            low, high = (
                _extreme_of_neighbours(near, extreme)[top - first :][: bottom - top] for extreme in (np.minimum, np.maximum)
            )
            blocks = plane.reshape(bottom - top, scale, lr.shape[1], scale)
            yield np.clip(blocks, low[:, None, :, None], high[:, None, :, None]).reshape(plane.shape)
            top = bottom
            del plane, blocks  # free them before the next ones are allocated

    return Bands(bands.shape, bands.dtype, held())


def _extreme_of_neighbours(plane: NDArray[Any], extreme: np.ufunc) -> NDArray[Any]:
    """The least or greatest value of (H, W) in the 3x3 pixels around each."""
    for axis in (0, 1):
        padded = np.moveaxis(np.pad(plane, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], mode="edge"), axis, 0)
        plane = np.moveaxis(extreme(extreme(padded[:-2], padded[1:-1]), padded[2:]), 0, axis)
    return plane


def _pull_push(colour: NDArray[np.float32], weight: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Fill `colour` (H, W, C) where `weight` (H, W) is 0 from coarser weighted means: pull-push on a pyramid."""
    if weight.all() or weight.size == 1:
        return colour
    fine = _push(_pull_push(*_pull(colour, weight)), *weight.shape)
    return np.where(weight[:, :, None], colour, fine)


def _pull(colour: NDArray[Any], weight: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Halve (H, W, C): the weighted means of 2x2 pixels, and a mask of those with any weight."""
    height, width = -(-weight.shape[0] // 2), -(-weight.shape[1] // 2)
    means, any_weight = np.empty((height, width, colour.shape[2]), np.float32), np.empty((height, width), bool)
    for top in range(0, height, _ROWS):
        rows = slice(2 * top, 2 * (top + _ROWS))
        part = colour[rows].astype(np.float32) * weight[rows, :, None]
        even = ((0, len(part) % 2), (0, part.shape[1] % 2))
        c = np.pad(part, (*even, (0, 0))).reshape(-1, 2, width, 2, colour.shape[2])
        total = np.pad(weight[rows], even).reshape(-1, 2, width, 2).sum(axis=(1, 3))
        means[top : top + _ROWS] = c.sum(axis=(1, 3)) / np.maximum(total, 1)[:, :, None]
        any_weight[top : top + _ROWS] = total > 0
    return means, any_weight


def _push(coarse: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Double (h, w, C) to (height, width, C)."""
    return coarse.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]


def append_alpha(colour: Bands, opacity: Bands) -> Bands:
    """Append alpha to the other channels; both have the same bands."""

    def joined() -> Iterator[NDArray[Any]]:
        for part in colour:
            both = np.concatenate([part, next(iter(opacity))], axis=2)
            del part  # or it would be held beside the next
            yield both
            del both

    height, width, channels = colour.shape
    return Bands((height, width, channels + 1), colour.dtype, joined())


def resize(bands: Bands, size: tuple[int, int]) -> Bands:
    """Resize (H, W, C) of any supported type to `size` = (width, height) px by Pillow's Lanczos; unchanged if it has that size.

    Compared with a resize of the whole image, columns first, one sample in thousands differs by one level. If the ratio of the
    heights is not simple it is one in a hundred, and more in 16 bits: Pillow computes fractions of a row in single precision.
    """
    height, width, channels = bands.shape
    if (width, height) == size:
        return bands
    return Bands((size[1], size[0], channels), bands.dtype, _resized(bands, size[0], size[1]))


def _resized(bands: Bands, width: int, height: int) -> Iterator[NDArray[Any]]:
    old_height = bands.shape[0]
    step = old_height / height  # old rows per new row
    reach = math.ceil(_REACH * max(1.0, step)) + 1
    period = Fraction(old_height, height).denominator  # new rows until the two grids align again
    count = _ROWS - _ROWS % period if period <= _ROWS else _ROWS
    source = bands.of_height(_ROWS)
    held, first = np.empty((0, *bands.shape[1:]), bands.dtype), 0  # old rows, and the index of the first of them
    for top in range(0, height, count):
        bottom = min(top + count, height)
        start, stop = max(0, math.floor(top * step) - reach), min(old_height, math.ceil(bottom * step) + reach)
        held, first = held[start - first :], start
        while first + len(held) < stop:
            held = np.concatenate([held, next(source)])
        rows = held[: stop - start]
        yield _lanczos(rows, (width, bottom - top), top * step - start, min(bottom * step - start, len(rows)))


def _lanczos(pixels: NDArray[Any], size: tuple[int, int], top: float, bottom: float) -> NDArray[Any]:
    """Resize the rows from `top` to `bottom` of (H, W, C); the filter also reads the rows around them."""
    out = np.empty((size[1], size[0], pixels.shape[2]), pixels.dtype)
    white = _white(pixels.dtype)
    for channel in range(pixels.shape[2]):  # one at a time: Pillow has no 16-bit RGB, and multiplies colours by alpha
        plane = np.ascontiguousarray(pixels[:, :, channel])
        image = Image.fromarray(plane if pixels.dtype == np.uint8 else plane.astype(np.float32))
        # Always columns first: Pillow chooses the order by the shape, and rounds to 8 bits in between.
        image = image.resize((size[0], len(pixels)), Image.Resampling.LANCZOS)
        image = image.resize(size, Image.Resampling.LANCZOS, (0, top, size[0], bottom))
        values = np.asarray(image)
        if pixels.dtype == np.uint8:
            out[:, :, channel] = values
        else:
            clipped = values.clip(0, white)
            out[:, :, channel] = np.rint(clipped) if np.issubdtype(pixels.dtype, np.integer) else clipped
    return out
