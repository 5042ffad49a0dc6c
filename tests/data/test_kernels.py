"""Blur kernels against closed forms, OpenCV and SciPy."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import scipy.ndimage
import torch

from edgesr.data import kernels


def normalised(unscaled: torch.Tensor, size: int = 21) -> np.ndarray:
    return kernels.crop_and_normalise(unscaled, torch.full((len(unscaled),), size))[0].numpy()


def gaussian(sigma_x: float, sigma_y: float, theta: float, size: int = 21) -> np.ndarray:
    form = kernels.quadratic_form(torch.tensor([sigma_x]), torch.tensor([sigma_y]), torch.tensor([theta]), 21)
    return normalised(kernels.generalised_gaussian(form, torch.ones(1)), size)


@pytest.mark.parametrize("shape", [(64, 48), (29, 29), (11, 100)])
def test_blur_is_scipys_mirrored_correlation_with_each_samples_own_kernel(shape):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, *shape, generator=generator)
    own = torch.rand(2, 21, 21, generator=generator)  # asymmetric: a flipped or shared kernel would show
    own /= own.sum(dim=(1, 2), keepdim=True)
    result = kernels.blur(images, own).numpy()
    for image, kernel, blurred in zip(images.numpy(), own.numpy(), result, strict=True):
        for plane, blurred_plane in zip(image, blurred, strict=True):
            expected = scipy.ndimage.correlate(plane, kernel, mode="mirror")
            np.testing.assert_allclose(blurred_plane, expected, atol=2e-6)


@pytest.mark.parametrize("sigma", [0.5, 1.7, 3.0])
@pytest.mark.parametrize("size", [7, 21])
def test_isotropic_gaussian_blur_is_opencvs(sigma, size):
    image = np.random.default_rng(0).random((50, 60), dtype=np.float32)
    kernel = torch.from_numpy(gaussian(sigma, sigma, 0.3, size))[None]
    result = kernels.blur(torch.from_numpy(image)[None, None], kernel)[0, 0].numpy()
    expected = cv2.GaussianBlur(image, (size, size), sigma, borderType=cv2.BORDER_REFLECT_101)
    np.testing.assert_allclose(result, expected, atol=2e-6)


def test_anisotropic_gaussian_has_the_covariance_of_its_sigmas_and_angle():
    kernel = gaussian(2.0, 1.2, 0.6)
    y, x = np.mgrid[-10:11, -10:11]
    covariance = np.array([[(kernel * a * b).sum() for a in (x, y)] for b in (x, y)])
    turn = np.array([[math.cos(0.6), -math.sin(0.6)], [math.sin(0.6), math.cos(0.6)]])
    np.testing.assert_allclose(covariance, turn @ np.diag([4.0, 1.44]) @ turn.T, atol=0.02)


def test_generalised_gaussian_flattens_its_top_as_beta_grows():
    form = kernels.quadratic_form(torch.full((3,), 3.0), torch.full((3,), 3.0), torch.zeros(3), 21)
    pointed, plain, flat = kernels.generalised_gaussian(form, torch.tensor([0.5, 1.0, 4.0]))
    # One px from the centre the exponents are (1/9)^beta / 2.
    for kernel, beta in ((pointed, 0.5), (plain, 1.0), (flat, 4.0)):
        assert kernel[10, 11].item() == pytest.approx(math.exp(-0.5 * 9**-beta))


def test_plateau_is_one_at_the_centre_and_half_at_one_sigma():
    form = kernels.quadratic_form(torch.full((2,), 3.0), torch.full((2,), 3.0), torch.zeros(2), 21)
    kernel = kernels.plateau(form, torch.tensor([1.0, 2.0]))
    assert kernel[:, 10, 10].tolist() == [1, 1]
    assert kernel[:, 10, 13].tolist() == pytest.approx([0.5, 0.5])
    assert kernel[1, 10, 11] > kernel[0, 10, 11]


@pytest.mark.parametrize("cutoff", [math.pi / 3, math.pi / 2])
def test_sinc_passes_frequencies_below_its_cutoff_and_stops_those_above(cutoff):
    kernel = normalised(kernels.sinc(torch.tensor([cutoff]), 61), 61)
    response = np.abs(np.fft.fft2(kernel, (256, 256)))
    frequency = np.hypot(*np.meshgrid(*[2 * math.pi * np.fft.fftfreq(256)] * 2))
    assert response[frequency < 0.8 * cutoff].min() > 0.85
    assert response[frequency > 1.2 * cutoff].max() < 0.15


def test_kernels_end_at_their_own_size_and_keep_brightness():
    raw = kernels.sinc(torch.full((3,), 1.2), 21)
    cropped = kernels.crop_and_normalise(raw, torch.tensor([7, 13, 21]))
    np.testing.assert_allclose(cropped.sum(dim=(1, 2)), 1, atol=1e-6)
    for kernel, size in zip(cropped, (7, 13, 21), strict=True):
        outside = kernel.clone()
        margin = 10 - size // 2
        outside[margin : 21 - margin, margin : 21 - margin] = 0
        assert not outside.any()
        assert kernel[10, 10 + size // 2] != 0
