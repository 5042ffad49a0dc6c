"""Write a picture in any format: first fitted to what the format can hold, then encoded, then put in place whole."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgesr.errors import InputError, UsageError
from edgesr.images import colour, pil, sixteen_bit, tiff
from edgesr.images import exif as exif_block
from edgesr.images.atomic import atomic_write, check_target
from edgesr.images.formats import check_size, format_for
from edgesr.images.metadata import icc_fits, refresh
from edgesr.images.picture import Picture
from edgesr.images.quiet import quiet
from edgesr.images.read import size_of

_SIXTEEN_BIT = {"PNG", "TIFF"}
_NO_ALPHA = {"JPEG", "BMP"}
_NO_PROFILE = {"BMP": "BMP", "JXL": "the JPEG XL writer"}  # and who cannot keep it, for the note
_NO_EXIF = {"BMP"}
_TEXT = {"PNG", "JPEG"}  # what one holds the other has no like of
_JPEG_SEGMENT = 65500  # bytes of EXIF or XMP that one segment of a JPEG holds, less the headers


def write(
    target: Path,
    picture: Picture,
    *,
    format: str | None = None,
    quality: int | None = None,
    strip_metadata: bool = False,
    overwrite: bool = False,
) -> list[str]:
    """Write a picture to `target`, whole or not at all, and return remarks on what its format could not keep.

    `format` is a format's name; by default the extension of `target` says it. `quality`, 1..100, see `encode`.
    `strip_metadata` leaves out EXIF, XMP and text, which tell of persons and places; profile and resolution stay.
    Raises InputError naming file, folder and reason if it cannot be written, or exists and `overwrite` is false.
    """
    name = format_for(format or str(target))
    check_size(name, picture.pixels.shape[1], picture.pixels.shape[0])
    check_target(target, overwrite=overwrite)
    fitted = fit(picture, name, strip_metadata=strip_metadata)
    data = _encoded(fitted, name, quality)
    with atomic_write(target, overwrite) as stream:
        stream.write(data)
        stream.flush()
        height, width = fitted.pixels.shape[:2]
        if size_of(Path(stream.name)) != (width, height):
            raise InputError(f"{target}: the file written does not read back as {width}x{height} pixels")
    return fitted.notes


def encode(picture: Picture, format: str, *, quality: int | None = None, strip_metadata: bool = False) -> bytes:
    """Return a picture as the bytes of a file.

    `quality`, 1..100, is for the lossy formats: JPEG 95 by default, WebP 90 (100 is lossless), AVIF 85, HEIC and
    JPEG XL 90 (JPEG XL: 100 is lossless). JPEG and AVIF keep the colours' full resolution (4:4:4); lossy WebP cannot.
    Raises InputError for a picture the format cannot hold, UsageError for a quality out of range.
    """
    name = format_for(format)
    return _encoded(fit(picture, name, strip_metadata=strip_metadata), name, quality)


def fit(picture: Picture, name: str, *, strip_metadata: bool = False) -> Picture:
    """Return the picture as format `name` can hold it, its metadata true for its pixels; `notes` say what changed."""
    height, width, channels = picture.pixels.shape
    check_size(name, width, height)
    fitted = replace(picture, notes=[])
    if fitted.pixels.dtype == np.uint16 and name not in _SIXTEEN_BIT:
        fitted.pixels = colour.to_eight_bit(fitted.pixels)
        fitted.notes.append(f"16 bits a channel reduced to 8: {name} is written with 8")
    if channels in (2, 4) and name in _NO_ALPHA:
        fitted.pixels = colour.flatten(fitted.pixels)
        fitted.notes.append(f"alpha flattened onto white: {name} has none")
    _fit_profile(fitted, name)
    if strip_metadata:
        fitted.exif, fitted.xmp, fitted.text = None, None, {}
    _fit_metadata(fitted, name)
    return fitted


def _fit_profile(picture: Picture, name: str) -> None:
    if picture.icc is None:
        return
    channels = picture.pixels.shape[2]
    if name in _NO_PROFILE and channels in (3, 4):
        try:
            converted = colour.srgb_pixels(picture.pixels, picture.icc)
        except ValueError:
            picture.notes.append(f"colour profile dropped: {_NO_PROFILE[name]} cannot keep it")
        else:
            if converted is not picture.pixels:
                picture.notes.append(f"colours converted to sRGB: {_NO_PROFILE[name]} keeps no colour profile")
            picture.pixels = converted
        picture.icc = None
    elif name in _NO_PROFILE or not icc_fits(picture.icc, 3 if name == "WEBP" else channels):
        picture.notes.append(f"colour profile dropped: it does not fit such a {name}")
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
        too_long = name == "JPEG" and len(block) > _JPEG_SEGMENT
        if name in _NO_EXIF or too_long:
            setattr(picture, kind, None)
            reason = "it is too long for one" if too_long else "it has no place for it"
            picture.notes.append(f"{kind.upper()} dropped from the {name}: {reason}")
    if picture.text and (picture.format != name or name not in _TEXT):
        picture.notes.append(f"text beside EXIF and XMP dropped: a {name} cannot hold that of a {picture.format}")
        picture.text = {}


def _encoded(picture: Picture, name: str, quality: int | None) -> bytes:
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(f"quality {quality} is out of range: use 1 to 100")
    stream = io.BytesIO()  # a disk that is full then says so itself, and not as an error of the encoder
    try:
        with quiet():
            if name == "TIFF":
                tiff.write(stream, picture)
            elif name == "PNG" and picture.pixels.dtype == np.uint16 and picture.pixels.shape[2] > 1:
                sixteen_bit.write_png(stream, picture)
            else:
                _save(stream, picture, name, quality)
    except (OSError, ValueError, RuntimeError, struct.error) as error:
        raise InputError(f"the picture cannot be encoded as {name}: {error}") from error
    return stream.getvalue()


def _save(stream: io.BytesIO, picture: Picture, name: str, quality: int | None) -> None:
    image = pil.as_image(picture.pixels)
    kept = {key: value for key, value in pil.info(picture).items() if key != "xmp" or name != "PNG"}
    if name == "HEIF":
        from pillow_heif import from_pillow  # noqa: PLC0415 -- an extra

        image.info.update(kept)
        from_pillow(image).save(stream, quality=quality or 90, chroma="444")
        return
    if name == "JXL":
        import pillow_jxl  # noqa: F401, PLC0415 -- an extra, which registers the format with Pillow
    if name == "PNG":
        kept["pnginfo"] = sixteen_bit.png_texts(picture)
    if name == "JPEG" and picture.text:
        kept["comment"] = picture.text["Comment"].encode(errors="surrogateescape")
    if name == "AVIF" and picture.exif is not None:
        kept["exif"] = exif_block.without_orientation(picture.exif)  # and without the prefix, which Pillow would write
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": quality or 95, "subsampling": 0},
        "WEBP": {"quality": quality or 90, "lossless": quality == 100, "exact": quality == 100},
        "AVIF": {"quality": quality or 85, "subsampling": "4:4:4" if picture.pixels.shape[2] > 1 else "4:0:0"},
        "JXL": {"quality": quality or 90, "lossless": quality == 100},
    }
    image.save(stream, name, **kept, **options.get(name, {}))
