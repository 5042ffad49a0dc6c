"""Colours that a file describes without an ICC profile come out as they went in, whatever format they go to."""

from __future__ import annotations

import io
import struct

import cv2
import numpy as np
import pytest
from picture_files import chunk, gradient, png, profile, saved
from PIL import Image, ImageCms

from edgesr import images

P3_COLOUR, THE_SAME_IN_SRGB = (200, 100, 50), (215, 93, 31)
DISPLAY_P3 = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)  # white, red, green, blue; times 100,000
SRGB = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)


def gamma(value: int) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", value))


def chromaticities(*values: int) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *values))


def plain(colour: tuple[int, ...]) -> np.ndarray:
    return np.full((8, 8, len(colour)), colour, np.uint8)


def in_srgb(picture: images.Picture) -> list[int]:
    """Return a picture's colour as another program, LittleCMS, shows it by the file that is written."""
    image = Image.open(io.BytesIO(images.encode(picture, "PNG")))
    stated = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    shown = ImageCms.profileToProfile(image, stated, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert shown is not None
    return list(shown.getpixel((4, 4)))  # type: ignore[arg-type]


@pytest.mark.parametrize("channels", [1, 3])
def test_gamma_of_a_png_becomes_a_profile(channels: int) -> None:
    picture = images.read(png(plain((55,) * channels), extra=gamma(100_000), depth=8))  # 55 / 255, linear
    assert in_srgb(picture) == [128, 128, 128]


@pytest.mark.parametrize("extra", [chromaticities(*DISPLAY_P3) + gamma(45455), chunk(b"cICP", b"\x0c\x0d\0\1")])
def test_wide_colours_of_a_png_become_a_profile(extra: bytes) -> None:
    """A gAMA of 1 / 2.2 is how the sRGB curve is written there."""
    picture = images.read(png(plain(P3_COLOUR), extra=extra, depth=8))
    assert np.abs(np.subtract(in_srgb(picture), THE_SAME_IN_SRGB)).max() <= 1
    assert images.read(images.encode(picture, "JPEG")).icc == picture.icc
    assert np.abs(images.fit(picture, "BMP").pixels.whole()[4, 4].astype(int) - THE_SAME_IN_SRGB).max() <= 1


def test_sixteen_bit_and_pillow_s_pngs_are_described_too() -> None:
    data = png(gradient(dtype=np.uint16), extra=gamma(55_556))
    assert images.read(images.encode(images.read(data), "PNG")).icc == images.read(data).icc is not None
    assert images.from_pil(Image.open(io.BytesIO(data))).icc == images.read(data).icc


@pytest.mark.parametrize(
    "extra",
    [
        gamma(45455),
        gamma(45455) + chromaticities(*SRGB),
        chunk(b"sRGB", b"\0") + gamma(30_000),  # sRGB outranks the others
        chunk(b"cICP", b"\1\x0d\0\1") + gamma(30_000),  # and cICP all
    ],
)
def test_colours_described_as_srgb_need_no_profile(extra: bytes) -> None:
    picture = images.read(png(gradient(), extra=extra, depth=8))
    assert (picture.icc, picture.notes) == (None, [])


def test_a_profile_of_the_file_s_own_outranks_gamma() -> None:
    image = Image.fromarray(gradient())
    data = saved(image, "PNG", icc_profile=profile())
    end_of_header = 33
    assert images.read(data[:end_of_header] + gamma(100_000) + data[end_of_header:]).icc == profile()


@pytest.mark.parametrize("extra", [chromaticities(*[0] * 8), chromaticities(*[30_000] * 8), gamma(0), gamma(1)])
def test_descriptions_without_sense_are_ignored(extra: bytes) -> None:
    assert images.read(png(gradient(), extra=extra, depth=8)).icc is None


def test_colours_no_profile_can_describe_are_named() -> None:
    hdr = images.read(png(gradient(), extra=chunk(b"cICP", b"\x09\x10\0\1"), depth=8))
    assert hdr.icc is None
    assert "PQ (HDR)" in hdr.notes[0]


def test_code_points_of_an_avif_become_a_profile() -> None:
    data = saved(Image.fromarray(plain(P3_COLOUR)), "AVIF", quality=100, subsampling="4:4:4")
    assert images.read(data).icc is None
    picture = images.read(data.replace(b"colrnclx\0\1\0\x0d", b"colrnclx\0\x0c\0\x0d"))
    assert np.abs(np.subtract(in_srgb(picture), THE_SAME_IN_SRGB)).max() <= 3


@pytest.mark.parametrize("bits", [10, 12])
def test_an_avif_of_more_than_eight_bits_says_that_it_is_reduced(bits: int) -> None:
    if not cv2.haveImageWriter(".avif"):
        pytest.skip("this OpenCV writes no AVIF")
    pixels = gradient(64, 64, 3, np.uint16) >> (16 - bits)
    data = cv2.imencode(".avif", pixels[..., ::-1], [cv2.IMWRITE_AVIF_DEPTH, bits])[1].tobytes()
    picture = images.read(data)
    assert picture.notes == [f"{bits} bits a channel reduced to 8: the decoder supports no more"]
    assert not images.read(images.encode(picture, "AVIF")).notes


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_heic_of_ten_bits_keeps_them(channels: int) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pixels = gradient(64, 96, channels, np.uint16)
    pixels[:32, :32] = 65535
    stream = io.BytesIO()
    mode = {1: "L;16", 3: "RGB;16", 4: "RGBA;16"}[channels]
    pillow_heif.from_bytes(mode, (96, 64), pixels.tobytes()).save(stream, quality=100, chroma="444")
    picture = images.read(stream.getvalue())
    assert (picture.pixels.dtype, picture.pixels.shape) == (np.uint16, pixels.shape)
    assert np.abs(picture.pixels.astype(int) - pixels).mean() < 65535 / 1023
    assert picture.pixels.max() == 65535, "10 bits are stretched to the whole range"
    assert (picture.pixels % 257).any(), "8 bits would be multiples of 257"
