"""Keep orientation, XMP, colour profile and resolution consistent with the pixels."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from edgesr.images import exif as exif_block
from edgesr.images.picture import Picture

_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:\s*=\s*["']|\s*>\s*))([1-8])""")
_WIDTH = re.compile(rb"""((?:exif:PixelXDimension|tiff:ImageWidth)(?:\s*=\s*["']|\s*>\s*))(\d+)""")
_HEIGHT = re.compile(rb"""((?:exif:PixelYDimension|tiff:ImageLength)(?:\s*=\s*["']|\s*>\s*))(\d+)""")
_CHANNELS_OF_SPACE = {b"GRAY": (1, 2), b"RGB ": (3, 4)}


def settle(picture: Picture, orientation: int | None) -> Picture:
    """Turn a decoded picture upright and update its metadata; damaged metadata is dropped with a note.

    `orientation` is the one to apply, 1..8; None takes it from the EXIF or, where that has none, from the XMP.
    """
    if picture.exif is not None:
        try:
            orientation = orientation or exif_block.orientation(picture.exif)
            exif_block.refreshed(picture.exif, 1, 1)
        except ValueError:
            picture.exif = None
            picture.notes.append("damaged EXIF dropped")
    if orientation is None and picture.xmp and (match := _ORIENTATION.search(picture.xmp)):
        orientation = int(match[2])
    picture.pixels = upright(picture.pixels, orientation or 1)
    refresh(picture)
    if picture.icc is not None and not icc_fits(picture.icc, picture.pixels.shape[2]):
        picture.icc = None
        picture.notes.append("colour profile dropped: it does not match the picture's channels")
    return picture


def refresh(picture: Picture) -> None:
    """Set the sizes in EXIF and XMP to those of the pixels, and the orientation to upright."""
    height, width = picture.pixels.shape[:2]
    if picture.exif is not None:
        picture.exif = exif_block.refreshed(picture.exif, width, height)
    if picture.xmp is not None:
        for pattern, value in ((_ORIENTATION, 1), (_WIDTH, width), (_HEIGHT, height)):
            picture.xmp = pattern.sub(rb"\g<1>%d" % value, picture.xmp)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation, 1..8, to pixels (H, W, C)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def icc_fits(icc: bytes, channels: int) -> bool:
    """Tell whether an ICC profile is for pixels of so many channels: a grey one for 1 and 2, an RGB one for 3 and 4."""
    return icc[36:40] == b"acsp" and channels in _CHANNELS_OF_SPACE.get(icc[16:20], ())


def resolution(value: Any) -> tuple[float, float] | None:
    """Return a resolution in pixels per inch as a file states it; None for one that is missing or makes no sense."""
    try:
        horizontal, vertical = (float(part) for part in value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    sane = all(math.isfinite(part) and 0 < part < 1e6 for part in (horizontal, vertical))
    return (horizontal, vertical) if sane else None
