"""Cut a picture of any size into windows that a network can take, and put the results together; knows nothing of models.

Two plans. Where a network's receptive field is bounded, `plan_exact` gives every window a halo that covers it: the parts that
are kept then equal the untiled result, whatever the tile size (ours). Where it is not (GroupNorm), `plan_blended` gives
windows of one size, overlapping, whose results are faded into each other (the paper's way: 128 px, overlap 32).
All figures are LR px.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


@dataclass(frozen=True)
class Span:
    """One axis of a tile: the window [start, stop) that is computed, and the part [keep_start, keep_stop) that counts."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int
    fade_in: int = 0  # positions at the start of the kept part shared with the tile before
    fade_out: int = 0  # positions at its end shared with the tile after

    def weights(self, scale: int) -> NDArray[np.float32]:
        """Return the blending weights of the kept part at `scale` output px a px; over all tiles they sum to one."""
        weights = np.ones((self.keep_stop - self.keep_start) * scale, np.float32)
        for count, part in ((self.fade_in * scale, slice(None)), (self.fade_out * scale, slice(None, None, -1))):
            ramp = (np.arange(count, dtype=np.float32) + 0.5) / max(1, count)
            weights[part][:count] *= ramp
        return weights


@dataclass(frozen=True)
class Plan:
    """Tiles of a picture as the product of row spans and column spans."""

    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    @property
    def blended(self) -> bool:
        """Whether tiles share positions, so that their weighted sum is the result."""
        return any(span.fade_in for span in (*self.rows, *self.columns))

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def __iter__(self) -> Iterator[tuple[Span, Span]]:
        """Iterate over the tiles in reading order."""
        return ((row, column) for row in self.rows for column in self.columns)


def plan_exact(
    height: int, width: int, *, tile: int | None, halo: int, multiple: int, window_pixels: int, band_pixels: int | None = None
) -> Plan:
    """Plan windows with a full halo over a picture whose sides are multiples of `multiple`.

    `tile` is the side of the kept part; None chooses the grid that computes the fewest pixels with no window larger than
    `window_pixels`, and no row of tiles larger than `band_pixels` unless that made its tiles lower than half the side of a square
    window: flat ones cost. `halo` is a multiple of `multiple`.
    """
    if tile is not None:
        rows, columns = -(-height // tile), -(-width // tile)
    else:
        lowest = math.isqrt(window_pixels) // 2
        band = height if band_pixels is None else max(lowest, band_pixels // width)
        rows, columns = _cheapest_grid(height, width, halo, window_pixels, band)
    return Plan(_exact_spans(height, rows, halo, multiple), _exact_spans(width, columns, halo, multiple))


def plan_blended(height: int, width: int, *, tile: int, overlap: int, multiple: int) -> Plan:
    """Plan windows of `tile` px a side that overlap by `overlap` px or more and fade into each other over half of it.

    A smaller picture is one window. Sides are multiples of `multiple`, and so are `tile`, `overlap` and the positions of windows.
    """
    return Plan(_blended_spans(height, tile, overlap, multiple), _blended_spans(width, tile, overlap, multiple))


def crop(tile: NDArray[Any], row: Span, column: Span, scale: int) -> NDArray[Any]:
    """Return the kept part of a window's result (C, h, w), a view."""
    top, left = (row.keep_start - row.start) * scale, (column.keep_start - column.start) * scale
    height, width = (row.keep_stop - row.keep_start) * scale, (column.keep_stop - column.keep_start) * scale
    return tile[:, top : top + height, left : left + width]


def place(target: NDArray[Any], row: Span, column: Span, scale: int) -> NDArray[Any]:
    """Return where the kept part goes in `target` (C, H, W), a view."""
    return target[:, row.keep_start * scale : row.keep_stop * scale, column.keep_start * scale : column.keep_stop * scale]


def assemble(
    plan: Plan, kept: Callable[[Span, Span], NDArray[Any]], scale: int, shape: tuple[int, int, int], dtype: DTypeLike
) -> Iterator[NDArray[Any]]:
    """Yield a picture of `shape` (H, W, C) from the top down: each time the rows (h, W, C) that a row of tiles finishes.

    `kept` computes a tile and returns the part of it that counts, (C, h, w); what stands out over the picture's lower and right
    border is cut off. Nothing is held but the rows in flight. `dtype` is that of the sums if the plan is blended.
    """
    ends = [*(span.keep_start for span in plan.rows[1:]), plan.rows[-1].keep_stop]
    shared = np.zeros((0, *shape[1:]), dtype)  # rows that the tiles below add to
    for row, end in zip(plan.rows, ends, strict=True):
        height = min(row.keep_stop * scale, shape[0]) - row.keep_start * scale
        band = np.zeros((height, *shape[1:]), dtype)
        band[: len(shared)] = shared
        for column in plan.columns:
            _put(band, kept(row, column), row, column, scale, blended=plan.blended)
        finished = (end - row.keep_start) * scale
        shared = band[finished:].copy()
        yield band[:finished]
        del band  # or it would be held beside the next


def _put(band: NDArray[Any], part: NDArray[Any], row: Span, column: Span, scale: int, *, blended: bool) -> None:
    """Put the kept part of a tile (C, h, w) to its columns of a band (h, W, C), or add it, weighted."""
    target = band.transpose(2, 0, 1)[:, :, column.keep_start * scale : column.keep_stop * scale]
    if blended:
        part = part * (row.weights(scale)[:, None] * column.weights(scale)[None, :])
        target += part[:, : target.shape[1], : target.shape[2]]
    else:
        target[...] = part[:, : target.shape[1], : target.shape[2]]


def _cheapest_grid(height: int, width: int, halo: int, window_pixels: int, band: int) -> tuple[int, int]:
    """Rows and columns of tiles with the smallest sum of window areas; halos inside the picture cost, its borders do not.

    A row of tiles keeps no more than `band` px of the height.
    """
    best, best_cost = (1, 1), float("inf")
    for rows in range(-(-height // band), height // 32 + 2):
        window_height = min(height, -(-height // rows) + 2 * halo)
        for columns in range(1, width // 32 + 2):
            window_width = min(width, -(-width // columns) + 2 * halo)
            if window_height * window_width > window_pixels:
                continue
            cost = (height + 2 * halo * (rows - 1)) * (width + 2 * halo * (columns - 1))
            if cost < best_cost:
                best, best_cost = (rows, columns), cost
            break  # more columns only cost more
    return best


def _exact_spans(length: int, count: int, halo: int, multiple: int) -> tuple[Span, ...]:
    units = length // multiple
    count = min(count, units)
    edges = [round(i * units / count) * multiple for i in range(count + 1)]
    return tuple(Span(max(0, start - halo), min(length, stop + halo), start, stop) for start, stop in pairwise(edges))


def _blended_spans(length: int, tile: int, overlap: int, multiple: int) -> tuple[Span, ...]:
    if length <= tile:
        return (Span(0, length, 0, length),)
    count = -(-(length - overlap) // (tile - overlap))
    starts = [round(i * (length - tile) / (count - 1) / multiple) * multiple for i in range(count)]
    # Only the middle of what two windows share is faded: at their rims windows know least.
    fade = overlap // 2
    rims = [start_before + tile - start - fade for start_before, start in pairwise(starts)]
    before, after = [0, *(rim // 2 for rim in rims)], [*(rim - rim // 2 for rim in rims), 0]
    return tuple(
        Span(start, start + tile, start + before[i], start + tile - after[i], fade * (i > 0), fade * (i < count - 1))
        for i, start in enumerate(starts)
    )
