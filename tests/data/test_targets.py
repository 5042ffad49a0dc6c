"""Targets of a teacher: what they are made of, that they are kept and found again, and what does not match is refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

import torch.nn.functional as F
from command_line import edgesr_, edgesr_here

from edgesr.data.bank import ImageBank
from edgesr.data.mixture import FolderConfig, Mixture
from edgesr.data.targets import Targets, composed, unless_worse
from edgesr.errors import UsageError
from edgesr.train.batches import Batches
from edgesr.train.recipe import DataConfig, TargetsConfig, load_recipe

NEAREST = "7767517\n2 2\nInput in 0 1 data\nInterp up 1 1 data output 0=1 1=4.0 2=4.0\n"
RECIPE = 'stage = "end-to-end"\n[data]\nfolder = "{0}/photographs"\ncache = "{0}/bank"\nheld_out = 1\nhr_size = 96\n'
PAIRS = 70  # more than one part


def photograph(seed: int) -> np.ndarray:
    layer = np.random.default_rng(seed).integers(0, 256, (18, 18, 3), np.uint8)
    return np.asarray(Image.fromarray(layer).resize((144, 144), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module", autouse=True)
def _threads_as_before():
    """The command leaves its process with one thread."""
    count = torch.get_num_threads()
    yield
    torch.set_num_threads(count)


@pytest.fixture(scope="module")
def taught(tmp_path_factory) -> Path:
    """A folder with photographs, a teacher that repeats pixels, a recipe, and targets made by the command."""
    folder = tmp_path_factory.mktemp("taught")
    (folder / "photographs").mkdir()
    for seed in range(4):
        Image.fromarray(photograph(seed)).save(folder / "photographs" / f"{seed}.png")
    (folder / "nearest.param").write_text(NEAREST)
    (folder / "nearest.bin").touch()
    (folder / "recipe.toml").write_text(RECIPE.format(folder))
    done = teach(folder)
    assert done.returncode == 0, done.stderr
    return folder


def teach(folder: Path, *more: str, out: str = "targets", run=edgesr_here):
    given = ["--teacher", f"{folder}/nearest.param", "--recipe", f"{folder}/recipe.toml", "--pairs", str(PAIRS)]
    return run("data", "teach", f"{folder}/photographs", "-o", f"{folder}/{out}", "--processes", "1", *given, *more)


def pictures(folder: Path) -> Mixture:
    return Mixture(ImageBank.load(folder / "photographs", cache=folder / "bank").split(1)[0])


def test_a_pair_is_a_crop_its_lr_and_what_the_teacher_makes_of_it(taught):
    targets = Targets(taught / "targets", pictures(taught))
    assert len(targets) == PAIRS
    hr, lr, target = targets.part(1)
    assert hr.shape == target.shape == (PAIRS - 64, 3, 96, 96)
    assert lr.shape == (PAIRS - 64, 3, 24, 24)
    want = unless_worse(composed(F.interpolate(lr, scale_factor=4, mode="nearest"), hr), lr, hr)
    error = (target - want).square().mean(dim=(1, 2, 3))
    assert (-10 * error.log10()).min() > 30, "JPEG of high quality is all that lies between"


def test_held_out_photographs_are_not_taught(taught):
    manifest = json.loads((taught / "targets" / "targets.json").read_text())
    assert sorted(manifest["pictures"][0]) == ["0.png", "1.png", "2.png"]


def test_what_is_coarse_comes_from_the_truth_and_what_is_fine_from_the_teacher():
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    coarse, fine = 0.5 + 0.2 * torch.sin(x / 96 * 6.28), 0.02 * (-1.0) ** x
    hr = coarse.expand(1, 3, 96, 96)
    tinted = (hr + fine + torch.tensor([0.1, 0.0, -0.1])[:, None, None]).contiguous()  # its colours have shifted
    target = composed(tinted, hr + 0.01 * (-1.0) ** y)
    inner = (..., slice(16, -16), slice(16, -16))
    assert (F.avg_pool2d(target - hr, 8).abs()[..., 2:-2, 2:-2]).max() < 2e-3
    assert torch.allclose((target - hr)[inner], fine.expand_as(hr)[inner], atol=5e-3)


def test_where_the_teacher_invents_the_truth_is_the_target():
    hr = torch.full((1, 3, 64, 64), 0.5)
    result = hr.clone()
    result[..., 24:40, 24:40] += 0.2 * (-1.0) ** torch.arange(16)
    target = composed(result, hr)
    assert (target - hr)[..., 28:36, 28:36].abs().max() < 1e-6
    faint = hr + 0.01 * (-1.0) ** torch.arange(64)
    assert not torch.allclose(composed(faint, hr), hr, atol=5e-3), "what nobody sees is left to the teacher"


def test_a_teacher_that_does_worse_than_bicubic_is_not_followed():
    hr = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    lr = F.avg_pool2d(hr, 4)
    bicubic = F.interpolate(lr, scale_factor=4, mode="bicubic").clamp(0, 1)
    near, far = hr.lerp(bicubic, 0.9), hr.lerp(bicubic, 1.1)
    target = unless_worse(torch.stack([near[0], far[1]]), lr, hr)
    assert torch.equal(target[0], near[0])
    assert torch.equal(target[1], hr[1])


def test_an_interrupted_run_makes_what_is_missing_and_touches_nothing_else(taught, tmp_path):
    shutil.copytree(taught, tmp_path / "again")
    folder = tmp_path / "again"
    (folder / "recipe.toml").write_text((taught / "recipe.toml").read_text())
    first, second = (folder / "targets" / f"part-0000{i}.npz" for i in range(2))
    want, stamp = second.read_bytes(), first.stat().st_mtime_ns
    second.write_bytes(want[:1000])  # killed while a copy was made
    done = teach(folder)
    assert done.returncode == 0, done.stderr
    assert f"{PAIRS - 64} of {PAIRS} pairs to make" in done.stderr.decode()
    assert second.read_bytes() == want
    assert first.stat().st_mtime_ns == stamp


def test_two_processes_make_the_same_as_one(taught):
    done = teach(taught, "--processes", "2", out="two", run=edgesr_)
    assert done.returncode == 0, done.stderr
    for part in ("part-00000.npz", "part-00001.npz", "targets.json"):
        assert (taught / "two" / part).read_bytes() == (taught / "targets" / part).read_bytes()


def test_targets_of_another_seed_or_recipe_are_not_mixed(taught):
    for more in (("--seed", "1"), ("--set", "data.crop.downscale_max=3")):
        done = teach(taught, *more)
        assert done.returncode == 2
        assert "holds targets of another teacher, recipe, seed or other photographs" in done.stderr.decode()
        assert len(done.stderr.splitlines()) == 1


def test_what_does_not_match_is_refused(taught, tmp_path):
    folder = tmp_path / "changed"
    shutil.copytree(taught, folder)
    Image.fromarray(photograph(9)).save(folder / "photographs" / "2.png")
    with pytest.raises(UsageError, match=r"the photograph '2\.png' has changed since"):
        Targets(folder / "targets", pictures(folder))
    (folder / "photographs" / "2.png").rename(folder / "photographs" / "20.png")
    with pytest.raises(UsageError, match="was made from photographs other than the training set"):
        Targets(folder / "targets", pictures(folder))
    with pytest.raises(UsageError, match="no targets there"):
        Targets(folder / "nowhere", pictures(taught))
    (folder / "targets" / "part-00000.npz").unlink()
    with pytest.raises(UsageError, match="1 of 2 parts are missing"):
        Targets(folder / "targets", pictures(taught))


def test_crops_that_this_version_draws_otherwise_are_refused(taught):
    targets = Targets(taught / "targets", pictures(taught))
    targets.source = dataclasses.replace(targets.source, seed=targets.source.seed + 1)
    with pytest.raises(UsageError, match="do not match the photographs"):
        targets.part(0)


def test_a_batch_takes_its_share_of_targets_and_the_truth_elsewhere(taught):
    config = DataConfig(folder="-", hr_size=96, batch=4, uses=1, block=25, targets=(TargetsConfig(f"{taught}/targets", 0.5),))
    batches = Batches(pictures(taught), config, seed=0)
    batch = [batches(step) for step in range(25)]
    truth = [torch.equal(hr, target) for b in batch for hr, target in zip(b.hr, b.target, strict=True)]
    assert 50 <= sum(truth) < 100, "of the taught half, some are worse than bicubic"
    again = Batches(pictures(taught), config, seed=0)
    assert all(torch.equal(x, y) for x, y in zip(again(24), batch[24], strict=True)), "a function of seed and step"
    for b in batch[:3]:
        low = [F.avg_pool2d(part, 16) for part in (b.hr, b.target)]
        assert (low[0] - low[1]).abs().max() < 0.1, "a target lies on its own crop"


def test_a_teacher_that_runs_during_training_gives_the_targets_of_its_crops(taught):
    targets = (TargetsConfig(teacher=f"{taught}/nearest.param", share=0.75),)
    config = DataConfig(folder="-", hr_size=96, batch=8, uses=1, block=2, targets=targets)
    batches = Batches(pictures(taught), config, seed=0)
    parts = [torch.cat(part) for part in zip(batches(0), batches(1), strict=True)]
    hr, lr, target = parts[0], parts[1], parts[3]
    nearest = lr.repeat_interleave(4, 2).repeat_interleave(4, 3)
    wanted = unless_worse(composed(nearest, hr), lr, hr)
    mine = (target - wanted).abs().amax(dim=(1, 2, 3)) < 2 / 255
    assert mine.sum() >= 12, "three quarters are the teacher's"
    assert all(torch.equal(target[row], hr[row]) for row in (~mine).nonzero()[:, 0]), "and the truth elsewhere"
    again = Batches(pictures(taught), config, seed=0)
    assert all(torch.equal(x, y) for x, y in zip(again(1), batches(1), strict=True)), "a function of seed and step"


def test_targets_are_of_a_folder_or_of_a_teacher(tmp_path):
    recipe = tmp_path / "recipe.toml"
    for both in ("{}", '{folder = "a", teacher = "b"}'):
        recipe.write_text(f'stage = "end-to-end"\n[data]\ntargets = [{both}]\n')
        with pytest.raises(UsageError, match="either a 'folder' or a 'teacher'"):
            load_recipe(recipe)


def test_every_pair_is_used_as_often_as_the_others(taught):
    config = DataConfig(folder="-", hr_size=96, batch=7, uses=1, block=10, targets=(TargetsConfig(f"{taught}/targets"),))
    batches = Batches(pictures(taught), config, seed=0)
    seen = torch.cat([batches(step).lr.mean(dim=(1, 2, 3)) for step in range(10)])
    assert len(seen.unique()) > 0.9 * PAIRS


def test_targets_of_another_size_are_refused(taught):
    config = DataConfig(folder="-", hr_size=128, targets=(TargetsConfig(f"{taught}/targets"),))
    with pytest.raises(UsageError, match=r"holds crops of 96 px, and the field 'data\.hr_size' is 128"):
        Batches(pictures(taught), config, seed=0)


def test_targets_of_several_folders_are_drawn_from_them_again(taught, tmp_path):
    """By the shares that they were made with, whatever a recipe says now; with other folders they are refused."""
    (tmp_path / "lines").mkdir()
    Image.fromarray(np.kron(np.indices((18, 18)).sum(0) % 2 * 255, np.ones((8, 8))).astype(np.uint8)).save(
        tmp_path / "lines" / "a.png"
    )
    line = f'data.folders=[{{path="{tmp_path}/lines", share=0.5, downscale=false}}]'
    done = teach(taught, "--set", line, out="mixed")
    assert done.returncode == 0, done.stderr
    lines = ImageBank.load(tmp_path / "lines", cache=None)
    photographs = pictures(taught).photographs
    hr = Targets(taught / "mixed", Mixture(photographs, others=[(lines, FolderConfig(share=0.01))])).part(0)[0]
    black_and_white = [bool(((crop == 0) | (crop == 1)).all()) for crop in hr]
    assert 0.25 < sum(black_and_white) / len(hr) < 0.75
    with pytest.raises(UsageError, match=r"made with 1 'data\.folders' beside the photographs"):
        Targets(taught / "mixed", Mixture(photographs))
    with pytest.raises(UsageError, match="photographs other than the training set"):
        Targets(taught / "mixed", Mixture(photographs, others=[(photographs, FolderConfig())]))
