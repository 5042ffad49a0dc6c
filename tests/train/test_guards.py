"""The guards: a colour shift and a grid's pattern are told in levels, and a discriminator that has won is named once a window."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F
from photographs import photograph

from edgesr.train.guards import AccuracyWatch, DriftGuard, drift_figures, grid_lines
from edgesr.train.recipe import LogConfig

LEVEL = 1 / 255


@pytest.fixture(scope="module")
def soft():
    """Four photographs of 192 px, enlarged by bilinear: (4, 3, 192, 192)."""
    pictures = [torch.from_numpy(np.asarray(photograph(seed, 48)).copy()).permute(2, 0, 1) / 255 for seed in range(4)]
    return F.interpolate(torch.stack(pictures), scale_factor=4, mode="bilinear")


def test_a_shift_of_colours_is_told_in_levels_and_detail_is_none(soft):
    assert drift_figures(soft, soft)["colour_shift"] == 0
    cast = torch.tensor([6.0, -3.0, 0.0])[:, None, None] * LEVEL
    assert drift_figures(soft + cast, soft)["colour_shift"] == pytest.approx(3, rel=1e-3)
    checks = 20 * LEVEL * ((torch.arange(192)[:, None] + torch.arange(192)) % 2 * 2 - 1)
    assert drift_figures(soft + checks, soft)["colour_shift"] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("side", [64, 96, 192])
@pytest.mark.parametrize("period", [4, 8])
def test_a_pattern_of_the_network_s_grids_is_told_in_levels(soft, side, period):
    waves = (torch.arange(side) * 2 * math.pi / period).cos()
    pattern = 4 * LEVEL * waves[:, None] * waves  # root mean square of 2
    pictures = soft[..., :side, :side]
    assert drift_figures(pictures, pictures)["lattice"] < 0.7
    assert drift_figures(pictures + pattern, pictures)["lattice"] == 255 * grid_lines(pictures + pattern)
    for stripes in (waves, waves[:, None]):
        assert drift_figures(pictures + 4 * LEVEL * stripes, pictures)["lattice"] == pytest.approx(8**0.5, rel=0.1)
    assert drift_figures(pictures + pattern, pictures)["lattice"] == pytest.approx(2, rel=0.1)
    # A period between those of the grids counts for nothing.
    other = 4 * LEVEL * (torch.arange(side) * 2 * math.pi * 10 / 64).cos()
    assert drift_figures(pictures + other, pictures)["lattice"] < 0.7


@pytest.mark.parametrize(
    ("name", "field", "term"),
    [("colour_shift", "log.greatest_colour_shift = 5", "loss.colour"), ("lattice", "log.greatest_lattice = 3", "loss.lattice")],
)
@pytest.mark.parametrize("value", [5.5, math.nan])
def test_a_drift_is_one_line_that_names_the_field_and_what_helps(name, field, term, value):
    guard, fine = DriftGuard(LogConfig(greatest_colour_shift=5.0, greatest_lattice=3.0)), {"colour_shift": 5.0, "lattice": 3.0}
    assert guard.judge(fine, 6) == ""
    line = guard.judge(fine | {name: value}, 7)
    assert line.startswith("step 7: ")
    assert field in line
    assert term in line
    assert "\n" not in line


def test_a_run_that_starts_far_off_has_not_drifted_until_it_was_near():
    guard = DriftGuard(LogConfig(greatest_colour_shift=5.0, greatest_lattice=3.0))
    shifts = [90.0, 20.0, 6.0, 5.0, 4.0, 6.0]
    told = [guard.judge({"colour_shift": shift, "lattice": 0.1}, step) for step, shift in enumerate(shifts)]
    assert [bool(line) for line in told] == [False] * 5 + [True]


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_a_discriminator_that_has_won_is_named_once_a_window(caplog):
    watch = AccuracyWatch(LogConfig(accuracy_steps=10, greatest_accuracy=0.9))
    for step in range(20):
        watch.add(step, 0.95 if step % 2 else None)  # updated every other step
    assert len(warnings(caplog)) == 2
    assert warnings(caplog)[0].startswith("step 9: ")
    assert "lower loss.adversarial.learning_rate or raise update_every" in warnings(caplog)[0]


def test_a_discriminator_that_wins_for_a_moment_is_let_be(caplog):
    watch = AccuracyWatch(LogConfig(accuracy_steps=10, greatest_accuracy=0.9))
    for step in range(25):
        watch.add(step, 1.0 if step % 10 < 7 else 0.6)
    assert not warnings(caplog)
