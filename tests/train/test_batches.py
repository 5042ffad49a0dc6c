"""Batches depend on seed and step alone, use what is dear to make as often as they should, and keep HR and LR aligned."""

from __future__ import annotations

import dataclasses
import tarfile
from collections import Counter
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F
from photographs import make_folder
from PIL import Image

from edgesr.data.bank import CropConfig, ImageBank
from edgesr.data.mixture import Mixture
from edgesr.data.stream import Crops, Stream, find_shards
from edgesr.train.batches import Batches
from edgesr.train.processes import Processes
from edgesr.train.recipe import DataConfig
from edgesr.train.step import StepRandom

CONFIG = DataConfig(hr_size=96, batch=3, uses=4, block=8)  # 6 pairs a block


@pytest.fixture(scope="module")
def mixture(tmp_path_factory):
    folder = make_folder(tmp_path_factory.mktemp("photographs"))
    return Mixture(ImageBank.load(Path(folder) / "photographs", cache=None), CONFIG.crop)


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_shapes_and_ranges(mixture):
    hr, lr = Batches(mixture, CONFIG, seed=0)(0)[:2]
    assert hr.shape == (3, 3, 96, 96)
    assert lr.shape == (3, 3, 24, 24)
    for image in (hr, lr):
        assert image.dtype == torch.float32
        assert 0 <= image.min() < image.max() <= 1


def test_a_batch_depends_on_seed_and_step_alone(mixture):
    straight = Batches(mixture, CONFIG, seed=5)
    want = {step: straight(step) for step in range(12)}
    torch.manual_seed(1)
    jumping = Batches(mixture, CONFIG, seed=5)
    for step in (9, 2, 11, 2, 0, 8, 7):
        assert equal(jumping(step), want[step]), step
    assert equal(Batches(mixture, CONFIG, seed=5)(9), want[9])


def test_spoiling_a_batch_does_not_spoil_the_next(mixture):
    batches, fresh = Batches(mixture, CONFIG, seed=0), Batches(mixture, CONFIG, seed=0)
    for image in batches(0):
        image.zero_()
    assert all(equal(batches(step), fresh(step)) for step in range(8))


def test_another_seed_step_or_block_is_other_data(mixture):
    batches = Batches(mixture, CONFIG, seed=0)
    pictures = [batches(step).hr for step in range(16)] + [Batches(mixture, CONFIG, seed=1)(step).hr for step in range(8)]
    assert not any(torch.equal(a, b) for i, a in enumerate(pictures) for b in pictures[:i])


def test_every_pair_is_used_as_often_as_the_recipe_says_in_several_turns(mixture):
    unscaled = Mixture(mixture.photographs, CropConfig(downscale_probability=0.0))  # a crop may be a whole photograph else
    batches = Batches(unscaled, CONFIG, seed=3)
    blocks = []
    for block in range(2):
        turned = [hr for step in range(block * 8, block * 8 + 8) for hr in batches(step).hr]
        # What no flip or quarter turn changes identifies the pair.
        uses = Counter(tuple(hr.flatten(1).sort().values[:, ::97].flatten().tolist()) for hr in turned)
        assert sorted(uses.values()) == [4] * 6
        assert len({hr.numpy().tobytes() for hr in turned}) > 12, "the uses are hardly turned"
        blocks.append(set(uses))
    assert not blocks[0] & blocks[1]


def test_hr_and_lr_stay_aligned_under_every_turn(mixture):
    """The LR resembles its own HR, downscaled, better than the HR in any other of the eight orientations."""
    batches = Batches(mixture, CONFIG, seed=0)
    own = []
    for step in range(16):
        hr_crops, lr_crops = batches(step)[:2]
        for hr, lr in zip(hr_crops, lr_crops, strict=True):
            small = F.interpolate(hr[None], size=(24, 24), mode="area")[0]
            others = [torch.rot90(flipped, k, (1, 2)) for flipped in (small, small.flip(2)) for k in range(4)]
            likeness = [float(torch.corrcoef(torch.stack((lr.flatten(), other.flatten())))[0, 1]) for other in others]
            assert likeness[0] == max(likeness)
            own.append(likeness[0])
    assert sum(own) / len(own) > 0.7  # not 1: the LR is degraded


def test_the_teachers_lr_is_the_less_degraded_one_of_the_same_crop(mixture):
    """Alike in what was drawn, and nearer to the HR: for every crop of a block, both enlarged to the HR's size."""
    with_teacher, without = Batches(mixture, CONFIG, seed=0, lr_x2=True), Batches(mixture, CONFIG, seed=0)
    gains = []
    for step in range(8):
        batch = with_teacher(step)
        assert batch.lr_x2.shape == (3, 3, 48, 48)
        assert equal(batch[:2], without(step)[:2]), "wanting the teacher's LR changes the student's"
        errors = [
            (F.interpolate(lr, size=(96, 96), mode="bicubic") - batch.hr).square().mean(dim=(1, 2, 3))
            for lr in (batch.lr, batch.lr_x2)
        ]
        gains += (errors[0] / errors[1]).log10().mul(10).tolist()
        reduced = F.interpolate(batch.lr_x2, size=(24, 24), mode="area")
        for own, lr in zip(reduced, batch.lr, strict=True):
            others = [float(torch.corrcoef(torch.stack((o.flatten(), lr.flatten())))[0, 1]) for o in (own, *batch.lr)]
            assert others[0] > 0.6
    assert sum(gains) / len(gains) > 1, "in dB"


def test_a_thread_that_works_ahead_changes_no_batch(mixture):
    ahead, plain = Batches(mixture, CONFIG, seed=0, ahead=True), Batches(mixture, CONFIG, seed=0)
    assert all(equal(ahead(step), plain(step)) for step in (0, 1, 8, 9, 30, 3, 16))


@pytest.mark.parametrize("world", [2, 3])
def test_processes_together_see_the_one_batch(mixture, world):
    """Rows of data, noise and times: each process' own, all of them together the batch of one process alone."""
    config = dataclasses.replace(CONFIG, batch=6)
    whole = Batches(mixture, config, seed=0)(3)
    draws = StepRandom(torch.Generator().manual_seed(0), 6)
    noise, times = draws.normal(torch.empty(6, 2)), draws.times(0.5)
    assert (times.t[: times.terminal] == 1).all()
    assert (times.t[times.terminal :] < 1).all()
    weights = []
    for rank in range(world):
        processes = Processes()
        processes.rank, processes.world = rank, world
        assert equal(Batches(mixture, config, seed=0, processes=processes)(3), (part[rank::world] for part in whole))
        own = StepRandom(torch.Generator().manual_seed(0), 6, processes)
        assert torch.equal(own.normal(torch.empty(6 // world, 2)), noise[rank::world])
        t, terminal, weight = own.times(0.5)
        assert torch.equal(t, times.t[rank::world])
        assert (t[:terminal] == 1).all()
        weights.append(weight)
        assert weight == pytest.approx(terminal * world / times.terminal)
    assert sum(weights) / world == pytest.approx(1)


def test_a_process_makes_the_pairs_of_its_own_rows_alone(mixture):
    class Counting(Mixture):
        drawn = 0

        def crops(self, count, size, generator):
            self.drawn += count
            return super().crops(count, size, generator)

    config, drawn = dataclasses.replace(CONFIG, batch=6), []
    for rank, world in ((0, 1), (0, 3), (1, 3), (2, 3)):
        processes, counting = Processes(), Counting(mixture.photographs, mixture.crop)
        processes.rank, processes.world = rank, world
        Batches(counting, config, seed=0, processes=processes)(0)
        drawn.append(counting.drawn)
    assert drawn == [12, 4, 4, 4]


def test_shards_have_their_share_of_the_pairs_and_go_on_where_a_run_stopped(mixture, tmp_path):
    for index in range(4):
        with tarfile.open(tmp_path / f"{index}.tar", "w") as shard:
            Image.new("RGB", (100, 100), (index,) * 3).save(tmp_path / "plain.png")
            shard.add(tmp_path / "plain.png", "plain.png")
    config, shards = dataclasses.replace(CONFIG, batch=6), find_shards(f"{tmp_path}/*.tar")

    def batches(rank: int = 0, world: int = 1) -> Batches:
        processes = Processes()
        processes.rank, processes.world = rank, world
        stream = Stream(shards, Crops(96, CropConfig(), 0), rank=rank, world=world)
        return Batches(mixture, config, seed=0, processes=processes, streams=[(stream, 0.5)])

    def streamed(made: Batches, block: int) -> list[int]:
        """The numbers of the shards from which the pictures of a block come."""
        hr = torch.cat([made(step).hr for step in range(8 * block, 8 * block + 8)])
        return sorted(round(float(crop[0, 0, 0]) * 255) for crop in hr if crop.std() == 0)

    straight = batches()
    assert [len(streamed(straight, block)) for block in range(2)] == [24, 24]  # of 48 rows
    assert equal(batches()(13), straight(13))
    own = [set(streamed(batches(rank, 2), 0)) for rank in range(2)]
    assert own == [{0, 2}, {1, 3}]


def test_features_are_looked_at_from_everywhere():
    """Every shift below the features' stride comes, whatever the step's other draws, and is the step's own."""
    shifts = [StepRandom(torch.Generator().manual_seed(step), 4).shift(8) for step in range(400)]
    assert {down for down, _ in shifts} == {right for _, right in shifts} == set(range(8))
    assert shifts == [StepRandom(torch.Generator().manual_seed(step), 4).shift(8) for step in range(400)]


def test_windows_come_from_everywhere_and_stay_inside():
    windows = [StepRandom(torch.Generator().manual_seed(step), 4).window(60, 64, 62) for step in range(400)]
    assert {down for down, _ in windows} == set(range(5))
    assert {right for _, right in windows} == set(range(3))
    assert windows == [StepRandom(torch.Generator().manual_seed(step), 4).window(60, 64, 62) for step in range(400)]
    assert StepRandom(torch.Generator(), 4).window(64, 64, 64) == (0, 0)
