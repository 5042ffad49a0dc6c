"""Metrics against closed forms, scikit-image, and the published figures of bicubic interpolation on two suites."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from skimage import color, data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from edgesr.evaluate.metrics import colour_shift, consistency, luma, psnr_rgb, psnr_y, sharpness, ssim_rgb, ssim_y
from edgesr.evaluate.suites import load_suite

SHARED = Path(os.environ.get("EDGESR_SHARED", Path(__file__).parents[3] / "shared"))


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return data.chelsea()[50:180, 100:250]


@pytest.fixture(scope="module")
def noisy(photo) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 12, photo.shape)
    return np.clip(photo + noise, 0, 255).round().astype(np.uint8)


def flat(*colour: int) -> np.ndarray:
    return np.full((32, 32, 3), colour, dtype=np.uint8)


def test_luma_is_matlabs(photo):
    corners = {(0, 0, 0): 16, (255, 255, 255): 235, (255, 0, 0): 81, (0, 255, 0): 145, (0, 0, 255): 41}
    assert {rgb: luma(flat(*rgb))[0, 0] for rgb in corners} == corners
    np.testing.assert_array_equal(luma(photo), np.round(color.rgb2ycbcr(photo)[..., 0]))


def test_psnr_of_a_known_offset():
    assert psnr_rgb(flat(110, 100, 100), flat(100, 100, 100)) == pytest.approx(10 * math.log10(255**2 * 3 / 100))
    step = luma(flat(110, 110, 110))[0, 0] - luma(flat(100, 100, 100))[0, 0]
    assert psnr_y(flat(110, 110, 110), flat(100, 100, 100)) == pytest.approx(20 * math.log10(255 / step))


def test_psnr_is_scikit_images(photo, noisy):
    inside = (slice(4, -4), slice(4, -4))
    expected = peak_signal_noise_ratio(photo[inside], noisy[inside])
    assert psnr_rgb(noisy, photo) == pytest.approx(expected)
    expected = peak_signal_noise_ratio(luma(photo)[inside], luma(noisy)[inside], data_range=255)
    assert psnr_y(noisy, photo) == pytest.approx(expected)


def test_ssim_is_scikit_images(photo, noisy):
    expected = structural_similarity(
        luma(photo)[4:-4, 4:-4],
        luma(noisy)[4:-4, 4:-4],
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert ssim_y(noisy, photo) == pytest.approx(expected, abs=1e-9)


def test_ssim_rgb_is_scikit_images(photo, noisy):
    expected = structural_similarity(
        photo[4:-4, 4:-4],
        noisy[4:-4, 4:-4],
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=2,
    )
    assert ssim_rgb(noisy, photo) == pytest.approx(expected, abs=1e-9)


def enlarged(lr: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(lr).resize((4 * lr.shape[1], 4 * lr.shape[0]), Image.Resampling.BICUBIC))


def test_consistency_is_the_psnr_of_the_reduced_result(photo):
    hr = enlarged(photo)
    reduced = np.asarray(Image.fromarray(hr).resize(photo.shape[1::-1], Image.Resampling.BICUBIC))
    assert consistency(hr, photo) == pytest.approx(peak_signal_noise_ratio(photo, reduced))
    assert consistency(np.repeat(np.repeat(flat(9, 90, 200), 4, 0), 4, 1), flat(9, 90, 200)) == math.inf
    assert consistency(255 - hr, photo) < 15 < consistency(hr, photo)


def test_colour_shift_is_the_colour_difference_of_flat_pictures():
    first, second = flat(120, 90, 60), flat(100, 100, 70)
    expected = color.deltaE_ciede2000(*(color.rgb2lab(pixels[0, 0] / 255) for pixels in (first, second)))
    assert colour_shift(enlarged(second), first) == pytest.approx(expected)
    assert colour_shift(enlarged(first), first) == 0


def test_colour_shift_hears_a_cast_and_not_texture(photo):
    hr = enlarged(photo)
    noise = np.random.default_rng(0).normal(0, 12, hr.shape)
    textured = np.clip(hr + noise, 0, 255).round().astype(np.uint8)
    cast = np.clip(hr + np.array([6.0, 0, -6.0]), 0, 255).round().astype(np.uint8)
    assert colour_shift(textured, photo) < 0.3
    assert colour_shift(cast, photo) > 2


def test_equal_pictures_are_perfect(photo):
    assert psnr_y(photo, photo) == psnr_rgb(photo, photo) == math.inf
    assert ssim_y(photo, photo) == pytest.approx(1)
    assert ssim_rgb(photo, photo) == pytest.approx(1)


def test_blur_is_below_the_sharpness_of_the_reference_and_noise_above(photo):
    blurred = [np.asarray(Image.fromarray(photo).filter(ImageFilter.GaussianBlur(sigma))) for sigma in (0.5, 1, 2, 4)]
    rng = np.random.default_rng(0).normal(size=photo.shape)
    noise = [np.clip(photo + sigma * rng, 0, 255).astype(np.uint8) for sigma in (16, 8)]
    found = [sharpness(picture, photo) for picture in (*noise, photo, *blurred)]
    assert found == sorted(found, reverse=True)
    assert found[1] > 1
    assert found[2] == 1
    assert 0 < found[-1] < 0.5


def test_sharpness_is_the_share_of_the_contrast_of_a_grating():
    phase = 2 * np.pi * np.arange(96) / 8  # whole periods, so that the border is small beside the rest
    wave = np.tile(np.sin(phase), (96, 1))[..., None].repeat(3, axis=2)
    strong, weak = (np.rint(128 + contrast * wave).astype(np.uint8) for contrast in (100, 30))
    assert sharpness(weak, strong) == pytest.approx(0.3, abs=0.01)
    assert sharpness(strong, weak) == pytest.approx(1 / 0.3, abs=0.1)


def test_sharpness_is_coarse_contrast_blind():
    ramp = np.rint(np.linspace(0, 255, 256)).astype(np.uint8)
    fine = np.where(np.indices((64, 256)).sum(axis=0) % 2, 40, 0)
    plain = np.tile(100 + fine, (3, 1, 1)).transpose(1, 2, 0).astype(np.uint8)
    sloping = np.tile(ramp // 2 + fine, (3, 1, 1)).transpose(1, 2, 0).astype(np.uint8)
    assert sharpness(sloping, plain) == pytest.approx(1, abs=0.05)


def test_a_flat_reference_has_no_sharpness_to_compare_with(photo):
    assert sharpness(flat(9, 9, 9), flat(200, 1, 1)) == 1
    with pytest.raises(ValueError, match="the reference is flat"):
        sharpness(photo[:32, :32], flat(9, 9, 9))


@pytest.mark.parametrize(("suite", "expected"), [("Set14-blind", 0.31), ("BSD50-blind", 0.33)])
def test_bicubic_interpolation_has_its_known_sharpness(suite, expected):
    folder = SHARED / "eval" / suite
    if not folder.is_dir():
        pytest.skip(f"evaluation suite {suite} not found in {SHARED}")
    scores = [sharpness(enlarged(pair.lr), pair.hr) for pair in load_suite(folder)]
    assert np.mean(scores) == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize("metric", [psnr_y, psnr_rgb, ssim_y, ssim_rgb])
def test_the_border_does_not_count(metric, photo, noisy):
    framed = noisy.copy()
    framed[:4] = framed[-4:] = framed[:, :4] = framed[:, -4:] = 0
    assert metric(framed, photo) == metric(noisy, photo)
    assert metric(framed, photo, border=3) < metric(noisy, photo, border=3)


@pytest.mark.parametrize("metric", [psnr_y, psnr_rgb, ssim_y, ssim_rgb])
def test_pictures_that_cannot_be_compared_are_refused(metric, photo):
    with pytest.raises(ValueError, match="shape"):
        metric(photo[1:], photo)
    with pytest.raises(ValueError, match="uint8"):
        metric(photo / 255, photo / 255)
    with pytest.raises(ValueError, match="border"):
        metric(photo[:8], photo[:8])


@pytest.mark.parametrize(("suite", "expected"), [("Set14-blind", 23.49), ("BSD50-blind", 23.12)])
def test_bicubic_interpolation_scores_its_known_figure(suite, expected):
    folder = SHARED / "eval" / suite
    if not folder.is_dir():
        pytest.skip(f"evaluation suite {suite} not found in {SHARED}")
    scores = []
    for pair in load_suite(folder):
        height, width = pair.hr.shape[:2]
        upscaled = np.asarray(Image.fromarray(pair.lr).resize((width, height), Image.Resampling.BICUBIC))
        scores.append(psnr_y(upscaled, pair.hr))
    assert np.mean(scores) == pytest.approx(expected, abs=0.005)
