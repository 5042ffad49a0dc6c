"""Shards are streamed: each process has its own, an epoch has every picture once, and a resumed run the same crops."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from PIL import Image

from edgesr.data.bank import CropConfig
from edgesr.data.stream import Crops, Shard, Stream, find_shards, read_crops
from edgesr.errors import EdgesrError, UsageError

CROPS = Crops(8, CropConfig(), 0)


def add(shard: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    shard.addfile(member, io.BytesIO(content))


def png(level: int, side: int = 10) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (side, side), (level,) * 3).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    """20 shards of 1 to 3 pictures; the grey level of a picture is its number."""
    folder, number = tmp_path_factory.mktemp("shards"), 0
    for index in range(20):
        with tarfile.open(folder / f"{index:03d}.tar", "w") as shard:
            for _ in range(1 + index % 3):
                add(shard, f"{number:05d}.png", png(number))
                add(shard, f"{number:05d}.json", b"{}")  # another part of the sample, of no use here
                number += 1
    return folder


def numbers(crops: torch.Tensor) -> list[int]:
    return [round(float(level) * 255) for level in crops[:, 0, 0, 0]]


def test_two_processes_see_disjoint_and_complete_data(shards):
    found = find_shards(f"{shards}/*.tar")
    assert [shard.pictures for shard in found] == [1 + index % 3 for index in range(20)]
    for epoch in range(2):
        streams = [Stream(found, CROPS, rank=rank, world=2) for rank in range(2)]
        seen = [numbers(stream.crops(epoch * stream.pictures, stream.pictures)) for stream in streams]
        assert not set(seen[0]) & set(seen[1])
        assert sorted(seen[0] + seen[1]) == list(range(39))  # each once


def test_a_resumed_run_has_the_same_crops_whatever_the_number_of_workers(shards):
    found = find_shards(f"{shards}/*.tar")
    straight = Stream(found, CROPS)
    epochs = [numbers(straight.crops(39 * epoch, 39)) for epoch in range(2)]
    assert epochs[0] != epochs[1]
    assert epochs[0] != sorted(epochs[0])
    resumed = Stream(found, CROPS, workers=2)
    later = [resumed.crops(first, 10) for first in (30, 40, 50)]  # over the end of an epoch, read ahead
    assert numbers(torch.cat(later)) == [*epochs[0], *epochs[1]][30:60]
    assert torch.equal(later[1], Stream(found, CROPS).crops(40, 10))


def test_shards_by_number_and_by_url(shards):
    assert find_shards(f"{shards}/{{003..011}}.tar") == [
        Shard(f"{shards}/{number:03d}.tar", 1 + number % 3) for number in range(3, 12)
    ]
    pytest.importorskip("fsspec")
    by_url = find_shards(f"file://{shards}/00*.tar")
    assert [shard.pictures for shard in by_url] == [1 + index % 3 for index in range(10)]
    assert sorted(numbers(Stream(by_url, CROPS).crops(0, 19))) == list(range(19))


def test_a_picture_that_is_of_no_use_has_another_in_its_place(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as shard:
        for number, content in enumerate((png(1), b"broken", png(2, side=6), png(3))):
            add(shard, f"{number}.png", content)
    (found,) = find_shards(f"{tmp_path}/a.tar")
    assert sorted(numbers(read_crops(found, CROPS, torch.Generator()).float() / 255)) == [1, 3, 3, 3]


def test_what_cannot_be_streamed_is_one_line(shards, tmp_path):
    with pytest.raises(UsageError, match=r"no such shards; tools/make_shards\.py makes them"):
        find_shards(f"{tmp_path}/*.tar")
    (tmp_path / "b.tar").write_bytes(b"no tar file" * 100)
    with pytest.raises(UsageError, match=r"b\.tar: cannot be read as a shard"):
        find_shards(f"{tmp_path}/b.tar")
    with pytest.raises(UsageError, match="20 shards for 21 processes"):
        Stream(find_shards(f"{shards}/*.tar"), CROPS, world=21)
    gone = Stream([Shard(str(tmp_path / "gone.tar"), 3)], CROPS, workers=1)
    with pytest.raises(EdgesrError, match=r"gone\.tar: cannot be read as a shard: No such file"):
        gone.crops(0, 1)
