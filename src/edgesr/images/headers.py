"""Fields of file headers that are needed before Pillow opens the file, or that Pillow does not expose."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import BinaryIO

from PIL import Image

from edgesr.images import parts

# JPEG XL's short forms of a size: the ratio of width to height, by its code.
_JXL_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_JXL_HEADER_BYTES = 48  # enough for the signature and all fields up to the animation flag


def early_size(name: str, stream: BinaryIO) -> tuple[int, int] | None:
    """Return width and height for the formats whose decoder allocates or decodes as soon as it is opened.

    None for the other formats, and for an unknown header, which the decoder then refuses.
    """
    stream.seek(0)
    if name == "WEBP":
        return _webp_size(stream.read(32))
    if name == "JXL" and (bits := _jxl_header(stream)):
        return _jxl_size(bits)
    return None


def jxl_is_animated(stream: BinaryIO) -> bool:
    """Tell whether a JPEG XL states that it is an animation, of which its decoder would show the first frame."""
    stream.seek(0)
    bits = _jxl_header(stream)
    if bits is None:
        return False
    _jxl_size(bits)
    all_default, further = bits.take(1), bits.take(1)
    if all_default or not further:
        return False
    bits.take(3)  # orientation
    if bits.take(1):
        _jxl_size(bits)
    if bits.take(1):
        _pass_jxl_preview(bits)
    return bool(bits.take(1))


def scale_png_key(stream: BinaryIO, image: Image.Image) -> None:
    """Scale a PNG's transparent grey from 2 or 4 bits to 8, like its decoded pixels."""
    stream.seek(24)
    depth = stream.read(1)[0]
    key = image.info.get("transparency")
    if image.mode == "L" and depth in (2, 4) and isinstance(key, int):
        image.info["transparency"] = key * 255 // (2**depth - 1)


def png_cicp(stream: BinaryIO) -> tuple[int, int] | None:
    """Return colour primaries and transfer of a PNG's cICP chunk, which takes precedence over all others; None without one."""
    for chunk in parts.png_chunks(stream):
        if chunk.kind == b"IDAT":
            break
        if chunk.kind == b"cICP":
            stream.seek(chunk.start)
            primaries, transfer = stream.read(2)
            return primaries, transfer
    return None


def avif_properties(stream: BinaryIO) -> tuple[int, tuple[int, int] | None]:
    """Return an AVIF's bits a channel, and its colour primaries and transfer if it states them as code points."""
    bits, cicp = 8, None
    for kind, start, _ in reversed(parts.properties(stream)):  # so that the first one, the picture's own, counts
        stream.seek(start)
        data = stream.read(8)
        if kind == b"av1C" and len(data) > 2:
            bits = 8 if not data[2] & 0x40 else 12 if data[2] & 0x20 else 10
        elif kind == b"colr" and data[:4] == b"nclx" and len(data) == 8:
            cicp = int.from_bytes(data[4:6], "big"), int.from_bytes(data[6:8], "big")
    return bits, cicp


def avif_crop(stream: BinaryIO, width: int, height: int) -> tuple[slice, slice] | None:
    """Return the rows and columns of an AVIF's clean aperture (clap), which its decoder ignores; None without one.

    It applies to the decoded pixels, before they are turned upright. Raises ValueError if it is not one rectangle of whole pixels
    inside the picture.
    """
    boxes = [box for box in parts.properties(stream) if box.kind == b"clap"]
    contents = set()
    for box in boxes:
        stream.seek(box.start)
        contents.add(stream.read(32))
    if not contents:
        return None
    if len(contents) > 1 or len(content := contents.pop()) < 32:
        raise ValueError("its clean aperture (clap) cannot be read")
    numbers = struct.unpack(">IIIIiIiI", content)
    if 0 in numbers[1::2]:
        raise ValueError("its clean aperture (clap) cannot be read")
    wide, high, right, down = (Fraction(above, below) for above, below in zip(numbers[::2], numbers[1::2], strict=True))
    left, top = right + (width - wide) / 2, down + (height - high) / 2
    edges = [top, top + high, left, left + wide]
    if any(edge.denominator > 1 for edge in edges) or not (
        0 <= top < top + high <= height and 0 <= left < left + wide <= width
    ):
        raise ValueError("its clean aperture (clap) is no rectangle of whole pixels inside the picture: crop the picture first")
    return slice(int(edges[0]), int(edges[1])), slice(int(edges[2]), int(edges[3]))


def _webp_size(header: bytes) -> tuple[int, int] | None:
    kind = header[12:16]
    if len(header) < 30:
        return None
    if kind == b"VP8X":
        return int.from_bytes(header[24:27], "little") + 1, int.from_bytes(header[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(header[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", header, 26)
    return width & 0x3FFF, height & 0x3FFF


def _jxl_codestream(stream: BinaryIO) -> bytes:
    """Return the first bytes of a JPEG XL codestream, bare or in a container's box; b"" if there is none."""
    head = stream.read(_JXL_HEADER_BYTES)
    if head.startswith(b"\xff\x0a"):
        return head
    for kind, start, _ in parts.boxes(stream, 0, stream.seek(0, 2)):
        if kind in (b"jxlc", b"jxlp"):
            stream.seek(start + (4 if kind == b"jxlp" else 0))  # a partial codestream's box is numbered
            return stream.read(_JXL_HEADER_BYTES)
    return b""


class _Bits:
    """Bit reader of a JPEG XL codestream, lowest bit first."""

    def __init__(self, codestream: bytes) -> None:
        self._bits, self._at = int.from_bytes(codestream[2:], "little"), 0

    def take(self, count: int) -> int:
        self._at += count
        return self._bits >> (self._at - count) & (2**count - 1)

    def one_of(self, *kinds: tuple[int, int]) -> int:
        """Return a number of one of four kinds: a base and the bits that are added to it."""
        base, count = kinds[self.take(2)]
        return base + self.take(count)


def _jxl_header(stream: BinaryIO) -> _Bits | None:
    codestream = _jxl_codestream(stream)
    return _Bits(codestream) if len(codestream) >= 4 and codestream.startswith(b"\xff\x0a") else None


def _jxl_size(bits: _Bits) -> tuple[int, int]:
    """Return width and height."""
    small = bits.take(1)

    def side() -> int:
        return (bits.take(5) + 1) * 8 if small else bits.one_of((1, 9), (1, 13), (1, 18), (1, 30))

    height = side()
    ratio = bits.take(3)
    if ratio == 0:
        return side(), height
    above, below = _JXL_RATIOS[ratio]
    return height * above // below, height


def _pass_jxl_preview(bits: _Bits) -> None:
    eighths = bits.take(1)

    def side() -> int:
        return (
            bits.one_of((16, 0), (32, 0), (1, 5), (33, 9)) if eighths else bits.one_of((1, 6), (65, 8), (321, 10), (1345, 12))
        )

    side()
    if bits.take(3) == 0:
        side()
