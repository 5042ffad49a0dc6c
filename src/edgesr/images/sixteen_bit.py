"""Samples of more than 8 bits in PNG and HEIC, which Pillow alone would cut, and the PNG writer that keeps them.

Pillow's C decoder unpacks each sample's first byte under one name of the raw mode and its second byte under another:
two passes give all 16 bits, for interlaced files too. The writer needs nothing but zlib.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import numpy as np
from PIL.PngImagePlugin import PngImageFile, PngInfo

from edgesr.images.picture import Picture

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # PNG's, by the number of channels
_BAND = 128  # rows filtered at a time: large enough for numpy, small beside the picture


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
    """Return the raw mode of a PNG whose 16-bit samples Pillow would cut; None for any other."""
    rawmode = image.tile[0].args if image.tile else None
    return rawmode if rawmode in ("RGB;16B", "RGBA;16B", "LA;16B") else None


def _pass(image: Any, rawmode: str) -> np.ndarray:
    image.tile = [image.tile[0]._replace(args=rawmode)]
    with image:
        image.load()
        return np.asarray(image)


def heif_pixels(stream: BinaryIO, bits: int) -> np.ndarray:
    """Decode a HEIC picture of 10 or 12 `bits` a channel, which its Pillow plugin cuts to 8: (H, W, C) uint16."""
    from pillow_heif import HeifFile  # noqa: PLC0415 -- an extra

    stream.seek(0)
    file = HeifFile(stream, convert_hdr_to_8bit=False, hdr_to_16bit=False)
    pixels = np.atleast_3d(np.asarray(file[file.primary_index])).astype(np.uint32)
    top = 2**bits - 1
    return ((pixels * 65535 + top // 2) // top).astype(np.uint16)


def png_texts(picture: Picture) -> PngInfo:
    """Return the chunks that hold a picture's XMP and its text."""
    info = PngInfo()
    if picture.xmp:
        info.add(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + picture.xmp)
    for keyword, text in picture.text.items():
        info.add_text(keyword, text)
    return info


def write_png(stream: BinaryIO, picture: Picture) -> None:
    """Write a picture of 16-bit pixels as a PNG, compressing a band of rows at a time."""
    height, width, channels = picture.pixels.shape
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPES[channels], 0, 0, 0))]
    if picture.icc:
        chunks.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(picture.icc)))
    if picture.dpi:
        per_metre = [round(value / 0.0254) for value in picture.dpi]
        chunks.append((b"pHYs", struct.pack(">IIB", *per_metre, 1)))
    if picture.exif:
        chunks.append((b"eXIf", picture.exif))
    chunks += [(kind, data) for kind, data, *_ in png_texts(picture).chunks]
    stream.write(b"\x89PNG\r\n\x1a\n")
    _write_chunks(stream, chunks)
    _write_chunks(stream, ((b"IDAT", data) for data in _compressed(picture.pixels)))
    _write_chunks(stream, [(b"IEND", b"")])


def _write_chunks(stream: BinaryIO, chunks: Iterable[tuple[bytes, bytes]]) -> None:
    for kind, data in chunks:
        stream.write(struct.pack(">I", len(data)) + kind + data)
        stream.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))


def _compressed(pixels: np.ndarray) -> Iterator[bytes]:
    """Yield the zlib stream of the filtered rows in pieces."""
    compressor = zlib.compressobj(6)
    bytes_per_pixel = 2 * pixels.shape[2]
    above = np.zeros(pixels.shape[1] * bytes_per_pixel, np.uint8)
    for top in range(0, len(pixels), _BAND):
        rows = pixels[top : top + _BAND].astype(">u2").view(np.uint8).reshape(-1, above.size)
        if piece := compressor.compress(_filtered(rows, above, bytes_per_pixel)):
            yield piece
        above = rows[-1]
    yield compressor.flush()


def _filtered(rows: np.ndarray, above: np.ndarray, bytes_per_pixel: int) -> bytes:
    """Filter rows (N, bytes), each so that the least sum of differences is left, as the PNG standard advises."""
    up = np.concatenate([above[None], rows[:-1]])
    left, upper_left = np.zeros_like(rows), np.zeros_like(rows)
    left[:, bytes_per_pixel:] = rows[:, :-bytes_per_pixel]
    upper_left[:, bytes_per_pixel:] = up[:, :-bytes_per_pixel]
    filtered = {0: rows, 1: rows - left, 2: rows - up, 4: rows - _paeth(left, up, upper_left)}
    costs = np.stack([np.abs(data.view(np.int8).astype(np.int16)).sum(axis=1, dtype=np.int64) for data in filtered.values()])
    best = costs.argmin(axis=0)
    out = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
    for index, (number, data) in enumerate(filtered.items()):
        chosen = best == index
        out[chosen, 0] = number
        out[chosen, 1:] = data[chosen]
    return out.tobytes()


def _paeth(left: np.ndarray, up: np.ndarray, upper_left: np.ndarray) -> np.ndarray:
    """Predict each byte as the neighbour closest to left + up - upper left; ties go in that order."""
    a, b, c = (part.astype(np.int16) for part in (left, up, upper_left))
    to_a, to_b, to_c = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    return np.where((to_a <= to_b) & (to_a <= to_c), left, np.where(to_b <= to_c, up, upper_left))
