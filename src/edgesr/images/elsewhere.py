"""Metadata that Pillow does not read: old text chunks of PNG, profiles of BMP, comments and XMP of GIF, XMP of JPEG XL."""

from __future__ import annotations

import struct
from typing import BinaryIO

from PIL import Image

from edgesr.images import parts
from edgesr.images.picture import Picture

_RAW_PROFILE = "Raw profile type "  # ImageMagick's prefix for data that had no PNG chunk
_BMP_PROFILE = (14 + 56, 14 + 112)  # offsets of a BMP's colour space and of its profile's place
_GIF_XMP, _GIF_XMP_END = b"\x21\xff\x0bXMP DataXMP", b"\x01\xff\xfe\xfd\xfc"
_MOST = 2**26  # bytes of a profile or a packet


def add(picture: Picture, image: Image.Image, stream: BinaryIO) -> None:
    """Add the metadata of the file in `stream` that the loaded `image` does not have."""
    if picture.format == "PNG":
        _add_raw_profiles(picture, image)
    elif picture.format == "BMP":
        picture.icc = picture.icc or _bmp_profile(stream)
    elif picture.format == "GIF":
        comment = image.info.get("comment")
        if isinstance(comment, bytes):
            picture.text["Comment"] = comment.decode("latin-1")
        picture.xmp = picture.xmp or _gif_xmp(stream)
    elif picture.format == "JXL":
        picture.xmp = picture.xmp or _jxl_xmp(stream, picture.notes)


def decoded_raw_profile(text: object) -> bytes | None:
    """Decode a profile that ImageMagick wrote into a PNG's text: a line of its name, a line of its length, hexadecimal digits."""
    try:
        return bytes.fromhex("".join(str(text).split("\n")[3:]))
    except ValueError:
        return None


def _add_raw_profiles(picture: Picture, image: Image.Image) -> None:
    packet = image.info.get(f"{_RAW_PROFILE}xmp")
    if packet is not None and picture.xmp is None:
        picture.xmp = decoded_raw_profile(packet) or None
    if any(f"{_RAW_PROFILE}{kind}" in image.info for kind in ("iptc", "8bim")):
        picture.notes.append("IPTC dropped: it is only kept from JPEG files")


def _bmp_profile(stream: BinaryIO) -> bytes | None:
    stream.seek(0)
    header = stream.read(138)
    if len(header) < 138 or header[_BMP_PROFILE[0] :][:4] != b"DEBM":
        return None
    offset, length = struct.unpack_from("<II", header, _BMP_PROFILE[1])
    stream.seek(14 + offset)
    icc = stream.read(min(length, _MOST))
    return icc if len(icc) == length else None


def _gif_xmp(stream: BinaryIO) -> bytes | None:
    stream.seek(0)
    _, found, rest = stream.read().partition(_GIF_XMP)
    packet, ended, _ = rest.partition(_GIF_XMP_END)
    return packet if found and ended else None


def _jxl_xmp(stream: BinaryIO, notes: list[str]) -> bytes | None:
    end = stream.seek(0, 2)
    stream.seek(0)
    if stream.read(2) == b"\xff\x0a":  # a bare codestream
        return None
    for box in parts.boxes(stream, 0, end):
        stream.seek(box.start)
        if box.kind == b"xml ":
            return stream.read(min(box.end - box.start, _MOST))
        if box.kind == b"brob" and stream.read(4) == b"xml ":
            notes.append("compressed XMP dropped: it cannot be read")
    return None
