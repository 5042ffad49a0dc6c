"""Metadata in places where few programs put it: kept, or named in a note."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from picture_files import chunk, gradient, png, profile, saved
from PIL import Image

from edgesr import images
from edgesr.images import Picture

CASES = Path(__file__).parents[3] / "shared" / "cases"
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><keep>me</keep></rdf:RDF></x:xmpmeta>'


def raw_profile(kind: bytes, data: bytes) -> bytes:
    return chunk(b"tEXt", b"Raw profile type " + kind + b"\0\n" + kind + b"\n%8d\n" % len(data) + data.hex().encode() + b"\n")


@pytest.mark.parametrize("depth", [8, 16])
def test_xmp_of_a_png_is_kept_behind_the_pixels_and_in_its_old_form(depth: int) -> None:
    pixels = gradient(dtype=np.uint16 if depth == 16 else np.uint8)
    whole = png(pixels, depth=depth)
    itxt = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)
    for data in (
        whole[:-12] + itxt + whole[-12:],
        whole[:-12] + raw_profile(b"xmp", XMP) + whole[-12:],
        png(pixels, depth=depth, extra=raw_profile(b"xmp", XMP)),
    ):
        picture = images.read(data)
        assert picture.xmp == XMP
        assert images.read(images.encode(picture, "PNG")).xmp == XMP


def test_iptc_of_a_png_is_named() -> None:
    picture = images.read(png(gradient(), depth=8, extra=raw_profile(b"iptc", b"8BIM\x04\x04")))
    assert any("IPTC" in note for note in picture.notes)


def test_the_profile_of_a_bmp_is_kept() -> None:
    plain = saved(Image.fromarray(gradient()), "BMP")
    icc = profile()
    header = bytearray(124)
    header[:40] = struct.pack("<I", 124) + plain[18:54]
    header[56:60] = b"DEBM"  # "MBED", the number's lowest byte first
    pixels = plain[54:]
    struct.pack_into("<II", header, 112, 124 + len(pixels), len(icc))
    data = b"BM" + struct.pack("<IHHI", 138 + len(pixels) + len(icc), 0, 0, 138) + bytes(header) + pixels + icc
    picture = images.read(data)
    assert np.array_equal(picture.pixels, gradient())
    assert images.read(images.encode(picture, "PNG")).icc == icc
    assert images.read(data[:-1]).icc is None  # cut off


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_places_of_a_geotiff_are_named(dtype: type) -> None:
    stream = io.BytesIO()
    scale = (33550, "d", 3, (1.0, 1.0, 0.0), True)
    tifffile.imwrite(stream, gradient(dtype=dtype), photometric="rgb", extratags=[scale])
    assert any("GeoTIFF" in note for note in images.read(stream.getvalue()).notes)
    stream = io.BytesIO()
    tifffile.imwrite(stream, gradient(dtype=dtype), photometric="rgb")
    assert not images.read(stream.getvalue()).notes


def test_comment_and_xmp_of_a_gif_are_kept_in_a_png() -> None:
    data = saved(Image.fromarray(gradient()[..., 0]), "GIF", comment=b"summer")
    at = data.index(b"\x21\xfe")
    magic = b"\x01" + bytes(range(255, -1, -1)) + b"\0"  # what lets a reader of blocks pass over XMP
    data = data[:at] + b"\x21\xff\x0bXMP DataXMP" + XMP + magic + data[at:]
    picture = images.read(data)
    written = Image.open(io.BytesIO(images.encode(picture, "PNG")))
    written.load()
    assert written.text["Comment"] == "summer"  # type: ignore[attr-defined]
    assert picture.xmp == XMP
    assert any("text" in note for note in images.fit(picture, "TIFF").notes)


def test_xmp_of_a_jxl_is_kept() -> None:
    pytest.importorskip("pillow_jxl")
    data = images.encode(Picture(gradient(), "PNG", xmp=XMP), "JXL")
    assert images.read(data).xmp == XMP
    assert images.read(images.encode(images.read(data), "PNG")).xmp == XMP


@pytest.mark.parametrize(("name", "field"), [("xmp_after_idat.png", "xmp"), ("icc_in_v5.bmp", "icc")])
def test_files_of_other_projects_keep_what_they_have(name: str, field: str) -> None:
    if not CASES.is_dir():
        pytest.skip("the files of other projects are not here")
    assert getattr(images.read(CASES / name), field)
