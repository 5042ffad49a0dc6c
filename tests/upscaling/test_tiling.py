"""Laws of the tile plans, for any size."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesr.upscaling.tiling import assemble, crop, plan_blended, plan_exact

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

    def kept(row, column):
        window = picture[:, row.start : row.stop, column.start : column.stop]
        assert window.shape[1] == min(height, 128)
        assert window.shape[2] == min(width, 128)
        assert row.start % 8 == column.start % 8 == 0
        return crop(window, row, column, 1)

    cut = (height - 3, width - 5, 1)  # a picture ends before its last tile does
    out = np.concatenate(list(assemble(plan, kept, 1, cut, np.float32)))
    np.testing.assert_allclose(out, picture.transpose(1, 2, 0)[: cut[0], : cut[1]], atol=1e-5)


def test_the_paper_s_plan_for_512_px_is_five_by_five_at_stride_96():
    plan = plan_blended(512, 512, tile=128, overlap=32, multiple=8)
    assert len(plan) == 25
    assert [span.start for span in plan.rows] == [0, 96, 192, 288, 384]


def test_blending_fades_a_step_between_tiles_into_a_ramp():
    """Tiles that disagree by one grey level must not show their border."""
    plan = plan_blended(128, 224, tile=128, overlap=32, multiple=8)
    number = {span: index for index, span in enumerate(plan.columns)}

    def kept(row, column):
        return crop(np.full((1, 512, 512), float(number[column]), np.float32), row, column, 4)

    (out,) = assemble(plan, kept, 4, (512, 896, 1), np.float32)
    steps = np.diff(out[0, :, 0])
    assert out[0, 0] == 0
    assert out[0, -1] == 1
    assert steps.max() <= 1 / 64 + 1e-6


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(16, 100), st.integers(0, 3), st.integers(0, 3))
def test_exact_tiles_come_as_the_finished_rows_of_the_picture(height, width, tile, below, beside):
    """Whatever stands out over the picture's lower and right border is cut off."""
    plan = plan_exact(4 * height, 4 * width, tile=tile, halo=8, multiple=4, window_pixels=0)
    padded = np.random.default_rng(height).integers(0, 256, (3, 16 * height, 16 * width), np.uint8)
    shape = (16 * height - 4 * below, 16 * width - 4 * beside, 3)
    computed = []

    def kept(row, column):
        computed.append(row)
        window = padded[:, 4 * row.start : 4 * row.stop, 4 * column.start : 4 * column.stop]
        return crop(window, row, column, 4)

    bands = []
    for band in assemble(plan, kept, 4, shape, np.uint8):
        assert len(set(computed)) == len(bands) + 1, "more was computed than was asked for"
        bands.append(band)
    assert np.array_equal(np.concatenate(bands), padded.transpose(1, 2, 0)[: shape[0], : shape[1]])


def test_the_band_of_a_wide_picture_is_low_and_that_of_others_as_high_as_is_fastest():
    def rows(height, width):
        plan = plan_exact(height, width, tile=None, halo=56, multiple=4, window_pixels=512 * 512, band_pixels=512 * 2560)
        return max(span.keep_stop - span.keep_start for span in plan.rows)

    assert rows(752, 1000) == 376
    assert rows(2500, 2500) > 350
    assert rows(5000, 5000) <= 260
