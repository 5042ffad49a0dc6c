"""The readers of foreign bytes, one fuzzing target each: what it runs, what it may raise, and the files to start from, made here."""

from __future__ import annotations

import io
import struct
import tempfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edgesr.errors import InputError, UsageError

PIXELS = 10**6  # the limit on pictures here, so that a large one is refused in no time


@dataclass(frozen=True)
class Target:
    """One reader."""

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    modules: tuple[str, ...]  # whose branches guide the search
    documented: tuple[type[Exception], ...]  # what the reader may raise
    words: tuple[bytes, ...] = ()  # that files of the format contain


def read_ifd(data: bytes) -> None:
    """TIFF's directories: all tags, the pages, and an EXIF block edited in place."""
    from edgesr.images import exif, ifd

    stream = io.BytesIO(data)
    ifd.page_numbers(stream, 254)
    tags = ifd.read_tags(stream)
    exif.from_tiff(tags)
    for entry in (*tags.image.values(), *tags.exif.values()):
        ifd.rational(tags.order, entry)
        ifd.number(tags.order, entry)


def edit_exif(data: bytes) -> None:
    """An EXIF block as it comes out of a JPEG, turned upright: its length may only shrink, and the result can be read."""
    from edgesr.images import exif

    block = exif.bare(data)
    if block is None:
        return
    exif.orientation(block)
    exif.without_orientation(block)
    edited = exif.refreshed(block, 70_000, 400)
    if len(edited) > len(block):
        raise AssertionError("the block has grown")
    exif.orientation(edited)


def read_png(data: bytes) -> None:
    """PNG's chunks, and the whole file."""
    from edgesr.images import damage, headers, parts

    stream = io.BytesIO(data)
    parts.check("PNG", stream)
    headers.png_cicp(stream)
    damage.found("PNG", stream)
    _read_whole(data)


def read_jpeg(data: bytes) -> None:
    """JPEG's segments, which are written again and read back the same, and the whole file."""
    from edgesr.images import damage, segments

    stream = io.BytesIO(data)
    kept = segments.kept(stream)
    again = segments.kept(io.BytesIO(b"\xff\xd8" + segments.packed(kept) + b"\xff\xd9"))
    if again != kept:
        raise AssertionError("what was kept is not what is written")
    damage.found("JPEG", stream)
    _read_whole(data)


def read_headers(data: bytes) -> None:
    """What is read of WebP, BMP, GIF and TIFF before their decoders, and the whole file."""
    from edgesr.images import formats, headers

    name = formats.detect(data[:64])
    if name is not None:
        headers.early_size(name, io.BytesIO(data))
    _read_whole(data)


def read_boxes(data: bytes) -> None:
    """The boxes of AVIF, HEIC and JPEG XL, and JPEG XL's codestream header, without their decoders."""
    from edgesr.images import headers, parts

    stream = io.BytesIO(data)
    parts.check("AVIF", stream)
    headers.avif_properties(stream)
    with suppress(ValueError):
        headers.avif_crop(stream, 40, 24)
    headers.early_size("JXL", stream)
    headers.jxl_is_animated(stream)


def read_recipe(data: bytes) -> None:
    """A recipe: the first line is a --set, the others are the file."""
    from edgesr.train.recipe import load_recipe

    override, _, text = data.partition(b"\n")
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        Path(file.name).write_bytes(text)
        load_recipe(Path(file.name), [override.decode("utf-8", "replace")] if override else None)


def read_onnx(data: bytes) -> None:
    """An ONNX file's metadata."""
    from edgesr import onnx_metadata

    onnx_metadata.read(data)


def _read_whole(data: bytes) -> None:
    from edgesr import images

    try:
        images.read(data, max_pixels=PIXELS)
    except InputError as error:
        if "\n" in str(error):
            raise AssertionError("an error of several lines") from error


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content) + 8) + kind + content


def _picture(channels: int = 3, dtype: str = "uint8"):  # type: ignore[no-untyped-def]
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (6, 9, channels)).astype(dtype)


def _encoded(*names: str) -> list[bytes]:
    from edgesr import images

    exif = _exif()
    described = [images.Picture(_picture(each), "PNG", exif=exif, xmp=b"<x/>", dpi=(72.0, 72.0)) for each in (1, 3, 4)]
    return [images.encode(picture, name) for name in names for picture in described]


def _exif() -> bytes:
    entries = struct.pack("<HHII", 274, 3, 1, 6) + struct.pack("<HHII", 256, 4, 1, 9) + struct.pack("<HHII", 34665, 4, 1, 50)
    sub = struct.pack("<HHHIII", 1, 40962, 4, 1, 9, 0)
    thumbnail = struct.pack("<HHHIIHHIII", 2, 513, 4, 1, 98, 514, 4, 1, 4, 0)
    return b"II*\0\x08\0\0\0\x03\0" + entries + struct.pack("<I", 68) + sub + thumbnail + b"JPEG"


def _tiffs() -> list[bytes]:
    import tifffile

    made = []
    for order, big in (("<", False), (">", False), ("<", True)):
        stream = io.BytesIO()
        tifffile.imwrite(stream, _picture(), byteorder=order, bigtiff=big, photometric="rgb", resolution=(72, 72))
        made.append(stream.getvalue())
    return [*made, *_encoded("TIFF")]


def _saved(name: str, mode: str = "RGB", **options: object) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(_picture()).convert(mode).save(stream, name, **options)
    return stream.getvalue()


def _pngs() -> list[bytes]:
    [grey, *rest] = _encoded("PNG")
    more = _chunk(b"cICP", b"\x0c\x0d\0\x01") + _chunk(b"gAMA", struct.pack(">I", 45455)) + _chunk(b"tEXt", b"Comment\0x")
    return [grey, *rest, rest[0][:33] + more + rest[0][33:], _saved("PNG", "P"), _saved("PNG", "1")]


def _jpegs() -> list[bytes]:
    plain = _saved("JPEG")
    resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", 4) + b"iptc" + b"8BIM\x04\x0c\0\0" + struct.pack(">I", 2) + b"th"
    photoshop = b"Photoshop 3.0\0" + resource
    extended = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32 + struct.pack(">II", 4, 0) + b"<x/>"
    blocks = [(b"\xed", photoshop), (b"\xe1", extended), (b"\xe1", b"Exif\0\0" + _exif())]
    packed = b"".join(b"\xff" + marker + struct.pack(">H", len(content) + 2) + content for marker, content in blocks)
    return [plain, plain[:2] + packed + plain[2:], _saved("JPEG", progressive=True), _saved("JPEG", "CMYK"), *_encoded("JPEG")]


def _others() -> list[bytes]:
    return [*_encoded("WEBP", "BMP"), _saved("GIF", comment=b"hello"), _saved("BMP", "L"), *_tiffs()[:2]]


def _boxes() -> list[bytes]:
    colr = _box(b"colr", b"nclx" + struct.pack(">HHHB", 12, 13, 6, 128))
    properties = _box(b"ipco", _box(b"ispe", struct.pack(">III", 0, 9, 6)) + _box(b"av1C", b"\x81\x04\x60\0") + colr)
    avif = _box(b"ftyp", b"avif\0\0\0\0mif1") + _box(b"meta", b"\0\0\0\0" + _box(b"iprp", properties))
    codestream = b"\xff\x0a" + bytes(range(40))
    container = _box(b"JXL ", b"\r\n\x87\n") + _box(b"jxlp", b"\0\0\0\0" + codestream) + _box(b"jxlc", codestream)
    large = struct.pack(">I4sQ", 1, b"meta", 20) + b"\0\0\0\0"
    return [avif, container, codestream, large, *_encoded("AVIF")]


def _recipes() -> list[bytes]:
    folder = Path(__file__).parents[1] / "recipes"
    return [b"optimizer.steps=10\n" + path.read_bytes() for path in sorted(folder.rglob("*.toml"))[:12]]


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2, len(content)]) + content


def _onnx() -> list[bytes]:
    entries = [_field(14, _field(1, key) + _field(2, value)) for key, value in ((b"version", b"tiny"), (b"halo", b"16"))]
    return [b"\x08\x08" + _field(2, b"edgesr") + b"".join(entries), b"\x0d\0\0\0\0\x09" + bytes(8) + entries[0]]


TARGETS = {
    "ifd": Target(
        read_ifd, _tiffs, ("edgesr.images.ifd", "edgesr.images.exif"), (ValueError,), (b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0")
    ),
    "exif": Target(
        edit_exif,
        lambda: [_exif(), b"Exif\0\0" + _exif()],
        ("edgesr.images.ifd", "edgesr.images.exif"),
        (ValueError,),
        (b"Exif\0\0",),
    ),
    "png": Target(
        read_png,
        _pngs,
        ("edgesr.images", "PIL.PngImagePlugin"),
        (ValueError,),
        (b"IHDR", b"IDAT", b"IEND", b"PLTE", b"tRNS", b"iCCP", b"eXIf", b"cICP", b"gAMA", b"cHRM", b"zTXt", b"iTXt", b"acTL"),
    ),
    "jpeg": Target(
        read_jpeg,
        _jpegs,
        ("edgesr.images", "PIL.JpegImagePlugin"),
        (ValueError,),
        (b"Exif\0\0", b"Photoshop 3.0\0", b"8BIM", b"ICC_PROFILE\0", b"http://ns.adobe.com/xap/1.0/\0", b"MPF\0"),
    ),
    "headers": Target(
        read_headers,
        _others,
        ("edgesr.images", "PIL.BmpImagePlugin", "PIL.GifImagePlugin", "PIL.WebPImagePlugin"),
        (),
        (b"RIFF", b"WEBPVP8X", b"WEBPVP8L", b"WEBPVP8 ", b"DEBM", b"\x21\xff\x0bXMP DataXMP", b"BM", b"GIF89a"),
    ),
    "boxes": Target(
        read_boxes,
        _boxes,
        ("edgesr.images.parts", "edgesr.images.headers"),
        (ValueError,),
        (b"ftyp", b"meta", b"iprp", b"ipco", b"colr", b"nclx", b"clap", b"av1C", b"jxlc", b"jxlp", b"xml ", b"brob"),
    ),
    "recipe": Target(
        read_recipe,
        _recipes,
        ("edgesr.train.recipe", "edgesr.data.fields", "tomllib"),
        (UsageError,),
        (
            b"stage",
            b"preset",
            b"[loss]",
            b"[data]",
            b"[optimizer]",
            b"[loss.adversarial]",
            b"[[data.targets]]",
            b'"""',
            b"inf",
            b"nan",
        ),
    ),
    "onnx": Target(read_onnx, _onnx, ("edgesr.onnx_metadata",), (ValueError,)),
}
