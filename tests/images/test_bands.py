"""Pictures on their way: the same rows however they are cut, and never more than one band of them at a time."""

from __future__ import annotations

import io
import weakref
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesr import images
from edgesr.images import Picture
from edgesr.images.bands import Bands
from edgesr.upscaling.planes import append_alpha, hold_within_neighbours, resize
from edgesr.upscaling.tiling import assemble, plan_blended, plan_exact

PIXELS = np.random.default_rng(0).integers(0, 256, (150, 3, 2), np.uint8)
cuts = st.lists(st.integers(0, 150), max_size=8).map(sorted)


def cut(rows: list[int]) -> Bands:
    edges = [0, *rows, len(PIXELS)]
    return Bands(PIXELS.shape, PIXELS.dtype, (PIXELS[top:bottom] for top, bottom in pairwise(edges)))


@given(cuts, st.integers(1, 200))
def test_rows_come_in_the_height_that_is_asked_for(rows: list[int], count: int) -> None:
    parts = list(cut(rows).of_height(count))
    assert {len(part) for part in parts[:-1]} <= {count}
    assert 1 <= len(parts[-1]) <= count
    assert all(part.flags["C_CONTIGUOUS"] for part in parts)
    assert np.array_equal(np.concatenate(parts), PIXELS)


@given(cuts)
def test_the_whole_is_all_rows_as_they_were_changed(rows: list[int]) -> None:
    assert np.array_equal(cut(rows).whole(), PIXELS)
    first = cut(rows).map(lambda part: part[:, :, :1].astype(np.uint16) * 257, channels=1, dtype=np.uint16)
    assert (first.shape, first.dtype) == ((150, 3, 1), np.uint16)
    assert np.array_equal(first.whole(), PIXELS[:, :, :1].astype(np.uint16) * 257)


def forgetful(channels: int = 3, count: int = 6, height: int = 68, width: int = 20) -> Bands:
    """Bands that fail unless each is gone when the next is computed."""

    def rows():
        for _ in range(count):
            band = np.zeros((height, width, channels), np.uint8)
            alive = weakref.ref(band)
            yield band
            del band
            assert alive() is None, "two bands at a time"

    return Bands((count * height, width, channels), np.uint8, rows())


LR_ALPHA = np.zeros((6 * 17, 5, 1), np.uint8)
STEPS = {
    "nothing": forgetful,
    "a change of each pixel": lambda: forgetful().map(lambda rows: rows + 1),
    "another size": lambda: resize(forgetful(), (33, 500)),
    "alpha held": lambda: hold_within_neighbours(forgetful(1), LR_ALPHA),
    "alpha beside colour": lambda: append_alpha(forgetful(3), forgetful(1)),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_no_step_from_the_network_to_the_file_holds_two_bands(step: str, name: str) -> None:
    bands = STEPS[step]()
    shape = bands.shape
    assert images.read(images.encode(Picture(bands, "PNG"), name)).pixels.shape[:2] == shape[:2]


@pytest.mark.parametrize(
    "plan",
    [
        plan_exact(512, 64, tile=64, halo=8, multiple=4, window_pixels=0),
        plan_blended(512, 64, tile=128, overlap=32, multiple=8),
    ],
    ids=["exact", "blended"],
)
def test_a_row_of_tiles_is_gone_before_the_next_is_computed(plan) -> None:
    last = [None]

    def kept(row, column):
        assert last[0] is None or last[0]() is None
        return np.ones((3, row.keep_stop - row.keep_start, column.keep_stop - column.keep_start), np.float32)

    rows = assemble(plan, kept, 1, (512, 64, 3), np.float32)
    for _ in plan.rows:
        band = next(rows)
        last[0] = weakref.ref(band if band.base is None else band.base)
        del band


@pytest.mark.parametrize("name", ["PNG", "TIFF", "JPEG"])
def test_nothing_is_computed_before_the_file_needs_it_and_nothing_is_left_out(name: str) -> None:
    asked = []

    class Sink(io.BytesIO):
        def write(self, data) -> int:
            written.append(len(asked))
            return super().write(data)

    written: list[int] = []
    noise = np.random.default_rng(0).integers(0, 256, (68, 2000, 3), np.uint8)  # a compressor keeps less of it back
    bands = forgetful(count=40, width=2000).map(lambda rows: (asked.append(1), rows + noise)[1])
    images.encode_into(Sink(), Picture(bands, "PNG"), name)
    assert len(asked) == 40
    assert 0 < np.median(written) < 40, "the file grows while rows come"
