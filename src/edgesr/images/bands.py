"""A picture as bands of whole rows, so that no step between the network and the file holds all of its pixels.

A consumer must drop each band before it asks for the next one, because a reference to a part of an array keeps the whole array alive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_SLICE = 64  # rows in a band of `of`


class Bands:
    """A picture (H, W, C) as arrays (h, W, C) of any h, from the top down. It can be iterated once."""

    def __init__(self, shape: tuple[int, int, int], dtype: DTypeLike, rows: Iterable[NDArray[Any]]) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self._rows = iter(rows)

    @classmethod
    def of(cls, pixels: NDArray[Any]) -> Bands:
        """Return an array (H, W, C) as bands, which are views of it."""
        height, width, channels = pixels.shape
        views = (pixels[top : top + _SLICE] for top in range(0, height, _SLICE))
        return cls((height, width, channels), pixels.dtype, views)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return self._rows

    def map(
        self, change: Callable[[NDArray[Any]], NDArray[Any]], *, channels: int | None = None, dtype: DTypeLike | None = None
    ) -> Bands:
        """Apply `change` to each band. It must keep rows and columns; give `channels` and `dtype` if it changes them."""
        height, width, before = self.shape
        return Bands((height, width, channels or before), dtype or self.dtype, map(change, self._rows))

    def of_height(self, count: int) -> Iterator[NDArray[Any]]:
        """Yield the same rows in contiguous copies of `count` rows; the last one may have fewer."""
        rest = np.empty((0, *self.shape[1:]), self.dtype)
        for band in self._rows:
            missing = -len(rest) % count
            rest = np.concatenate([rest, band[:missing]])
            if len(rest) == count:
                yield rest
                rest = rest[:0]
            whole = missing + (max(0, len(band) - missing) // count) * count
            for top in range(missing, whole, count):
                yield band[top : top + count].copy()
            rest = np.concatenate([rest, band[whole:]])
            del band  # see above
        if len(rest):
            yield rest

    def whole(self) -> NDArray[Any]:
        """Return all rows as one array."""
        pixels = np.empty(self.shape, self.dtype)
        top = 0
        for band in self._rows:
            pixels[top : top + len(band)] = band
            top += len(band)
            del band
        return pixels
