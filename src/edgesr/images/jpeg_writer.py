"""Write a JPEG strip by strip: Pillow encodes each strip, and their compressed data are joined in one file.

A JPEG may restart its coding after any number of 8x8 blocks. A strip of whole blocks, coded with the same tables, is therefore
bit-identical to one restart interval of the whole picture.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import BinaryIO

import numpy as np

from edgesr.images.bands import Bands

ROWS_OF_BLOCKS = 8  # a strip: few enough for the longest restart interval, 65535 blocks, in the widest JPEG
_HEADERS = {0xC0, 0xC1}  # the segments that state the size, of the two codings that Pillow writes: baseline and extended
_SCAN = 0xDA
_RESTART = 0xD0  # to 0xD7, by turns


def write(stream: BinaryIO, bands: Bands, encode: Callable[[np.ndarray, bool], bytes]) -> None:
    """Write bands as one JPEG.

    `encode(rows, first)` returns rows (h, W, C) as a whole JPEG with restart intervals of `ROWS_OF_BLOCKS` rows of blocks, with
    the picture's metadata in the `first` one. Chroma must not be subsampled.
    """
    for number, rows in enumerate(bands.of_height(8 * ROWS_OF_BLOCKS)):
        data = encode(rows, number == 0)
        size, scan = _places(data)
        if number == 0:
            stream.write(data[:size] + struct.pack(">H", bands.shape[0]) + data[size + 2 : scan])
        else:
            stream.write(bytes([0xFF, _RESTART + (number - 1) % 8]))
        stream.write(data[scan:-2])
    stream.write(b"\xff\xd9")


def _places(data: bytes) -> tuple[int, int]:
    """Return the offsets of a JPEG's height and of its compressed data."""
    at, size = 2, 0
    while True:
        kind, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if kind in _HEADERS:
            size = at + 5
        at += 2 + length
        if kind == _SCAN:
            return size, at
