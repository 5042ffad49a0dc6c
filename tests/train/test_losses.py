"""The term against lattices sees what repeats with the network's grids, on flat and on rough areas, and nothing else; that against
artefacts sees where the error is uneven."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from edgesr.train.losses import LossConfig, PictureLoss, artifacts, lattice, sharpened
from edgesr.train.step import Batch, StepRandom

LEVEL = 1 / 255


def wave(period, height=64, width=64):
    """A cosine along the columns and along the rows, of amplitude 1: (height, width)."""
    y, x = (torch.arange(side) * 2 * math.pi / period for side in (height, width))
    return y.cos()[:, None] * x.cos()


@pytest.fixture
def flat():
    return torch.full((2, 3, 64, 64), 0.5) + torch.linspace(0, 0.05, 64)


@pytest.fixture
def rough():
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("period", [4, 8, 16])
def test_a_wave_of_a_grid_s_period_counts_with_its_amplitude(flat, rough, period):
    for picture in (flat, rough):
        assert float(lattice(picture + LEVEL * wave(period), picture)) == pytest.approx(LEVEL, rel=0.02)


def test_a_faint_wave_is_not_hidden_by_a_strong_one(flat):
    both = flat + 20 * LEVEL * wave(16) + LEVEL * wave(8)
    assert float(lattice(both, flat)) == pytest.approx(21 * LEVEL, rel=0.02)


@pytest.mark.parametrize("period", [64 / 3, 64 / 5, 64 / 11])
def test_shades_and_other_periods_are_no_lattice(flat, period):
    assert float(lattice(flat + 0.1, flat)) < 1e-5
    assert float(lattice(flat + 20 * LEVEL * wave(period), flat)) < 1e-5


def test_waves_that_cancel_between_places_are_seen_in_each():
    wide = torch.full((1, 3, 64, 128), 0.5)
    waves = torch.cat([wave(8), -wave(8)], dim=1)
    assert float(lattice(wide + LEVEL * waves, wide)) == pytest.approx(LEVEL, rel=0.02)


def test_crops_smaller_than_a_cell_and_of_odd_sides_are_cut_to_the_period():
    small = torch.full((1, 3, 41, 55), 0.5)
    assert float(lattice(small + LEVEL * wave(8, 41, 55), small)) == pytest.approx(LEVEL, rel=0.02)


def test_its_gradient_takes_the_wave_away(flat):
    out = (flat + LEVEL * wave(8)).requires_grad_()
    lattice(out, flat).backward()
    assert float((out.grad * wave(8)).sum()) > 0
    after = out.detach() - LEVEL / 2 * out.grad / out.grad.abs().max()
    assert lattice(after, flat) < 0.7 * lattice(out.detach(), flat)


class Seen:
    """In place of a distance of features: what it is shown, and how far that is apart."""

    def __init__(self):
        self.pairs = []

    def __call__(self, out, hr):
        self.pairs.append((out, hr))
        return (out - hr).abs().mean()


def test_features_are_those_of_one_window_of_all_pictures(rough):
    """Another one each step, of the side that the recipe says; 0: all but a few first rows and columns."""
    batch = Batch(rough, rough[..., ::4, ::4], *[rough[..., :0, :0]] * 2)
    places = torch.arange(64 * 64.0).reshape(1, 1, 64, 64).expand(2, 3, 64, 64)
    for side, sizes in ((24, {24}), (64, {64}), (0, set(range(57, 65)))):
        terms = PictureLoss(LossConfig(perceptual_window=side, perceptual=0.0), 0, torch.device("cpu"))
        terms.features = seen = Seen()
        for step in range(40):
            terms(places, batch, 0.0, StepRandom(torch.Generator().manual_seed(step), 2))
        assert {length for out, _ in seen.pairs for length in out.shape[-2:]} == sizes
        corners = {float(out[0, 0, 0, 0]) for out, _ in seen.pairs}
        assert len(corners) == 1 if side == 64 else len(corners) > 20
        for out, hr in seen.pairs:
            row, column = divmod(int(out[0, 0, 0, 0]), 64)
            assert torch.equal(hr, rough[..., row : row + hr.shape[-2], column : column + hr.shape[-1]])


def test_artifacts_weigh_the_error_where_it_is_uneven():
    """The left half is off by as much everywhere, the right one by as much in the mean, but from pixel to pixel."""
    hr = torch.full((1, 3, 32, 64), 0.5)
    checks = 2.0 * ((torch.arange(32)[:, None] + torch.arange(64)) % 2)
    uneven = torch.where(torch.arange(64) < 32, torch.ones(32, 64), checks)
    out = (hr + 0.05 * uneven).requires_grad_()
    loss = artifacts(out, hr)
    loss.backward()
    assert torch.equal(out.grad[..., :28], torch.zeros(1, 3, 32, 28))  # all of whose windows lie in the even half
    assert float(out.grad[..., 36:].min()) >= 0 < float(out.grad[..., 36:].max())
    assert float(artifacts(hr + 0.05, hr)) < 1e-9 < float(loss.detach())
    # A checked residual of 0 and .3 over three channels: variance .0225 (49 / 48), all over the crop; .05 is the mean error.
    want = 0.0225**0.2 * (0.0225 * 49 / 48) * 0.05
    assert float(artifacts(hr + 0.05 * checks, hr)) == pytest.approx(want, rel=0.05)


def test_artifacts_are_the_error_times_the_variances_of_its_sum_over_the_channels(rough):
    """Liang et al. 2022, equations 3 and 4, with torch's variance of each window of 7 px."""
    out = rough.roll(1, dims=0) * 0.9
    error = (out - rough).abs()
    residual = error.sum(dim=1, keepdim=True)
    windows = torch.nn.functional.pad(residual, [3] * 4, mode="reflect").unfold(2, 7, 1).unfold(3, 7, 1)
    want = (residual.var(dim=(1, 2, 3), keepdim=True) ** 0.2 * windows.var(dim=(4, 5)) * error).mean()
    assert float(artifacts(out, rough)) == pytest.approx(float(want), rel=1e-4)


def test_equal_pictures_have_no_artifacts_and_a_gradient_that_is_a_number(rough):
    out = rough.clone().requires_grad_()
    loss = artifacts(out, rough)
    loss.backward()
    assert float(loss.detach()) == 0
    assert out.grad.isfinite().all()


def test_sharpening_leaves_areas_and_lifts_edges_on_both_sides(flat):
    even = torch.full((1, 3, 32, 32), 0.4)
    assert torch.allclose(sharpened(even, 0.5), even, atol=1e-6)
    edge = torch.where(torch.arange(64) < 32, 0.3, 0.7).expand(1, 3, 64, 64)
    made = sharpened(edge, 0.5)
    assert made[..., 31].max() < 0.25
    assert made[..., 32].min() > 0.75
    assert torch.allclose(made[..., :20], edge[..., :20], atol=1e-6), "further off than the radius nothing changes"
    assert torch.allclose(made.mean(), edge.mean(), atol=1e-6)


def test_a_teachers_targets_are_sharpened_and_truths_are_not(rough):
    hr = torch.cat([rough[:1], rough[:1]])
    target = hr.clone()
    target[1] = (target[1] * 0.9).contiguous()
    batch = Batch(hr, hr[..., ::4, ::4], hr[..., :0, :0], target)
    wanted = PictureLoss(LossConfig(sharpen=0.3), 0, torch.device("cpu")).wanted(batch)
    assert torch.equal(wanted[0], hr[0])
    assert torch.allclose(wanted[1], sharpened(target, 0.3)[1])
    mixed = PictureLoss(LossConfig(truth=0.5), 0, torch.device("cpu")).wanted(batch)
    assert torch.allclose(mixed[1], hr[1] * 0.95)
