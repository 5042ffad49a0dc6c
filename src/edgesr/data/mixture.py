"""Crops from several folders of pictures: photographs, and other folders with a share each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from edgesr.data.bank import CropConfig, ImageBank
from edgesr.data.fields import bounded
from edgesr.errors import UsageError


@dataclass(frozen=True)
class FolderConfig:
    """A folder of pictures in addition to the photographs, or shards that are streamed."""

    path: str = ""  # a folder, or tar files as `edgesr.data.stream` reads them: shards/*.tar, s3://bucket/{0000..0339}.tar
    share: float = bounded(0.1, "more than 0 and at most 1")  # of the crops
    downscale: bool = True  # as in `data.crop`; false for pictures that are sharp at the pixel level: text, line art, screens


class Mixture:
    """Random crops from photographs and from other folders."""

    def __init__(
        self, photographs: ImageBank, crop: CropConfig | None = None, others: Sequence[tuple[ImageBank, FolderConfig]] = ()
    ) -> None:
        """Raise UsageError if the shares of the other folders add up to more than 1."""
        self.photographs, self.crop, self.others = photographs, crop or CropConfig(), list(others)
        if sum(config.share for _, config in self.others) > 1 + 1e-9:
            raise UsageError("recipe: the shares of 'data.folders' add up to more than 1")

    @classmethod
    def load(cls, photographs: ImageBank, crop: CropConfig, folders: Sequence[FolderConfig], *, cache: Path | None) -> Mixture:
        """Add the pictures of `folders`, decoded into `cache`, to the photographs; raises UsageError and what ImageBank.load raises."""
        others = []
        for folder in folders:
            if not folder.path:
                raise UsageError("recipe: the field 'data.folders.path' is missing")
            if folder.path.endswith(".tar"):
                raise UsageError(f"{folder.path}: shards can be streamed by `edgesr train` alone; name a folder of pictures")
            if not Path(folder.path).is_dir():
                raise UsageError(
                    f"{folder.path}: no such folder, and 'data.folders' of the recipe names it; make it (tools/paint.py paints text "
                    "and drawings), or train without: --set data.folders=[]"
                )
            others.append((ImageBank.load(Path(folder.path), cache=cache), folder))
        return cls(photographs, crop, others)

    @property
    def device(self) -> torch.device:
        """The device of the crops."""
        return self.photographs.pixels.device

    def to(self, device: torch.device | str) -> Mixture:
        """The same with all pixels on `device`."""
        return Mixture(self.photographs.to(device), self.crop, [(bank.to(device), config) for bank, config in self.others])

    def banks(self) -> Iterator[ImageBank]:
        """The photographs, then the other folders."""
        yield self.photographs
        yield from (bank for bank, _ in self.others)

    def crops(self, count: int, size: int, generator: torch.Generator) -> torch.Tensor:
        """Random crops, randomly flipped and rotated: (count, 3, size, size) float32 in [0, 1], on the pictures' device.

        `generator` is a CPU generator. Raises UsageError if no picture of a folder is as large as `size` px.
        """
        crops = self.photographs.crops(count, size, generator, self.crop)
        if not self.others:
            return crops
        place, start = torch.rand(count, generator=generator), 0.0
        for bank, config in self.others:
            rows = (place >= start) & (place < start + config.share)
            start += config.share
            if drawn := int(rows.sum()):
                crop = self.crop if config.downscale else replace(self.crop, downscale_probability=0.0)
                crops[rows.to(crops.device)] = bank.crops(drawn, size, generator, crop)
        return crops
