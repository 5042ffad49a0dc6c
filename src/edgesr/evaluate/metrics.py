"""Fidelity metrics on 8-bit pictures: PSNR and SSIM by the conventions of the super-resolution literature, on the luma of
MATLAB's rgb2ycbcr or on RGB, with the border cropped; sharpness relative to a reference; consistency and colour shift relative
to the input."""

from __future__ import annotations

import math
from importlib import import_module

import numpy as np
from PIL import Image

BORDER = 4  # px cropped from each side: the scale, as published tables do
SHARPNESS_SIGMA = 2.0  # px: finer detail counts as sharpness, including grain
FLAT = 1e-6  # levels of fine contrast: less is rounding error
SHIFT_SIGMA = 4.0  # LR px: wider than noise, JPEG blocks and what sharpening changes


def luma(pixels: np.ndarray) -> np.ndarray:
    """BT.601 luma in studio range, (h, w, 3) uint8 -> (h, w) float64 whole numbers in 16..235, as MATLAB's
    rgb2ycbcr."""
    return np.round(_exact_luma(pixels))


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
    return _ssim(_crop(luma(result), border), _crop(luma(reference), border))


def ssim_rgb(result: np.ndarray, reference: np.ndarray, *, border: int = BORDER) -> float:
    """Structural similarity as `ssim_y`, the mean of that of the three channels. Raises what `ssim_y` raises."""
    _check(result, reference)
    pairs = (_crop(pixels.astype(np.float64), border) for pixels in (result, reference))
    return float(np.mean([_ssim(x, y) for x, y in zip(*(np.moveaxis(pair, 2, 0) for pair in pairs), strict=True)]))


def sharpness(result: np.ndarray, reference: np.ndarray) -> float:
    """Fine contrast of `result` relative to that of `reference`, both (h, w, 3) uint8: 1 is right, below is soft, above is noise
    or oversharpened.

    Fine contrast is the mean absolute difference between the luma, which is not rounded here, and the luma blurred by a Gaussian of
    SHARPNESS_SIGMA px, over the whole picture. It measures the amount, not the position. Raises ValueError
    if the pictures differ in shape or type, or the reference is flat where the result is not.
    """
    _check(result, reference)
    of_result, of_reference = _fine_contrast(result), _fine_contrast(reference)
    if of_reference < FLAT:
        if of_result < FLAT:
            return 1.0
        raise ValueError("the reference is flat: it has no sharpness to compare with")
    return of_result / of_reference


def consistency(result: np.ndarray, lr: np.ndarray) -> float:
    """PSNR in dB, over RGB without a border, of `result` (H, W, 3), downscaled to the size of its input by antialiased bicubic,
    against that input, `lr` (h, w, 3), both uint8; infinite if equal.

    High values mean faithful results for clean inputs; restoring a degraded input lowers it.
    """
    return psnr_rgb(_reduced(result, lr), lr, border=0)


def colour_shift(result: np.ndarray, lr: np.ndarray) -> float:
    """Mean CIEDE2000 between `result` (H, W, 3), downscaled to the size of its input, and that input, `lr` (h, w, 3), both uint8 sRGB
    and both blurred first by a Gaussian of SHIFT_SIGMA LR px; 0 if the colours of no region have moved.
    """
    color = import_module("skimage.color")  # an extra
    blurred = (color.rgb2lab(_blurred(pixels.astype(np.float64) / 255, SHIFT_SIGMA)) for pixels in (_reduced(result, lr), lr))
    return float(color.deltaE_ciede2000(*blurred).mean())


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


def _ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Mean structural similarity of two planes (h, w) in 0..255."""
    if min(x.shape) < 11:
        raise ValueError(f"pictures of {x.shape} px, without their border, are too small for the window of SSIM")
    mean_x, mean_y = _window(x), _window(y)
    variance_x = _window(x * x) - mean_x**2
    variance_y = _window(y * y) - mean_y**2
    covariance = _window(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    numerator = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    denominator = (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    return float((numerator / denominator).mean())


def _window(plane: np.ndarray) -> np.ndarray:
    """Gaussian window mean at every position where the 11x11 window fits: (h, w) -> (h - 10, w - 10)."""
    return _filtered(plane, _gaussian(1.5, 5))


def _exact_luma(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float64) @ np.array([65.481, 128.553, 24.966]) / 255 + 16


def _fine_contrast(pixels: np.ndarray) -> float:
    # Rounded, the luma of a soft picture would gain up to 2 %.
    plane = _exact_luma(pixels)[:, :, None]
    return float(np.abs(plane - _blurred(plane, SHARPNESS_SIGMA)).mean())


def _blurred(pixels: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of (h, w, channels) by `sigma` px, the border repeated."""
    radius = round(3 * sigma)
    padded = np.pad(pixels, [(radius, radius), (radius, radius), (0, 0)], mode="edge")
    return _filtered(padded, _gaussian(sigma, radius))


def _gaussian(sigma: float, radius: int) -> np.ndarray:
    weights = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    return weights / weights.sum()


def _filtered(plane: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Separable filter of the first two axes, wherever all of it fits."""
    margin = len(weights) - 1
    rows = sum(weight * plane[i : plane.shape[0] - margin + i] for i, weight in enumerate(weights))
    return sum(weight * rows[:, i : plane.shape[1] - margin + i] for i, weight in enumerate(weights))


def _reduced(result: np.ndarray, lr: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(result).resize(lr.shape[1::-1], Image.Resampling.BICUBIC))
