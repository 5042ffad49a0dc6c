"""JPEG segments that are kept as they are: Photoshop's, which contain IPTC, and extended XMP."""

from __future__ import annotations

import struct
from typing import BinaryIO

from edgesr.images import parts

_PHOTOSHOP, _EXTENDED_XMP = b"Photoshop 3.0\0", b"http://ns.adobe.com/xmp/extension/\0"
_APP1, _APP13, COMMENT = b"\xe1", b"\xed", b"\xfe"
_LONGEST = 65533  # bytes in a segment
_THUMBNAILS = {0x0409, 0x040C}  # Photoshop's thumbnail resources
NAMES = {_APP1: "extended XMP", _APP13: "IPTC and Photoshop data"}


def kept(stream: BinaryIO) -> list[tuple[bytes, bytes]]:
    """Return marker and content of a JPEG's segments that are to be kept; Photoshop's without its thumbnail."""
    extended, photoshop = [], b""
    for part in parts.jpeg_segments(stream):
        if part.kind not in NAMES:
            continue
        stream.seek(part.start)
        content = stream.read(part.end - part.start)
        if part.kind == _APP1 and content.startswith(_EXTENDED_XMP):
            extended.append((_APP1, content))
        elif part.kind == _APP13 and content.startswith(_PHOTOSHOP):
            photoshop += content[len(_PHOTOSHOP) :]
    room = _LONGEST - len(_PHOTOSHOP)
    resources = _without_thumbnails(photoshop)
    pieces = [resources[at : at + room] for at in range(0, len(resources), room)]
    return extended + [(_APP13, _PHOTOSHOP + piece) for piece in pieces]


def packed(segments: list[tuple[bytes, bytes]]) -> bytes:
    """Return the bytes of segments in a file."""
    return b"".join(b"\xff" + marker + struct.pack(">H", len(content) + 2) + content for marker, content in segments)


def _without_thumbnails(resources: bytes) -> bytes:
    """Remove the thumbnails from Photoshop's resources; unknown data stays as it is."""
    out, at = [], 0
    while resources[at : at + 4] == b"8BIM" and at + 7 <= len(resources):
        name_end = at + 7 + resources[at + 6]
        data = name_end + (name_end - at) % 2 + 4
        end = data + int.from_bytes(resources[data - 4 : data], "big")
        end += (end - at) % 2
        if end > len(resources):
            break
        if int.from_bytes(resources[at + 4 : at + 6], "big") not in _THUMBNAILS:
            out.append(resources[at:end])
        at = end
    return b"".join(out) + resources[at:]
