"""Which figure of a metric is the better one, where more, less, or one certain figure is best."""

from __future__ import annotations

import pytest

from edgesr.evaluate.direction import arrow, merit, phrase
from edgesr.evaluate.registry import METRICS
from edgesr.evaluate.results import _metric

HIGHER, LOWER, NEAREST = {"better": "higher"}, {"better": "lower"}, {"better": "nearest", "target": 1.0}


@pytest.mark.parametrize(
    ("metric", "worst_to_best"),
    [(HIGHER, [-1.0, 0.0, 20.0, 30.5]), (LOWER, [30.5, 20.0, 0.0, -1.0]), (NEAREST, [3.0, 0.2, 1.6, 0.5, 1.25, 0.9, 1.0])],
)
def test_the_better_a_figure_the_greater_its_merit(metric, worst_to_best):
    assert sorted(worst_to_best, key=lambda value: merit(value, metric)) == worst_to_best


def test_below_and_above_a_target_by_the_same_are_equal():
    assert merit(0.75, NEAREST) == merit(1.25, NEAREST) < merit(1.0, NEAREST) == 0


def test_a_direction_is_told_as_a_sign_and_in_words():
    assert [arrow(metric) for metric in (HIGHER, LOWER, NEAREST)] == ["↑", "↓", "→ 1"]
    assert phrase(LOWER) == "lower is better"
    assert phrase(NEAREST) == "nearest to 1 is best"


def test_every_metric_of_the_benchmark_has_a_direction_that_can_be_used():
    for name in METRICS:
        info = _metric(name)
        assert (info["better"] == "nearest") == (info["target"] is not None), name
        assert merit(0.5, info) != merit(0.7, info), name
        assert arrow(info), name
