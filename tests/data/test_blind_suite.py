"""Blind suites from photographs: what is written, that it can be made again, and which mistakes are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from edgesr.data.blind_suite import make_suite
from edgesr.errors import UsageError
from edgesr.evaluate.suites import load_suite


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Two photographs, one of a size that is no multiple of 4."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    Image.fromarray(data.chelsea()[:130, :157]).save(folder / "cat.png")
    Image.fromarray(data.astronaut()[:128, 180:308]).save(folder / "face.jpg", quality=95)
    return folder


def test_a_suite_holds_the_photographs_and_small_degraded_versions(photographs, tmp_path):
    assert [error for _, error in make_suite(photographs, tmp_path / "suite", 0)] == [None, None]
    cat, face = load_suite(tmp_path / "suite")
    assert np.array_equal(cat.hr, data.chelsea()[:128, :156])
    for pair in (cat, face):
        height, width = pair.lr.shape[:2]
        plain = np.asarray(Image.fromarray(pair.hr).resize((width, height), Image.Resampling.BICUBIC))
        error = np.abs(plain.astype(float) - pair.lr).mean()
        assert 1 < error < 40  # degraded more than by the reduction, and still the same picture


def test_the_seed_and_the_name_alone_decide_the_degradation(photographs, tmp_path):
    def lr(out: str, seed: int) -> dict[str, bytes]:
        list(make_suite(photographs, tmp_path / out, seed))
        return {path.name: path.read_bytes() for path in (tmp_path / out / "LR").iterdir()}

    first = lr("first", 3)
    (photographs / "cat.png").unlink()
    assert lr("alone", 3) == {"face.png": first["face.png"]}
    assert lr("other", 4)["face.png"] != first["face.png"]


def test_a_photograph_that_cannot_be_used_is_named_and_the_others_are_done(photographs, tmp_path):
    (photographs / "broken.png").write_bytes(b"nonsense")
    Image.new("RGB", (20, 20)).save(photographs / "small.png")
    problems = {path.name: str(error) for path, error in make_suite(photographs, tmp_path / "suite", 0) if error}
    assert set(problems) == {"broken.png", "small.png"}
    assert "cannot be decoded" in problems["broken.png"]
    assert "too small" in problems["small.png"]
    assert [pair.name for pair in load_suite(tmp_path / "suite")] == ["cat.png", "face.png"]


def test_nothing_is_written_over(photographs, tmp_path):
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "mine.txt").touch()
    with pytest.raises(UsageError, match="suite: is not an empty folder"):
        make_suite(photographs, tmp_path / "suite", 0)
    Image.new("RGB", (64, 64)).save(photographs / "cat.jpg")
    with pytest.raises(UsageError, match="another picture has the same name"):
        make_suite(photographs, tmp_path / "new", 0)
    assert not (tmp_path / "new").exists()
