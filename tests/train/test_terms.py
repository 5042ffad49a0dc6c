"""The term against lattices sees what repeats with the pixel shuffle, on flat and on rough areas, and nothing else."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from edgesr.train.terms import lattice  # noqa: E402

PATTERN = torch.tensor([[1.0, -1, 1, -1], [-1, 1, -1, 1], [1, 1, -1, -1], [-1, -1, 1, 1]]) / 255


@pytest.fixture
def flat():
    return torch.full((2, 3, 64, 64), 0.5) + torch.linspace(0, 0.05, 64)


@pytest.fixture
def rough():
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_it_is_the_root_mean_square_of_the_pattern(flat):
    assert float(lattice(flat + PATTERN.repeat(16, 16), flat)) == pytest.approx(1 / 255, rel=0.01)


def test_a_shade_and_noise_are_no_lattice(flat):
    noise = 0.02 * torch.randn(flat.shape, generator=torch.Generator().manual_seed(1))
    assert float(lattice(flat + 0.1, flat)) < 1e-5
    assert float(lattice(flat + noise, flat)) < 0.1 * 0.02


def test_a_pattern_is_seen_where_the_picture_is_rough(flat, rough):
    for picture in (flat, rough):
        assert float(lattice(picture + PATTERN.repeat(16, 16), picture)) == pytest.approx(1 / 255, rel=0.01)


def test_patterns_that_cancel_between_places_are_seen_in_each():
    wide = torch.full((1, 3, 64, 128), 0.5)
    pattern = torch.cat([PATTERN.repeat(16, 16), -PATTERN.repeat(16, 16)], dim=1)
    assert float(lattice(wide + pattern, wide)) == pytest.approx(1 / 255, rel=0.01)


def test_crops_smaller_than_a_cell_are_one():
    small = torch.full((1, 3, 32, 48), 0.5)
    assert float(lattice(small + PATTERN.repeat(8, 12), small)) == pytest.approx(1 / 255, rel=0.01)


def test_its_gradient_takes_the_pattern_away(flat):
    out = (flat + PATTERN.repeat(16, 16)).requires_grad_()
    lattice(out, flat).backward()
    assert float((out.grad * PATTERN.repeat(16, 16)).sum()) > 0
    after = out.detach() - 0.5 / 255 * out.grad / out.grad.abs().max()
    assert lattice(after, flat) < 0.7 * lattice(out.detach(), flat)
