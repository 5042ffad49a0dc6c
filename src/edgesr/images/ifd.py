"""Read and write image file directories, the tag lists of TIFF files and EXIF blocks.

Values stay raw bytes in the byte order of the file, so that nothing is lost.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

EXIF_IFD, GPS_IFD, INTEROP_IFD = 34665, 34853, 40965
BYTE, SHORT, LONG, RATIONAL, UNDEFINED, LONG8 = 1, 3, 4, 5, 7, 16
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_MOST_ENTRIES = 4096  # a directory that claims more is damaged
_MOST_BYTES = 2**26  # of values read from one file; more is damage or an attack
_MOST_DIRECTORIES = 1000  # in a chain
_MOST_STRIPS = 2**21  # stated by a page: each costs readers far more memory than its 8 bytes
_OF_STRIPS = {273, 279, 324, 325}  # offsets and lengths of strips and tiles


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


class Budget:
    """The bytes of values that may still be read from one file, shared by its directories."""

    def __init__(self) -> None:
        self._left = _MOST_BYTES

    def takes(self, length: int) -> bool:
        """Tell whether `length` bytes are left, and take them if so."""
        if length > self._left:
            return False
        self._left -= length
        return True


class _Claim(NamedTuple):
    """One line of a directory's table, before its value is read."""

    tag: int
    type: int
    items: int
    length: int  # bytes
    position: int  # of the line itself
    at: int  # of the value


def _table(stream: BinaryIO, order: str, offset: int, big: bool) -> tuple[list[_Claim], int, int]:
    """Read the table at `offset`, no value: its lines, where the successor's offset is stored, and that offset."""
    count_code, entry_code, word = ("Q", "HHQ", 8) if big else ("H", "HHI", 4)
    try:
        stream.seek(offset)
        count = struct.unpack(order + count_code, stream.read(struct.calcsize(count_code)))[0]
        if offset == 0 or count > _MOST_ENTRIES:
            raise ValueError("damaged directory")
        start, size = stream.tell(), 4 + 2 * word
        table = stream.read(count * size + word)
        following = struct.unpack_from(order + ("Q" if big else "I"), table, count * size)[0]
        claims = []
        for index in range(count):
            tag, kind, number = struct.unpack_from(order + entry_code, table, index * size)
            inline = index * size + 4 + word
            length = _SIZES.get(kind, 0) * number
            at = start + inline
            if length > word:
                at = struct.unpack_from(order + ("Q" if big else "I"), table, inline)[0]
            claims.append(_Claim(tag, kind, number, length, start + index * size, at))
    except (struct.error, OverflowError, OSError) as error:
        raise ValueError("damaged directory") from error
    return claims, start + count * size, following


def _entries(stream: BinaryIO, claims: list[_Claim], budget: Budget) -> Iterator[tuple[int, Entry]]:
    """Yield the entries whose value lies inside the file and the budget; of a duplicate tag the first, as other readers do."""
    seen = set()
    for tag, kind, items, length, position, at in claims:
        if length == 0 or tag in seen or not budget.takes(length):
            continue
        try:
            stream.seek(at)
        except (OverflowError, OSError) as error:
            raise ValueError("damaged directory") from error
        value = stream.read(length)
        if len(value) == length:
            seen.add(tag)
            yield tag, Entry(tag, kind, items, value, position, at)


def read_directory(stream: BinaryIO, order: str, offset: int, *, big: bool = False, budget: Budget | None = None) -> Directory:
    """Read the directory at `offset`, leaving out entries whose value lies outside. Raises ValueError if damaged.

    Directories of one file share a `budget`; values beyond it are left out too.
    """
    claims, next_at, following = _table(stream, order, offset, big)
    return Directory(dict(_entries(stream, claims, budget or Budget())), offset, next_at, following)


def read_tags(stream: BinaryIO) -> Tags:
    """Read the directories of an EXIF block or a TIFF file. Raises ValueError if the first one is damaged.

    A damaged sub-directory counts as empty: the rest is still good.
    """
    order, big, first = read_header(stream)
    budget = Budget()
    image = read_directory(stream, order, first, big=big, budget=budget).entries

    def under(entries: dict[int, Entry], tag: int) -> dict[int, Entry]:
        offset = number(order, entries.get(tag))
        try:
            return read_directory(stream, order, offset, big=big, budget=budget).entries if offset else {}
        except ValueError:
            return {}

    exif = under(image, EXIF_IFD)
    return Tags(order, image, exif, under(image, GPS_IFD), under(exif, INTEROP_IFD))


def page_numbers(stream: BinaryIO, tag: int) -> list[int | None]:
    """Return the number that each page of a TIFF file states by `tag`, None where it does not; no other value is read.

    Raises ValueError where its pages form a cycle, and where the first page states values of more bytes than the file
    can hold: a reader that trusts them runs out of memory.
    """
    order, big, offset = read_header(stream)
    size = stream.seek(0, 2)
    numbers: list[int | None] = []
    visited: set[int] = set()
    while offset:
        if len(visited) == _MOST_DIRECTORIES or offset in visited:
            raise ValueError("its pages form a cycle")
        claims, _, following = _table(stream, order, offset, big)
        if not visited:
            _check_claims(claims, size)
        chosen = [claim for claim in claims if claim.tag == tag and claim.items == 1]
        numbers.append(number(order, dict(_entries(stream, chosen, Budget())).get(tag)))
        visited.add(offset)
        offset = following
    return numbers


def _check_claims(claims: list[_Claim], size: int) -> None:
    if sum(claim.length for claim in claims) > max(size, _MOST_BYTES):
        raise ValueError("its tags are larger than the file")
    if any(claim.items > _MOST_STRIPS for claim in claims if claim.tag in _OF_STRIPS):
        raise ValueError("it states too many strips")


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
    """Return the bytes of a directory at `offset`, followed by the values that do not fit into it."""
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
    """Return the bytes of a photograph's directories from `offset` on, with the pointers between them."""

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
