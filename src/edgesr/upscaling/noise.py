"""The noise eps ~ N(0, I) as a function of image coordinates, by a counter-based hash: independent of tiles, order and run (ours).

It only uses 32-bit integer arithmetic and table look-ups, so that other languages can reproduce it exactly: each pair of channels
takes one 32-bit hash, whose halves index a table of Box-Muller radii and one of angles.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_HALF = 1 << 16


def noise_field(seed: int, channels: int, rows: range, columns: range) -> NDArray[np.float32]:
    """Return the window (channels, rows, columns) of the noise field with this seed; rows and columns are latent positions.

    `channels` is even; positions and `seed` are taken modulo 2^32.
    """
    radius, cosine, sine = _tables()
    pair = np.arange(channels // 2, dtype=np.uint32)[:, None, None]
    row = np.arange(rows.start, rows.stop, dtype=np.uint32)[None, :, None]
    column = np.arange(columns.start, columns.stop, dtype=np.uint32)[None, None, :]
    with np.errstate(over="ignore"):
        hashed = _mix(column + _mix(row + _mix(pair + _mix(np.full((1, 1, 1), seed % 2**32, np.uint32)))))
    length, angle = radius[hashed >> np.uint32(16)], hashed & np.uint32(_HALF - 1)
    eps = np.empty((channels, len(rows), len(columns)), np.float32)
    np.multiply(length, cosine[angle], out=eps[0::2])
    np.multiply(length, sine[angle], out=eps[1::2])
    return eps


def _mix(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Scramble 32 bits (the "lowbias32" constants of C. Wellons' hash search, public domain)."""
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x846CA68B)
    x ^= x >> np.uint32(16)
    return x


@lru_cache(maxsize=1)
def _tables() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    uniform = (np.arange(_HALF) + 0.5) / _HALF
    radius = np.sqrt(-2 * np.log(uniform))
    angle = 2 * np.pi * uniform
    return radius.astype(np.float32), np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
