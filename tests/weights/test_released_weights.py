"""What the released weights promise, on the suites they were never trained on."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy.ndimage import uniform_filter
from skimage import data

import edgesr
from edgesr import Upscaler, onnx_metadata
from edgesr.evaluate.metrics import psnr_y, sharpness
from edgesr.evaluate.suites import load_suite

SHARED = Path(os.environ.get("EDGESR_SHARED", Path(__file__).parents[3] / "shared"))
WEIGHTS = Path(edgesr.__file__).parent / "weights"
LEAST_GAIN, LEAST_GAIN_TRUE = 0.55, 0.7  # dB PSNR-Y over bicubic, of the crisp form and of the other
MOST_EPD = 0.9  # of the crisp form, of bicubic's


class Promise(NamedTuple):
    """Of the crisp form."""

    sqd: float  # at most, of bicubic's; the release before had 0.843 and 0.877
    sharpness: float  # at least


PROMISES = {"Set14-blind": Promise(0.845, 0.38), "BSD50-blind": Promise(0.87, 0.28)}


@pytest.fixture(scope="module")
def upscaler():
    return Upscaler("tiny")


@pytest.mark.parametrize("suite", ["Set14-blind", "BSD50-blind"])
def test_one_form_is_truer_and_the_other_nearer_to_the_eye_than_bicubic(upscaler, suite):
    """By three distances, of which no training used SQD's network, and by sharpness: the two forms are a choice that one sees."""
    folder = SHARED / "eval" / suite
    if not (folder.is_dir() and (SHARED / "weights").is_dir()):
        pytest.skip(f"evaluation suite {suite} or SqueezeNet's weights not found in {SHARED}")
    pytest.importorskip("torch")
    from edgesr.evaluate.epd import EPD
    from edgesr.evaluate.sqd import SQD

    true, pairs, promise = Upscaler("tiny", fidelity=1.0), load_suite(folder), PROMISES[suite]
    crisp, faithful = ([model(pair.lr) for pair in pairs] for model in (upscaler, true))
    bicubic = [np.asarray(Image.fromarray(pair.lr).resize(pair.hr.shape[1::-1], Image.Resampling.BICUBIC)) for pair in pairs]

    def mean(metric, outs):
        return np.mean([metric(out, pair.hr) for out, pair in zip(outs, pairs, strict=True)])

    gains = [mean(psnr_y, outs) - mean(psnr_y, bicubic) for outs in (crisp, faithful)]
    assert gains[0] >= LEAST_GAIN
    assert gains[1] >= LEAST_GAIN_TRUE
    for metric, most in ((EPD(), MOST_EPD), (SQD(SHARED / "weights"), promise.sqd)):
        assert mean(metric, crisp) <= most * mean(metric, bicubic)
    assert mean(sharpness, crisp) >= max(promise.sharpness, 1.1 * mean(sharpness, faithful))


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
        assert np.sqrt((cells.mean(axis=(0, 2)) ** 2).mean()) < 0.3  # levels of 255


@pytest.mark.parametrize("fidelity", [0.0, 1.0])
@pytest.mark.parametrize(("noise", "most"), [(0, 0.15), (4, 0.2), (12, 0.25)])  # levels of 255
def test_soft_and_dark_pictures_get_no_weave(fidelity, noise, most):
    """What repeats every 16, 8 or 4 px, the periods of the network's grids, where nothing so fine is in the picture."""
    upscaler, rng = Upscaler("tiny", fidelity=fidelity), np.random.default_rng(0)
    for load in (data.chelsea, data.rocket, data.coffee, data.astronaut):
        soft = np.asarray(Image.fromarray(load()).resize((144, 96)).filter(ImageFilter.GaussianBlur(3)), float) / 2
        lr = (soft + rng.normal(0, noise, soft.shape)).clip(0, 255).round().astype(np.uint8)
        assert weave(upscaler(lr).astype(float).mean(axis=2)) < most


def weave(grey: np.ndarray, side: int = 128) -> float:
    """Root mean square of the lines that stand out of the spectrum at the multiples of 1/16 px^-1, but for the lowest."""
    window = np.hanning(side)[:, None] * np.hanning(side)
    corners = [(y, x) for y in range(0, grey.shape[0] - side + 1, 64) for x in range(0, grey.shape[1] - side + 1, 64)]
    parts = [grey[y : y + side, x : x + side] for y, x in corners]
    power = np.mean([np.abs(np.fft.fft2((part - part.mean()) * window / window.sum())) ** 2 for part in parts], axis=0)
    ring = [(y, x) for y in (-4, -3, 0, 3, 4) for x in (-4, -3, 0, 3, 4) if (y, x) != (0, 0)]  # past a line's own width
    around = np.mean([np.roll(power, shift, (0, 1)) for shift in ring], axis=0)
    lines = np.roll(np.maximum(power - around, 0)[:: side // 16, :: side // 16], (1, 1), (0, 1))
    lines[:3, :3] = 0  # the mean and the shades around it
    return float(np.sqrt(lines.sum()))


def test_tiny_cleans_noisy_compressed_photographs(upscaler):
    gains = []
    for load, box in ((data.chelsea, (60, 20)), (data.coffee, (100, 50)), (data.astronaut, (100, 0)), (data.rocket, (200, 60))):
        hr = Image.fromarray(load()).crop((*box, box[0] + 320, box[1] + 256))
        small = np.asarray(hr.resize((80, 64), Image.Resampling.BICUBIC)).astype(float)
        noisy = (small + np.random.default_rng(0).normal(0, 15, small.shape)).clip(0, 255).round().astype(np.uint8)
        Image.fromarray(noisy).save(stream := io.BytesIO(), "JPEG", quality=60)
        lr = Image.open(stream)
        ours = np.asarray(upscaler(lr, sharpness=0))  # an unsharp mask always costs PSNR
        bicubic = np.asarray(lr.resize(hr.size, Image.Resampling.BICUBIC))
        gains.append(psnr_y(ours, np.asarray(hr)) - psnr_y(bicubic, np.asarray(hr)))
    assert min(gains) > -0.2  # the crisp form gives up a little
    assert np.mean(gains) > 0.4


@pytest.mark.parametrize("fidelity", [0.0, 1.0])
def test_most_of_the_noise_of_single_pixels_leaves_a_flat_area(fidelity):
    noisy = np.random.default_rng(0).normal((60, 90, 140), 16, (96, 96, 3)).clip(0, 255).round().astype(np.uint8)
    bicubic = Image.fromarray(noisy).resize((384, 384), Image.Resampling.BICUBIC)
    ours = Upscaler("tiny", fidelity=fidelity)(noisy)
    assert np.std(ours, axis=(0, 1)).mean() < 0.4 * np.std(bicubic, axis=(0, 1)).mean()


def test_tiny_makes_an_edge_steeper_than_bicubic_does(upscaler):
    lr = np.where(np.arange(64)[None, :, None] < 32, 60, 190) * np.ones((64, 1, 3))
    lr = np.asarray(Image.fromarray(lr.astype(np.uint8)).filter(ImageFilter.GaussianBlur(1)))
    ours = upscaler(lr).astype(float)[16:240].mean(axis=(0, 2))
    bicubic = np.asarray(Image.fromarray(lr).resize((256, 256), Image.Resampling.BICUBIC), float)[16:240].mean(axis=(0, 2))
    assert np.diff(ours).max() > 1.3 * np.diff(bicubic).max()
    assert ours.min() > 60 - 130 / 6  # and rings by less than a sixth of its height, sharpened as it is by default
    assert ours.max() < 190 + 130 / 6


def test_every_released_file_has_a_card_and_says_what_it_is():
    onnx = pytest.importorskip("onnx")
    released = sorted(WEIGHTS.glob("*.onnx"))
    assert released
    for path in released:
        metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
        preset = path.stem.partition("-")[0]  # tiny-int8.onnx is of tiny
        assert metadata["preset"] == preset
        assert metadata["licence"] == "Apache-2.0"
        assert metadata["version"].startswith(f"{preset}-")
        assert {"halo", "colour_space", "mixture"} <= metadata.keys()
        assert onnx_metadata.read(path.read_bytes()) == metadata, "read without the package onnx"
        card = path.with_name(f"{preset}.md").read_text(encoding="utf-8")
        assert all(word in card for word in ("Data.", "Training.", "Measured.", "Limits.", metadata["version"]))
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) < 12e6  # they go into the wheel


def test_every_released_file_is_listed_with_its_checksum():
    lines = (WEIGHTS / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    released = sorted(path for path in WEIGHTS.iterdir() if path.suffix in (".onnx", ".npz"))
    assert lines == [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in released]
