"""`memory`: windows are as large as it allows, and the result never changes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from command_line import ENVIRONMENT
from pictures import photograph
from PIL import Image

from edgesr import Upscaler
from edgesr.errors import UsageError
from edgesr.presets import get_preset
from edgesr.upscaling import memory

TINY, SMALL = get_preset("tiny"), get_preset("small")


def test_the_usual_windows_are_kept_where_memory_is_free(monkeypatch):
    usual = (memory.WINDOW_PIXELS, memory.BAND_PIXELS)
    for free in (None, 8 * 10**9):
        monkeypatch.setattr(memory, "free_memory", lambda free=free: free)
        assert memory.limits(TINY, 0, None) == usual
    monkeypatch.setattr(memory, "free_memory", lambda: 200 * 10**6)
    assert memory.limits(TINY, 0, None).window_pixels < memory.WINDOW_PIXELS / 2


def test_a_limit_decides_over_smaller_and_larger_windows():
    windows = [memory.limits(TINY, 0, limit).window_pixels for limit in (250, 400, 1000, 4000)]
    assert windows == sorted(set(windows))
    assert windows[0] < memory.WINDOW_PIXELS < windows[-1]
    assert memory.limits(SMALL, 0, 1000).window_pixels < memory.limits(TINY, 0, 1000).window_pixels  # its layers are wider
    assert memory.limits(TINY, 300 * 10**6, 1000).window_pixels < memory.limits(TINY, 0, 1000).window_pixels


def test_the_result_is_the_same_with_every_limit(monkeypatch):
    picture = photograph(150, 260)
    want = Upscaler(threads=1)(picture)
    monkeypatch.setattr(memory, "LEAST_PIXELS", 130 * 130)
    monkeypatch.setattr(memory, "WINDOW_PIXELS", 150 * 150)
    assert np.array_equal(Upscaler(threads=1)(picture), want)
    assert np.array_equal(Upscaler(threads=1, memory=250)(picture), want)


@pytest.mark.parametrize("wrong", [0, 100, 1.5, "500"])
def test_a_limit_that_is_too_low_is_refused(wrong):
    with pytest.raises(UsageError, match="at least 250"):
        Upscaler(memory=wrong)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is told by Linux alone")
def test_the_command_keeps_to_the_limit(tmp_path):
    Image.fromarray(photograph(400, 400)).save(tmp_path / "a.png")
    script = """
import sys
from edgesr import cli
from edgesr.evaluate.memory import peak_rss_mb
cli.main(sys.argv[1:])
print(peak_rss_mb())
"""
    words = ["upscale", str(tmp_path / "a.png"), "-o", str(tmp_path / "a.jpg"), "--threads", "1", "--quiet", "--memory", "250"]
    done = subprocess.run([sys.executable, "-c", script, *words], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert (tmp_path / "a.jpg").is_file()
    assert float(done.stdout) < 250
