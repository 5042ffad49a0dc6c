"""Split an image of any size into windows for a network, and assemble the results; independent of the model.

There are two plans. If the network's receptive field is bounded, `plan_exact` gives every window a halo that covers it: the kept
parts equal the untiled result for any tile size (ours). If it is unbounded (GroupNorm), `plan_blended` gives overlapping windows
of one size, whose results are blended (as in the paper: 128 px, overlap 32). All lengths are in LR px.
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
    """One axis of a tile: the computed window [start, stop), and the kept part [keep_start, keep_stop)."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int
    fade_in: int = 0  # positions at the start of the kept part shared with the tile before
    fade_out: int = 0  # positions at its end shared with the tile after

    def weights(self, scale: int) -> NDArray[np.float32]:
        """Return the blending weights of the kept part at `scale` output px per px; they sum to one over all tiles."""
        weights = np.ones((self.keep_stop - self.keep_start) * scale, np.float32)
        for count, part in ((self.fade_in * scale, slice(None)), (self.fade_out * scale, slice(None, None, -1))):
            ramp = (np.arange(count, dtype=np.float32) + 0.5) / max(1, count)
            weights[part][:count] *= ramp
        return weights


@dataclass(frozen=True)
class Plan:
    """The tiles of an image: the product of row spans and column spans."""

    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    @property
    def blended(self) -> bool:
        """Whether tiles overlap, so that the result is their weighted sum."""
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

    `tile` is the side of the kept part. None chooses the grid that computes the fewest pixels, with windows of at most
    `window_pixels` and rows of tiles of at most `band_pixels`. The second limit does not apply to tiles lower than half the side of
    a square window, as flat tiles are inefficient. `halo` is a multiple of `multiple`.
    """
    if tile is not None:
        rows, columns = -(-height // tile), -(-width // tile)
    else:
        lowest = math.isqrt(window_pixels) // 2
        band = height if band_pixels is None else max(lowest, band_pixels // width)
        rows, columns = _cheapest_grid(height, width, halo, window_pixels, band)
    return Plan(_exact_spans(height, rows, halo, multiple), _exact_spans(width, columns, halo, multiple))


def plan_blended(height: int, width: int, *, tile: int, overlap: int, multiple: int) -> Plan:
    """Plan windows with sides of `tile` px that overlap by `overlap` px or more and are blended over half of it.

    A smaller image is one window. Sides are multiples of `multiple`, and so are `tile`, `overlap` and the positions of windows.
    """
    return Plan(_blended_spans(height, tile, overlap, multiple), _blended_spans(width, tile, overlap, multiple))


def crop(tile: NDArray[Any], row: Span, column: Span, scale: int) -> NDArray[Any]:
    """Return the kept part of a window's result (C, h, w), a view."""
    top, left = (row.keep_start - row.start) * scale, (column.keep_start - column.start) * scale
    height, width = (row.keep_stop - row.keep_start) * scale, (column.keep_stop - column.keep_start) * scale
    return tile[:, top : top + height, left : left + width]


def place(target: NDArray[Any], row: Span, column: Span, scale: int) -> NDArray[Any]:
    """Return the place of the kept part in `target` (C, H, W), a view."""
    return target[:, row.keep_start * scale : row.keep_stop * scale, column.keep_start * scale : column.keep_stop * scale]


def assemble(
    plan: Plan, kept: Callable[[Span, Span], NDArray[Any]], scale: int, shape: tuple[int, int, int], dtype: DTypeLike
) -> Iterator[NDArray[Any]]:
    """Yield an image of `shape` (H, W, C) from the top down, as the rows (h, W, C) that each row of tiles completes.

    `kept` computes a tile and returns its kept part (C, h, w), which is cropped at the lower and right border of the image. Only the
    current rows are in memory. `dtype` is that of the sums if the plan is blended.
    """
    ends = [*(span.keep_start for span in plan.rows[1:]), plan.rows[-1].keep_stop]
    shared = np.zeros((0, *shape[1:]), dtype)  # rows that the next row of tiles adds to
    for row, end in zip(plan.rows, ends, strict=True):
        height = min(row.keep_stop * scale, shape[0]) - row.keep_start * scale
        band = np.zeros((height, *shape[1:]), dtype)
        band[: len(shared)] = shared
        for column in plan.columns:
            _put(band, kept(row, column), row, column, scale, blended=plan.blended)
        finished = (end - row.keep_start) * scale
        shared = band[finished:].copy()
        yield band[:finished]
        del band  # free it before the next one is allocated


def _put(band: NDArray[Any], part: NDArray[Any], row: Span, column: Span, scale: int, *, blended: bool) -> None:
    """Write the kept part of a tile (C, h, w) to its columns of a band (h, W, C), or add it, weighted."""
    target = band.transpose(2, 0, 1)[:, :, column.keep_start * scale : column.keep_stop * scale]
    if blended:
        part = part * (row.weights(scale)[:, None] * column.weights(scale)[None, :])
        target += part[:, : target.shape[1], : target.shape[2]]
    else:
        target[...] = part[:, : target.shape[1], : target.shape[2]]


def _cheapest_grid(height: int, width: int, halo: int, window_pixels: int, band: int) -> tuple[int, int]:
    """Rows and columns of tiles with the smallest sum of window areas; there is no halo at the image's borders.

    A row of tiles keeps at most `band` px of the height.
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
            break  # more columns cost more
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
    # Only the middle of an overlap is blended: windows are least accurate at their rims.
    fade = overlap // 2
    rims = [start_before + tile - start - fade for start_before, start in pairwise(starts)]
    before, after = [0, *(rim // 2 for rim in rims)], [*(rim - rim // 2 for rim in rims), 0]
    return tuple(
        Span(start, start + tile, start + before[i], start + tile - after[i], fade * (i > 0), fade * (i < count - 1))
        for i, start in enumerate(starts)
    )
