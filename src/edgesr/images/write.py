"""Write a picture in any format: converted to what the format supports, encoded band by band, written whole or not at all.

JPEG, PNG and TIFF need a few rows in memory at a time; the other encoders need the whole picture.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import BinaryIO

import numpy as np

from edgesr.atomic import atomic_write, check_target
from edgesr.errors import InputError, UsageError
from edgesr.images import colour, jpeg_writer, pil, png_writer, segments, tiff
from edgesr.images import exif as exif_block
from edgesr.images.bands import Bands
from edgesr.images.formats import FORMATS, check_size, format_for
from edgesr.images.library_output import quiet
from edgesr.images.metadata import icc_fits, refresh
from edgesr.images.picture import Picture
from edgesr.images.read import size_of


def write(
    target: Path,
    picture: Picture,
    *,
    format: str | None = None,
    quality: int | None = None,
    strip_metadata: bool = False,
    overwrite: bool = False,
    source: Path | None = None,
) -> list[str]:
    """Write a picture to `target`, whole or not at all, and return notes on what its format could not keep.

    `format` is a format's name; by default the extension of `target` says it. `quality`, 1..100, see `encode`.
    `strip_metadata` removes EXIF, XMP and text (location, author, camera); profile and resolution stay.
    A new file gets no more permissions than the file `source`. Bands of pixels are computed while the file is written.
    Raises InputError naming file, folder and reason if it cannot be written, or exists and `overwrite` is false.
    """
    name = format_for(format or str(target))
    check_size(name, picture.pixels.shape[1], picture.pixels.shape[0])
    check_target(target, overwrite=overwrite)
    fitted = fit(picture, name, strip_metadata=strip_metadata)
    _check_quality(quality)
    with atomic_write(target, overwrite, source=source) as stream:
        _encode(stream, fitted, name, quality)
        stream.flush()
        height, width = fitted.pixels.shape[:2]
        if size_of(Path(stream.name)) != (width, height):
            raise InputError(f"{target}: the written file is damaged: its size is not {width}x{height} pixels")
    return fitted.notes


def encode(picture: Picture, format: str, *, quality: int | None = None, strip_metadata: bool = False) -> bytes:
    """Return a picture as the bytes of a file; see `encode_into`."""
    stream = io.BytesIO()
    encode_into(stream, picture, format, quality=quality, strip_metadata=strip_metadata)
    return stream.getvalue()


def encode_into(
    stream: BinaryIO, picture: Picture, format: str, *, quality: int | None = None, strip_metadata: bool = False
) -> None:
    """Write a picture as a file into an empty `stream`, which must be readable and seekable.

    `quality`, 1..100, is for the lossy formats: JPEG 95 by default, WebP 90 (100 is lossless), AVIF 85, HEIC and
    JPEG XL 90 (JPEG XL: 100 is lossless). JPEG and AVIF keep the colours' full resolution (4:4:4); lossy WebP cannot.
    Raises InputError for a picture the format cannot hold, UsageError for a quality out of range, OSError for a full disk.
    """
    name = format_for(format)
    _check_quality(quality)
    _encode(stream, fit(picture, name, strip_metadata=strip_metadata), name, quality)


def fit(picture: Picture, name: str, *, strip_metadata: bool = False) -> Picture[Bands]:
    """Convert the picture to what format `name` supports and update its metadata; `notes` say what changed."""
    height, width, channels = picture.pixels.shape
    check_size(name, width, height)
    bands = picture.pixels if isinstance(picture.pixels, Bands) else Bands.of(picture.pixels)
    fitted = replace(picture.with_pixels(bands), notes=[])
    if fitted.pixels.dtype == np.uint16 and not FORMATS[name].sixteen_bit:
        fitted.pixels = fitted.pixels.map(colour.to_eight_bit, dtype=np.uint8)
        fitted.notes.append(f"16 bits a channel reduced to 8: {name} is written with 8 bits")
    if channels in (2, 4) and not FORMATS[name].alpha:
        fitted.pixels = fitted.pixels.map(colour.flatten, channels=channels - 1)
        fitted.notes.append(f"alpha flattened onto white: {name} has no alpha channel")
    _fit_profile(fitted, name)
    if strip_metadata:
        fitted.exif, fitted.xmp, fitted.text, fitted.segments = None, None, {}, []
    _fit_metadata(fitted, name)
    return fitted


def _fit_profile(picture: Picture[Bands], name: str) -> None:
    if picture.icc is None:
        return
    channels = picture.pixels.shape[2]
    kind = FORMATS[name]
    if not kind.keeps_profile and channels in (3, 4):
        try:
            convert = colour.to_srgb_from(picture.icc)
        except ValueError:
            picture.notes.append(f"colour profile dropped: the {kind.title} writer cannot keep it")
        else:
            if convert is not None:
                picture.notes.append(f"colours converted to sRGB: the {kind.title} writer keeps no colour profile")
                picture.pixels = picture.pixels.map(convert)
        picture.icc = None
    elif not kind.keeps_profile or not icc_fits(picture.icc, channels if kind.grey else 3):
        picture.notes.append(f"colour profile dropped: it does not match the channels of this {name}")
        picture.icc = None


def _fit_metadata(picture: Picture, name: str) -> None:
    if picture.exif is not None:
        try:
            refresh(picture)
        except ValueError:
            picture.exif = None
            picture.notes.append("damaged EXIF dropped")
    refresh(picture)
    for kind in ("exif", "xmp"):
        block = getattr(picture, kind)
        if block is None:
            continue
        longest = FORMATS[name].longest_block
        too_long = longest is not None and len(block) > longest
        if not FORMATS[name].exif or too_long:
            setattr(picture, kind, None)
            reason = "too large for the format" if too_long else "not supported by the format"
            picture.notes.append(f"{kind.upper()} dropped from the {name}: {reason}")
    if picture.text and picture.format not in FORMATS[name].text_of:
        picture.notes.append(f"text metadata dropped: {name} cannot store the text of {picture.format}")
        picture.text = {}
    if picture.segments and name != "JPEG":
        for marker in sorted({marker for marker, _ in picture.segments}):
            picture.notes.append(f"{segments.NAMES[marker]} dropped from the {name}: not supported by the format")
        picture.segments = []


def _check_quality(quality: int | None) -> None:
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(f"quality {quality} is out of range: use 1 to 100")


def _encode(stream: BinaryIO, picture: Picture[Bands], name: str, quality: int | None) -> None:
    upstream: list[Exception] = []  # errors from where the pixels are computed, not from the encoder

    def watched(bands: Bands) -> Iterator[np.ndarray]:
        try:
            yield from bands
        except Exception as error:
            upstream.append(error)
            raise

    picture = picture.with_pixels(Bands(picture.pixels.shape, picture.pixels.dtype, watched(picture.pixels)))
    try:
        with quiet():
            if name == "TIFF":
                tiff.write(stream, picture)
            elif name == "PNG":
                png_writer.write(stream, picture)
            elif name == "JPEG":
                _write_jpeg(stream, picture, quality)
            else:
                stream.write(_saved(picture.with_pixels(picture.pixels.whole()), name, quality))
    except (OSError, ValueError, RuntimeError, struct.error) as error:
        if error in upstream or getattr(error, "errno", None) is not None:  # a full disk says so itself
            raise
        raise InputError(f"the picture cannot be encoded as {name}: {error}") from error


def _write_jpeg(stream: BinaryIO, picture: Picture[Bands], quality: int | None) -> None:
    bare = replace(picture, icc=None, exif=None, xmp=None, text={}, segments=[], dpi=None)

    def strip(rows: np.ndarray, first: bool) -> bytes:
        return _saved((picture if first else bare).with_pixels(rows), "JPEG", quality)

    jpeg_writer.write(stream, picture.pixels, strip)


def _saved(picture: Picture[np.ndarray], name: str, quality: int | None) -> bytes:
    """Encode the picture with Pillow."""
    image = pil.as_image(picture.pixels)
    stream = io.BytesIO()
    kept = pil.info(picture)
    options = FORMATS[name].save(quality or FORMATS[name].quality, picture.pixels.shape[2])
    if name == "HEIF":
        from pillow_heif import from_pillow

        image.info.update(kept)
        from_pillow(image).save(stream, **options)
        return stream.getvalue()
    if name == "JXL":
        import_module("pillow_jxl")  # registers the format with Pillow
    extra = list(picture.segments)
    if name == "JPEG" and picture.text:  # as a segment, since Pillow before 13 has too small a buffer for a long `comment`
        extra.insert(0, (segments.COMMENT, picture.text["Comment"].encode(errors="surrogateescape")))
    if extra:
        kept["extra"] = segments.packed(extra)
    if name == "AVIF" and picture.exif is not None:
        kept["exif"] = exif_block.without_orientation(picture.exif)  # and without the prefix, which Pillow would write
    image.save(stream, name, **kept, **options)
    return stream.getvalue()
