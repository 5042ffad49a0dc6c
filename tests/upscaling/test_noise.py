"""The noise field: normal, white, and a matter of coordinates alone."""

from __future__ import annotations

import numpy as np
import pytest

from edgesr.upscaling.noise import noise_field


def test_a_window_is_a_cut_of_the_whole():
    whole = noise_field(7, 16, range(50), range(60))
    assert np.array_equal(noise_field(7, 16, range(13, 43), range(21, 38)), whole[:, 13:43, 21:38])


def test_it_is_standard_normal():
    eps = noise_field(0, 16, range(256), range(256)).astype(np.float64)
    assert abs(eps.mean()) < 5 / np.sqrt(eps.size)
    assert abs(eps.var() - 1) < 5 * np.sqrt(2 / eps.size)
    assert abs((eps**4).mean() - 3) < 5 * np.sqrt(96 / eps.size)
    for quantile, value in ((0.025, -1.959964), (0.5, 0.0), (0.975, 1.959964)):
        assert np.quantile(eps, quantile) == pytest.approx(value, abs=0.01)


@pytest.mark.parametrize(("axis", "name"), [(0, "channel"), (1, "row"), (2, "column")])
def test_neighbours_are_independent(axis, name):
    eps = noise_field(3, 16, range(128), range(128)).astype(np.float64)
    a, b = np.split(np.arange(eps.shape[axis]), [1])[1], np.arange(eps.shape[axis] - 1)
    x, y = np.take(eps, a, axis), np.take(eps, b, axis)
    for f in (lambda v: v, np.square):  # pairs of channels share a radius if the hash is bad
        u, v = f(x).ravel(), f(y).ravel()
        assert abs(np.corrcoef(u, v)[0, 1]) < 5 / np.sqrt(u.size)


def test_another_seed_is_another_field():
    one, other = (noise_field(seed, 16, range(64), range(64)).ravel() for seed in (0, 1))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.02


def test_values_are_pinned_for_other_languages():
    """The page in the browser must make the same field; these were computed with Python's unbounded integers."""

    def mix(x):
        x = (x ^ (x >> 16)) * 0x7FEB352D % 2**32
        x = (x ^ (x >> 15)) * 0x846CA68B % 2**32
        return x ^ (x >> 16)

    eps = noise_field(42, 4, range(1000, 1001), range(99_999, 100_000))[:, 0, 0]
    for pair in range(2):
        hashed = mix((99_999 + mix((1000 + mix((pair + mix(42)) % 2**32)) % 2**32)) % 2**32)
        radius = np.sqrt(-2 * np.log(((hashed >> 16) + 0.5) / 65536))
        angle = 2 * np.pi * ((hashed & 65535) + 0.5) / 65536
        assert eps[2 * pair : 2 * pair + 2] == pytest.approx([radius * np.cos(angle), radius * np.sin(angle)], abs=1e-6)
