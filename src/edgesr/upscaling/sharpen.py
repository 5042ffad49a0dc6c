"""The last step: an unsharp mask on the luma of the result, a light one by default."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesr.images.bands import Bands
from edgesr.upscaling.planes import LUMA

CRISP = 0.4  # the default of the crisp form; that of the faithful one is 0
RADIUS = 2  # px of the result
_KERNEL = (6 / 16, 4 / 16, 1 / 16)  # binomial, about a Gaussian of sigma 1: the middle, its neighbours, theirs
_ROWS = 64


def default(fidelity: float) -> float:
    """The sharpness for a fidelity (0 to 1) where none is asked for: the network's own edges are softer than the eye likes."""
    return CRISP * (1 - fidelity)


def sharpen(bands: Bands, sharpness: float) -> Bands:
    """Add `sharpness` (0 to 1) times the difference of luma from its blur to every colour, so that hues stay; alpha is unchanged.

    The bands are those of a picture (H, W, C) of any supported type; values are clipped to its range. The result does not depend on
    how the rows are divided into bands.
    """
    return bands if sharpness == 0 else Bands(bands.shape, bands.dtype, _sharpened(bands, sharpness))


def _sharpened(bands: Bands, sharpness: float) -> Iterator[NDArray[Any]]:
    held = np.empty((0, *bands.shape[1:]), bands.dtype)
    for rows in _extended(bands):
        held = np.concatenate([held, rows])
        if len(held) > 2 * RADIUS:
            yield _masked(held, sharpness)
            held = held[-2 * RADIUS :].copy()  # not a view, which would keep all of it


def _extended(bands: Bands) -> Iterator[NDArray[Any]]:
    """The rows, with the first and the last one repeated."""
    last = None
    for rows in bands.of_height(_ROWS):
        if last is None:
            yield rows[:1].repeat(RADIUS, axis=0)
        last = rows[-1:].copy()
        yield rows
    if last is not None:
        yield last.repeat(RADIUS, axis=0)


def _masked(pixels: NDArray[Any], sharpness: float) -> NDArray[Any]:
    """(h + 2 RADIUS, W, C) -> the rows in the middle, (h, W, C)."""
    channels = pixels.shape[2]
    colours = channels - 1 if channels in (2, 4) else channels
    planes = [pixels[:, :, colour].astype(np.float32) for colour in range(colours)]
    luma = planes[0] if colours != len(LUMA) else sum(weight * plane for weight, plane in zip(LUMA, planes, strict=True))
    blurred = _blur(np.pad(_blur(luma), ((0, 0), (RADIUS, RADIUS)), mode="edge").T).T
    out = pixels[RADIUS:-RADIUS].copy()
    change = np.float32(sharpness) * (luma[RADIUS:-RADIUS] - blurred)
    most: int = 1
    if np.issubdtype(out.dtype, np.integer):  # whole numbers, which are several times as fast
        most = np.iinfo(out.dtype).max
        change = np.floor(change + np.float32(0.5)).astype(np.int16 if out.dtype == np.uint8 else np.int32)
    out[:, :, :colours] = (out[:, :, :colours] + change[:, :, None]).clip(0, most)
    return out


def _blur(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n + 2 RADIUS, m) -> (n, m), along the first axis."""
    count = len(plane) - 2 * RADIUS
    shifted = [plane[at : at + count] for at in range(2 * RADIUS + 1)]
    middle, near, far = (np.float32(weight) for weight in _KERNEL)
    return middle * shifted[2] + near * (shifted[1] + shifted[3]) + far * (shifted[0] + shifted[4])
