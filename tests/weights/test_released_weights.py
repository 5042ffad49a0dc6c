"""What the released weights promise, on the suites they were never trained on."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy.ndimage import uniform_filter
from skimage import data

import edgesr
from edgesr import Upscaler
from edgesr.data.suites import load_suite
from edgesr.evaluate.metrics import psnr_y

SHARED = Path(os.environ.get("EDGESR_SHARED", Path(__file__).parents[3] / "shared"))
WEIGHTS = Path(edgesr.__file__).parent / "weights"
LEAST_GAIN = 0.4  # dB PSNR-Y over bicubic


@pytest.fixture(scope="module")
def upscaler():
    return Upscaler("tiny")


@pytest.mark.parametrize(("suite", "bicubic"), [("Set14-blind", 23.49), ("BSD50-blind", 23.12)])
def test_both_forms_of_tiny_beat_bicubic(upscaler, suite, bicubic):
    folder = SHARED / "eval" / suite
    if not folder.is_dir():
        pytest.skip(f"evaluation suite {suite} not found in {SHARED}")
    truer, pairs = Upscaler("tiny", fidelity=1.0), load_suite(folder)
    crisp, true = (np.mean([psnr_y(form(pair.lr), pair.hr) for pair in pairs]) for form in (upscaler, truer))
    assert crisp >= bicubic + LEAST_GAIN
    assert true >= bicubic + 0.6


def test_tiny_shifts_no_colours(upscaler):
    folder = SHARED / "eval" / "RealSRSet"
    if not folder.is_dir():
        pytest.skip(f"evaluation suite RealSRSet not found in {SHARED}")
    shifts = []
    for pair in load_suite(folder):
        lr = pair.lr[:120, :120]
        shifts.append(upscaler(lr).astype(float).mean(axis=(0, 1)) - lr.astype(float).mean(axis=(0, 1)))
    assert np.abs(shifts).max() < 4  # levels of 255; clipped noise of dark and bright parts has a mean of its own
    assert np.median(np.ptp(shifts, axis=1)) < 1  # between channels: a cast


@pytest.mark.parametrize("fidelity", [0.0, 1.0])
def test_flat_areas_have_no_lattice(fidelity):
    """What repeats every 4 px, the period of the pixel shuffle, stays far below a level: perceptual losses like to grow it."""
    upscaler, rng, period = Upscaler("tiny", fidelity=fidelity), np.random.default_rng(0), 4
    for base in (60, 128, 200):
        lr = base + np.linspace(-10, 10, 64)[None, :, None] + rng.normal(0, 2, (64, 64, 3))
        out = upscaler(lr.round().astype(np.uint8)).astype(float).mean(axis=2)[32:224, 32:224]
        smooth = uniform_filter(out, period)
        cells = (out - smooth)[8:-8, 8:-8].reshape(44, period, 44, period)
        assert np.sqrt((cells.mean(axis=(0, 2)) ** 2).mean()) < 0.3  # levels of 255; the fidelity form has 0.05


def test_tiny_cleans_noisy_compressed_photographs(upscaler):
    gains = []
    for load, box in ((data.chelsea, (60, 20)), (data.coffee, (100, 50)), (data.astronaut, (100, 0)), (data.rocket, (200, 60))):
        hr = Image.fromarray(load()).crop((*box, box[0] + 320, box[1] + 256))
        small = np.asarray(hr.resize((80, 64), Image.Resampling.BICUBIC)).astype(float)
        noisy = (small + np.random.default_rng(0).normal(0, 15, small.shape)).clip(0, 255).round().astype(np.uint8)
        Image.fromarray(noisy).save(stream := io.BytesIO(), "JPEG", quality=60)
        lr = Image.open(stream)
        ours, bicubic = np.asarray(upscaler(lr)), np.asarray(lr.resize(hr.size, Image.Resampling.BICUBIC))
        gains.append(psnr_y(ours, np.asarray(hr)) - psnr_y(bicubic, np.asarray(hr)))
    assert min(gains) > 0
    assert np.mean(gains) > 0.7


def test_tiny_makes_an_edge_steeper_than_bicubic_does(upscaler):
    lr = np.where(np.arange(64)[None, :, None] < 32, 60, 190) * np.ones((64, 1, 3))
    lr = np.asarray(Image.fromarray(lr.astype(np.uint8)).filter(ImageFilter.GaussianBlur(1)))
    ours = upscaler(lr).astype(float)[16:240].mean(axis=(0, 2))
    bicubic = np.asarray(Image.fromarray(lr).resize((256, 256), Image.Resampling.BICUBIC), float)[16:240].mean(axis=(0, 2))
    assert np.diff(ours).max() > 1.3 * np.diff(bicubic).max()
    assert ours.min() > 45  # and without ringing
    assert ours.max() < 205


def test_every_released_file_has_a_card_and_says_what_it_is():
    onnx = pytest.importorskip("onnx")
    released = sorted(WEIGHTS.glob("*.onnx"))
    assert released
    for path in released:
        metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
        assert metadata["preset"] == path.stem
        assert metadata["licence"] == "Apache-2.0"
        card = path.with_suffix(".md").read_text(encoding="utf-8")
        assert all(word in card for word in ("Data.", "Training.", "Measured.", "Limits."))
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) < 12e6  # they go into the wheel
