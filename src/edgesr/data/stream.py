"""Crops that stream from WebDataset shards, tar files of pictures by path or URL, for pictures that fit on no disk.

Each training process reads shards of its own; worker processes decode them. In an epoch every shard is read once, in a random order, and
every picture gives one crop; those of MIXED shards are shuffled together, on the device. All this is a pure function of the seed and of
the number of the crop, so that a resumed run goes on with the same crops.
"""

from __future__ import annotations

import glob
import io
import json
import logging
import re
import tarfile
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from edgesr.data.bank import CropConfig, ImageBank, Photo
from edgesr.data.files import BROKEN, read_rgb
from edgesr.data.seeds import step_generator
from edgesr.errors import EdgesrError, InputError, UsageError, needs_extra, one_line
from edgesr.upscaling.engines.threads import available_cores

logger = logging.getLogger(__name__)

MIXED = 8  # shards whose crops are shuffled together
INDEX = "index.json"  # beside the shards: how many pictures each holds, as WebDataset's `wids` has it


class Shard(NamedTuple):
    """A tar file of pictures."""

    url: str  # or path
    pictures: int


def is_shards(path: str) -> bool:
    """Whether a path of `data.folders` names shards: `shards/*.tar`, `s3://bucket/{0000..0339}.tar`."""
    return path.endswith(".tar")


def find_shards(pattern: str) -> list[Shard]:
    """Return the shards that a path or URL names, with `{000..123}` for numbers and `*`, in order of their names.

    The number of their pictures is read from `index.json` beside them, else by going through each file. Raises UsageError if there
    are none, or one cannot be read.
    """
    urls = sorted(url for each in _numbered(pattern) for url in _matching(each))
    if not urls:
        raise UsageError(f"{pattern}: no such shards; tools/make_shards.py makes them from downloaded pictures")
    counts = _index(urls[0].rpartition("/")[0])
    return [Shard(url, counts.get(url.rpartition("/")[2]) or _count(url)) for url in urls]


@dataclass(frozen=True)
class Crops:
    """What is cut from a picture."""

    size: int  # px a side
    config: CropConfig
    seed: int


class Stream:
    """The crops of this process's shards, in an order that depends on the seed alone."""

    def __init__(
        self,
        shards: list[Shard],
        crops: Crops,
        *,
        rank: int = 0,
        world: int = 1,
        workers: int = 0,
        device: str | torch.device = "cpu",
    ) -> None:
        """Take every `world`-th shard from the `rank`-th on. `workers` processes decode; 0: this one does.

        Raises UsageError if there are fewer shards than processes.
        """
        if len(shards) < world:
            raise UsageError(
                f"{shards[0].url}: {len(shards)} shards for {world} processes: make as many or more, by smaller shards"
            )
        self.shards, self._crops, self._device = shards[rank::world], crops, torch.device(device)
        self._workers = min(workers, len(self.shards), available_cores())
        self._groups = -(-len(self.shards) // MIXED)
        self._number = -1  # of the group that is held
        self._held = torch.empty(0)
        self._ahead: Iterator[torch.Tensor] | None = None

    @property
    def pictures(self) -> int:
        """The number of crops of an epoch."""
        return sum(shard.pictures for shard in self.shards)

    def crops(self, first: int, count: int) -> torch.Tensor:
        """The crops from number `first` on, (count, 3, size, size) float32 in [0, 1], on the device.

        Raises EdgesrError for a shard that cannot be read.
        """
        parts = []
        while count:
            epoch, within = divmod(first, self.pictures)
            ends = list(accumulate(sum(self.shards[i].pictures for i in self._group(epoch, g)) for g in range(self._groups)))
            group = bisect_right(ends, within)
            start = within - (ends[group - 1] if group else 0)
            part = self._load(epoch, group)[start : start + count]
            parts.append(part)
            first, count = first + len(part), count - len(part)
        return torch.cat(parts).float().div_(255)

    def _group(self, epoch: int, group: int) -> list[int]:
        """The shards, by their place among this process's, of a group."""
        order = torch.randperm(len(self.shards), generator=step_generator(self._crops.seed, "shards", epoch)).tolist()
        return order[group * MIXED : (group + 1) * MIXED]

    def _load(self, epoch: int, group: int) -> torch.Tensor:
        """The crops of a group, shuffled: (N, 3, size, size) uint8 on the device."""
        number = epoch * self._groups + group
        if number != self._number:
            if self._ahead is None or number != self._number + 1:
                self._ahead = iter(self._reading(number))
            crops = torch.cat([_checked(next(self._ahead)) for _ in self._group(epoch, group)])
            mixed = step_generator(self._crops.seed, f"mix {epoch}", group)
            self._held = crops[torch.randperm(len(crops), generator=mixed)].to(self._device)
            self._number = number
        return self._held

    def _reading(self, number: int) -> DataLoader[torch.Tensor]:
        """The shards from group `number` on, for ever: workers read ahead of the group that is used."""
        return DataLoader(
            _Reader(self.shards, self._crops),
            batch_size=None,
            sampler=_Order(self, number),
            num_workers=self._workers,
            prefetch_factor=-(-2 * MIXED // self._workers) if self._workers else None,
            multiprocessing_context="spawn" if self._workers else None,  # a fork would share torch's threads
        )


class _Order:
    """(epoch, shard) from a group on, for ever."""

    def __init__(self, stream: Stream, number: int) -> None:
        self._stream, self._number = stream, number

    def __iter__(self) -> Iterator[tuple[int, int]]:
        number = self._number
        while True:
            epoch, group = divmod(number, self._stream._groups)
            yield from ((epoch, shard) for shard in self._stream._group(epoch, group))
            number += 1


class _Reader(Dataset[Any]):
    """What a worker does: the crops of a shard in an epoch, or the error, which must not become a traceback."""

    def __init__(self, shards: list[Shard], crops: Crops) -> None:
        self._shards, self._crops = shards, crops

    def __getitem__(self, place: tuple[int, int]) -> torch.Tensor | str:
        epoch, index = place
        try:
            return read_crops(self._shards[index], self._crops, step_generator(self._crops.seed, f"shard {index}", epoch))
        except EdgesrError as error:
            return str(error)


def _checked(crops: torch.Tensor | str) -> torch.Tensor:
    if isinstance(crops, str):
        raise EdgesrError(crops)
    return crops


def read_crops(shard: Shard, crops: Crops, generator: torch.Generator) -> torch.Tensor:
    """One crop of each picture of a shard, (pictures, 3, size, size) uint8.

    In place of a picture that is broken or smaller than a crop there is another crop of one that is not. Raises InputError if the shard
    cannot be read, or has no picture of use.
    """
    bank, out = None, torch.empty(shard.pictures, 3, crops.size, crops.size, dtype=torch.uint8)
    made = 0
    for _, content in _pictures(shard.url):
        try:
            pixels = torch.from_numpy(read_rgb(io.BytesIO(content)).copy())
        except BROKEN:
            continue
        height, width = pixels.shape[:2]
        if min(height, width) < crops.size or made == shard.pictures:
            continue
        bank = ImageBank(pixels.flatten(), [Photo("", 0, height, width)])
        out[made] = _bytes(bank.crops(1, crops.size, generator, crops.config)[0])
        made += 1
    if bank is None:
        raise InputError(f"{shard.url}: no picture there can be decoded and is {crops.size} px or larger: remove the shard")
    if made < shard.pictures:
        out[made:] = _bytes(bank.crops(shard.pictures - made, crops.size, generator, crops.config))
    return out


def _bytes(crops: torch.Tensor) -> torch.Tensor:
    return (crops * 255).round().byte()


def _pictures(url: str, *, content: bool = True) -> Iterator[tuple[str, bytes]]:
    """The pictures of a tar file, in order; without `content` the names alone. Raises InputError."""
    known = Image.registered_extensions()
    try:
        with _opened(url) as stream, tarfile.open(fileobj=stream, mode="r|" if content else "r:") as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                if member.isfile() and name.suffix.lower() in known and not name.name.startswith("."):
                    file = archive.extractfile(member) if content else None
                    yield member.name, file.read() if file is not None else b""
    except EdgesrError:
        raise
    except Exception as error:  # every storage has exceptions of its own
        raise InputError(f"{url}: cannot be read as a shard: {one_line(error)}") from error


def _count(url: str) -> int:
    try:
        count = sum(1 for _ in _pictures(url, content=False))
    except InputError as error:
        raise UsageError(str(error)) from error
    if not count:
        raise UsageError(f"{url}: holds no pictures")
    return count


def _index(folder: str) -> dict[str, int]:
    """The numbers of pictures in `index.json`, by the shards' names; empty where there is none."""
    try:
        with _opened(f"{folder or '.'}/{INDEX}") as stream:
            return {each["url"]: int(each["nsamples"]) for each in json.load(stream)["shardlist"]}
    except Exception:  # none, or of another kind: the shards are counted
        return {}


def _opened(url: str) -> Any:
    return _fsspec().open(url, "rb") if "://" in url else Path(url).open("rb")


def _matching(pattern: str) -> list[str]:
    if "://" not in pattern:
        return glob.glob(pattern)  # noqa: PTH207 -- of any folder
    try:
        fs, path = _fsspec().core.url_to_fs(pattern)
        return [fs.unstrip_protocol(each) for each in fs.glob(path)]
    except EdgesrError:
        raise
    except Exception as error:
        raise UsageError(f"{pattern}: cannot be reached: {one_line(error)}") from error


def _fsspec() -> Any:
    with needs_extra("train", "reading shards by URL"):
        import fsspec
    return fsspec


def _numbered(pattern: str) -> Iterator[str]:
    """The pattern with each number of `{000..123}`."""
    found = re.search(r"\{(\d+)\.\.(\d+)\}", pattern)
    if not found:
        yield pattern
        return
    first, last = found.groups()
    for number in range(int(first), int(last) + 1):
        yield from _numbered(f"{pattern[: found.start()]}{number:0{len(first)}}{pattern[found.end() :]}")
