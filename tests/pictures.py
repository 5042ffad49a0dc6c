"""Pictures that the tests of the upscaler share, and how far two results lie apart."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

skimage_data = pytest.importorskip("skimage.data")


def photograph(height, width):
    """A real photograph, small: a face, fabric, sky, and hard edges of a flag."""
    side = max(height, width)
    picture = Image.fromarray(skimage_data.astronaut()).resize((side, side), Image.Resampling.LANCZOS)
    return np.asarray(picture)[:height, :width]


def gradient(height, width, dtype=np.uint8):
    """A slow ramp a channel, where the border of a tile would show first."""
    rows, columns = np.mgrid[0:height, 0:width]
    ramps = np.stack([columns / width, rows / height, (rows + columns) / (height + width)], axis=2)
    return ramps.astype(dtype) if np.issubdtype(dtype, np.floating) else np.rint(ramps * np.iinfo(dtype).max).astype(dtype)


def difference(a, b):
    return np.abs(a.astype(np.float64) - b.astype(np.float64)).max()
