"""Iterate over the parts of files without reading them: PNG chunks, JPEG segments, boxes of AVIF, HEIC and JPEG XL.

Decoders keep a record of each part, so files with more parts than any real picture are refused here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

_MOST = 10_000  # parts of a file beside those that hold its pixels
_SCAN, _END = 0xDA, 0xD9  # JPEG's markers of compressed data and of the end
_BARE = {0x01, *range(0xD0, 0xD9)}  # markers that no length follows


class Part(NamedTuple):
    """One part of a file: what kind it is, and where its content lies."""

    kind: bytes
    start: int
    end: int


def check(name: str, stream: BinaryIO) -> None:
    """Raise ValueError if the file, of the format called `name`, consists of more parts than its decoder should see."""
    if name == "PNG":
        for _ in png_chunks(stream):
            pass
    elif name == "JPEG":
        for _ in jpeg_segments(stream):
            pass
    elif name in ("AVIF", "HEIF"):
        properties(stream)


def png_chunks(stream: BinaryIO) -> Iterator[Part]:
    """Yield a PNG's chunks up to its end or that of the file; raises ValueError for too many."""
    at, count = 8, 0
    while True:
        stream.seek(at)
        head = stream.read(8)
        if len(head) < 8:
            return
        part = Part(head[4:], at + 8, at + 8 + int.from_bytes(head[:4], "big"))
        count += part.kind != b"IDAT"
        if count > _MOST:
            raise ValueError("too many chunks")
        yield part
        if part.kind == b"IEND":
            return
        at = part.end + 4


def jpeg_segments(stream: BinaryIO) -> Iterator[Part]:
    """Yield a JPEG's segments before its compressed data, their kind the marker's second byte; raises ValueError for too many."""
    at = 2
    for _ in range(_MOST):
        stream.seek(at)
        head = stream.read(4)
        if len(head) < 4 or head[0] != 0xFF or head[1] in (_SCAN, _END):
            return
        if head[1] == 0xFF:  # a byte of padding
            at += 1
        elif head[1] in _BARE:
            at += 2
        else:
            at += 2 + max(2, int.from_bytes(head[2:], "big"))
            yield Part(head[1:2], stream.tell(), at)
    raise ValueError("too many segments")


def boxes(stream: BinaryIO, at: int, end: int) -> Iterator[Part]:
    """Yield the boxes that follow each other from `at` to `end`, without their heads; raises ValueError for too many."""
    for _ in range(_MOST):
        if at + 8 > end:
            return
        stream.seek(at)
        head = stream.read(16)
        length, start = int.from_bytes(head[:4], "big"), at + 8
        if length == 1:
            length, start = int.from_bytes(head[8:16], "big"), at + 16
        following = at + length if length else end
        if following < start:
            return
        yield Part(head[4:8], start, min(following, end))
        at = following
    raise ValueError("too many boxes")


def properties(stream: BinaryIO) -> list[Part]:
    """Return the boxes that describe the pictures of an AVIF or HEIC; raises ValueError for too many."""
    start, end = 0, stream.seek(0, 2)
    for wanted, skipped in ((b"meta", 4), (b"iprp", 0), (b"ipco", 0)):
        found = next((box for box in boxes(stream, start, end) if box.kind == wanted), Part(wanted, 0, 0))
        start, end = found.start + skipped, found.end
    return [*boxes(stream, start, end)]
