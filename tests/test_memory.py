"""Memory does not grow with the picture: it holds the input and the rows in flight, never the result."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ENVIRONMENT

# The real way of a picture from pixels to file, but for the network, which would take minutes.
PROGRAM = """
import sys
from pathlib import Path
from dataclasses import replace
import numpy as np
from edgesr import images
from edgesr.evaluate.memory import peak_rss_mb
from edgesr.upscaling.upscaler import Upscaler

height, width, channels, dtype, scale, target = sys.argv[1:]
shape = int(height), int(width), int(channels)
upscaler = Upscaler(threads=1, tile=128)
network = upscaler._windows.network._replace(engine=lambda lr, eps: lr.repeat(4, axis=2).repeat(4, axis=3))
upscaler._windows = replace(upscaler._windows, network=network)
pixels = np.zeros(shape, dtype)
pixels[::7] = 200
pixels[..., -1] += np.arange(shape[1], dtype=dtype)
flowing = upscaler.stream_picture(images.Picture(pixels, "PNG"), scale=float(scale))
images.write(Path(target), flowing)
print(peak_rss_mb())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is told by Linux alone")
@pytest.mark.parametrize(
    ("name", "channels", "dtype", "scale"),
    [("out.jpg", 3, "uint8", 4), ("out.png", 4, "uint8", 2.5), ("out.tif", 3, "uint16", 4)],
)
def test_eight_times_the_rows_take_hardly_more_memory(
    name: str, channels: int, dtype: str, scale: float, tmp_path: Path
) -> None:
    def peak(height: int) -> float:
        words = [str(height), "400", str(channels), dtype, str(scale), str(tmp_path / f"{height}{name}")]
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *words], env=ENVIRONMENT, capture_output=True, text=True, check=True
        )
        return float(done.stdout)

    rows = 600, 4800
    sample = (2 if dtype == "uint16" else 1) * channels * 400 / 1e6  # MB an LR row
    result = sample * scale**2 * (rows[1] - rows[0])
    growth = peak(rows[1]) - peak(rows[0])
    assert result > 40
    assert growth < 2 * sample * (rows[1] - rows[0]) + 8, f"{growth} MB more for {result} MB more of a result"
