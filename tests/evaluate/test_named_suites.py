"""Which suites are found, as people have them on disk, and what is said of those that are not whole."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgesr.errors import InputError, UsageError
from edgesr.evaluate.cache import pixels_hash
from edgesr.evaluate.suites import BENCHMARKS, find_suite, fingerprint, load_suite

SHARED = Path(os.environ.get("EDGESR_SHARED", Path(__file__).parents[3] / "shared"))


def save(path: Path, width: int, height: int, channels: int = 3) -> Path:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, channels), dtype=np.uint8).squeeze()
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("mine", "mine/LR/a.png", "mine/HR/a.png"),
        ("Set5", "Set5/LR_bicubic/X4/babyx4.png", "Set5/HR/baby.png"),
        ("Set14", "Set14/LRbicx4/baboon.png", "Set14/GTmod12/baboon.png"),
        ("realsr", "RealSRVal_crop128/test_LR/Canon_1_LR4.png", "RealSRVal_crop128/test_HR/Canon_1_HR.png"),
        ("div2k-val", "DIV2K_V2_val/lq/0801.png", "DIV2K_V2_val/gt/0801.png"),
    ],
)
def test_a_pair_is_found_in_the_folders_of_every_pack(tmp_path, name, low, high):
    lr, hr = save(tmp_path / low, 10, 6), save(tmp_path / high, 40, 24)
    suite = find_suite(name, tmp_path)
    assert (suite.name, suite.problems) == (name, {})
    assert [(picture.lr, picture.hr) for picture in suite.pictures] == [(lr, hr)]
    pixels = suite.read(suite.pictures[0])
    assert [part.shape for part in pixels] == [(6, 10, 3), (24, 40, 3)]


def test_pictures_without_a_reference(tmp_path):
    save(tmp_path / "mine" / "LR" / "a.png", 10, 6)
    save(tmp_path / "RealSRSet" / "b.png", 10, 6)
    for suite in (find_suite(str(tmp_path / "mine"), None), find_suite("realsrset", tmp_path)):
        (picture,) = suite.pictures
        assert picture.hr is None
        assert suite.read(picture)[1] is None


def test_the_partners_that_are_missing_are_named_and_the_others_stay(tmp_path):
    for name in ("LR/a.png", "LR/only-small.png"):
        save(tmp_path / "s" / name, 10, 6)
    for name in ("HR/a.png", "HR/only-large.png"):
        save(tmp_path / "s" / name, 40, 24)
    suite = find_suite(str(tmp_path / "s"), None)
    assert [picture.name for picture in suite.pictures] == ["a.png"]
    assert set(suite.problems) == {"only-small.png", "only-large.png"}
    assert "no picture of this name in" in suite.problems["only-small.png"]
    assert suite.problems["only-small.png"].split(";")[0].endswith("HR")
    assert suite.problems["only-large.png"].split(";")[0].endswith("LR")


def test_pictures_that_claim_the_same_partner_are_named(tmp_path):
    for name in ("LR_bicubic/X4/babyx4.png", "LR_bicubic/X4/baby_LR4.png"):
        save(tmp_path / "Set5" / name, 10, 6)
    save(tmp_path / "Set5" / "HR" / "baby.png", 40, 24)
    suite = find_suite("Set5", tmp_path)
    assert [picture.name for picture in suite.pictures] == ["baby_LR4.png"]
    assert "has the same partner as baby_LR4.png" in suite.problems["babyx4.png"]


def test_the_border_that_packs_leave_on_hr_is_cut_off_known_suites_alone(tmp_path):
    for name in ("Set5", "mine"):
        save(tmp_path / name / "LR" / "a.png", 10, 6)
        save(tmp_path / name / "HR" / "a.png", 43, 25)
    suite = find_suite("Set5", tmp_path)
    assert suite.read(suite.pictures[0])[1].shape == (24, 40, 3)
    suite = find_suite("mine", tmp_path)
    with pytest.raises(InputError, match=r"a\.png: is 43x25 px, expected 40x24 px"):
        suite.read(suite.pictures[0])


def test_a_suite_is_loaded_by_name_with_grey_as_rgb(tmp_path):
    for name, width, channels in (("b.png", 8, 3), ("a.png", 10, 1)):
        save(tmp_path / "LR" / name, width, 6, channels)
        save(tmp_path / "HR" / name, 4 * width, 24, channels)
    first, second = load_suite(tmp_path)
    assert (first.name, second.name) == ("a.png", "b.png")
    grey = np.asarray(Image.open(tmp_path / "LR" / "a.png"))
    assert np.array_equal(first.lr, np.repeat(grey[..., None], 3, axis=2))
    assert np.array_equal(second.hr, np.asarray(Image.open(tmp_path / "HR" / "b.png")))


def test_a_suite_with_a_picture_that_cannot_be_scored_is_not_loaded(tmp_path):
    save(tmp_path / "LR" / "a.png", 10, 6)
    (tmp_path / "HR").mkdir()
    with pytest.raises(UsageError, match="HR: holds no pictures"):
        load_suite(tmp_path)
    save(tmp_path / "HR" / "a.png", 40, 24)
    save(tmp_path / "HR" / "lonely.png", 40, 24)
    with pytest.raises(InputError, match=r"HR.lonely\.png: no picture of this name in .*LR"):
        load_suite(tmp_path)


@pytest.mark.parametrize("side", ["LR", "HR"])
def test_a_picture_that_cannot_be_read_is_named(tmp_path, side):
    save(tmp_path / "s" / "LR" / "a.png", 10, 6)
    save(tmp_path / "s" / "HR" / "a.png", 40, 24)
    (tmp_path / "s" / side / "a.png").write_bytes(b"nonsense")
    suite = find_suite(str(tmp_path / "s"), None)
    with pytest.raises(InputError, match=rf"{side}.a\.png: cannot be decoded"):
        suite.read(suite.pictures[0])


def test_a_known_suite_that_is_not_here_comes_with_where_to_get_it(tmp_path):
    for name, words in {"urban100": "EDSR-PyTorch", "drealsr": "StableSR-TestSets .* as DrealSRVal_crop128"}.items():
        with pytest.raises(UsageError, match=words):
            find_suite(name, tmp_path)
    with pytest.raises(UsageError, match="--suites-dir"):
        find_suite("Set5", None)
    with pytest.raises(UsageError, match="nosuch: no such folder, and no known suite; known: Set5"):
        find_suite("nosuch", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no LR folder"):
        find_suite("empty", tmp_path)


@pytest.mark.parametrize("name", [each.name for each in BENCHMARKS.values() if each.fingerprint])
def test_the_suites_that_figures_come_from_are_known_by_their_pixels(name):
    if not (SHARED / "eval" / name).is_dir():
        pytest.skip(f"evaluation suite {name} not found in {SHARED}")
    suite = find_suite(name, SHARED / "eval")
    hashes = ["".join(pixels_hash(part) for part in suite.read(picture) if part is not None) for picture in suite.pictures]
    assert fingerprint(reversed(hashes)) == suite.benchmark.fingerprint
    assert fingerprint(hashes[1:]) != suite.benchmark.fingerprint
    assert len(hashes) == suite.benchmark.pictures
