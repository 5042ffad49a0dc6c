"""Read a picture from a file, bytes or stream: the content decides the format, and the size is checked before decoding."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, PngImagePlugin

from edgesr.errors import InputError, one_line
from edgesr.images import damage, elsewhere, formats, headers, parts, pil, profile, segments, sixteen_bit, tiff
from edgesr.images.library_output import quiet
from edgesr.images.metadata import settle
from edgesr.images.picture import MAX_PIXELS, Picture

_HEADER_BYTES = 64
_PIPE_BYTES = (8, 2**26)  # per pixel, and for everything else: the longest pipe that is read
_pillow_limit = threading.Lock()


class DamagedError(InputError):
    """A damaged or truncated file that could be decoded in part."""


def read(source: str | Path | bytes | BinaryIO, *, max_pixels: int = MAX_PIXELS, accept_damaged: bool = False) -> Picture:
    """Read a still picture, upright and with its metadata.

    Raises InputError, one line that names the file and the reason, for whatever cannot be read: a missing, damaged or
    truncated file, an animation, 32-bit samples, or more than `max_pixels` pixels. With `accept_damaged` a damaged JPEG, PNG, TIFF,
    GIF or BMP is decoded in part, with a note.
    """
    name = _name(source)
    with _named_errors(name), quiet(), _opened(source, max_pixels) as stream:
        try:
            picture = _read(stream, max_pixels, strict=True)
        except DamagedError as error:
            if not accept_damaged:
                raise
            with damage.passed_over():
                picture = _read(stream, max_pixels, strict=False)
            picture.notes.append(f"damaged file, decoded in part: {error}")
        if formats.by_extension(Path(name).suffix) not in (None, picture.format):
            picture.notes.append(f"the file is a {picture.format}, although its name says otherwise")
        return picture


def size_of(source: str | Path | bytes | BinaryIO) -> tuple[int, int]:
    """Return a picture file's width and height in pixels as its header states them. Raises InputError."""
    with _named_errors(_name(source)), quiet(), _opened(source, MAX_PIXELS) as stream:
        name = _format(stream)
        with _image(name, stream) as image:
            return image.size


def _read(stream: BinaryIO, max_pixels: int, *, strict: bool) -> Picture:
    name = _format(stream)
    notes: list[str] = []
    page = None
    if name == "TIFF":
        page = tiff.first_page(stream)
        _check_pixels(page.imagewidth, page.imagelength, max_pixels)
        if tiff.is_sixteen_bit(page):
            picture = Picture(tiff.sixteen_bit_pixels(stream, page, notes), "TIFF", notes=notes)
            tiff.metadata(stream, picture)
            return settle(picture, 1)
    if name == "JXL" and headers.jxl_is_animated(stream):
        raise InputError("is an animation; only still pictures are supported")
    early = headers.early_size(name, stream)
    if early is not None:
        _check_pixels(early[0], early[1], max_pixels)
    with _lifted_limit(early), _image(name, stream) as image:
        _check_pixels(image.size[0], image.size[1], max_pixels)
        frames = 1 if name == "TIFF" else getattr(image, "n_frames", 1)
        if frames > 1:
            raise InputError(f"has {frames} frames; only still pictures are supported")
        if strict and (damaged := damage.found(name, stream, page)):
            raise DamagedError(damaged)
        picture = _decoded(name, image, stream, notes)
        if name == "TIFF":
            tiff.note_dropped(page, picture)
        return picture


def _decoded(name: str, image: Image.Image, stream: BinaryIO, notes: list[str]) -> Picture:
    bits = image.info.get("bit_depth", 8) if name == "HEIF" else 8
    if bits > 8:
        return _described(name, image, sixteen_bit.heif_pixels(stream, bits), stream, notes)
    rawmode = sixteen_bit.png_rawmode(image) if isinstance(image, PngImagePlugin.PngImageFile) else None
    with _lifted_limit(image.size):
        _load(image)
    if rawmode:
        array = sixteen_bit.decode(lambda: _image(name, stream), rawmode)
        key = image.info.get("transparency")
        if rawmode == "RGB;16B" and isinstance(key, tuple):
            array = pil.colour.with_key(array, key)
    else:
        if name == "PNG":
            headers.scale_png_key(stream, image)
        array = pil.pixels(image, notes)
    if name == "AVIF" and (crop := headers.avif_crop(stream, *image.size)):
        array = array[crop]
    return _described(name, image, array, stream, notes)


def _load(image: Image.Image) -> None:
    try:
        image.load()
    except OSError as error:
        if error.errno is not None:
            raise
        raise DamagedError(f"cannot be read: {one_line(error)}") from error


def _described(name: str, image: Image.Image, array: np.ndarray, stream: BinaryIO, notes: list[str]) -> Picture:
    """Make a picture from the pixels and the file's metadata, and turn it upright."""
    picture = pil.metadata(image, array)
    picture.format, picture.notes = name, notes
    if name == "TIFF":
        described_icc = picture.icc
        tiff.metadata(stream, picture)
        picture.icc = described_icc
        return settle(picture, 1)  # Pillow turned it upright
    if name == "JPEG":
        picture.segments = segments.kept(stream)
    elsewhere.add(picture, image, stream)
    _describe_colours(picture, image, stream)
    turned = name == "HEIF" or (name == "JXL" and not getattr(image, "jpeg", False))  # their decoders did
    return settle(picture, 1 if turned else None)


def _describe_colours(picture: Picture, image: Image.Image, stream: BinaryIO) -> None:
    """Make a profile of colours that are described by code points; add a note where the decoder reduces the bit depth."""
    cicp = None
    if picture.format == "PNG":
        cicp = headers.png_cicp(stream)
    elif picture.format == "AVIF":
        bits, cicp = headers.avif_properties(stream)
        if bits > 8:
            picture.notes.append(f"{bits} bits a channel reduced to 8: the decoder supports no more")
    elif picture.format == "HEIF" and (stated := image.info.get("nclx_profile")):
        cicp = stated["color_primaries"], stated["transfer_characteristics"]
    if cicp is not None and not image.info.get("icc_profile"):
        picture.icc = profile.from_cicp(*cicp, picture.notes, grey=picture.pixels.shape[2] < 3)


def _format(stream: BinaryIO) -> str:
    stream.seek(0)
    return _format_of(stream.read(_HEADER_BYTES))


def _format_of(header: bytes) -> str:
    if not header:
        raise InputError("is empty (0 bytes)")
    name = formats.detect(header)
    if name is None:
        raise InputError(f"unsupported image format (supported: {formats.readable_formats()})")
    if hint := formats.missing_extra(name):
        raise InputError(hint)
    return name


def _image(name: str, stream: BinaryIO) -> Any:
    parts.check(name, stream)
    stream.seek(0)
    return formats.FORMATS[name].open(stream)


def _check_pixels(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise InputError(f"has an invalid size: {width}x{height} pixels")
    if width * height > max_pixels:
        raise InputError(
            f"has {width}x{height} = {width * height:,} pixels, more than the limit of {max_pixels:,}; "
            f"if you trust the file, raise it with --max-pixels {width * height} (max_pixels= in Python)"
        )


@contextmanager
def _lifted_limit(size: tuple[int, int] | None) -> Iterator[None]:
    """Keep Pillow's own limit from refusing a picture that `max_pixels` allows.

    Some formats read a global limit. It is changed only for pictures beyond it, one thread at a time.
    """
    limit = Image.MAX_IMAGE_PIXELS
    if limit is None or size is None or size[0] * size[1] <= 2 * limit:
        yield
        return
    with _pillow_limit:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _name(source: str | Path | bytes | BinaryIO) -> str:
    if isinstance(source, (str, Path)):
        return str(source)
    named = getattr(source, "name", None)
    return named if isinstance(named, str) else "the picture given"


@contextmanager
def _opened(source: str | Path | bytes | BinaryIO, max_pixels: int) -> Iterator[BinaryIO]:
    """Yield a seekable stream; a pipe is read to its end first."""
    if isinstance(source, (str, Path)):
        with Path(source).open("rb") as stream:
            yield stream if stream.seekable() else _drained(stream, max_pixels)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        yield io.BytesIO(source)
    else:
        yield source if source.seekable() else _drained(source, max_pixels)


def _drained(pipe: BinaryIO, max_pixels: int) -> io.BytesIO:
    """Read a pipe to its end. Stop early if it does not start like a picture, or is longer than a picture of `max_pixels` can be."""
    header = b""
    while len(header) < _HEADER_BYTES and (piece := pipe.read(_HEADER_BYTES - len(header))):
        header += piece
    _format_of(header)
    held = io.BytesIO()
    held.write(header)
    limit = _PIPE_BYTES[0] * max_pixels + _PIPE_BYTES[1]
    while piece := pipe.read(2**20):
        if held.tell() + len(piece) > limit:
            raise InputError(f"is longer than {limit:,} bytes; if you trust it, raise --max-pixels (max_pixels= in Python)")
        held.write(piece)
    return held


@contextmanager
def _named_errors(name: str) -> Iterator[None]:
    """Turn every failure into one InputError that begins with the file's name."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{name}: {error}") from error
    except MemoryError as error:
        raise InputError(f"{name}: not enough memory to decode it") from error
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {one_line(error)}") from error
    except Exception as error:  # decoders of foreign bytes raise SyntaxError, struct.error, zlib.error and many more
        raise InputError(f"{name}: damaged or unsupported file: {one_line(error)}") from error
