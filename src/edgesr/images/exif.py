"""Edit EXIF blocks in place: MakerNote, GPS and everything else keep their bytes and offsets.

Rewriting a block moves its values, which breaks a MakerNote whose offsets count from the start of the block. So only the numbers
that depend on the pixels are patched. The EXIF of a TIFF is rebuilt, because it is part of the file's own directory.
"""

from __future__ import annotations

import io
import re
import struct
from contextlib import suppress

from edgesr.images.ifd import (
    LONG,
    SHORT,
    Directory,
    Entry,
    Tags,
    number,
    pack_tags,
    read_directory,
    read_header,
    read_tags,
)

ORIENTATION = 274
_WIDTHS = {256, 40962}  # ImageWidth, PixelXDimension
_HEIGHTS = {257, 40963}  # ImageLength, PixelYDimension
_THUMBNAIL_SPANS = ((513, 514), (273, 279))  # offset and length: of a JPEG, of an uncompressed one
PREFIX = b"Exif\0\0"

# Scientific programs describe the layout of the file's pixels here, which does not hold for the new file.
_DESCRIPTION = 270
_LAYOUT = re.compile(rb'\{"shape":|ImageJ=|(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<OME\b', re.DOTALL)

# The first directory's tags that describe the photograph; the others describe how a TIFF file is stored.
_DESCRIPTIVE = {
    *(269, 270, 271, 272, 305, 306, 315, 316, 33432, 33723, 50341),  # names, maker, dates, copyright, IPTC, PrintIM
    *(18246, 18249, 40091, 40092, 40093, 40094, 40095),  # ratings; Windows' title, comment, author, keywords, subject
}


def bare(block: bytes | None) -> bytes | None:
    """Return an EXIF block without the prefix that JPEG puts before it; None for an empty one."""
    while block and block.startswith(PREFIX):
        block = block[len(PREFIX) :]
    return block or None


def orientation(block: bytes) -> int | None:
    """Return the orientation tag, 1..8; None if absent or out of range. Raises ValueError for a damaged block."""
    tags = read_tags(io.BytesIO(block))
    value = number(tags.order, tags.image.get(ORIENTATION))
    return value if value is not None and 1 <= value <= 8 else None


def refreshed(block: bytes, width: int, height: int) -> bytes:
    """Return the block for upright pixels of `width` x `height`: orientation 1, these sizes, no thumbnail.

    Raises ValueError for a block whose first directory cannot be read.
    """
    order, first = _order_and_first(block)
    stream = io.BytesIO(block)
    image = read_directory(stream, order, first)
    edited = bytearray(block)
    for entries in (image.entries, read_tags(stream).exif):
        for tag, entry in entries.items():
            if tag == ORIENTATION:
                _patch(edited, order, entry, 1)
            elif tag in _WIDTHS:
                _patch(edited, order, entry, width)
            elif tag in _HEIGHTS:
                _patch(edited, order, entry, height)
    if image.next:
        struct.pack_into(order + "I", edited, image.next_at, 0)
        with suppress(ValueError):  # an invalid pointer: no thumbnail to erase
            _erase_thumbnail(edited, order, read_directory(stream, order, image.next))
    return bytes(edited)


def without_orientation(block: bytes) -> bytes:
    """Return the block without its orientation tag, which means 1: AVIF has a box for the orientation."""
    order, first = _order_and_first(block)
    image = read_directory(io.BytesIO(block), order, first)
    if ORIENTATION not in image.entries:
        return block
    start, end = image.entries[ORIENTATION].position, image.next_at + 4
    count = struct.unpack_from(order + "H", block, first)[0]
    edited = bytearray(block)
    struct.pack_into(order + "H", edited, first, count - 1)
    edited[start:end] = block[start + 12 : end] + bytes(12)
    return bytes(edited)


def from_tiff(tags: Tags) -> bytes | None:
    """Build an EXIF block of a TIFF file's tags, leaving out how its pixels are stored; None if nothing is left."""
    described = descriptive(tags)
    if not (described.image or described.exif or described.gps):
        return None
    head = b"II*\0\x08\0\0\0" if tags.order == "<" else b"MM\0*\0\0\0\x08"
    return head + pack_tags(described, len(head))


def descriptive(tags: Tags) -> Tags:
    """Return the tags that describe the photograph rather than a file's structure."""
    image = {tag: entry for tag, entry in tags.image.items() if tag in _DESCRIPTIVE}
    if _DESCRIPTION in image and _LAYOUT.match(image[_DESCRIPTION].value):
        del image[_DESCRIPTION]
    return tags._replace(image=image)


def _order_and_first(block: bytes) -> tuple[str, int]:
    order, big, first = read_header(io.BytesIO(block))
    if big:
        raise ValueError("EXIF in BigTIFF form")
    return order, first


def _patch(block: bytearray, order: str, entry: Entry, value: int) -> None:
    """Overwrite an entry of one number; a SHORT too small for `value` becomes a LONG, for which the field has room."""
    if entry.items != 1 or entry.type not in (SHORT, LONG):
        return
    if entry.type == LONG or value > 0xFFFF:
        struct.pack_into(order + "HII", block, entry.position + 2, LONG, 1, value)
    else:
        struct.pack_into(order + "H", block, entry.at, value)


def _erase_thumbnail(block: bytearray, order: str, thumbnail: Directory) -> None:
    """Blank a thumbnail's pixels and its directory; remove them if they are at the end of the block, as they usually are."""
    spans = [(thumbnail.offset, thumbnail.next_at + 4)]
    spans += [(entry.at, entry.at + len(entry.value)) for entry in thumbnail.entries.values()]
    for offset_tag, length_tag in _THUMBNAIL_SPANS:
        offset = number(order, thumbnail.entries.get(offset_tag))
        length = number(order, thumbnail.entries.get(length_tag))
        if offset and length:
            spans.append((offset, offset + length))
    for start, end in sorted(spans, key=lambda span: span[1], reverse=True):
        end = min(end, len(block))  # noqa: PLW2901 -- a span may claim more than there is
        block[start:end] = bytes(max(0, end - start))
        if end == len(block) and start < end:
            del block[start:]
