"""Pillow images go in and come back with their mode, profile, EXIF and resolution."""

from __future__ import annotations

import io

import numpy as np
import pytest
from picture_files import camera_exif, gradient, profile, saved
from PIL import Image

from edgesr import images
from edgesr.errors import InputError
from edgesr.images import Picture


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_plain_modes_come_back_unchanged(mode: str) -> None:
    image = Image.fromarray(gradient()).convert(mode)
    back = images.to_pil(images.from_pil(image))
    assert back.mode == mode
    assert back.tobytes() == image.tobytes()


@pytest.mark.parametrize(("mode", "expected"), [("1", "L"), ("P", "RGB"), ("CMYK", "RGB"), ("YCbCr", "RGB"), ("HSV", "RGB")])
def test_other_modes_become_what_they_mean(mode: str, expected: str) -> None:
    image = Image.fromarray(gradient()).convert(mode)
    back = images.to_pil(images.from_pil(image))
    assert back.mode == expected
    assert np.array_equal(np.asarray(back), np.asarray(image.convert(expected)))


def test_sixteen_bit_grey_comes_back_unchanged() -> None:
    pixels = gradient(channels=1, dtype=np.uint16)
    image = Image.fromarray(pixels[..., 0])
    assert images.from_pil(image).pixels.dtype == np.uint16
    back = images.to_pil(images.from_pil(image))
    assert back.mode == "I;16"
    assert np.array_equal(np.asarray(back), pixels[..., 0])


def test_sixteen_bit_colours_are_reduced_since_pillow_has_no_mode_for_them() -> None:
    assert images.to_pil(Picture(gradient(dtype=np.uint16), "PNG")).mode == "RGB"


@pytest.mark.parametrize("mode", ["I", "F"])
def test_32_bit_modes_are_refused_with_advice(mode: str) -> None:
    with pytest.raises(InputError, match="convert it to 8 or 16 bits"):
        images.from_pil(Image.new(mode, (4, 4)))


@pytest.mark.parametrize("name", ["JPEG", "PNG", "TIFF"])
def test_an_opened_file_is_turned_upright_and_keeps_its_info(name: str) -> None:
    exif = Image.Exif()
    exif.load(camera_exif(6))
    data = saved(Image.fromarray(gradient()), name, exif=exif, icc_profile=profile(), dpi=(300, 300))
    with Image.open(io.BytesIO(data)) as image:
        back = images.to_pil(images.from_pil(image))
    assert back.size == (24, 40)
    assert back.info["icc_profile"] == profile()
    assert back.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    again = Image.open(io.BytesIO(saved(back, "JPEG", exif=back.info["exif"])))
    assert again.getexif().get(274, 1) == 1
    assert again.getexif()[272] == "C-100"


def test_a_truncated_file_opened_by_pillow_is_an_input_error() -> None:
    data = saved(Image.fromarray(gradient(200, 200)), "JPEG", quality=95)
    with pytest.raises(InputError, match="truncated"):
        images.from_pil(Image.open(io.BytesIO(data[: len(data) // 2])))


def test_the_given_image_is_not_changed() -> None:
    image = Image.open(io.BytesIO(saved(Image.new("CMYK", (8, 8)), "JPEG", icc_profile=profile())))
    images.from_pil(image)
    assert image.info["icc_profile"] == profile()
    assert image.mode == "CMYK"
