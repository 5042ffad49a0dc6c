"""The picture formats, one row each: how a file is recognised, what it can hold, and how it is opened and saved."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgesr.errors import InputError, UsageError, missing_package
from edgesr.images.jpeg_writer import ROWS_OF_BLOCKS


@dataclass(frozen=True)
class Format:
    """One picture format. Pixels have 1 (grey), 2, 3 or 4 channels."""

    name: str  # Pillow's
    title: str  # in messages
    extensions: tuple[str, ...]  # the usual one first
    mime: str
    reader: str  # the class that opens it, module:class; imported when needed
    magic: bytes = b"(?!)"  # pattern of the first bytes
    brands: frozenset[bytes] = frozenset()  # of an ISO base media file ("ftyp"), in place of magic
    extra: str | None = None  # of pyproject.toml, which installs the reader
    written: bool = True
    longest_side: int | None = None  # pixels; None: beyond what memory holds
    sixteen_bit: bool = False  # written with 16 bits a channel
    alpha: bool = True
    keeps_profile: bool = True
    grey: bool = True  # whether grey pixels stay grey; else they become RGB and need an RGB profile
    exif: bool = True  # and XMP
    longest_block: int | None = None  # bytes of EXIF or XMP
    text_of: tuple[str, ...] = ()  # formats whose text metadata it can store
    quality: int = 0  # default, for `save`
    save: Callable[[int, int], dict[str, Any]] = lambda quality, channels: {}  # Pillow's options

    @property
    def missing(self) -> str | None:
        """The message where its extra is not installed; None where it can be read."""
        package = self.reader.partition(".")[0]
        return missing_package(self.title, package, self.extra) if self.extra and find_spec(package) is None else None

    def open(self, stream: Any) -> Any:
        """Open a file as a Pillow image, by its class: `Image.open` tries every format in turn, and has a limit on pixels."""
        module, _, name = self.reader.partition(":")
        return getattr(import_module(module), name)(stream)


FORMATS = {
    each.name: each
    for each in (
        Format(
            "JPEG", "JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), "image/jpeg",
            "PIL.JpegImagePlugin:JpegImageFile",  # of an MPO it shows the first picture
            magic=rb"\xff\xd8\xff", longest_side=65500, alpha=False, longest_block=65500, text_of=("JPEG",),
            quality=95,
            save=lambda quality, _: {"quality": quality, "subsampling": 0, "restart_marker_rows": ROWS_OF_BLOCKS},
        ),
        Format(
            "PNG", "PNG", (".png",), "image/png", "PIL.PngImagePlugin:PngImageFile",
            magic=rb"\x89PNG\r\n\x1a\n", sixteen_bit=True, text_of=("PNG", "GIF"),
        ),
        Format(
            "WEBP", "WebP", (".webp",), "image/webp", "PIL.WebPImagePlugin:WebPImageFile",
            magic=rb"RIFF....WEBP", longest_side=16383, grey=False,
            quality=90,
            save=lambda quality, _: {"quality": quality, "lossless": quality == 100, "exact": quality == 100},
        ),
        Format(
            "TIFF", "TIFF", (".tif", ".tiff"), "image/tiff", "PIL.TiffImagePlugin:TiffImageFile",
            magic=rb"II[*+]\0|MM\0[*+]", sixteen_bit=True,
        ),
        Format(
            "BMP", "BMP", (".bmp", ".dib"), "image/bmp", "PIL.BmpImagePlugin:BmpImageFile",
            magic=rb"BM", alpha=False, keeps_profile=False, exif=False,
        ),
        Format(
            "GIF", "GIF", (".gif",), "image/gif", "PIL.GifImagePlugin:GifImageFile",
            magic=rb"GIF8[79]a", written=False,
        ),
        Format(
            "AVIF", "AVIF", (".avif",), "image/avif", "PIL.AvifImagePlugin:AvifImageFile",
            brands=frozenset({b"avif", b"avis"}), longest_side=65536,
            quality=85,
            save=lambda quality, channels: {"quality": quality, "subsampling": "4:4:4" if channels > 1 else "4:0:0"},
        ),
        Format(
            "HEIF", "HEIC", (".heic", ".heif"), "image/heif", "pillow_heif.as_plugin:HeifImageFile",
            brands=frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}),
            extra="heic", longest_side=16384,
            quality=90,
            # 4:2:0 is what every viewer decodes, and quick to encode.
            save=lambda quality, _: {"quality": quality, "chroma": "444" if quality == 100 else "420"},
        ),
        Format(
            "JXL", "JPEG XL", (".jxl",), "image/jxl", "pillow_jxl.JpegXLImagePlugin:JXLImageFile",
            magic=rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", extra="jxl", keeps_profile=False,
            quality=90,
            save=lambda quality, _: {"quality": quality, "lossless": quality == 100},
        ),
    )
}  # fmt: skip
WRITTEN = [name for name, each in FORMATS.items() if each.written]


def detect(header: bytes) -> str | None:
    """Name the format of a file by its first 64 bytes, whatever its extension says; None for an unsupported one."""
    brands: set[bytes] = set()
    if header[4:8] == b"ftyp":
        length = min(int.from_bytes(header[:4], "big"), len(header))
        brands = {header[8:12], *(header[at : at + 4] for at in range(16, length, 4))}
    for name, each in FORMATS.items():  # an AVIF also names brands of HEIF, which come later
        if brands & each.brands or re.match(each.magic, header, re.DOTALL):
            return name
    return None


def missing_extra(name: str) -> str | None:
    """Say which extra has to be installed for format `name`; None when nothing is missing."""
    return FORMATS[name].missing


def format_for(path_or_extension: str) -> str:
    """Name the format to write for a file name, an extension (with or without dot) or a format's own name.

    Raises UsageError for an unknown one, naming those there are, and for HEIC or JPEG XL without their extra.
    """
    text = str(path_or_extension)
    extension = "." + (Path(text).suffix or text).rsplit(".", 1)[-1].lower()
    for name in WRITTEN:
        if extension in FORMATS[name].extensions or extension == f".{name.lower()}":
            if hint := missing_extra(name):
                raise UsageError(f"{text}: {hint}")
            return name
    known = ", ".join(extension_for(name) for name in WRITTEN)
    raise UsageError(f"unsupported output format: {text!r}; use one of {known}")


def by_extension(extension: str) -> str | None:
    """Name the format that an extension such as ".JPG" stands for; None for any other."""
    return next((name for name, each in FORMATS.items() if extension.lower() in each.extensions), None)


def extension_for(name: str) -> str:
    """Return the usual extension of a format, e.g. ".jpg" for "JPEG"."""
    return FORMATS[name].extensions[0]


def written_as(format_or_extension: str) -> str:
    """Name the format in which a picture of that format or extension is written unless the user names one: its own, else PNG."""
    try:
        return format_for(format_or_extension)
    except UsageError:  # a format that is only read, no extension, or one that names no format
        return "PNG"


def result_extension(extension: str, format: str | None = None) -> str:
    """Return the extension of the result for a source with `extension`: its own where that stands for the `format` to write.

    `format` is a format's name; None: as `written_as`.
    """
    try:
        own = format_for(extension)
    except UsageError:
        own = None
    if own is not None and format in (None, own):
        return extension
    return extension_for(format or "PNG")


def is_picture_name(path: Path) -> bool:
    """Tell by its extension whether a file in a folder is a picture to be read (a GIF and a HEIC are)."""
    return by_extension(path.suffix) is not None


def check_size(name: str, width: int, height: int) -> None:
    """Raise InputError if format `name` cannot hold `width` x `height` pixels: call it before the work, not after."""
    longest = FORMATS[name].longest_side
    if longest is not None and max(width, height) > longest:
        raise InputError(f"{name} is limited to {longest} pixels a side, not {width}x{height}: use PNG or TIFF")


def readable_formats() -> str:
    """List the formats that are read, for an error message."""
    return ", ".join(each.title for each in FORMATS.values())
