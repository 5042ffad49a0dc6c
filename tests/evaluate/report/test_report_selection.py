"""Which pictures a report shows, and which window of a large one."""

from __future__ import annotations

import numpy as np
import pytest

from edgesr.evaluate.report.pictures import window
from edgesr.evaluate.report.selection import choose, subject

METRICS = {"psnr": {"better": "higher"}, "epd": {"better": "lower"}}


def images_of(psnr, epd=None):
    """Pictures by the figures of each system: {system: [a figure a picture]}."""
    count = len(next(iter(psnr.values())))
    return {
        f"{i}.png": {"systems": {s: {"metrics": {"psnr": psnr[s][i], **({"epd": epd[s][i]} if epd else {})}} for s in psnr}}
        for i in range(count)
    }


def test_all_pictures_of_a_small_suite_are_shown() -> None:
    images = images_of({"a": [1.0, 2.0, 3.0]})
    assert choose(images, ["a"], METRICS, 3) == dict.fromkeys(images, "all")


def test_of_a_large_suite_the_worst_the_most_different_and_a_typical_one() -> None:
    ours = [30.0, 20.0, 31.0, 25.5, 25.0, 29.0]  # worst: 1; the median, 27.25, lies nearest to 3, the first of two
    theirs = [30.5, 21.0, 25.0, 25.5, 26.0, 29.0]  # 2 lies furthest apart
    images = images_of({"bicubic": theirs, "edgesr:tiny": ours})
    assert choose(images, ["bicubic", "edgesr:tiny"], METRICS, 3) == {
        "1.png": "worst",
        "2.png": "different",
        "3.png": "typical",
    }


def test_less_is_better_where_the_metric_says_so() -> None:
    images = images_of({"a": [20.0] * 4}, {"a": [0.1, 0.9, 0.2, 0.3]})
    assert choose(images, ["a"], METRICS, 1) == {"1.png": "worst"}


def test_nearest_to_the_target_is_better_where_the_metric_says_so() -> None:
    images = images_of({"a": [0.9, 1.0, 1.8, 0.7]})
    metrics = {"psnr": {"better": "nearest", "target": 1.0}}
    assert choose(images, ["a"], metrics, 1) == {"2.png": "worst"}


def test_no_picture_is_chosen_twice_and_the_limit_holds_without_any_figure() -> None:
    rng = np.random.default_rng(1)
    images = images_of({s: list(rng.normal(25, 3, 40)) for s in "ab"})
    for limit in (0, 1, 7, 39):
        assert len(choose(images, ["a", "b"], METRICS, limit)) == limit
    failed = {name: {"systems": {}} for name in images}
    assert len(choose(failed, ["a"], METRICS, 5)) == 5
    assert len(choose(failed, [], METRICS, 5)) == 5


def test_the_subject_is_the_first_system_of_this_project() -> None:
    assert subject(["bicubic", "edgesr:tiny", "edgesr:small"]) == "edgesr:tiny"
    assert subject(["bicubic", "lanczos"]) == "bicubic"
    assert subject([]) is None


@pytest.mark.parametrize(("top", "left"), [(0, 0), (700, 1040), (301, 555)])
def test_the_window_of_a_large_picture_is_where_the_systems_differ(top, left) -> None:
    height, width = 900, 1200
    one = np.zeros((height, width, 3), np.uint8)
    other = one.copy()
    other[top : top + 40, left : left + 40] = 90
    box = window([one, other], width, height, side=256)
    assert (box[2] - box[0], box[3] - box[1]) == (256, 256)
    assert box[0] % 4 == box[1] % 4 == 0
    assert 0 <= box[0] <= left
    assert left + 40 <= box[2] <= width
    assert 0 <= box[1] <= top
    assert top + 40 <= box[3] <= height


def test_a_picture_that_fits_is_shown_whole_and_a_long_one_cut_on_one_side() -> None:
    flat = [np.zeros((90, 300, 3), np.uint8)] * 2
    assert window(flat, 300, 90, side=300) == (0, 0, 300, 90)
    left, top, right, bottom = window(flat, 300, 90, side=100)
    assert (top, bottom, right - left) == (0, 90, 100)
    assert window(flat[:1], 300, 90, side=100) == (100, 0, 200, 90)
