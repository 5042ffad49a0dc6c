"""The inputs of one training step: its batch and its random numbers. Both are pure functions of (seed, step), drawn for the global
batch: a run can be resumed bit for bit, and several processes together see the same data as a single one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from edgesr.data.degradation import device_generator
from edgesr.model.diffusion import T
from edgesr.train.processes import Processes


class Batch(NamedTuple):
    """The crops of one step, float32 in [0, 1]."""

    hr: Tensor  # (B, 3, S, S)
    lr: Tensor  # (B, 3, S/4, S/4)
    lr_x2: Tensor  # (B, 3, S/2, S/2), the less degraded LR for the x2 teacher; (B, 3, 0, 0) without a teacher
    target: Tensor  # (B, 3, S, S), target of the picture losses if it is not hr (`data.targets`); else (B, 3, 0, 0)

    @property
    def wanted(self) -> Tensor:
        """The target of the picture losses, (B, 3, S, S)."""
        return self.target if self.target.numel() else self.hr


class Times(NamedTuple):
    """The times of a batch."""

    t: Tensor  # (B,) in [0, T]; the first `terminal` are T
    terminal: int  # number of rows at T in this process and part
    weight: float  # for a mean over those rows, so that the average over processes and parts is the global batch's mean


@dataclass(frozen=True)
class Part:
    """One of the `count` parts into which a process divides its rows (`optimizer.accumulate`): every `count`-th row from `index` on."""

    index: int = 0
    count: int = 1

    def rows(self, tensor: Tensor) -> Tensor:
        """The part's rows of a process's tensor."""
        return tensor[self.index :: self.count]


class StepRandom:
    """The random numbers of a step other than the data, drawn for the global batch; each process takes its rows, or a part of them."""

    def __init__(
        self,
        generator: torch.Generator,
        total: int,
        processes: Processes | None = None,
        device: torch.device | None = None,
        part: Part | None = None,
    ) -> None:
        self.generator, self.total = generator, total  # a CPU generator
        self.processes = processes or Processes()
        self.device = device or torch.device("cpu")  # for `times`
        self.part = part or Part()

    def rows(self, tensor: Tensor) -> Tensor:
        """The rows of a global batch that are this process's and of this part."""
        return self.part.rows(self.processes.rows(tensor))

    def normal(self, like: Tensor) -> Tensor:
        """N(0, I) of `like`'s shape, drawn on `like`'s device: drawing a million numbers per step on the CPU would stall a GPU.

        The same seed therefore gives different numbers on different kinds of device.
        """
        generator = self.generator if like.device.type == "cpu" else device_generator(like.device, self.generator)
        drawn = torch.randn((self.total, *like.shape[1:]), generator=generator, device=like.device)
        return self.rows(drawn).to(like.dtype)

    def times(self, terminal_share: float) -> Times:
        """Uniform t in [0, T], except for a share of the batch, at least one crop, which is at T."""
        t = torch.rand(self.total, generator=self.generator)
        count = max(1, round(terminal_share * self.total))
        t[:count] = T
        terminal = int(self.rows(torch.arange(self.total) < count).sum())
        parts = self.processes.world * self.part.count
        return Times(sent(self.rows(t), self.device), terminal, terminal * parts / count)

    def shift(self, below: int) -> tuple[int, int]:
        """Rows and columns, each less than `below`, by which a step's pictures are shifted."""
        down, right = torch.randint(below, (2,), generator=self.generator).tolist()
        return down, right

    def window(self, side: int, height: int, width: int) -> tuple[int, int]:
        """The first row and column of a window of `side` px in pictures of height x width px."""
        down, right = (int(torch.randint(length - side + 1, (), generator=self.generator)) for length in (height, width))
        return down, right

    def move(self, unit: int) -> tuple[int, int]:
        """Rows and columns, each below `unit` and not both 0, by which a step's pictures are moved."""
        return divmod(int(torch.randint(1, unit * unit, (), generator=self.generator)), unit)

    def gather(self, tensor: Tensor) -> Tensor:
        """The rows of all processes."""
        return self.processes.gather(tensor)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a CPU tensor to `device`, from pinned memory: otherwise the copy would block until the GPU has finished earlier work."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
