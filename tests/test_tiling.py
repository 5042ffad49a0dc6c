"""Laws of the tile plans, for any size."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesr.tiling import add_tile, crop, place, plan_blended, plan_exact

units = st.integers(1, 300)


@settings(deadline=None, max_examples=80)
@given(units, units, st.one_of(st.none(), st.integers(16, 200)), st.integers(0, 20))
def test_exact_tiles_cover_every_pixel_once_with_their_halo(height, width, tile, halo):
    height, width, halo = 4 * height, 4 * width, 4 * halo
    limit = 128 * 128
    plan = plan_exact(height, width, tile=tile, halo=halo, multiple=4, window_pixels=limit)
    seen = np.zeros((height, width), np.uint8)
    for row, column in plan:
        seen[row.keep_start : row.keep_stop, column.keep_start : column.keep_stop] += 1
        for span, length in ((row, height), (column, width)):
            assert span.start == max(0, span.keep_start - halo)
            assert span.stop == min(length, span.keep_stop + halo)
            assert span.keep_start % 4 == span.start % 4 == 0
            if tile:
                assert span.keep_stop - span.keep_start <= tile + 4
    assert (seen == 1).all()


def test_the_automatic_grid_keeps_windows_small_and_does_not_cut_what_fits():
    assert len(plan_exact(512, 512, tile=None, halo=56, multiple=4, window_pixels=512 * 512)) == 1
    for height, width in ((752, 1000), (10_000, 10_000), (40, 10_000), (10_000, 4)):
        plan = plan_exact(height, width, tile=None, halo=56, multiple=4, window_pixels=512 * 512)
        areas = [(r.stop - r.start) * (c.stop - c.start) for r, c in plan]
        assert max(areas) <= 520 * 520  # rounding to whole units of 4
        assert sum(areas) < 2 * height * width


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**32 - 1))
def test_blended_tiles_of_a_picture_add_up_to_the_picture(height, width, seed):
    height, width = 8 * height, 8 * width
    picture = np.random.default_rng(seed).random((1, height, width), np.float32)
    plan = plan_blended(height, width, tile=128, overlap=32, multiple=8)
    out = np.zeros_like(picture)
    for row, column in plan:
        window = picture[:, row.start : row.stop, column.start : column.stop]
        assert window.shape[1] == min(height, 128)
        assert window.shape[2] == min(width, 128)
        assert row.start % 8 == column.start % 8 == 0
        add_tile(out, window, row, column, scale=1)
    np.testing.assert_allclose(out, picture, atol=1e-5)


def test_the_paper_s_plan_for_512_px_is_five_by_five_at_stride_96():
    plan = plan_blended(512, 512, tile=128, overlap=32, multiple=8)
    assert len(plan) == 25
    assert [span.start for span in plan.rows] == [0, 96, 192, 288, 384]


def test_blending_fades_a_step_between_tiles_into_a_ramp():
    """Tiles that disagree by one grey level must not show their border."""
    plan = plan_blended(128, 224, tile=128, overlap=32, multiple=8)
    out = np.zeros((1, 512, 896), np.float32)
    for number, (row, column) in enumerate(plan):
        add_tile(out, np.full((1, 512, 512), float(number), np.float32), row, column, scale=4)
    steps = np.diff(out[0, 0])
    assert out[0, 0, 0] == 0
    assert out[0, 0, -1] == 1
    assert steps.max() <= 1 / 64 + 1e-6


def test_kept_part_and_its_place_have_the_same_shape():
    plan = plan_exact(64, 96, tile=32, halo=8, multiple=4, window_pixels=0)
    target = np.zeros((3, 256, 384), np.float32)
    for row, column in plan:
        window = np.zeros((3, 4 * (row.stop - row.start), 4 * (column.stop - column.start)), np.float32)
        assert crop(window, row, column, 4).shape == place(target, row, column, 4).shape
