"""The image bank: a folder of photographs decoded once into one flat uint8 tensor, from which training takes crops.

Photographs are stored consecutively as (height, width, 3) bytes. With a cache folder they are memory-mapped from one
file, so the bank may be larger than memory, and the next start needs no decoding.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from edgesr.data.fields import bounded
from edgesr.data.files import BROKEN, picture_paths, read_rgb
from edgesr.errors import EdgesrError, UsageError, one_line

logger = logging.getLogger(__name__)

CACHE_VERSION = 1  # part of the fingerprint: increase it when the layout of the cached bytes changes
BUILDING = ".building-"  # name prefix of the folders in which caches are built
STALE_SECONDS = 600  # without a write, after which such a folder is considered abandoned


@dataclass(frozen=True)
class Photo:
    """The location of one decoded photograph in the bank."""

    name: str
    offset: int  # first byte
    height: int  # px
    width: int  # px


@dataclass(frozen=True)
class CropConfig:
    """How crops are sampled: photographs are softer than their pixel grid, and downscaling sharpens them."""

    downscale_probability: float = bounded(0.3, "0 to 1")  # share of the crops that are cut larger and downscaled
    downscale_min: float = 1.5  # minimum ratio of the larger crop's side to the crop size
    downscale_max: float = 2.0  # maximum ratio


class ImageBank:
    """Photographs in one uint8 tensor, and random crops from them."""

    def __init__(self, pixels: torch.Tensor, photos: list[Photo]) -> None:
        self.pixels = pixels  # (bytes,) uint8, any device
        self.photos = photos

    @classmethod
    def load(cls, folder: Path, *, cache: Path | None, limit: int | None = None) -> ImageBank:
        """Decode the photographs of `folder`, or map them from `cache` if they were decoded before.

        `limit` keeps the first files by name. Files that cannot be decoded are skipped and named in one warning. Raises
        UsageError if the folder is missing or has no readable picture, or if `cache` cannot be created; EdgesrError if
        the disk has no room for the decoded photographs.
        """
        paths = picture_paths(folder)[:limit]
        if cache is None:
            with tempfile.TemporaryDirectory() as scratch:
                photos, data = _cached(paths, Path(scratch), folder)
                return cls(torch.from_numpy(np.fromfile(data, dtype=np.uint8)), photos)
        photos, data = _cached(paths, cache, folder)
        return cls(torch.from_file(str(data), shared=False, size=data.stat().st_size, dtype=torch.uint8), photos)

    def __len__(self) -> int:
        return len(self.photos)

    def to(self, device: torch.device | str) -> ImageBank:
        """The same bank with its pixels, and its crops, on `device`."""
        return ImageBank(self.pixels.to(device), self.photos)

    def split(self, held_out: int) -> tuple[ImageBank, ImageBank]:
        """The photographs for training, and the last `held_out` of them, or half of all if these are fewer, for validation.

        Raises UsageError if there are fewer than two.
        """
        if len(self) < 2:
            raise UsageError("the folder holds one photograph; training wants two or more, since some are held out")
        first = len(self) - max(1, min(held_out, len(self) // 2))
        return ImageBank(self.pixels, self.photos[:first]), ImageBank(self.pixels, self.photos[first:])

    def image(self, index: int) -> torch.Tensor:
        """Photograph `index` as a (height, width, 3) uint8 view of the bank."""
        photo = self.photos[index]
        shape = (photo.height, photo.width, 3)
        return self.pixels[photo.offset : photo.offset + photo.height * photo.width * 3].view(shape)

    def crops(self, batch: int, size: int, generator: torch.Generator, config: CropConfig | None = None) -> torch.Tensor:
        """Random crops, randomly flipped and rotated: (batch, 3, size, size) float32 in [0, 1], on the bank's device.

        A photograph is drawn with a probability proportional to its area. `generator` is a CPU generator, so that a seed
        gives the same crops on every device. Raises UsageError if no photograph is as large as `size` px.
        """
        config = config or CropConfig()
        areas = torch.tensor([p.height * p.width * (min(p.height, p.width) >= size) for p in self.photos])
        if not areas.any():
            raise UsageError(f"crop size {size}: no photograph of the bank is that large; choose a smaller crop")
        indices = torch.multinomial(areas.double(), batch, replacement=True, generator=generator)
        draws = torch.rand(batch, 5, generator=generator)
        crops = torch.empty(batch, 3, size, size, device=self.pixels.device)
        for crop, index, draw in zip(crops, indices.tolist(), draws.tolist(), strict=True):
            crop.copy_(self._crop(index, size, draw, config))
        return crops

    def _crop(self, index: int, size: int, draw: list[float], config: CropConfig) -> torch.Tensor:
        """One crop, (3, size, size) in [0, 1]; `draw` holds uniform numbers in [0, 1)."""
        larger, ratio, top, left, orientation = draw
        image = self.image(index)
        height, width = image.shape[:2]
        side = size
        if larger < config.downscale_probability:
            ratio = config.downscale_min + (config.downscale_max - config.downscale_min) * ratio
            side = min(round(size * ratio), height, width)
        row, column = int(top * (height - side + 1)), int(left * (width - side + 1))
        window = _orient(image[row : row + side, column : column + side], int(orientation * 8))
        crop = window.permute(2, 0, 1).float().div_(255)  # (3, side, side)
        if side == size:
            return crop
        smaller = F.interpolate(crop[None], size=(size, size), mode="bicubic", antialias=True, align_corners=False)
        return smaller[0].clamp_(0, 1)


def _orient(image: torch.Tensor, orientation: int) -> torch.Tensor:
    """One of the 8 flips and quarter turns of an (h, w, c) picture."""
    if orientation & 1:
        image = image.flip(1)
    return torch.rot90(image, orientation >> 1, dims=(0, 1))


def _fingerprint(paths: list[Path]) -> str:
    """A hash that changes when a file is added, removed, resized or rewritten."""
    stats = [(path.name, *_stamp(path)) for path in paths]
    return hashlib.sha256(json.dumps([CACHE_VERSION, stats]).encode()).hexdigest()[:16]


def _stamp(path: Path) -> tuple[int, int]:
    """Size in bytes and modification time; (0, 0) for a dangling link, which is reported later as undecodable."""
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


def _cached(paths: list[Path], cache: Path, folder: Path) -> tuple[list[Photo], Path]:
    """The index and the data file of `paths` in `cache`, decoded now if they are missing."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{cache}: cannot make this folder for the decoded photographs: {one_line(error)}; name another one in data.cache"
        ) from None
    stem = _fingerprint(paths)
    data, index = cache / f"{stem}.u8", cache / f"{stem}.json"
    if not (data.is_file() and index.is_file()):
        _build(paths, data, index)
    photos = [Photo(**entry) for entry in json.loads(index.read_text())]
    if not photos:
        raise UsageError(f"{folder}: none of its {len(paths)} photographs could be decoded")
    return photos, data


def _build(paths: list[Path], data: Path, index: Path) -> None:
    """Decode `paths` into `data`, then write `index`, each by a rename, so that an interrupted build leaves no valid cache."""
    sizes = [_byte_size(path) for path in paths]
    offsets = [0, *np.cumsum(sizes).tolist()]
    _remove_stale(data.parent)
    try:
        decoded = _write(paths, offsets, data, index)
    except OSError as error:
        raise EdgesrError(
            f"{data.parent}: cannot hold the decoded photographs ({offsets[-1] / 1e6:.0f} MB): {one_line(error)}; "
            "make room there, or name another folder in data.cache"
        ) from None
    skipped = [path.name for path, photo in zip(paths, decoded, strict=True) if photo is None]
    if skipped:
        logger.warning("%d photographs could not be decoded and were left out: %s", len(skipped), ", ".join(skipped))


def _write(paths: list[Path], offsets: list[int], data: Path, index: Path) -> list[Photo | None]:
    """The work of `_build`; raises OSError if a write fails."""
    with tempfile.TemporaryDirectory(dir=data.parent, prefix=BUILDING) as scratch:
        if shutil.disk_usage(scratch).free < offsets[-1]:  # fail now, not after decoding everything
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        partial = Path(scratch) / "data"
        partial.touch()
        os.truncate(partial, max(offsets[-1], 1))
        # Threads suffice: Pillow's decoders release the GIL.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            decoded = list(pool.map(lambda path, offset: _decode_into(partial, path, offset), paths, offsets[:-1]))
        partial.replace(data)
        entries = Path(scratch) / "index"
        entries.write_text(json.dumps([asdict(photo) for photo in decoded if photo is not None]))
        entries.replace(index)
    return decoded


def _remove_stale(cache: Path) -> None:
    """Remove the remains of killed builds, which may be as large as the bank; a running build writes all the time."""
    for scratch in cache.glob(f"{BUILDING}*"):
        written = [path.stat().st_mtime for path in (scratch, *scratch.glob("*")) if path.exists()]
        if time.time() - max(written, default=0) > STALE_SECONDS:
            shutil.rmtree(scratch, ignore_errors=True)


def _byte_size(path: Path) -> int:
    """Size in bytes of the photograph as RGB, from its header; 0 if the header cannot be read."""
    try:
        with Image.open(path) as image:
            return image.width * image.height * 3
    except BROKEN:
        return 0


def _decode_into(file: Path, path: Path, offset: int) -> Photo | None:
    """Write the upright RGB pixels of `path` at `offset` of `file`; None if it cannot be decoded.

    Not through a memory map, where a full disk raises no error but kills the process with a signal.
    """
    try:
        pixels = read_rgb(path)
    except BROKEN:
        return None
    with file.open("r+b") as opened:
        opened.seek(offset)
        opened.write(np.ascontiguousarray(pixels).data)
    height, width = pixels.shape[:2]
    return Photo(path.name, offset, height, width)
