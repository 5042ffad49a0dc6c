"""Planes around the network: nothing hidden shows, grey is grey wherever a tile ends, and the last resize keeps type and range."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import difference
from PIL import Image

from edgesr.images.bands import Bands
from edgesr.upscaling import planes
from edgesr.upscaling.planes import fill_transparent, hold_within_neighbours, to_grey


def random_pixels(shape, dtype, seed=0):
    values = np.random.default_rng(seed).random(shape)
    return (values * (np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1)).astype(dtype)


def resize(pixels, size):
    return planes.resize(Bands.of(pixels), size).whole()


def in_bands(pixels, heights):
    """The rows as bands of these heights, and of what is left."""
    edges = [0, *np.cumsum(heights), len(pixels)]
    return Bands(pixels.shape, pixels.dtype, (pixels[a:b] for a, b in pairwise(edges)))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@settings(deadline=None, max_examples=30)
@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 99), share=st.floats(0, 1))
def test_visible_colours_stay_and_hidden_ones_do_not_count(dtype, height, width, seed, share):
    rng = np.random.default_rng(seed)
    colour = random_pixels((height, width, 3), dtype, seed)
    alpha = (rng.random((height, width, 1)) >= share).astype(np.uint8) * rng.integers(1, 255, (height, width, 1), np.uint8)
    hidden = alpha[:, :, 0] == 0
    garish = colour.copy()
    garish[hidden] = random_pixels((hidden.sum(), 3), dtype, seed + 1)
    before = colour.copy()
    filled = fill_transparent(colour, alpha)
    assert filled.dtype == dtype
    assert np.array_equal(colour, before), "the input was changed"
    assert np.array_equal(filled[~hidden], colour[~hidden])
    if not hidden.all():
        assert np.array_equal(filled, fill_transparent(garish, alpha))
        visible = colour[~hidden].astype(float)
        assert (filled >= visible.min(axis=0) - 1e-6).all()
        assert (filled <= visible.max(axis=0) + 1e-6).all()


def test_hidden_pixels_take_the_colour_of_what_is_near():
    colour = np.zeros((32, 32, 3), np.uint8)
    colour[:, :8], colour[:, 24:] = (200, 0, 0), (0, 0, 200)
    alpha = np.full((32, 32, 1), 255, np.uint8)
    alpha[:, 8:24] = 0
    filled = fill_transparent(colour, alpha)
    assert (filled[:, 8] == (200, 0, 0)).all()
    assert (filled[:, 23] == (0, 0, 200)).all()


def test_a_picture_with_nothing_to_see_keeps_its_colours():
    colour = random_pixels((5, 7, 3), np.uint8)
    assert np.array_equal(fill_transparent(colour, np.zeros((5, 7, 1), np.uint8)), colour)


def test_the_luma_of_grey_is_grey():
    plane = random_pixels((1, 9, 11), np.float32)
    np.testing.assert_allclose(to_grey(np.repeat(plane, 3, axis=0)), plane, rtol=2e-7)
    assert to_grey(np.ones((3, 1, 1), np.float32)).max() <= 1


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 31), st.integers(1, 31))
def test_the_luma_of_a_part_is_the_part_of_the_luma_to_the_bit(top, left, height, width):
    """Or a grey picture would depend on its tiles."""
    planes = random_pixels((3, 61, 61), np.float32)
    part = (slice(None), slice(top, top + height), slice(left, left + width))
    assert np.array_equal(to_grey(np.ascontiguousarray(planes[part])), to_grey(planes)[part])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3])
def test_resizing_keeps_type_range_and_flat_colours(dtype, channels):
    picture = random_pixels((13, 17, channels), dtype).round()  # black and white: Lanczos overshoots
    picture[:, :, 0] = random_pixels((13, 17), dtype)
    out = resize(picture, (31, 9))
    assert out.shape == (9, 31, channels)
    assert out.dtype == dtype
    white = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    assert out.min() >= 0
    assert out.max() <= white
    flat = np.full((13, 17, channels), 0.75 * white, dtype)
    np.testing.assert_allclose(resize(flat, (40, 50)), np.full((50, 40, channels), 0.75 * white, dtype), rtol=1e-6)


def test_resizing_is_lanczos_in_eight_and_sixteen_bits():
    picture = 64 + random_pixels((20, 30, 3), np.uint8) // 2  # bytes are rounded and clipped between the two passes
    want = np.asarray(Image.fromarray(picture).resize((47, 11), Image.Resampling.LANCZOS))
    assert difference(resize(picture, (47, 11)), want) <= 1  # Pillow may take rows first
    fine = resize(picture.astype(np.uint16) * 257, (47, 11))
    assert np.abs(fine / 257 - want).max() <= 2
    assert np.unique(fine).size > 256


def lanczos(plane, width, height):
    """Pillow's resize of the whole plane, columns first."""
    image = Image.fromarray(plane if plane.dtype == np.uint8 else plane.astype(np.float32))
    image = image.resize((width, len(plane)), Image.Resampling.LANCZOS).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(image, np.float64).clip(0, np.iinfo(plane.dtype).max)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("height", [331, 301, 212, 151, 150, 137, 101, 76])
def test_resizing_by_rows_is_resizing_the_whole_up_to_one_level(dtype, height):
    """From twice as large to a quarter, of noise, which shows every deviation."""
    picture = random_pixels((303, 40, 1), dtype)
    want = lanczos(picture[:, :, 0], 33, height)
    got = resize(picture, (33, height))[:, :, 0]
    assert np.abs(got - np.rint(want)).max() <= 1
    assert dtype != np.uint8 or np.mean(got != want) < 0.01


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("old", "height"), [(300, 75), (404, 101), (600, 375), (300, 600), (580, 493), (1160, 493)])
def test_resizing_by_rows_to_a_simple_ratio_is_resizing_the_whole_but_for_a_sample_in_thousands(dtype, old, height):
    picture = random_pixels((old, 40, 1), dtype)
    want = lanczos(picture[:, :, 0], 33, height)
    got = resize(picture, (33, height))[:, :, 0]
    assert np.abs(got - np.rint(want)).max() <= 1
    assert np.mean(got != np.rint(want)) < 1e-3


@given(st.lists(st.integers(0, 70), max_size=6))
def test_a_resize_does_not_depend_on_the_bands_a_picture_comes_in(heights):
    picture = random_pixels((203, 7, 3), np.uint16)
    want = resize(picture, (9, 171))
    assert np.array_equal(planes.resize(in_bands(picture, np.minimum(heights, 30)), (9, 171)).whole(), want)


def test_resizing_to_the_same_size_changes_nothing():
    picture = random_pixels((6, 5, 4), np.uint16)
    assert np.array_equal(resize(picture, (5, 6)), picture)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_held_plane_stays_within_its_neighbours_and_keeps_what_did(dtype):
    lr = random_pixels((7, 9, 1), dtype)
    lr[:4, :4] = lr.max()
    plane = random_pixels((28, 36, 1), dtype, seed=1)
    before = plane
    plane = hold_within_neighbours(in_bands(before, [4, 12, 8]), lr).whole()
    for row in range(7):
        for column in range(9):
            near = lr[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
            block = (slice(4 * row, 4 * row + 4), slice(4 * column, 4 * column + 4))
            assert np.array_equal(plane[block], before[block].clip(near.min(), near.max()))
    assert (plane[:12, :12] == lr.max()).all()
