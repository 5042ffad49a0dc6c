"""Read and write TIFF: the supported layouts, 16-bit samples, and EXIF, XMP and profile in the file's own directory."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, Literal

import numpy as np
from PIL.TiffImagePlugin import TiffImageFile

from edgesr.errors import InputError
from edgesr.images import exif as exif_block
from edgesr.images.bands import Bands
from edgesr.images.colour import unassociated
from edgesr.images.ifd import (
    BYTE,
    LONG,
    UNDEFINED,
    Entry,
    Tags,
    number,
    pack_directory,
    pack_tags,
    page_numbers,
    rational,
    read_header,
    read_tags,
)
from edgesr.images.metadata import resolution, upright
from edgesr.images.picture import Picture

_SUBFILE_TYPE, _XMP, _ICC, _RAW_CAMERA = 254, 700, 34675, 50706
_GREY_INVERTED, _GREY, _RGB, _CMYK, _YCBCR, _LAB = 0, 1, 2, 5, 6, 8
_GEO = {33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113}  # GeoTIFF's and GDAL's
_DROPPED = "a channel that is neither colour nor alpha was dropped"
_REDUCED_OR_MASK = 1 | 4  # bits of NewSubfileType
_BY_TIFFFILE = {1, 8, 32946}  # none and deflate: the compressions it undoes without further packages
_BY_LIBTIFF = {5, 32773, 34925, 50000}  # LZW, which many editors write, PackBits, LZMA and Zstandard
_STRIP = 2**20  # bytes of a strip before compression
_ROOM = 2**27  # for metadata, and for what deflate adds to noise


def first_page(stream: BinaryIO) -> Any:
    """Return the layout of a TIFF's only picture; pages that are thumbnails or masks do not count.

    Raises InputError for several pictures, for camera raw files and for samples that are not 1 to 8 or 16 bits.
    """
    import tifffile  # here and below: it takes a tenth of the start of the program, and few pictures need it

    pictures = sum(not (kind or 0) & _REDUCED_OR_MASK for kind in page_numbers(stream, _SUBFILE_TYPE))
    stream.seek(0)  # tifffile starts at the stream's position
    page: Any = tifffile.TiffFile(stream).pages.first
    if _RAW_CAMERA in page.tags:
        raise InputError("is a camera raw file (DNG): convert it to a 16-bit TIFF first")
    if pictures > 1:
        raise InputError(f"has {pictures} pages; only still pictures are supported: split it first")
    bits = page.bitspersample
    if page.sampleformat not in (1, 4) or bits not in (1, 2, 4, 8, 16):
        kind = {2: "signed", 3: "floating-point", 5: "complex", 6: "complex"}.get(page.sampleformat, "unsigned")
        raise InputError(f"has {bits}-bit {kind} samples: convert it to 8 or 16 bits a channel first")
    if page.planarconfig == 2 and page.samplesperpixel > 1 and not (is_sixteen_bit(page) or _reads_planes(page)):
        raise InputError("has planar channels, which are not supported with these samples: save it with interleaved channels")
    size = stream.seek(0, 2)
    ends = [offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)]
    if not ends or max(ends) > size or 0 in page.databytecounts:
        raise InputError("damaged TIFF file: it is cut short")
    return page


def _reads_planes(page: Any) -> bool:
    """Tell whether Pillow reads separate planes of such samples as they are."""
    associated = 1 in page.extrasamples
    return page.bitspersample == 8 and page.photometric in (_RGB, _CMYK, _YCBCR) and not associated


def note_dropped(page: Any, picture: Picture) -> None:
    """Note if Pillow left a channel of the page out of the picture."""
    colours = {_RGB: 3, _CMYK: 4, _YCBCR: 3, _LAB: 3}.get(page.photometric, 1)
    has_alpha = picture.pixels.shape[2] in (2, 4)
    if page.samplesperpixel > colours + has_alpha:
        picture.notes.append(_DROPPED)


def is_sixteen_bit(page: Any) -> bool:
    """Tell whether a page has 16-bit grey or RGB samples, with or without alpha."""
    return page.bitspersample == 16 and page.photometric in (_GREY_INVERTED, _GREY, _RGB)


def sixteen_bit_pixels(stream: BinaryIO, page: Any, notes: list[str]) -> np.ndarray:
    """Decode a page for which `is_sixteen_bit` holds, upright and with straight alpha: (H, W, C) uint16."""
    colours = 3 if page.photometric == _RGB else 1
    pixels = _by_tifffile(stream, page)
    pixels = pixels.astype(np.uint16, copy=False)  # in this machine's byte order
    extra = pixels.shape[2] - colours
    meaning = page.extrasamples[0] if page.extrasamples else 2
    if page.photometric == _GREY_INVERTED:
        pixels = np.concatenate([65535 - pixels[..., :1], pixels[..., 1:]], axis=2)
    if extra > 0 and meaning == 0 and colours == 3:
        notes.append(_DROPPED)
        return pixels[..., :3]
    if extra > 1:
        notes.append(_DROPPED)
    pixels = pixels[..., : colours + min(extra, 1)]
    return unassociated(pixels) if extra > 0 and meaning == 1 else pixels


def _by_tifffile(stream: BinaryIO, page: Any) -> np.ndarray:
    pixels = page.asarray() if page.compression in _BY_TIFFFILE else _assembled(stream, page)
    if page.axes == "SYX":
        pixels = np.moveaxis(pixels, 0, -1)
    elif page.axes == "YX":
        pixels = pixels[..., None]
    elif page.axes != "YXS":
        raise InputError("is a volume; only still pictures are supported")
    orientation = page.tags.get(exif_block.ORIENTATION)
    return upright(pixels, int(orientation.value) if orientation is not None else 1)


def _assembled(stream: BinaryIO, page: Any) -> np.ndarray:
    """Decode a page with a compression that only libtiff supports: Pillow unpacks each strip or tile, tifffile places it."""
    if page.compression not in _BY_LIBTIFF:
        raise InputError(f"has 16-bit samples with an unsupported compression ({page.compression.name}): save it with deflate")
    compression, page.compression = int(page.compression), 1  # the data for tifffile is already unpacked
    pixels = np.zeros(page.shaped, page.dtype)
    _, _, height, width, samples = page.shaped
    for index, (offset, count) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True)):
        rows, across = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, width)
        if not page.is_tiled:
            strips = -(-height // rows)
            rows = min(rows, height - index % strips * rows)
        stream.seek(offset)
        unpacked = _unpacked(stream.read(count), compression, across * samples * 2, rows)
        part, (plane, _, top, left, _), _ = page.decode(unpacked, index)
        place = pixels[plane, 0, top : top + rows, left : left + across]
        place[:] = part[0, : place.shape[0], : place.shape[1]]  # tiles may extend beyond the edges
    return pixels.reshape(page.shape)


def _unpacked(data: bytes, compression: int, width: int, rows: int) -> bytes:
    """Decompress bytes with libtiff, wrapped in an 8-bit grey TIFF of `width` x `rows`."""
    values = {256: width, 257: rows, 258: 8, 259: compression, 262: _GREY, 273: 8, 277: 1, 278: rows, 279: len(data)}
    entries = {tag: Entry(tag, LONG, 1, struct.pack("<I", value)) for tag, value in values.items()}
    end = 8 + len(data)
    small = struct.pack("<2sHI", b"II", 42, end) + data + pack_directory("<", entries, end)
    return TiffImageFile(io.BytesIO(small)).tobytes()


def metadata(stream: BinaryIO, picture: Picture) -> None:
    """Fill in EXIF, XMP, profile and resolution from a TIFF's first directory."""
    tags = read_tags(stream)
    values = {tag: tags.image[tag].value for tag in (_XMP, _ICC) if tag in tags.image}
    picture.exif, picture.xmp, picture.icc = exif_block.from_tiff(tags), values.get(_XMP), values.get(_ICC)
    if not _GEO.isdisjoint(tags.image):
        picture.notes.append("GeoTIFF tags dropped: they refer to the input's pixel grid")
    unit = {2: 1.0, 3: 2.54}.get(number(tags.order, tags.image.get(296)) or 2)
    across, down = (rational(tags.order, tags.image.get(tag)) for tag in (282, 283))
    if unit and across and down:
        picture.dpi = resolution((across * unit, down * unit))


def needs_big(pixel_bytes: int) -> bool:
    """Tell whether a TIFF of so many bytes before compression may exceed 4 GiB and needs BigTIFF."""
    return pixel_bytes > 2**32 - _ROOM


def _strips(bands: Bands, rows: int, order: Literal["<", ">"]) -> Iterator[bytes]:
    """Yield the strips of the file: horizontally differenced and deflated."""
    for strip in bands.of_height(rows):
        strip[:, 1:] -= strip[:, :-1].copy()
        yield zlib.compress(strip.astype(bands.dtype.newbyteorder(order), copy=False).data)


def write(stream: BinaryIO, picture: Picture[Bands]) -> None:
    """Write a picture as a deflated TIFF with its metadata in the file's own directory; `stream` must be readable too.

    tifffile writes the pixels. The directory it made is then laid out anew at the file's end, with the descriptive
    tags, since it cannot write EXIF itself.
    """
    import tifffile

    described = Tags("<", {}, {}, {}, {})
    if picture.exif is not None:
        described = exif_block.descriptive(read_tags(io.BytesIO(picture.exif)))
    order: Literal["<", ">"] = "<" if described.order == "<" else ">"
    height, width, channels = picture.pixels.shape
    row_bytes = width * channels * picture.pixels.dtype.itemsize
    rows = max(1, _STRIP // row_bytes)
    tifffile.imwrite(
        stream,
        _strips(picture.pixels, rows, order),
        shape=(height, width) if channels == 1 else (height, width, channels),
        dtype=picture.pixels.dtype,
        bigtiff=needs_big(height * row_bytes),
        byteorder=order,
        photometric="rgb" if channels > 2 else "minisblack",
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        compression="zlib",
        predictor=2,
        rowsperstrip=rows,
        resolution=picture.dpi,
        resolutionunit="INCH" if picture.dpi else None,
        metadata=None,
        software=False,
    )
    image = {**described.image, **read_tags(stream).image}
    if picture.icc:
        image[_ICC] = Entry(_ICC, UNDEFINED, len(picture.icc), picture.icc)
    if picture.xmp:
        image[_XMP] = Entry(_XMP, BYTE, len(picture.xmp), picture.xmp)
    _, big, _ = read_header(stream)
    end = stream.seek(0, 2)
    end += stream.write(bytes(end % 2))  # directories begin at even offsets
    stream.write(pack_tags(described._replace(image=image), end, big=big))
    stream.seek(8 if big else 4)
    stream.write(struct.pack(order + ("Q" if big else "I"), end))
