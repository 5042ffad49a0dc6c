"""Operators of the degradation against independent references where their own tests have none: SciPy, OpenCV, quadrature."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from skimage import data

from edgesr.data import kernels
from edgesr.data.degradation import _resize, add_noise
from edgesr.data.plan import DegradationConfig, draw_plans

PHOTO = data.camera()[:160, 180:380].astype(np.float32) / 255
SIZES = [(40, 50), (37, 61), (113, 90), (160, 200), (201, 290)]  # (height, width): smaller, odd, the same, larger


def resized(size: tuple[int, int], mode: str) -> np.ndarray:
    return _resize(torch.from_numpy(PHOTO)[None, None], size, mode)[0, 0].numpy()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("mode", "flag"), [("bilinear", cv2.INTER_LINEAR), ("bicubic", cv2.INTER_CUBIC)])
def test_resizes_of_any_factor_alias_as_opencvs_do(mode, flag, size):
    expected = cv2.resize(PHOTO, (size[1], size[0]), interpolation=flag)
    np.testing.assert_allclose(resized(size, mode), expected, atol=1e-5)


@pytest.mark.parametrize("factor", [2, 4, 5])
def test_area_resizes_of_whole_factors_are_opencvs(factor):
    size = (PHOTO.shape[0] // factor, PHOTO.shape[1] // factor)
    expected = cv2.resize(PHOTO, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(resized(size, "area"), expected, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_area_resizes_of_other_factors_are_means_over_the_pixels_they_touch(size):
    def means(values: np.ndarray, count: int) -> np.ndarray:
        length = len(values)
        return np.array([values[i * length // count : -(-(i + 1) * length // count)].mean(0) for i in range(count)])

    expected = means(means(PHOTO.astype(float), size[0]).T, size[1]).T
    np.testing.assert_allclose(resized(size, "area"), expected, atol=1e-5)


@pytest.mark.parametrize("cutoff", [math.pi / 5, math.pi / 3, 0.9 * math.pi])
def test_sinc_is_the_inverse_transform_of_a_disc(cutoff):
    """By quadrature of the Hankel transform, with SciPy's J0; the closed form takes J1."""
    step = cutoff / 4000
    frequency = (np.arange(4000) + 0.5) * step
    kernel = kernels.sinc(torch.tensor([cutoff]), 21)[0]
    for y, x in [(10, 10), (10, 11), (12, 13), (0, 10), (3, 20)]:
        radius = math.hypot(x - 10, y - 10)
        expected = (scipy.special.j0(frequency * radius) * frequency).sum() * step / (2 * math.pi)
        assert kernel[y, x].item() == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.7, 4.0])
def test_generalised_gaussian_has_scipys_profile_along_its_axes(beta):
    """exp(-(x/sigma)^(2 beta) / 2) is the generalised normal density of shape 2 beta."""
    sigma = 2.3
    one = torch.ones(1)
    form = kernels.quadratic_form(sigma * one, 1.1 * one, 0 * one, 21)
    profile = kernels.generalised_gaussian(form, beta * one)[0, 10, 10:].numpy()
    density = scipy.stats.gennorm(2 * beta, scale=sigma * 2 ** (1 / (2 * beta))).pdf(np.arange(11))
    np.testing.assert_allclose(profile, density / density[0], atol=1e-6)


def test_anisotropic_kernels_are_scipys_normal_density():
    one = torch.ones(1)
    form = kernels.quadratic_form(2.8 * one, 0.9 * one, 0.7 * one, 21)
    kernel = kernels.crop_and_normalise(kernels.generalised_gaussian(form, one), torch.tensor([21]))[0].numpy()
    turn = np.array([[math.cos(0.7), -math.sin(0.7)], [math.sin(0.7), math.cos(0.7)]])
    y, x = np.mgrid[-10:11, -10:11]
    density = scipy.stats.multivariate_normal([0, 0], turn @ np.diag([2.8**2, 0.9**2]) @ turn.T).pdf(np.stack([x, y], -1))
    np.testing.assert_allclose(kernel, density / density.sum(), atol=1e-7)


@pytest.mark.parametrize("gaussian", [True, False])
def test_noise_has_scipys_distribution(gaussian):
    """Not only its first moments: the whole law, by Kolmogorov and Smirnov, and by chi squared for counts of photons."""
    level, strength = 0.25, 0.03 if gaussian else 1.0
    flat = torch.full((1, 3, 100, 100), level)
    kind = {"gaussian": torch.tensor([gaussian]), "grey": torch.tensor([False])}
    noisy = add_noise(flat, strength=torch.tensor([strength]), generator=torch.Generator().manual_seed(0), **kind)
    if gaussian:
        sample = noisy.double().flatten().numpy()
        assert scipy.stats.kstest(sample, scipy.stats.norm(level, strength).cdf).pvalue > 0.01
        return
    photons = (noisy * 256).round().long().flatten().numpy()
    law = scipy.stats.poisson(level * 256)
    bounds = law.ppf(np.linspace(0, 1, 13)[1:-1])
    observed = np.histogram(photons, [-np.inf, *(bounds + 0.5), np.inf])[0]
    expected = np.diff([0, *law.cdf(bounds), 1]) * len(photons)
    assert scipy.stats.chisquare(observed, expected).pvalue > 0.01


def test_kernels_come_in_all_sizes_and_a_tenth_of_them_rings():
    plans = draw_plans(6000, DegradationConfig(), torch.Generator().manual_seed(0))
    for drawn in (torch.cat([plan.first.kernels for plan in plans]), torch.cat([plan.second.kernels for plan in plans])):
        blurring = drawn[drawn.amax(dim=(1, 2)) < 0.999]
        rings = (blurring < -1e-6).flatten(1).any(dim=1)
        assert rings.float().mean().item() == pytest.approx(0.1, abs=0.015)
        row = drawn[:, 10].abs() > 0
        reach = torch.where(row, (torch.arange(21) - 10).abs(), 0).amax(dim=1)
        wide = drawn[:, 10, 10] < 0.1  # narrow bells vanish before their kernel ends
        sizes = (2 * reach[wide] + 1).unique(return_counts=True)
        assert sizes[0].tolist() == [7, 9, 11, 13, 15, 17, 19, 21]
        assert sizes[1].min() > 0.5 * sizes[1].max()
