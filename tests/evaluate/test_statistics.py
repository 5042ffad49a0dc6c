"""Intervals and win rates against what mathematics says of them."""

from __future__ import annotations

import numpy as np
import pytest

from edgesr.evaluate.statistics import interval, win_rates


def test_the_interval_of_a_mean_is_students_for_many_pictures():
    values = np.random.default_rng(1).normal(24, 2, 400)
    low, high = interval(values)
    half = 1.96 * values.std(ddof=1) / 20
    assert low == pytest.approx(values.mean() - half, abs=0.03)
    assert high == pytest.approx(values.mean() + half, abs=0.03)
    assert interval(values) == (low, high)


def test_equal_values_leave_no_doubt_and_one_picture_all_of_it():
    assert interval([3.0, 3.0, 3.0]) == (3.0, 3.0)
    assert interval([3.0]) is None


def more(value):
    return value


def less(value):
    return -value


def test_wins_are_counted_on_common_pictures_and_ties_are_halved():
    scores = {
        "a": {"1": 30.0, "2": 20.0, "3": 25.0, "4": 10.0},
        "b": {"1": 29.0, "2": 21.0, "3": 25.0},
        "c": {"9": 1.0},
    }
    assert win_rates(scores, more) == {"a": {"b": 0.5}, "b": {"a": 0.5}}
    del scores["b"]["2"]
    assert win_rates(scores, more) == {"a": {"b": 0.75}, "b": {"a": 0.25}}
    assert win_rates(scores, less) == {"a": {"b": 0.25}, "b": {"a": 0.75}}
