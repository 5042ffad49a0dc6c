"""Every kind of pixel comes out of its file as it was put in."""

from __future__ import annotations

import io
import itertools
import lzma
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from picture_files import chunk, gradient, noise, png, profile, relabelled, saved
from PIL import Image, ImageCms

from edgesr import images
from edgesr.errors import InputError
from edgesr.images import Picture

LOSSLESS = ("PNG", "TIFF", "BMP", "WEBP")


def shown(data: bytes) -> np.ndarray:
    return images.read(data).pixels


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("LA", 2), ("RGB", 3), ("RGBA", 4)])
@pytest.mark.parametrize("name", ["PNG", "TIFF"])
def test_eight_bit_modes_keep_channels_and_values(mode: str, channels: int, name: str) -> None:
    pixels = noise(channels, np.uint8)
    image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    assert image.mode == mode
    assert np.array_equal(shown(saved(image, name)), pixels)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bit_png_keeps_every_bit(channels: int, interlaced: bool) -> None:
    pixels = noise(channels, np.uint16)
    read = shown(png(pixels, interlaced=interlaced))
    assert read.dtype == np.uint16
    assert np.array_equal(read, pixels)


def test_sixteen_bits_are_told_by_the_header_not_by_the_values() -> None:
    assert shown(png(np.full((4, 5, 3), 7, np.uint16))).dtype == np.uint16
    assert shown(png(np.full((4, 5, 3), 7, np.uint8), depth=8)).dtype == np.uint8


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("channels", "key"),
    [(1, (9,)), (3, (9, 8, 7))],
)
def test_transparent_colour_of_a_png_becomes_alpha(channels: int, key: tuple[int, ...], dtype: type) -> None:
    pixels = noise(channels, dtype)
    pixels[3, 4] = key
    data = b"".join(value.to_bytes(2, "big") for value in key)
    read = shown(png(pixels, extra=chunk(b"tRNS", data), depth=16 if dtype == np.uint16 else 8))
    assert np.array_equal(read[..., :-1], pixels)
    assert read[3, 4, -1] == 0
    assert np.array_equal(read[..., -1] == 0, (pixels == key).all(axis=2))
    assert read[..., -1].max() == np.iinfo(dtype).max


def test_transparent_grey_of_a_four_bit_png_becomes_alpha() -> None:
    import struct

    from picture_files import png_file

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 1, 4, 0, 0, 0, 0))
    data = png_file(header, chunk(b"tRNS", b"\0\x05"), chunk(b"IDAT", zlib.compress(b"\0\x05\xf5")))
    assert shown(data)[0].tolist() == [[0, 255], [85, 0], [255, 255], [85, 0]]


def test_palette_becomes_rgb_and_with_transparency_rgba() -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8)).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    assert shown(saved(image, "PNG"))[0, 1].tolist() == [40, 50, 60]
    assert shown(saved(image, "PNG", transparency=1))[..., 3].tolist() == [[255, 0], [255, 0]]
    assert shown(saved(image, "PNG", transparency=b"\x80\x00\xff"))[..., 3].tolist() == [[128, 0], [255, 0]]
    assert shown(saved(image, "GIF"))[1, 0].tolist() == [70, 80, 90]


def test_one_bit_becomes_grey() -> None:
    image = Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert("1")
    assert shown(saved(image, "PNG"))[..., 0].tolist() == [[0, 255], [255, 0]]


LAYOUTS = [
    (channels, compression, planar, tile, order)
    for channels, compression, planar, tile, order in itertools.product(
        (1, 2, 3, 4), (None, "zlib"), ("contig", "separate"), (None, (16, 16)), "<>"
    )
    if channels > 2 or planar == "contig"
]


@pytest.mark.parametrize(("channels", "compression", "planar", "tile", "order"), LAYOUTS)
def test_sixteen_bit_tiff_layouts(
    channels: int, compression: str | None, planar: str, tile: tuple[int, int] | None, order: str
) -> None:
    pixels = noise(channels, np.uint16)
    stream = io.BytesIO()
    tifffile.imwrite(
        stream,
        pixels[..., 0] if channels == 1 else pixels if planar == "contig" else np.moveaxis(pixels, -1, 0),
        photometric="rgb" if channels > 2 else "minisblack",
        planarconfig=planar if channels > 1 else None,
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        compression=compression,
        predictor=2 if compression else None,
        tile=tile,
        byteorder=order,
        rowsperstrip=None if tile else 5,
    )
    read = shown(stream.getvalue())
    assert read.dtype == np.uint16
    assert np.array_equal(read, pixels)


def literal_lzw(data: bytes) -> bytes:
    """Code bytes as an LZW stream that clears its table before a code would need 10 bits."""
    codes = [code for at in range(0, len(data), 200) for code in (256, *data[at : at + 200])] + [257]
    bits = "".join(f"{code:09b}" for code in codes)
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def literal_packbits(data: bytes) -> bytes:
    return b"".join(bytes([len(run) - 1]) + run for run in (data[at : at + 128] for at in range(0, len(data), 128)))


COMPRESSORS = {5: literal_lzw, 32773: literal_packbits, 34925: lzma.compress}


@pytest.mark.parametrize("compression", COMPRESSORS)
@pytest.mark.parametrize(("channels", "_", "planar", "tile", "order"), [layout for layout in LAYOUTS if layout[1]])
def test_sixteen_bit_tiff_compressed_as_tifffile_alone_cannot_undo(
    channels: int, _: str, planar: str, tile: tuple[int, int] | None, order: str, compression: int
) -> None:
    """LZW is what many editors write. The strips or tiles of a deflated file are compressed anew, each for itself."""
    pixels = noise(channels, np.uint16)
    options = {
        "photometric": "rgb" if channels > 2 else "minisblack",
        "planarconfig": planar if channels > 1 else None,
        "extrasamples": ["unassalpha"] if channels in (2, 4) else None,
        "compression": "zlib",
        "predictor": 2,
        "tile": tile,
        "byteorder": order,
        "rowsperstrip": None if tile else 5,
        "metadata": None,
    }
    shaped = pixels[..., 0] if channels == 1 else pixels if planar == "contig" else np.moveaxis(pixels, -1, 0)
    deflated, stream = io.BytesIO(), io.BytesIO()
    tifffile.imwrite(deflated, shaped, **options)
    with tifffile.TiffFile(io.BytesIO(deflated.getvalue())) as file:
        page = file.pages.first
        spans = zip(page.dataoffsets, page.databytecounts, strict=True)
        parts = [COMPRESSORS[compression](zlib.decompress(deflated.getvalue()[at : at + size])) for at, size in spans]
    tifffile.imwrite(stream, iter(parts), shape=shaped.shape, dtype=np.uint16, **options)
    with tifffile.TiffFile(io.BytesIO(stream.getvalue())) as file:
        at = file.pages.first.tags["Compression"].valueoffset
    data = bytearray(stream.getvalue())
    data[at : at + 2] = compression.to_bytes(2, "little" if order == "<" else "big")
    assert np.array_equal(shown(bytes(data)), pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_premultiplied_alpha_of_a_tiff_is_undone(dtype: type) -> None:
    top = np.iinfo(dtype).max
    straight = np.array([[[top, top // 2, 0, top // 3], [top // 4, top, top, top]]], dtype)
    alpha = straight[..., 3:].astype(float) / top
    associated = np.concatenate([np.round(straight[..., :3] * alpha), straight[..., 3:]], axis=2).astype(dtype)
    stream = io.BytesIO()
    tifffile.imwrite(stream, associated, photometric="rgb", extrasamples=["assocalpha"])
    assert np.abs(shown(stream.getvalue()).astype(int) - straight).max() <= 3


def test_inverted_grey_tiff_is_shown_right_side_up() -> None:
    for dtype in (np.uint8, np.uint16):
        pixels = noise(1, dtype)
        stream = io.BytesIO()
        tifffile.imwrite(stream, np.iinfo(dtype).max - pixels[..., 0], photometric="miniswhite")
        assert np.array_equal(shown(stream.getvalue()), pixels)


@pytest.mark.parametrize("dtype", [np.float32, np.uint32, np.int16, np.float16])
def test_samples_beyond_sixteen_bits_are_refused_with_advice(dtype: type) -> None:
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.zeros((4, 5), dtype), photometric="minisblack")
    with pytest.raises(InputError, match="convert it to 8 or 16 bits"):
        images.read(stream.getvalue())


@pytest.mark.parametrize("name", LOSSLESS)
@pytest.mark.parametrize("channels", [3, 4])
def test_lossless_formats_give_back_what_was_written(name: str, channels: int) -> None:
    pixels = noise(channels, np.uint8) if name != "BMP" else noise(3, np.uint8)
    if channels == 4:
        pixels = np.concatenate([pixels[..., :3], np.full_like(pixels[..., :1], 255)], axis=2)
    read = shown(images.encode(Picture(pixels, "PNG"), name, quality=100 if name == "WEBP" else None))
    assert np.array_equal(read[..., :3], pixels[..., :3])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("width", [33, 6000])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_files_written_are_read_alike_by_other_programs(channels: int, width: int, dtype: type) -> None:
    """The wide ones are compressed in several strips."""
    pixels = gradient(150, width, channels, dtype)
    pixels[40:60] = noise(channels, dtype, 20, width)
    data = images.encode(Picture(pixels, "PNG"), "PNG")
    assert np.array_equal(shown(data), pixels)
    by_opencv = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if channels > 2:
        assert np.array_equal(by_opencv[..., [2, 1, 0, 3][:channels]], pixels)
    else:  # OpenCV shows grey + alpha as RGBA
        assert np.array_equal(np.atleast_3d(by_opencv)[..., :: max(1, channels * 2 - 1)], pixels)
    by_tifffile = tifffile.imread(io.BytesIO(images.encode(Picture(pixels, "PNG"), "TIFF")))
    assert np.array_equal(by_tifffile.reshape(pixels.shape), pixels)


def test_sixteen_bit_png_written_compresses_a_smooth_picture() -> None:
    pixels = gradient(200, 300, 3, np.uint16)
    assert len(images.encode(Picture(pixels, "PNG"), "PNG")) < pixels.nbytes / 3


@pytest.mark.parametrize("name", ["JPEG", "WEBP", "AVIF", "BMP"])
def test_sixteen_bits_are_rounded_to_eight_with_a_note(name: str) -> None:
    fitted = images.fit(Picture(np.array([[[0], [128], [129], [65535], [65406]]], np.uint16), "PNG"), name)
    assert fitted.pixels.whole()[0, :, 0].tolist() == [0, 0, 1, 255, 254]
    assert "16 bits" in fitted.notes[0]


@pytest.mark.parametrize("name", ["JPEG", "BMP"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_alpha_is_laid_onto_white_where_a_format_has_none(name: str, dtype: type) -> None:
    top = np.iinfo(dtype).max
    pixels = np.array([[[top, 0, 0, top], [top, 0, 0, 0], [0, 0, 0, top // 2]]], dtype)
    fitted = images.fit(Picture(pixels, "PNG"), name)
    assert fitted.pixels.whole()[0].tolist() in ([[255, 0, 0], [255, 255, 255], [128, 128, 128]],)
    assert any("alpha flattened onto white" in note for note in fitted.notes)


@pytest.mark.parametrize("name", ["JPEG", "WEBP", "AVIF"])
def test_lossy_formats_stay_close(name: str) -> None:
    pixels = gradient(64, 64)
    read = shown(images.encode(Picture(pixels, "PNG"), name))
    assert np.abs(read.astype(int) - pixels).mean() < 2


@pytest.mark.parametrize("name", ["JPEG", "AVIF"])
def test_colours_are_written_at_full_resolution(name: str) -> None:
    """One-pixel stripes of equal brightness vanish when colours are halved (4:2:0)."""
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:, ::2], pixels[:, 1::2] = (200, 60, 60), (40, 130, 60)
    read = shown(images.encode(Picture(pixels, "PNG"), name, quality=95)).astype(int)
    assert np.abs(read - pixels).mean() < 6


def cmyk_jpeg(**options: object) -> bytes:
    return saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95, **options)


def test_cmyk_without_profile_becomes_rgb_with_a_note() -> None:
    picture = images.read(cmyk_jpeg())
    assert picture.pixels[8, 8, 0] > 240
    assert picture.pixels[8, 8, 1:].max() < 15
    assert picture.icc is None
    assert any("CMYK" in note for note in picture.notes)


def test_a_cmyk_picture_loses_its_profile_even_a_damaged_one() -> None:
    picture = images.read(cmyk_jpeg(icc_profile=relabelled(profile(), b"CMYK")))
    assert picture.icc is None
    assert any("CMYK" in note for note in picture.notes)


def test_lab_is_converted_with_a_note() -> None:
    rgb = Image.new("RGB", (8, 8), (200, 60, 90))
    lab = ImageCms.profileToProfile(rgb, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB")
    picture = images.read(saved(lab, "TIFF"))
    assert np.abs(picture.pixels[4, 4].astype(int) - (200, 60, 90)).max() <= 4
    assert any("LAB" in note for note in picture.notes)
