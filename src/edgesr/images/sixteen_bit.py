"""Decode samples of more than 8 bits in PNG and HEIC, which Pillow would reduce to 8.

Pillow's C decoder unpacks each sample's first byte under one name of the raw mode and its second byte under another:
two passes give all 16 bits, for interlaced files too.
"""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np
from PIL.PngImagePlugin import PngImageFile

_ROWS = 64  # converted at a time


def decode(open_image: Any, rawmode: str) -> np.ndarray:
    """Decode all 16 bits of an RGB, RGBA or grey + alpha picture: (H, W, C) uint16.

    `open_image()` opens the file anew as a Pillow image; `rawmode` is that of its tile.
    """
    if rawmode == "LA;16B":
        both = _pass(open_image(), "RGBA")  # the four bytes of each pixel as they come
        high, low = both[..., 0::2], both[..., 1::2]
        return high.astype(np.uint16) << 8 | low
    pixels = _pass(open_image(), rawmode).astype(np.uint16)
    pixels <<= 8
    pixels |= _pass(open_image(), rawmode[:-1] + "L")
    return pixels


def png_rawmode(image: PngImageFile) -> str | None:
    """Return the raw mode of a PNG whose 16-bit samples Pillow would reduce; None for any other."""
    rawmode = image.tile[0].args if image.tile else None
    return rawmode if rawmode in ("RGB;16B", "RGBA;16B", "LA;16B") else None


def _pass(image: Any, rawmode: str) -> np.ndarray:
    image.tile = [image.tile[0]._replace(args=rawmode)]
    with image:
        image.load()
        return np.asarray(image)


def heif_pixels(stream: BinaryIO, bits: int) -> np.ndarray:
    """Decode a HEIC picture of 10 or 12 `bits` a channel, which its Pillow plugin reduces to 8: (H, W, C) uint16."""
    from pillow_heif import HeifFile

    stream.seek(0)
    file = HeifFile(stream, convert_hdr_to_8bit=False, hdr_to_16bit=False)
    image = file[file.primary_index]
    del file
    decoded = np.atleast_3d(np.asarray(image))
    pixels = np.empty(decoded.shape, np.uint16)
    most = 2**bits - 1
    for top in range(0, len(pixels), _ROWS):  # a wider copy of the whole picture would take twice its size
        rows = decoded[top : top + _ROWS].astype(np.uint32)
        pixels[top : top + _ROWS] = (rows * 65535 + most // 2) // most
    return pixels
