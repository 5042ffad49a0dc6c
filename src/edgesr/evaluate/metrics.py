"""Full-reference fidelity metrics on 8-bit pictures, by the conventions of the super-resolution literature: PSNR and
SSIM on the luma that MATLAB's rgb2ycbcr gives, after cropping the border."""

from __future__ import annotations

import math

import numpy as np

BORDER = 4  # px cropped from each side: the scale, as published tables do


def luma(pixels: np.ndarray) -> np.ndarray:
    """BT.601 luma in studio range, (h, w, 3) uint8 -> (h, w) float64 whole numbers in 16..235, as MATLAB's
    rgb2ycbcr."""
    return np.round(pixels.astype(np.float64) @ np.array([65.481, 128.553, 24.966]) / 255 + 16)


def psnr_y(result: np.ndarray, reference: np.ndarray, *, border: int = BORDER) -> float:
    """Peak signal-to-noise ratio in dB of the luma of two (h, w, 3) uint8 pictures; infinite if equal.

    `border` px a side are left out. Raises ValueError if the pictures differ in shape or type.
    """
    _check(result, reference)
    return _psnr(_crop(luma(result), border), _crop(luma(reference), border))


def psnr_rgb(result: np.ndarray, reference: np.ndarray, *, border: int = BORDER) -> float:
    """Peak signal-to-noise ratio in dB over the three channels of two (h, w, 3) uint8 pictures; infinite if equal.

    `border` px a side are left out. Raises ValueError if the pictures differ in shape or type.
    """
    _check(result, reference)
    return _psnr(_crop(result.astype(np.float64), border), _crop(reference.astype(np.float64), border))


def ssim_y(result: np.ndarray, reference: np.ndarray, *, border: int = BORDER) -> float:
    """Structural similarity (Wang et al. 2004) of the luma of two (h, w, 3) uint8 pictures; 1 if equal.

    An 11x11 Gaussian window of sigma 1.5 px, K1 = .01, K2 = .03, averaged where the window lies inside the picture.
    `border` px a side are left out. Raises ValueError if the pictures differ in shape or type, or the window does not
    fit.
    """
    _check(result, reference)
    x, y = _crop(luma(result), border), _crop(luma(reference), border)
    if min(x.shape) < 11:
        raise ValueError(f"pictures of {result.shape[:2]} px are too small for SSIM with a border of {border} px")
    mean_x, mean_y = _window(x), _window(y)
    variance_x = _window(x * x) - mean_x**2
    variance_y = _window(y * y) - mean_y**2
    covariance = _window(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    numerator = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    denominator = (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    return float((numerator / denominator).mean())


def _check(result: np.ndarray, reference: np.ndarray) -> None:
    for pixels in (result, reference):
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise ValueError(f"pictures must be (h, w, 3) uint8, not {pixels.shape} {pixels.dtype}")
    if result.shape != reference.shape:
        raise ValueError(f"pictures differ in shape: {result.shape} and {reference.shape}")


def _crop(pixels: np.ndarray, border: int) -> np.ndarray:
    height, width = pixels.shape[:2]
    if min(height, width) <= 2 * border:
        raise ValueError(f"pictures of {(height, width)} px are not larger than a border of {border} px a side")
    return pixels[border : height - border, border : width - border]


def _psnr(result: np.ndarray, reference: np.ndarray) -> float:
    error = float(np.mean((result - reference) ** 2))
    return 10 * math.log10(255**2 / error) if error else math.inf


def _window(plane: np.ndarray) -> np.ndarray:
    """Gaussian window mean at every position where the 11x11 window fits: (h, w) -> (h - 10, w - 10)."""
    weights = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    rows = sum(weight * plane[i : plane.shape[0] - 10 + i] for i, weight in enumerate(weights))
    return sum(weight * rows[:, i : plane.shape[1] - 10 + i] for i, weight in enumerate(weights))
