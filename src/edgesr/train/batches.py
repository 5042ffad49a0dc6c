"""Batches as a pure function of (seed, step): nothing of the data needs saving for a run to be resumed bit for bit."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from edgesr.data.bank import ImageBank
from edgesr.data.degradation import degrade
from edgesr.presets import SCALE
from edgesr.train.recipe import DataConfig


def step_generator(seed: int, purpose: str, step: int) -> torch.Generator:
    """A CPU generator that depends on these three alone."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{step}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))


class Batches:
    """Pairs of HR crops and their degraded LR; a block of steps is made at once, and each pair serves `uses` times."""

    def __init__(self, bank: ImageBank, config: DataConfig, seed: int) -> None:
        self.bank, self.config, self.seed = bank, config, seed
        self._block = -1
        self._hr = self._lr = torch.empty(0)
        self._order = torch.empty(0)

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Return hr (B, 3, S, S) and lr (B, 3, S/4, S/4) of this step, float32 in [0, 1]."""
        config = self.config
        block, within = divmod(step, config.block)
        if block != self._block:
            self._make(block)
        chosen = self._order[within * config.batch : (within + 1) * config.batch]
        generator = step_generator(self.seed, "turns", step)
        hr, lr = self._hr[chosen], self._lr[chosen]
        for sample, turn in enumerate(torch.randint(8, (config.batch,), generator=generator).tolist()):
            hr[sample], lr[sample] = _turned(hr[sample], turn), _turned(lr[sample], turn)
        return hr.float() / 255, lr.float() / 255

    def _make(self, block: int) -> None:
        config = self.config
        generator = step_generator(self.seed, "block", block)
        count = -(-config.block * config.batch // config.uses)
        hr, lr = [], []
        for start in range(0, count, 16):
            crops = self.bank.crops(min(16, count - start), config.hr_size, generator, config.crop)
            lr.append((degrade(crops, scale=SCALE, generator=generator, config=config.degradation) * 255).round().byte())
            hr.append((crops * 255).round().byte())
        self._hr, self._lr = torch.cat(hr), torch.cat(lr)
        # Every pass over the pairs is a permutation of its own: uses of one pair are spread over the block.
        self._order = torch.cat([torch.randperm(count, generator=generator) for _ in range(config.uses)])
        self._block = block


def _turned(image: Tensor, turn: int) -> Tensor:
    """One of the eight flips and quarter turns of (C, S, S)."""
    image = image.flip(-1) if turn >= 4 else image
    return torch.rot90(image, turn % 4, dims=(-2, -1))
