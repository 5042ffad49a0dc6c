"""What the tests of the stages' losses compute with: untrained networks in which everything flows, a batch of noise, fixed draws."""

from __future__ import annotations

import torch

from edgesr.presets import get_preset
from edgesr.train.losses import LossConfig
from edgesr.train.networks import ModelConfig, Networks
from edgesr.train.recipe import Recipe
from edgesr.train.stages import Stage, stage_class
from edgesr.train.step import Batch, StepRandom

TINY = get_preset("tiny")


def crops() -> Batch:
    """Four crops of 64 px with their LR of both scales."""
    generator = torch.Generator().manual_seed(0)
    return Batch(*(torch.rand(4, 3, side, side, generator=generator) for side in (64, 16, 32, 0)))


def draws() -> StepRandom:
    """The same draws at each call."""
    return StepRandom(torch.Generator().manual_seed(1), 4)


def stage_of(name: str, **loss: object) -> Stage:
    """A stage with these fields of the loss."""
    return stage_class(name)(Recipe(stage=name, loss=LossConfig(**loss)), torch.device("cpu"))


def networks(config: ModelConfig | None = None, *, with_teacher: bool = True, seed: int = 0) -> Networks:
    """Networks of `tiny` without zero-initialised layers, which would hide what flows through them."""
    nets = Networks(TINY, seed, config, with_teacher=with_teacher)
    with torch.no_grad():
        for parameter in nets.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())))
    return nets
