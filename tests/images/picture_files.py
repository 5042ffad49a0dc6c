"""Small real pictures, and EXIF blocks like a camera's, made for the tests of reading and writing."""

from __future__ import annotations

import io
import struct
import zlib
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

MAKER_NOTE = b"Maker\0" + bytes(range(200))
THUMBNAIL_MARK = b"THIS-IS-THE-THUMBNAIL"


def gradient(height: int = 24, width: int = 40, channels: int = 3, dtype: type = np.uint8) -> np.ndarray:
    """Return a picture without symmetry, every channel another ramp: (H, W, C)."""
    top = np.iinfo(dtype).max
    rows, columns = np.mgrid[0:height, 0:width].astype(float)
    ramps = [columns / width, rows / height, (rows * 2 + columns) / (2 * height + width), 1 - 0.6 * rows / height]
    chosen = [ramps[0], ramps[3]] if channels == 2 else ramps[:channels]
    return np.round(np.stack(chosen, axis=2) * top).astype(dtype)


def noise(channels: int, dtype: type, height: int = 19, width: int = 23) -> np.ndarray:
    top = np.iinfo(dtype).max
    return np.random.default_rng(channels).integers(0, top + 1, (height, width, channels)).astype(dtype)


def png(pixels: np.ndarray, *, interlaced: bool = False, extra: bytes = b"", depth: int = 16) -> bytes:
    """Write a PNG with filter 0 and nothing of the code under test; 8 or 16 bits."""
    height, width, channels = pixels.shape
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    data = b""
    for x, y, across, down in passes:
        part = pixels[y::down, x::across]
        if part.size:
            data += b"".join(b"\0" + row.astype(">u2" if depth == 16 else "u1").tobytes() for row in part)
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, int(interlaced))
    return png_file(chunk(b"IHDR", header), extra, chunk(b"IDAT", zlib.compress(data)))


def png_file(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def saved(image: Image.Image, name: str, **options: object) -> bytes:
    stream = io.BytesIO()
    if name == "JPEG" and isinstance(exif := options.get("exif"), bytes) and not exif.startswith(b"Exif"):
        options["exif"] = b"Exif\0\0" + exif
    image.save(stream, name, **options)
    return stream.getvalue()


def camera_exif(orientation: int = 1, order: str = "<") -> bytes:
    """Lay out an EXIF block by hand: maker, dates, sizes, a MakerNote, GPS, and a thumbnail in a second directory."""

    def directory(entries: list[tuple[int, int, int, bytes]], at: int, following: int) -> bytes:
        table, values = struct.pack(order + "H", len(entries)), b""
        values_at = at + 2 + 12 * len(entries) + 4
        for tag, kind, count, value in entries:
            table += struct.pack(order + "HHI", tag, kind, count)
            if len(value) <= 4:
                table += value.ljust(4, b"\0")
            else:
                table += struct.pack(order + "I", values_at + len(values))
                values += value + b"\0" * (len(value) % 2)
        return table + struct.pack(order + "I", following) + values

    def short(value: int) -> bytes:
        return struct.pack(order + "H", value)

    def long(value: int) -> bytes:
        return struct.pack(order + "I", value)

    def layout(exif_at: int, gps_at: int, thumbnail_at: int, jpeg_at: int) -> list[bytes]:
        degrees = struct.pack(order + "6I", 52, 1, 31, 1, 1234, 100)
        image = [
            (271, 2, 10, b"CameraCo.\0"),
            (272, 2, 6, b"C-100\0"),
            (274, 3, 1, short(orientation)),
            (306, 2, 20, b"2024:05:06 07:08:09\0"),
            (33432, 2, 8, b"A. Body\0"),
            (34665, 4, 1, long(exif_at)),
            (34853, 4, 1, long(gps_at)),
        ]
        exif = [
            (36867, 2, 20, b"2024:05:06 07:08:09\0"),
            (37500, 7, len(MAKER_NOTE), MAKER_NOTE),
            (40962, 3, 1, short(40)),
            (40963, 3, 1, short(24)),
        ]
        gps = [(1, 2, 2, b"N\0"), (2, 5, 3, degrees)]
        jpeg = b"\xff\xd8" + THUMBNAIL_MARK + b"\xff\xd9"
        thumbnail = [(259, 3, 1, short(6)), (513, 4, 1, long(jpeg_at)), (514, 4, 1, long(len(jpeg)))]
        return [
            (b"II*\0\x08\0\0\0" if order == "<" else b"MM\0*\0\0\0\x08"),
            directory(image, 8, thumbnail_at),
            directory(exif, exif_at, 0),
            directory(gps, gps_at, 0),
            directory(thumbnail, thumbnail_at, 0),
            jpeg,
        ]

    lengths = [len(part) for part in layout(0, 0, 0, 0)]
    return b"".join(layout(*(sum(lengths[: index + 1]) for index in (1, 2, 3, 4))))


@lru_cache
def profile(kind: str = "wide") -> bytes:
    """Return an ICC profile: "wide", an RGB one whose red and green are swapped against sRGB's, or "srgb"."""
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    if kind == "srgb":
        return made
    swapped = made.replace(b"rXYZ", b"tXYZ").replace(b"gXYZ", b"rXYZ").replace(b"tXYZ", b"gXYZ")
    return swapped.replace("sRGB".encode("utf-16-be"), "Wide".encode("utf-16-be")).replace(b"sRGB", b"Wide")


def relabelled(icc: bytes, space: bytes) -> bytes:
    """Return a profile whose header claims another colour space, such as b"GRAY"."""
    return icc[:16] + space + icc[20:]


def cmyk_profile() -> bytes:
    """Build a small CMYK profile by hand: a table of 2 points an ink, in which full cyan is a strong green in Lab."""
    inks = [(c, m, y, k) for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)]

    def lab(c: int, m: int, y: int, k: int) -> tuple[int, int, int]:
        light = max(0, 255 - 90 * c - 80 * m - 20 * y - 255 * k)
        colour = 0 if k else 1
        return light, 128 + colour * (70 * m - 70 * c), 128 + colour * (60 * y + 40 * c - 20 * m)

    table = bytes(value for ink in inks for value in lab(*ink))
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    ramp = bytes(range(256))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + ramp * 4 + table + ramp * 3
    lut += b"\0" * (-len(lut) % 4)
    text = b"text\0\0\0\0made for a test\0"
    text += b"\0" * (-len(text) % 4)
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    tags, body = b"", b""
    for name, data in ((b"A2B0", lut), (b"cprt", text), (b"wtpt", white)):
        tags += name + struct.pack(">II", 128 + 4 + 36 + len(body), len(data))
        body += data
    size = 128 + 4 + len(tags) + len(body)
    header = struct.pack(">I", size) + b"test" + b"\x02\x40\0\0" + b"prtrCMYKLab " + struct.pack(">6H", 2024, 1, 1, 0, 0, 0)
    header += b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", 3) + tags + body
