"""Which picture formats there are: their extensions, first bytes, limits, and the extras that HEIC and JPEG XL need."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from edgesr.errors import InputError, UsageError, missing_package

# Pillow's name of each format that can be written -> its extensions, the usual one first.
EXTENSIONS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif"),
    "JXL": (".jxl",),
}
_READ_ONLY = {"GIF": (".gif",)}
_EXTRAS = {"HEIF": ("pillow_heif", "heic", "HEIC"), "JXL": ("pillow_jxl", "jxl", "JPEG XL")}

# The longest side each format can hold, in pixels; the others end far beyond what memory holds.
_LONGEST_SIDE = {"JPEG": 65500, "WEBP": 16383, "AVIF": 65536, "HEIF": 16384}

_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}


def detect(header: bytes) -> str | None:
    """Name the format of a file by its first 64 bytes, whatever its extension says; None for one that is not read."""
    starts = {
        "PNG": (b"\x89PNG\r\n\x1a\n",),
        "JPEG": (b"\xff\xd8\xff",),
        "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        "BMP": (b"BM",),
        "GIF": (b"GIF87a", b"GIF89a"),
        "JXL": (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
    }
    for name, prefixes in starts.items():
        if header.startswith(prefixes):
            return name
    if header[:4] == b"RIFF" and header[8:12] == b"WEBP":
        return "WEBP"
    if header[4:8] == b"ftyp":
        length = min(int.from_bytes(header[:4], "big"), len(header))
        brands = {header[8:12], *(header[at : at + 4] for at in range(16, length, 4))}
        if brands & _AVIF_BRANDS:
            return "AVIF"
        if brands & _HEIF_BRANDS:
            return "HEIF"
    return None


def missing_extra(name: str) -> str | None:
    """Say which extra has to be installed for format `name`; None when nothing is missing."""
    if name not in _EXTRAS:
        return None
    module, extra, spoken = _EXTRAS[name]
    return None if find_spec(module) else missing_package(spoken, module, extra)


def format_for(path_or_extension: str) -> str:
    """Name the format to write for a file name, an extension (with or without dot) or a format's own name.

    Raises UsageError for an unknown one, naming those there are, and for HEIC or JPEG XL without their extra.
    """
    text = str(path_or_extension)
    extension = "." + (Path(text).suffix or text).rsplit(".", 1)[-1].lower()
    for name, extensions in EXTENSIONS.items():
        if extension in extensions or extension == f".{name.lower()}":
            if hint := missing_extra(name):
                raise UsageError(f"{text}: {hint}")
            return name
    known = ", ".join(extensions[0] for extensions in EXTENSIONS.values())
    raise UsageError(f"{text!r} is no picture format that can be written; use one of {known}")


def by_extension(extension: str) -> str | None:
    """Name the format that an extension such as ".JPG" stands for; None for one that is no picture's."""
    every = {**EXTENSIONS, **_READ_ONLY}
    return next((name for name, extensions in every.items() if extension.lower() in extensions), None)


def extension_for(name: str) -> str:
    """Return the usual extension of a format, e.g. ".jpg" for "JPEG"."""
    return EXTENSIONS[name][0]


def is_picture_name(path: Path) -> bool:
    """Tell by its extension whether a file in a folder is a picture to be read (a GIF and a HEIC are)."""
    return by_extension(path.suffix) is not None


def check_size(name: str, width: int, height: int) -> None:
    """Raise InputError if format `name` cannot hold `width` x `height` pixels: call it before the work, not after."""
    longest = _LONGEST_SIDE.get(name)
    if longest is not None and max(width, height) > longest:
        raise InputError(f"{name} holds at most {longest} pixels a side, not {width}x{height}: use PNG or TIFF")


def readable_formats() -> str:
    """List the formats that are read, for an error message."""
    return "JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF, HEIC, JPEG XL"
