"""Orientation, EXIF, XMP, colour profile and resolution survive, made true for the pixels that are written."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
import tifffile
from picture_files import (
    MAKER_NOTE,
    THUMBNAIL_MARK,
    camera_exif,
    chunk,
    cmyk_profile,
    gradient,
    png,
    profile,
    relabelled,
    saved,
)
from PIL import ExifTags, Image, ImageCms, ImageOps

from edgesr import images
from edgesr.images import Picture

CARRY_EXIF = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/" '
    b'tiff:Orientation="6" exif:PixelXDimension="40"><exif:PixelYDimension>24</exif:PixelYDimension>'
    b"<keep>me</keep></rdf:Description></rdf:RDF></x:xmpmeta>"
)


def reopened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_orientation_is_applied_and_reset(name: str, order: str, orientation: int) -> None:
    options = {"lossless": True} if name == "WEBP" else {"quality": 95}
    data = saved(Image.fromarray(gradient()), name, exif=camera_exif(orientation, order), **options)
    expected = np.asarray(ImageOps.exif_transpose(reopened(data)))
    picture = images.read(data)
    assert np.array_equal(picture.pixels, expected)
    written = reopened(images.encode(picture, "PNG"))
    assert written.getexif()[ExifTags.Base.Orientation] == 1
    assert np.array_equal(np.asarray(ImageOps.exif_transpose(written)), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_orientation_of_a_tiff(orientation: int, dtype: type) -> None:
    pixels = gradient(dtype=dtype)
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    eight = Image.fromarray(gradient())
    eight.getexif()[274] = orientation
    like = np.asarray(ImageOps.exif_transpose(eight)).shape
    read = images.read(stream.getvalue()).pixels
    assert read.shape == like
    corner = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (-1, 0), 7: (-1, -1), 8: (0, -1)}
    top_left = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (-1, 0), 7: (-1, -1), 8: (0, -1)}
    assert read[0, 0].tolist() == pixels[top_left[orientation]].tolist(), corner


@pytest.mark.parametrize("name", ["AVIF", "TIFF"])
@pytest.mark.parametrize("orientation", [3, 6])
def test_orientation_of_avif_and_eight_bit_tiff(name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    data = saved(Image.fromarray(gradient()), name, exif=exif)
    shape = (40, 24, 3) if orientation == 6 else (24, 40, 3)
    picture = images.read(data)
    assert picture.pixels.shape == shape
    assert images.read(images.encode(picture, name)).pixels.shape == shape


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("name", CARRY_EXIF)
def test_camera_exif_survives_with_sizes_of_the_new_pixels(name: str, dtype: type, order: str) -> None:
    picture = images.read(saved(Image.fromarray(gradient()), "JPEG", exif=camera_exif(6, order)))
    assert THUMBNAIL_MARK not in (picture.exif or b"")
    picture.pixels = gradient(160, 96, 3, dtype)  # as if it had been enlarged
    data = images.encode(picture, name)
    assert THUMBNAIL_MARK not in data
    exif = reopened(data).getexif() if not (name == "TIFF" and dtype == np.uint16) else tiff_exif(data)
    details, gps = exif.get_ifd(ExifTags.IFD.Exif), exif.get_ifd(ExifTags.IFD.GPSInfo)
    assert exif[ExifTags.Base.Make].rstrip("\0") == "CameraCo."
    assert exif[ExifTags.Base.DateTime] == "2024:05:06 07:08:09"
    assert exif.get(ExifTags.Base.Orientation, 1) == 1
    assert details[ExifTags.Base.MakerNote] == MAKER_NOTE
    assert (details[ExifTags.Base.ExifImageWidth], details[ExifTags.Base.ExifImageHeight]) == (96, 160)
    assert [float(part) for part in gps[2]] == [52, 31, 12.34]
    assert not exif.get_ifd(ExifTags.IFD.IFD1)


def tiff_exif(data: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load_from_fp(io.BytesIO(data))
    return exif


def test_maker_note_stays_where_it_was() -> None:
    """Some makers' offsets count from the block's start."""
    block = camera_exif(8)
    picture = images.read(saved(Image.fromarray(gradient()), "JPEG", exif=block))
    assert picture.exif is not None
    assert picture.exif.index(MAKER_NOTE) == block.index(MAKER_NOTE)


def test_sizes_beyond_a_short_are_stored_whole() -> None:
    from edgesr.images.exif import refreshed

    exif = Image.Exif()
    exif.load(refreshed(camera_exif(), 70000, 66000))
    details = exif.get_ifd(ExifTags.IFD.Exif)
    assert (details[40962], details[40963]) == (70000, 66000)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_exif_goes_from_tiff_to_jpeg_without_the_tiff_s_own_structure(dtype: type) -> None:
    source = Picture(gradient(dtype=dtype), "JPEG", exif=camera_exif())
    picture = images.read(images.encode(source, "TIFF"))
    exif = reopened(images.encode(picture, "JPEG")).getexif()
    assert exif[ExifTags.Base.Model] == "C-100"
    assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote] == MAKER_NOTE
    assert exif.get_ifd(ExifTags.IFD.GPSInfo)[1] == "N"
    assert not {258, 259, 273, 277, 278, 279, 339} & set(exif)


@pytest.mark.parametrize(
    "text", ["A leaf", '{"shape": [24, 40, 3]}', "ImageJ=1.54\nimages=1\n", '<?xml version="1.0"?><OME SizeX="40">']
)
def test_a_tiff_s_description_is_kept_unless_it_describes_the_old_layout(text: str) -> None:
    stream = io.BytesIO()
    tifffile.imwrite(stream, gradient(), photometric="rgb", description=text, metadata=None, software="Leafcutter")
    picture = images.read(stream.getvalue())
    picture.pixels = gradient(48, 80)
    exif = reopened(images.encode(picture, "TIFF")).getexif()
    assert exif[ExifTags.Base.Software] == "Leafcutter"
    assert exif.get(ExifTags.Base.ImageDescription) == ("A leaf" if text == "A leaf" else None)


@pytest.mark.parametrize("name", CARRY_EXIF)
def test_xmp_is_kept_but_turns_nothing_again(name: str) -> None:
    picture = images.read(saved(Image.fromarray(gradient()), "JPEG", exif=camera_exif(6), xmp=XMP))
    assert picture.pixels.shape == (40, 24, 3)
    written = images.read(images.encode(picture, name))
    assert written.pixels.shape == (40, 24, 3)
    assert written.xmp is not None
    assert b"<keep>me</keep>" in written.xmp
    assert b'tiff:Orientation="1"' in written.xmp
    assert b'exif:PixelXDimension="24"' in written.xmp
    assert b"<exif:PixelYDimension>40<" in written.xmp


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_wide_gamut_profile_is_kept_byte_for_byte(name: str, dtype: type) -> None:
    data = images.encode(Picture(gradient(dtype=dtype), "PNG", icc=profile()), name)
    assert images.read(data).icc == profile()


@pytest.mark.parametrize("name", ["BMP", "JXL"])
def test_colours_are_converted_where_a_profile_cannot_be_kept(name: str) -> None:
    if name == "JXL":
        pytest.importorskip("pillow_jxl")
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    fitted = images.fit(Picture(red, "PNG", icc=profile()), name)  # its red is sRGB's green
    converted = fitted.pixels.whole()[4, 4]
    assert converted[1] > 250
    assert converted[0] < 5
    assert fitted.icc is None
    assert "converted to sRGB" in fitted.notes[0]
    unchanged = images.fit(Picture(red, "PNG", icc=profile("srgb")), name)
    assert np.array_equal(unchanged.pixels.whole(), red)
    assert not unchanged.notes


def test_grey_never_carries_a_colour_profile() -> None:
    grey = gradient(channels=1)
    assert images.read(saved(Image.fromarray(grey[..., 0]), "PNG", icc_profile=profile())).icc is None
    assert images.fit(Picture(grey, "PNG", icc=profile()), "PNG").icc is None
    gamma = relabelled(profile(), b"GRAY")
    assert images.fit(Picture(grey, "PNG", icc=gamma), "JPEG").icc == gamma
    assert images.fit(Picture(grey, "PNG", icc=gamma), "WEBP").icc is None  # WebP holds RGB only


def test_cmyk_is_converted_by_its_own_profile() -> None:
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    for name in ("JPEG", "TIFF"):
        picture = images.read(saved(cyan, name, icc_profile=cmyk_profile()))
        red, green, blue = picture.pixels[8, 8].astype(int)
        assert green > red + 50, "the profile says that cyan is a green"
        assert green > blue + 50
        assert picture.icc is None
        assert picture.notes == ["CMYK converted to sRGB by its embedded profile"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("name", "tolerance"), [("JPEG", 0.5), ("PNG", 0.02), ("TIFF", 0.001), ("BMP", 0.02)])
def test_resolution_is_kept(name: str, tolerance: float, dtype: type) -> None:
    data = images.encode(Picture(gradient(dtype=dtype), "PNG", dpi=(300.0, 150.0)), name)
    assert images.read(data).dpi == pytest.approx((300, 150), abs=tolerance)
    if dtype == np.uint8 or name not in ("TIFF",):
        assert reopened(data).info["dpi"] == pytest.approx((300, 150), abs=tolerance)


@pytest.mark.parametrize("name", CARRY_EXIF)
def test_stripping_leaves_nothing_personal_but_keeps_the_look(name: str) -> None:
    picture = Picture(gradient(), "JPEG", icc=profile(), exif=camera_exif(), xmp=XMP, dpi=(300.0, 300.0))
    data = images.encode(picture, name, strip_metadata=True)
    for secret in (b"CameraCo.", MAKER_NOTE, b"2024:05:06", b"<keep>"):
        assert secret not in data
    assert images.read(data).icc == profile()
    if name not in ("WEBP", "AVIF"):
        assert images.read(data).dpi == pytest.approx((300, 300), abs=0.1)
    assert picture.exif is not None, "the caller's picture is left alone"


AUTHOR = chunk(b"tEXt", b"Author\0A. Body") + chunk(b"iTXt", b"parameters\0\0\0en\0\0" + "ein Gemälde, 猫".encode())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_text_of_a_png_is_kept_in_a_png(dtype: type) -> None:
    stale = chunk(b"tEXt", b"Thumb::Image::Width\x0012") + chunk(
        b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(b"\niptc")
    )
    depth = 16 if dtype == np.uint16 else 8
    picture = images.read(png(gradient(dtype=dtype), extra=AUTHOR + stale, depth=depth))
    written = reopened(images.encode(picture, "PNG"))
    written.load()
    assert written.text == {"Author": "A. Body", "parameters": "ein Gemälde, 猫"}  # type: ignore[attr-defined]
    assert b"A. Body" not in images.encode(picture, "PNG", strip_metadata=True)
    assert "text metadata dropped" in images.fit(picture, "TIFF").notes[0]


@pytest.mark.parametrize("comment", [b"summer", "été".encode("latin-1"), b"x" * 65533])
def test_comment_of_a_jpeg_is_kept_in_a_jpeg(comment: bytes) -> None:
    segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
    picture = images.read(saved(Image.fromarray(gradient()), "JPEG", extra=segment))
    assert reopened(images.encode(picture, "JPEG")).info["comment"] == comment
    assert "comment" not in reopened(images.encode(picture, "JPEG", strip_metadata=True)).info
    assert not images.fit(picture, "PNG").text


@pytest.mark.parametrize("block", [b"II*\0\xff\xff\xff\x7f", b"nonsense", b"II*\0\x08\0\0\0\xff\xff", b"II"])
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_is_dropped_and_the_picture_kept(
    name: str, block: bytes, recwarn: pytest.WarningsRecorder, capfd: pytest.CaptureFixture[str]
) -> None:
    data = saved(Image.fromarray(gradient()), name, exif=b"Exif\0\0" + block)
    recwarn.clear()
    picture = images.read(data)
    assert picture.pixels.shape == (24, 40, 3)
    assert picture.exif is None
    assert "damaged EXIF dropped" in picture.notes
    assert not recwarn.list
    assert capfd.readouterr().err == ""


def test_old_style_exif_text_of_a_png_is_read() -> None:
    block = b"Exif\0\0" + camera_exif(3)
    text = b"Raw profile type exif\0\nexif\n%8d\n" % len(block) + block.hex().encode() + b"\n"
    picture = images.read(png(gradient(dtype=np.uint16), extra=chunk(b"tEXt", text)))
    assert np.array_equal(picture.pixels, gradient(dtype=np.uint16)[::-1, ::-1])
    assert picture.exif is not None


def test_long_metadata_that_a_jpeg_cannot_hold_is_named() -> None:
    fitted = images.fit(Picture(gradient(), "PNG", xmp=b"x" * 70000, exif=camera_exif() + bytes(70000)), "JPEG")
    assert [note.split()[0] for note in fitted.notes] == ["EXIF", "XMP"]
    assert images.encode(Picture(gradient(), "PNG", xmp=b"x" * 65400), "JPEG")


def test_a_camera_s_mpo_reads_as_its_first_picture() -> None:
    stream = io.BytesIO()
    first, second = Image.fromarray(gradient()), Image.new("RGB", (20, 12))
    first.save(stream, "MPO", save_all=True, append_images=[second], quality=95)
    picture = images.read(stream.getvalue())
    assert (picture.format, picture.pixels.shape) == ("JPEG", (24, 40, 3))


def test_profile_of_a_sixteen_bit_png_written_is_understood_by_others() -> None:
    data = images.encode(Picture(gradient(dtype=np.uint16), "PNG", icc=profile("srgb"), xmp=XMP), "PNG")
    image = reopened(data)
    assert "sRGB" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"])))
    image.load()
    assert b"<keep>" in image.info["xmp"]
