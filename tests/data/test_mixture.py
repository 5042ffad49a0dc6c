"""Crops of several folders: each folder's share of them, sharp where its pictures are, and the same for the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from edgesr.data.bank import CropConfig, ImageBank
from edgesr.data.mixture import FolderConfig, Mixture
from edgesr.errors import UsageError

SHRINK = CropConfig(downscale_probability=1.0)


@pytest.fixture
def photographs(tmp_path) -> ImageBank:
    return bank(tmp_path / "photographs", np.full((80, 80, 3), 128, np.uint8))


@pytest.fixture
def checks(tmp_path) -> ImageBank:
    """A board of single black and white pixels: any reduction makes it grey."""
    return bank(tmp_path / "checks", np.repeat(np.indices((80, 80)).sum(0)[..., None] % 2 * 255, 3, 2).astype(np.uint8))


def bank(folder: Path, pixels: np.ndarray) -> ImageBank:
    folder.mkdir()
    Image.fromarray(pixels).save(folder / "a.png")
    return ImageBank.load(folder, cache=None)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_folder_has_its_share_and_keeps_its_sharpness(photographs, checks):
    mixture = Mixture(photographs, SHRINK, [(checks, FolderConfig(share=0.25, downscale=False))])
    crops = mixture.crops(400, 32, seeded())
    sharp = ((crops == 0) | (crops == 1)).all(dim=(1, 2, 3))
    assert 0.15 < float(sharp.float().mean()) < 0.35
    assert (crops[~sharp] - 128 / 255).abs().max() < 1e-4, "the others are photographs"
    assert torch.equal(crops, mixture.crops(400, 32, seeded()))
    assert not torch.equal(crops, mixture.crops(400, 32, seeded(1)))


def test_a_folder_that_is_reduced_like_photographs_loses_single_pixels(photographs, checks):
    crops = Mixture(photographs, SHRINK, [(checks, FolderConfig(share=1.0))]).crops(20, 32, seeded())
    assert (crops.amax(dim=(1, 2, 3)) < 0.9).all()


def test_photographs_alone_are_what_they_were(photographs, checks):
    """Another folder replaces some crops, and leaves the others as they are."""
    alone = Mixture(photographs).crops(50, 32, seeded())
    mixed = Mixture(photographs, others=[(checks, FolderConfig(share=0.5, downscale=False))]).crops(50, 32, seeded())
    same = (alone == mixed).all(dim=(1, 2, 3))
    assert 10 < int(same.sum()) < 40


def test_shares_above_one_and_folders_that_are_not_there_are_named(photographs, checks, tmp_path):
    with pytest.raises(UsageError, match="add up to more than 1"):
        Mixture(photographs, others=[(checks, FolderConfig(share=0.6))] * 2)
    with pytest.raises(UsageError, match=r"gone: no such folder.*tools/paint\.py"):
        Mixture.load(photographs, SHRINK, [FolderConfig(str(tmp_path / "gone"))], cache=None)
    with pytest.raises(UsageError, match=r"'data\.folders\.path' is missing"):
        Mixture.load(photographs, SHRINK, [FolderConfig()], cache=None)
