"""Image file directories, the tag lists that TIFF files and EXIF blocks are made of: read and packed byte by byte.

Values stay raw bytes in the file's own byte order, so that nothing is lost to an interpretation of them.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple

EXIF_IFD, GPS_IFD, INTEROP_IFD = 34665, 34853, 40965
BYTE, SHORT, LONG, RATIONAL, UNDEFINED, LONG8 = 1, 3, 4, 5, 7, 16
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_MOST_ENTRIES = 4096  # a directory that claims more is damaged
_MOST_BYTES = 2**26  # of all values of a directory; more is damage or an attack
_MOST_DIRECTORIES = 1000  # in a chain


class Entry(NamedTuple):
    """One tag of a directory; `value` holds its bytes in the file's byte order."""

    tag: int
    type: int
    items: int
    value: bytes
    position: int = 0  # of the entry itself, bytes from the start
    at: int = 0  # of its value, bytes from the start


class Directory(NamedTuple):
    """One directory: its readable entries by tag, where it lies, and where its successor lies (0: none)."""

    entries: dict[int, Entry]
    offset: int
    next_at: int  # where the successor's offset is stored
    next: int


class Tags(NamedTuple):
    """The directories that describe a photograph; `order` is "<" or ">"."""

    order: str
    image: dict[int, Entry]
    exif: dict[int, Entry]
    gps: dict[int, Entry]
    interop: dict[int, Entry]


def read_header(stream: BinaryIO) -> tuple[str, bool, int]:
    """Return byte order, whether it is a BigTIFF, and the first directory's offset. Raises ValueError if damaged."""
    stream.seek(0)
    head = stream.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        raise ValueError("no TIFF header")
    magic = struct.unpack_from(order + "H", head, 2)[0]
    if magic == 42:
        return order, False, struct.unpack_from(order + "I", head, 4)[0]
    if magic == 43 and len(head) == 16:
        return order, True, struct.unpack_from(order + "Q", head, 8)[0]
    raise ValueError("no TIFF header")


def read_directory(stream: BinaryIO, order: str, offset: int, *, big: bool = False) -> Directory:
    """Read the directory at `offset`, leaving out entries whose value lies outside. Raises ValueError if damaged."""
    count_code, entry_code, word = ("Q", "HHQ", 8) if big else ("H", "HHI", 4)
    try:
        stream.seek(offset)
        count = struct.unpack(order + count_code, stream.read(struct.calcsize(count_code)))[0]
        if offset == 0 or count > _MOST_ENTRIES:
            raise ValueError("damaged directory")
        start, size = stream.tell(), 4 + 2 * word
        table = stream.read(count * size + word)
        following = struct.unpack_from(order + ("Q" if big else "I"), table, count * size)[0]
        entries, left = {}, _MOST_BYTES
        for index in range(count):
            tag, kind, number = struct.unpack_from(order + entry_code, table, index * size)
            inline = index * size + 4 + word
            length = _SIZES.get(kind, 0) * number
            at = start + inline
            if length > word:
                at = struct.unpack_from(order + ("Q" if big else "I"), table, inline)[0]
            if 0 < length <= left and tag not in entries:  # of a tag that is there twice, readers see the first
                left -= length
                stream.seek(at)
                value = stream.read(length)
                if len(value) == length:
                    entries[tag] = Entry(tag, kind, number, value, start + index * size, at)
    except (struct.error, OverflowError, OSError) as error:
        raise ValueError("damaged directory") from error
    return Directory(entries, offset, start + count * size, following)


def read_tags(stream: BinaryIO) -> Tags:
    """Read the directories of an EXIF block or a TIFF file. Raises ValueError if the first one is damaged.

    A damaged sub-directory counts as empty: the rest is still good.
    """
    order, big, first = read_header(stream)
    image = read_directory(stream, order, first, big=big).entries

    def under(entries: dict[int, Entry], tag: int) -> dict[int, Entry]:
        offset = number(order, entries.get(tag))
        try:
            return read_directory(stream, order, offset, big=big).entries if offset else {}
        except ValueError:
            return {}

    exif = under(image, EXIF_IFD)
    return Tags(order, image, exif, under(image, GPS_IFD), under(exif, INTEROP_IFD))


def directories(stream: BinaryIO) -> list[Directory]:
    """Read the chain of directories of a TIFF file, one a page. Raises ValueError for one without end."""
    order, big, offset = read_header(stream)
    chain: list[Directory] = []
    while offset:
        if len(chain) == _MOST_DIRECTORIES or any(offset == directory.offset for directory in chain):
            raise ValueError("a chain of pages without end")
        chain.append(read_directory(stream, order, offset, big=big))
        offset = chain[-1].next
    return chain


def number(order: str, entry: Entry | None) -> int | None:
    """Return an entry's first whole number; None where there is none."""
    if entry is None:
        return None
    code = {BYTE: "B", SHORT: "H", LONG: "I", 13: "I", LONG8: "Q", 18: "Q"}.get(entry.type)
    return None if code is None else int(struct.unpack_from(order + code, entry.value)[0])


def rational(order: str, entry: Entry | None) -> float | None:
    """Return an entry's first fraction; None where there is none, or its denominator is 0."""
    if entry is None or entry.type != RATIONAL:
        return None
    above, below = struct.unpack_from(order + "II", entry.value)
    return float(above / below) if below else None


def pack_directory(order: str, entries: dict[int, Entry], offset: int, *, big: bool = False) -> bytes:
    """Lay out a directory that will stand at `offset`, the values that do not fit into it right behind it."""
    count_code, entry_code, word = ("Q", "HHQ", 8) if big else ("H", "HHI", 4)
    table = bytearray(struct.pack(order + count_code, len(entries)))
    values = bytearray()
    values_at = offset + len(table) + len(entries) * (4 + 2 * word) + word
    for _, entry in sorted(entries.items()):
        table += struct.pack(order + entry_code, entry.tag, entry.type, entry.items)
        if len(entry.value) <= word:
            table += entry.value.ljust(word, b"\0")
        else:
            table += struct.pack(order + ("Q" if big else "I"), values_at + len(values))
            values += entry.value + bytes(len(entry.value) % 2)
    return bytes(table + bytes(word) + values)


def pack_tags(tags: Tags, offset: int, *, big: bool = False) -> bytes:
    """Lay out a photograph's directories from `offset` on, the first one first, with the pointers between them."""

    def with_pointer(entries: dict[int, Entry], tag: int, to: int) -> dict[int, Entry]:
        code, kind = ("Q", LONG8) if big else ("I", LONG)
        return {**entries, tag: Entry(tag, kind, 1, struct.pack(tags.order + code, to))}

    def build(image_pointers: dict[int, int], interop_at: int) -> list[bytes]:
        image, exif, at, parts = tags.image, tags.exif, offset, []
        for tag, to in image_pointers.items():
            image = with_pointer(image, tag, to)
        if tags.interop:
            exif = with_pointer(exif, INTEROP_IFD, interop_at)
        for entries in (image, exif, tags.gps, tags.interop):
            parts.append(pack_directory(tags.order, entries, at, big=big) if entries else b"")
            at += len(parts[-1])
        return parts

    pointers = {tag: 0 for tag, entries in ((EXIF_IFD, tags.exif), (GPS_IFD, tags.gps)) if entries}
    lengths = [len(part) for part in build(pointers, 0)]  # a pointer's value does not change any length
    places = {EXIF_IFD: offset + lengths[0], GPS_IFD: offset + sum(lengths[:2])}
    return b"".join(build({tag: places[tag] for tag in pointers}, offset + sum(lengths[:3])))
