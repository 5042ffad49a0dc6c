"""Find damage that decoders ignore: in JPEG by libjpeg-turbo's warnings, in PNG and deflated TIFF by their checksums."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any, BinaryIO

import simplejpeg
from PIL import ImageFile

from edgesr.images import parts

_PIECE = 2**20  # bytes
_DEFLATE = {8, 32946}  # of TIFF
_SEQUENTIAL = {b"\xc0", b"\xc1"}  # JPEG's frame headers of baseline and extended coding
_RESTARTS = b"\xdd"
_LONGEST_INTERVAL = 0xFFFF  # blocks

# libjpeg-turbo's warnings that mean lost pixels. Extra bytes before the end marker, which some cameras write, do not.
_LOST = re.compile(r"Premature end of JPEG|Corrupt JPEG data(?!: \d+ extraneous bytes before marker 0xd9)")
_lenient = RLock()


def found(name: str, stream: BinaryIO, page: Any = None) -> str | None:
    """Return what is damaged in a file of format `name`, or None. `page` is tifffile's page of a TIFF."""
    if name == "JPEG":
        return _of_jpeg(stream)
    if name == "PNG":
        return _of_png(stream)
    if name == "TIFF" and page.compression in _DEFLATE:
        return _of_deflated(stream, page)
    return None


@contextmanager
def passed_over() -> Iterator[None]:
    """Let Pillow decode the intact part of a damaged file. One thread at a time: the setting is global."""
    with _lenient:
        before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before


def _of_jpeg(stream: BinaryIO) -> str | None:
    """Decode again at an eighth of the size and return libjpeg-turbo's warning, which Pillow ignores."""
    stream.seek(0)
    data = stream.read()
    if _takes_restarts(stream):
        # Without restart intervals libjpeg-turbo takes a faster path that ignores wrong codes; one interval over all of it prevents that.
        data = data[:2] + b"\xff\xdd\0\4" + struct.pack(">H", _LONGEST_INTERVAL) + data[2:]
    try:
        simplejpeg.decode_jpeg(data, colorspace="GRAY", fastdct=True, fastupsample=True, min_height=1, min_width=1)
    except ValueError as error:
        return str(error) if _LOST.match(str(error)) else None  # unsupported, but not damaged
    return None


def _takes_restarts(stream: BinaryIO) -> bool:
    """Tell whether the JPEG has no restart intervals and is small enough for a single one."""
    blocks = 0
    for part in parts.jpeg_segments(stream):
        if part.kind == _RESTARTS:
            return False
        if part.kind in _SEQUENTIAL:
            stream.seek(part.start)
            frame = stream.read(part.end - part.start)
            if len(frame) < 9:
                return False
            height, width = struct.unpack_from(">HH", frame, 1)
            across = 8 * max(1, *(sampling >> 4 for sampling in frame[7::3]))
            down = 8 * max(1, *(sampling & 15 for sampling in frame[7::3]))
            blocks = -(-width // across) * -(-height // down)
    return 0 < blocks <= _LONGEST_INTERVAL


def _of_png(stream: BinaryIO) -> str | None:
    for chunk in parts.png_chunks(stream):
        if chunk.kind[0] & 0x20:  # not needed to show the picture
            continue
        stream.seek(chunk.start)
        checksum, left = zlib.crc32(chunk.kind), chunk.end - chunk.start
        while left and (piece := stream.read(min(left, _PIECE))):
            checksum, left = zlib.crc32(piece, checksum), left - len(piece)
        stated = stream.read(4)
        if len(stated) == 4 and int.from_bytes(stated, "big") != checksum:
            name = chunk.kind.decode("latin-1").encode("unicode_escape").decode()  # in a damaged file it is any bytes
            return f"the checksum of a chunk is wrong ({name})"
    return None


def _of_deflated(stream: BinaryIO, page: Any) -> str | None:
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        stream.seek(offset)
        unpacker, left = zlib.decompressobj(), count
        try:
            while left and not unpacker.eof and (piece := stream.read(min(left, _PIECE))):
                left -= len(piece)
                while piece and not unpacker.eof:
                    unpacker.decompress(piece, _PIECE)
                    piece = unpacker.unconsumed_tail
        except zlib.error as error:
            return f"its compressed data are wrong ({error})"
    return None
