"""Evaluation suites: what is loaded, and which mistakes are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgesr.data.suites import load_suite
from edgesr.errors import UsageError


def save(path: Path, width: int, height: int, mode: str = "RGB") -> np.ndarray:
    """A picture of noise in a file; returns its pixels."""
    shape = (height, width) if mode == "L" else (height, width, 3)
    pixels = np.random.default_rng(width).integers(0, 256, shape, dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def test_pairs_come_by_name_with_their_pixels(tmp_path):
    for name, width in (("b.png", 8), ("a.png", 10)):
        save(tmp_path / "LR" / name, width, 6)
        save(tmp_path / "HR" / name, 4 * width, 24)
    pairs = load_suite(tmp_path)
    assert [pair.name for pair in pairs] == ["a.png", "b.png"]
    assert np.array_equal(pairs[0].lr, np.asarray(Image.open(tmp_path / "LR" / "a.png")))
    assert np.array_equal(pairs[0].hr, np.asarray(Image.open(tmp_path / "HR" / "a.png")))


def test_lr_alone_has_no_reference(tmp_path):
    save(tmp_path / "LR" / "a.png", 7, 5)
    (pair,) = load_suite(tmp_path)
    assert pair.lr.shape == (5, 7, 3)
    assert pair.hr is None


def test_grey_pictures_become_rgb(tmp_path):
    grey = save(tmp_path / "LR" / "a.png", 7, 5, "L")
    (pair,) = load_suite(tmp_path)
    assert np.array_equal(pair.lr, np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize(("present", "absent"), [("LR", "HR"), ("HR", "LR")])
def test_a_picture_without_its_partner_is_named(tmp_path, present, absent):
    save(tmp_path / "LR" / "a.png", 7, 5)
    save(tmp_path / "HR" / "a.png", 28, 20)
    save(tmp_path / present / "lonely.png", 28, 20)
    with pytest.raises(UsageError, match=rf"{present}.lonely\.png: .*in {absent}"):
        load_suite(tmp_path)


def test_an_hr_that_is_not_four_times_its_lr_is_named_with_both_sizes(tmp_path):
    save(tmp_path / "LR" / "a.png", 7, 5)
    save(tmp_path / "HR" / "a.png", 28, 21)
    with pytest.raises(UsageError, match=r"HR.a\.png: is 28x21 px, .* 28x20 px"):
        load_suite(tmp_path)


def test_a_file_that_cannot_be_decoded_is_named(tmp_path):
    (tmp_path / "LR").mkdir()
    (tmp_path / "LR" / "bad.png").write_bytes(b"nonsense")
    with pytest.raises(UsageError, match=r"bad\.png: cannot be decoded"):
        load_suite(tmp_path)


def test_a_folder_that_is_no_suite_is_named(tmp_path):
    with pytest.raises(UsageError, match=f"{tmp_path.name}: no LR folder"):
        load_suite(tmp_path)
    (tmp_path / "LR").mkdir()
    with pytest.raises(UsageError, match="LR: holds no pictures"):
        load_suite(tmp_path)
