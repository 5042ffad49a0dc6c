"""Colour differences against scikit-image, and against pairs that the authors of the formula published."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import color, data

from edgesr.evaluate.colour import ciede2000, to_lab

# Sharma, Wu, Dalal 2005, table 1: pairs 1, 4, 7, 9, 17, 25, 32, chosen where wrong programs differ.
PAIRS = [
    ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
    ((50.0, -1.3802, -84.2814), (50.0, 0.0, -82.7485), 1.0000),
    ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
    ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0009), 7.1792),
    ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((6.7747, -0.2908, -2.4247), (5.8714, -0.0985, -2.2286), 0.6377),
]


@pytest.mark.parametrize(("first", "second", "expected"), PAIRS)
def test_published_pairs(first, second, expected):
    for pair in ((first, second), (second, first)):
        assert ciede2000(*map(np.array, pair)) == pytest.approx(expected, abs=5e-5)


def test_scikit_image_agrees():
    first = data.astronaut()[:200, :200] / 255
    second = np.clip(first + np.random.default_rng(0).normal(0, 0.1, first.shape), 0, 1)
    second[:20] = np.random.default_rng(1).random((20, 200, 3))
    second[20:40] = second[20:40].mean(axis=2, keepdims=True)  # greys, which have no hue
    np.testing.assert_allclose(to_lab(first), color.rgb2lab(first), atol=1e-9)
    expected = color.deltaE_ciede2000(color.rgb2lab(first), color.rgb2lab(second))
    np.testing.assert_allclose(ciede2000(to_lab(first), to_lab(second)), expected, atol=1e-9)
