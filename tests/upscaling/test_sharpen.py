"""Sharpness: the mask that the documentation describes, of whole pictures however they are cut, by every way to ask for it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from command_line import edgesr_, error_of
from pictures import gradient, photograph
from PIL import Image

from edgesr import Upscaler, upscale, upscale_file
from edgesr.errors import UsageError
from edgesr.images.bands import Bands
from edgesr.upscaling.sharpen import sharpen


@pytest.fixture(scope="module")
def upscaler():
    return Upscaler(threads=1)


def masked(pixels, sharpness, white):
    """The definition, on the whole picture at once: colours plus `sharpness` times luma less its blur by the binomial of five."""
    values = pixels.astype(np.float64)
    luma = values @ [0.299, 0.587, 0.114] if values.shape[2] == 3 else values[:, :, 0]
    blurred = luma
    for axis in (0, 1):
        padded = np.pad(blurred, [(2, 2) if axis == each else (0, 0) for each in (0, 1)], mode="edge")
        blurred = np.apply_along_axis(np.convolve, axis, padded, np.array([1, 4, 6, 4, 1]) / 16, mode="valid")
    return (values + sharpness * (luma - blurred)[:, :, None]).clip(0, white)


@pytest.mark.parametrize("picture", [photograph(30, 22), photograph(30, 22)[:, :, :1], gradient(17, 20, np.uint16)])
def test_it_is_the_mask_of_the_documentation(upscaler, picture) -> None:
    plain = upscaler(picture, sharpness=0)
    for sharpness in (0.4, 1):
        want = masked(plain, sharpness, np.iinfo(picture.dtype).max)
        assert np.abs(upscaler(picture, sharpness=sharpness) - want).max() <= 0.51 + 0.001 * (picture.dtype == np.uint16)


def test_tiles_and_bands_leave_no_seams(upscaler) -> None:
    picture = photograph(70, 50)
    want = upscaler(picture, scale=3, sharpness=1)
    assert np.array_equal(Upscaler(threads=1, tile=32)(picture, scale=3, sharpness=1), want)
    whole = photograph(200, 20)
    for rows in (1, 3, 64, 200):
        bands = Bands(whole.shape, whole.dtype, (whole[top : top + rows] for top in range(0, 200, rows)))
        assert np.abs(sharpen(bands, 1).whole() - masked(whole, 1, 255)).max() <= 0.51


def test_opacity_and_floats_stay_in_range(upscaler) -> None:
    shade = np.linspace(0, 255, 20 * 16).reshape(20, 16, 1).astype(np.uint8)
    picture = np.concatenate([photograph(20, 16), shade], axis=2)
    plain, sharp = upscaler(picture, sharpness=0), upscaler(picture, sharpness=1)
    assert np.array_equal(plain[:, :, 3], sharp[:, :, 3])
    assert not np.array_equal(plain[:, :, :3], sharp[:, :, :3])
    hard = np.kron(np.indices((4, 4)).sum(axis=0) % 2, np.ones((6, 6))).astype(np.float32)
    result = upscaler(hard, sharpness=1)
    assert result.dtype == np.float32
    assert result.min() >= 0 and result.max() <= 1


def test_command_file_and_python_agree(tmp_path) -> None:
    picture = photograph(24, 30)
    Image.fromarray(picture).save(tmp_path / "a.png")
    want = upscale(picture, sharpness=0.7)
    done = edgesr_("upscale", "a.png", "-o", "b.png", "--sharpness", "0.7", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["sharpness"] == 0.7
    upscale_file(tmp_path / "a.png", tmp_path / "c.png", sharpness=0.7)
    for name in ("b.png", "c.png"):
        assert np.array_equal(np.asarray(Image.open(tmp_path / name)), want)


def test_the_crisp_form_is_sharpened_unless_the_picture_shrinks(upscaler, tmp_path) -> None:
    picture = photograph(24, 30)
    assert np.array_equal(upscaler(picture), upscaler(picture, sharpness=0.4))
    for fidelity, share in ((0.5, 0.2), (1, 0)):
        form = Upscaler(threads=1, fidelity=fidelity)
        assert np.array_equal(form(picture), form(picture, sharpness=share))
    assert np.array_equal(upscaler(picture, width=20), upscaler(picture, width=20, sharpness=0))
    Image.fromarray(picture).save(tmp_path / "a.png")
    done = edgesr_("upscale", "a.png", "-o", "b.png", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["sharpness"] == 0.4
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), upscale(picture))


def test_other_numbers_are_an_error(upscaler, tmp_path) -> None:
    for wrong in (-0.1, 1.5, float("nan"), "much", True):
        with pytest.raises(UsageError, match=r"give a number from 0 \(off\) to 1"):
            upscaler(photograph(8, 8), sharpness=wrong)
    assert "--sharpness: '2' is not a number from 0 to 1" in error_of("upscale", "a.png", "--sharpness", "2", cwd=tmp_path)
