"""What one step of training sees: its batch, and what is random beside it. Both are pure functions of (seed, step), drawn for the
global batch: a run can be resumed bit for bit, and several processes see together what one would see alone."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from edgesr.data.degradation import device_generator
from edgesr.model.diffusion import T
from edgesr.train.processes import Processes


class Batch(NamedTuple):
    """Crops of one step, float32 in [0, 1]."""

    hr: Tensor  # (B, 3, S, S)
    lr: Tensor  # (B, 3, S/4, S/4)
    lr_x2: Tensor  # (B, 3, S/2, S/2), the less degraded LR that the x2 teacher sees; (B, 3, 0, 0) where there is no teacher
    target: Tensor  # (B, 3, S, S), what pictures are compared with, where it is not hr: `data.targets`; else (B, 3, 0, 0)

    @property
    def wanted(self) -> Tensor:
        """What pictures are compared with, (B, 3, S, S)."""
        return self.target if self.target.numel() else self.hr


class Times(NamedTuple):
    """The times of a batch."""

    t: Tensor  # (B,) in [0, T]; the first `terminal` are T
    terminal: int  # of this process
    weight: float  # of a mean over them, so that the processes' mean is the global batch's


class StepRandom:
    """What is random in a step beside the data, drawn for the global batch; a process takes its rows."""

    def __init__(
        self, generator: torch.Generator, total: int, processes: Processes | None = None, device: torch.device | None = None
    ) -> None:
        self.generator, self.total = generator, total  # the generator is of the CPU
        self.processes = processes or Processes()
        self.device = device or torch.device("cpu")  # where times are wanted

    def normal(self, like: Tensor) -> Tensor:
        """N(0, I) of `like`'s shape, made where `like` is: drawing a million numbers a step on the CPU would keep a GPU waiting.

        A seed therefore means other numbers on another kind of device.
        """
        generator = self.generator if like.device.type == "cpu" else device_generator(like.device, self.generator)
        drawn = torch.randn((self.total, *like.shape[1:]), generator=generator, device=like.device)
        return self.processes.rows(drawn).to(like.dtype)

    def times(self, terminal_share: float) -> Times:
        """Uniform t in [0, T], but for a share of the batch, at least one crop, which is at T."""
        t = torch.rand(self.total, generator=self.generator)
        count = max(1, round(terminal_share * self.total))
        t[:count] = T
        terminal = int(self.processes.rows(torch.arange(self.total) < count).sum())
        return Times(sent(self.processes.rows(t), self.device), terminal, terminal * self.processes.world / count)

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
    """A tensor of the CPU on `device`; from pinned memory, without which the processor would wait for a GPU's work before it."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
