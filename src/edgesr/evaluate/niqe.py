"""NIQE (Mittal, Soundararajan, Bovik 2013), after the paper and the settings of its authors' program, on the luma of MATLAB.

Their statistics of natural pictures come in no Python package of a permissive licence; `--weights` names a folder that has them
as BasicSR keeps them, niqe_pris_params.npz.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgesr.evaluate.metrics import luma
from edgesr.evaluate.unavailable import Unavailable, brief

Plane = NDArray[np.float64]

BLOCK = 96  # px a side
STATISTICS = "niqe_pris_params.npz"
SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))  # of the neighbours whose products are looked at
SHAPES = np.arange(200, 10_001) / 1000  # exponents of the generalised Gaussian that are tried


class Niqe:
    """Distance between a picture's statistics and those of natural pictures: 0 and up, lower is better."""

    def __init__(self, weights: Path | None) -> None:
        """Load the statistics from the folder `weights`; raises Unavailable if they are not there."""
        if weights is None or not (weights / STATISTICS).is_file():
            where = "no folder is named" if weights is None else f"{weights} does not hold it"
            raise Unavailable(f"needs the file {STATISTICS} of BasicSR in the folder of --weights: {where}")
        try:
            with np.load(weights / STATISTICS) as natural:
                self._mean, self._covariance = natural["mu_pris_param"].reshape(36), natural["cov_pris_param"].reshape(36, 36)
        except Exception as error:  # a damaged archive raises a dozen kinds
            raise Unavailable(f"{weights / STATISTICS}: cannot be read ({brief(error)})") from None

    def __call__(self, pixels: np.ndarray) -> float:
        """Score a picture (h, w, 3) uint8; raises ValueError if it holds fewer than two blocks of 96x96 px that are not flat."""
        found = features(pixels)
        found = found[~np.isnan(found).any(axis=1)]  # flat blocks have no shape
        if len(found) < 2:
            raise ValueError(f"needs two blocks of {BLOCK}x{BLOCK} px that are not flat")
        away = self._mean - found.mean(axis=0)
        spread = np.linalg.pinv((self._covariance + np.cov(found, rowvar=False)) / 2)
        return float(np.sqrt(away @ spread @ away))


def features(pixels: np.ndarray) -> Plane:
    """Statistics of a picture (h, w, 3) uint8, (blocks, 36), column of blocks by column; what is beyond whole blocks is left out."""
    height, width = (side // BLOCK * BLOCK for side in pixels.shape[:2])
    if not height * width:
        return np.empty((0, 36))
    plane = luma(pixels)[:height, :width]
    return np.hstack([_of_blocks(plane, BLOCK), _of_blocks(_halved(plane), BLOCK // 2)])


def _of_blocks(plane: Plane, block: int) -> Plane:
    normal = _normalised(plane)
    height, width = plane.shape
    blocks = (normal[y : y + block, x : x + block] for x in range(0, width, block) for y in range(0, height, block))
    return np.array([_of_block(each) for each in blocks])


def _of_block(block: Plane) -> list[float]:
    """18 figures: shape and mean scale of the values, then shape, mean and both scales of their products with four neighbours."""
    shape, left, right = _asymmetric(block)
    figures = [shape, (left + right) / 2]
    for shift in SHIFTS:
        shape, left, right = _asymmetric(block * np.roll(block, shift, (0, 1)))
        figures += [shape, (right - left) * math.gamma(2 / shape) / math.gamma(1 / shape), left, right]
    return figures


def _asymmetric(values: Plane) -> tuple[float, float, float]:
    """Shape, left and right scale of the asymmetric generalised Gaussian that fits, by its moments; NaN where none does."""
    below, above = values[values < 0], values[values > 0]
    if not (below.size and above.size):
        return math.nan, math.nan, math.nan
    left, right = math.sqrt((below**2).mean()), math.sqrt((above**2).mean())
    skew = left / right
    ratio = np.abs(values).mean() ** 2 / (values**2).mean() * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    shape = float(SHAPES[np.argmin((_ratios() - ratio) ** 2)])
    scale = math.sqrt(math.gamma(1 / shape) / math.gamma(3 / shape))
    return shape, left * scale, right * scale


@lru_cache(maxsize=1)
def _ratios() -> NDArray[np.float64]:
    """Square of the mean size over the mean square, for each of SHAPES."""
    gamma = np.vectorize(math.gamma)
    return gamma(2 / SHAPES) ** 2 / (gamma(1 / SHAPES) * gamma(3 / SHAPES))


def _normalised(plane: Plane) -> Plane:
    """Each pixel less the mean of its neighbourhood, over one more than the deviation there: a 7x7 Gaussian of sigma 7/6 px."""
    weights = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
    weights /= weights.sum()
    mean = _filtered(plane, weights)
    return (plane - mean) / (np.sqrt(np.abs(_filtered(plane**2, weights) - mean**2)) + 1)


def _filtered(plane: Plane, weights: NDArray[np.float64]) -> Plane:
    height, width = plane.shape
    padded = np.pad(plane, len(weights) // 2, mode="edge")
    rows: Plane = sum(weight * padded[i : i + height] for i, weight in enumerate(weights))
    columns: Plane = sum(weight * rows[:, i : i + width] for i, weight in enumerate(weights))
    return columns


def _halved(plane: Plane) -> Plane:
    """Half the size by MATLAB's imresize: antialiased bicubic, the picture mirrored beyond its border."""
    height, width = plane.shape
    margin = 8
    padded = np.pad(plane, margin, mode="symmetric").astype(np.float32)
    half = Image.fromarray(padded).resize(((width + 2 * margin) // 2, (height + 2 * margin) // 2), Image.Resampling.BICUBIC)
    return np.asarray(half, np.float64)[margin // 2 : -margin // 2, margin // 2 : -margin // 2]
