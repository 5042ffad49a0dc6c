"""Batches depend on seed and step alone, use what is dear to make as often as they should, and keep HR and LR aligned."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from photographs import make_folder  # noqa: E402

from edgesr.data.bank import ImageBank  # noqa: E402
from edgesr.train.batches import Batches  # noqa: E402
from edgesr.train.recipe import DataConfig  # noqa: E402

CONFIG = DataConfig(hr_size=96, batch=3, uses=4, block=8)  # 6 pairs a block


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    folder = make_folder(tmp_path_factory.mktemp("photographs"))
    return ImageBank.load(Path(folder) / "photographs", cache=None)


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_shapes_and_ranges(bank):
    hr, lr = Batches(bank, CONFIG, seed=0)(0)
    assert hr.shape == (3, 3, 96, 96)
    assert lr.shape == (3, 3, 24, 24)
    for image in (hr, lr):
        assert image.dtype == torch.float32
        assert 0 <= image.min() < image.max() <= 1


def test_a_batch_depends_on_seed_and_step_alone(bank):
    straight = Batches(bank, CONFIG, seed=5)
    want = {step: straight(step) for step in range(12)}
    torch.manual_seed(1)
    jumping = Batches(bank, CONFIG, seed=5)
    for step in (9, 2, 11, 2, 0, 8, 7):
        assert equal(jumping(step), want[step]), step
    assert equal(Batches(bank, CONFIG, seed=5)(9), want[9])


def test_spoiling_a_batch_does_not_spoil_the_next(bank):
    batches, fresh = Batches(bank, CONFIG, seed=0), Batches(bank, CONFIG, seed=0)
    for image in batches(0):
        image.zero_()
    assert all(equal(batches(step), fresh(step)) for step in range(8))


def test_another_seed_step_or_block_is_other_data(bank):
    batches = Batches(bank, CONFIG, seed=0)
    pictures = [batches(step)[0] for step in range(16)] + [Batches(bank, CONFIG, seed=1)(step)[0] for step in range(8)]
    assert not any(torch.equal(a, b) for i, a in enumerate(pictures) for b in pictures[:i])


def test_every_pair_is_used_as_often_as_the_recipe_says_in_several_turns(bank):
    batches = Batches(bank, CONFIG, seed=3)
    blocks = []
    for block in range(2):
        turned = [hr for step in range(block * 8, block * 8 + 8) for hr in batches(step)[0]]
        # What no flip or quarter turn changes identifies the pair.
        uses = Counter(tuple(hr.flatten(1).sort().values[:, ::97].flatten().tolist()) for hr in turned)
        assert sorted(uses.values()) == [4] * 6
        assert len({hr.numpy().tobytes() for hr in turned}) > 12, "the uses are hardly turned"
        blocks.append(set(uses))
    assert not blocks[0] & blocks[1]


def test_hr_and_lr_stay_aligned_under_every_turn(bank):
    """The LR resembles its own HR, downscaled, better than the HR in any other of the eight orientations."""
    batches = Batches(bank, CONFIG, seed=0)
    own = []
    for step in range(16):
        for hr, lr in zip(*batches(step), strict=True):
            small = F.interpolate(hr[None], size=(24, 24), mode="area")[0]
            others = [torch.rot90(flipped, k, (1, 2)) for flipped in (small, small.flip(2)) for k in range(4)]
            likeness = [float(torch.corrcoef(torch.stack((lr.flatten(), other.flatten())))[0, 1]) for other in others]
            assert likeness[0] == max(likeness)
            own.append(likeness[0])
    assert sum(own) / len(own) > 0.7  # not 1: the LR is degraded
