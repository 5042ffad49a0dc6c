"""The image bank: crops are true windows of the photographs, and the cache is trusted exactly as far as it holds."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from edgesr.data.bank import CropConfig, ImageBank
from edgesr.errors import EdgesrError, UsageError

AS_THEY_ARE = CropConfig(downscale_probability=0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def coordinates(height: int, width: int, mark: int) -> np.ndarray:
    """A picture whose red is the column, green the row and blue a mark."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.full_like(x, mark)], axis=-1).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photographs of areas 1 : 4, and a file that is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(coordinates(60, 80, 10)).save(folder / "a.png")
    Image.fromarray(coordinates(120, 160, 20)).save(folder / "b.png")
    (folder / "MANIFEST.tsv").write_text("a\tb\n")
    return folder


def test_crops_are_windows_of_the_photographs_in_all_eight_orientations(folder):
    crops = ImageBank.load(folder, cache=None).crops(400, 16, seeded(), AS_THEY_ARE)
    assert crops.shape == (400, 3, 16, 16)
    assert crops.dtype == torch.float32
    steps = set()
    for red, green, blue in (crops * 255).round().int().numpy():
        assert blue.min() == blue.max()
        assert {(r, g) for r, g in zip(red.flat, green.flat, strict=True)} == {
            (r, g) for r in range(red.min(), red.min() + 16) for g in range(green.min(), green.min() + 16)
        }
        steps.add((red[0, 1] - red[0, 0], red[1, 0] - red[0, 0], green[0, 1] - green[0, 0], green[1, 0] - green[0, 0]))
    assert len(steps) == 8


def test_photographs_are_drawn_by_their_area_and_reached_to_their_edges(folder):
    crops = (ImageBank.load(folder, cache=None).crops(3000, 16, seeded(), AS_THEY_ARE) * 255).round()
    marks = crops[:, 2, 0, 0]
    assert (marks == 20).float().mean().item() == pytest.approx(0.8, abs=0.03)
    large = crops[marks == 20]
    assert large[:, 0].min() == 0
    assert large[:, 0].max() == 159
    assert large[:, 1].min() == 0
    assert large[:, 1].max() == 119


def test_downscaled_crops_span_one_and_a_half_to_two_times_the_side(folder):
    config = CropConfig(downscale_probability=1)
    crops = ImageBank.load(folder, cache=None).crops(200, 16, seeded(), config) * 255
    spans = [max(np.ptp(c[0, 4:12, 4:12].numpy()), np.ptp(c[1, 4:12, 4:12].numpy())) / 7 for c in crops]
    assert min(spans) == pytest.approx(1.5, abs=0.1)
    assert max(spans) == pytest.approx(2.0, abs=0.1)


def test_the_seed_decides_the_crops(folder):
    bank = ImageBank.load(folder, cache=None)
    assert torch.equal(bank.crops(8, 16, seeded(1)), bank.crops(8, 16, seeded(1)))
    assert not torch.equal(bank.crops(8, 16, seeded(1)), bank.crops(8, 16, seeded(2)))


def test_a_crop_larger_than_some_photographs_comes_from_the_others(folder):
    bank = ImageBank.load(folder, cache=None)
    crops = (bank.crops(50, 100, seeded()) * 255).round()
    assert (crops[:, 2] == 20).all()
    with pytest.raises(UsageError, match="200"):
        bank.crops(1, 200, seeded())


def test_a_second_start_reads_the_cache_and_not_the_photographs(folder, tmp_path):
    cache = tmp_path / "cache"
    first = ImageBank.load(folder, cache=cache)
    photo = folder / "b.png"
    stat = photo.stat()
    photo.write_bytes(b"\0" * stat.st_size)
    os.utime(photo, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    second = ImageBank.load(folder, cache=cache)
    assert second.photos == first.photos
    assert torch.equal(second.image(1), torch.from_numpy(coordinates(120, 160, 20)))


def test_a_changed_photograph_is_decoded_anew(folder, tmp_path):
    cache = tmp_path / "cache"
    ImageBank.load(folder, cache=cache)
    Image.fromarray(coordinates(50, 50, 77)).save(folder / "a.png")
    assert torch.equal(ImageBank.load(folder, cache=cache).image(0), torch.from_numpy(coordinates(50, 50, 77)))


def test_a_cache_that_was_broken_off_is_built_anew(folder, tmp_path):
    cache = tmp_path / "cache"
    ImageBank.load(folder, cache=cache)
    next(cache.glob("*.json")).unlink()
    next(cache.glob("*.u8")).write_bytes(b"half")
    assert torch.equal(ImageBank.load(folder, cache=cache).image(1), torch.from_numpy(coordinates(120, 160, 20)))


def test_broken_photographs_are_left_out_and_named_once(folder, tmp_path, caplog):
    whole = (folder / "a.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "nonsense.avif").write_bytes(b"nonsense")
    (folder / "nowhere.png").symlink_to(folder / "removed.png")
    with caplog.at_level(logging.WARNING):
        bank = ImageBank.load(folder, cache=tmp_path / "cache")
    assert [photo.name for photo in bank.photos] == ["a.png", "b.png"]
    (message,) = [record.getMessage() for record in caplog.records]
    assert "3 photographs" in message
    assert "nowhere.png" in message
    assert "cut.png" in message
    assert "nonsense.avif" in message
    assert torch.equal(bank.image(1), torch.from_numpy(coordinates(120, 160, 20)))


def test_every_kind_of_file_becomes_upright_rgb(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (40, 20), (200, 30, 30)).save(tmp_path / "a.jpg", exif=exif)
    Image.new("L", (30, 30), 90).save(tmp_path / "b.png")
    Image.new("RGB", (24, 16), (10, 200, 90)).save(tmp_path / "c.avif", quality=90)
    bank = ImageBank.load(tmp_path, cache=None)
    assert bank.image(0).shape == (40, 20, 3)
    assert torch.equal(bank.image(1), torch.full((30, 30, 3), 90, dtype=torch.uint8))
    assert (bank.image(2).float() - torch.tensor([10.0, 200, 90])).abs().max() < 8


def test_limit_keeps_the_first_photographs(folder):
    assert [photo.name for photo in ImageBank.load(folder, cache=None, limit=1).photos] == ["a.png"]


def test_folders_without_photographs_are_named(tmp_path):
    with pytest.raises(UsageError, match="nowhere"):
        ImageBank.load(tmp_path / "nowhere", cache=None)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UsageError, match="empty"):
        ImageBank.load(empty, cache=None)
    (empty / "a.png").write_bytes(b"nonsense")
    with pytest.raises(UsageError, match="empty"):
        ImageBank.load(empty, cache=None)


FULL_DISK = """
import resource, sys
from pathlib import Path
from edgesr.data.bank import ImageBank
from edgesr.errors import EdgesrError
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
try:
    ImageBank.load(Path(sys.argv[1]), cache=Path(sys.argv[2]))
except EdgesrError as error:
    print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits as POSIX has them")
def test_a_full_disk_is_one_line_and_leaves_nothing(folder, tmp_path):
    """A limit on the size of files stands in for the disk: the system refuses the write in the same place."""
    cache = tmp_path / "cache"
    done = subprocess.run([sys.executable, "-c", FULL_DISK, folder, cache], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{cache}: cannot hold the decoded photographs (0 MB): ")
    assert "data.cache" in done.stdout
    assert done.stdout.count("\n") == 1
    assert list(cache.iterdir()) == []
    assert len(ImageBank.load(folder, cache=cache)) == 2


def test_too_small_a_disk_is_told_before_anything_is_decoded(folder, tmp_path, monkeypatch):
    free = 3 * (60 * 80 + 120 * 160) - 1
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=free))
    monkeypatch.setattr("edgesr.data.bank.read_rgb", lambda path: pytest.fail("decoded"))
    with pytest.raises(EdgesrError, match=r"cannot hold the decoded photographs .*No space left"):
        ImageBank.load(folder, cache=tmp_path / "cache")


def test_what_a_killed_build_left_is_removed_and_a_running_one_is_not(folder, tmp_path):
    dead, alive = (tmp_path / "cache" / f".building-{name}" for name in ("dead", "alive"))
    for scratch in (dead, alive):
        scratch.mkdir(parents=True)
        (scratch / "data").write_bytes(bytes(1000))
    hour_ago = time.time() - 3600
    for path in (dead / "data", dead, alive):  # a build writes to its file; its folder grows old
        os.utime(path, (hour_ago, hour_ago))
    ImageBank.load(folder, cache=tmp_path / "cache")
    assert not dead.exists()
    assert (alive / "data").exists()


@pytest.mark.parametrize("place", ["file", "below a file", "dangling link"])
def test_a_cache_that_cannot_be_made_is_one_line_that_names_the_field(folder, tmp_path, place):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "gone" / "away")
    cache = tmp_path / {"file": "file", "below a file": "file/cache", "dangling link": "link"}[place]
    with pytest.raises(UsageError, match=r"data\.cache") as caught:
        ImageBank.load(folder, cache=cache)
    assert str(cache) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "file").read_text() == "mine"
