"""Data-parallel processes, one per GPU or core: this process's rows of a batch, and reductions over all processes.

They are started by `accelerate launch -m edgesr train ...`, or on a CPU by `launch`, and joined by Hugging Face Accelerate, which a
single process does not need. Every process holds all weights and takes the same step, so only gradients are communicated.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from edgesr.errors import needs_extra


class Processes:
    """This process among `world`; by default a single one."""

    def __init__(self, accelerator: Any = None) -> None:
        self._accelerator = accelerator
        self.rank = accelerator.process_index if accelerator else 0
        self.world = accelerator.num_processes if accelerator else 1

    @property
    def main(self) -> bool:
        """Whether this process writes the files and the log."""
        return self.rank == 0

    @property
    def device(self) -> torch.device | None:
        """This process's device, if there are several processes."""
        return self._accelerator.device if self._accelerator else None

    def rows(self, tensor: Tensor) -> Tensor:
        """This process's rows of a global batch: every `world`-th, so that the first rows are distributed evenly."""
        return tensor[self.rank :: self.world]

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of `tensor` over the processes."""
        return self._accelerator.reduce(tensor, reduction="sum") if self._accelerator else tensor

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean of all elements over the processes, which hold equal numbers; differentiable with respect to each process's own.

        The gradients are correct in a loss whose gradients `mean_gradients` averages.
        """
        return tensor.mean() if self.world == 1 else _Mean.apply(tensor.mean(), self)

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether the flag is set in any process; `device` is the one used for communication."""
        return bool(self.sum(torch.tensor(float(flag), device=device)) > 0)

    def gather(self, tensor: Tensor) -> Tensor:
        """The rows of all processes, (world * B, ...), in no particular order."""
        return self._accelerator.gather(tensor) if self._accelerator else tensor

    def mean_gradients(self, parameters: list[torch.nn.Parameter]) -> None:
        """Replace every gradient by its mean over the processes, in a single reduction."""
        if self._accelerator is None:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = self.sum(torch.cat([g.reshape(-1) for g in gradients])) / self.world
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Run the body in the main process first, so that the others find its files."""
        if self._accelerator is None:
            yield
            return
        with self._accelerator.main_process_first():
            yield


class _Mean(torch.autograd.Function):
    """The mean of a scalar over the processes; backward, the mean of their gradients."""

    @staticmethod
    def forward(ctx: Any, scalar: Tensor, processes: Processes) -> Tensor:
        ctx.processes = processes
        return processes.sum(scalar) / processes.world

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.processes.sum(grad.contiguous()) / ctx.processes.world, None


def launched() -> int:
    """The number of processes that a launcher has started for this training, including this one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def join_processes(device: str) -> Processes:
    """Join the processes that `accelerate launch` or `launch` started; without a launcher return the single process.

    Raises UsageError if there are several and Accelerate is not installed.
    """
    if launched() == 1:
        return Processes()
    with needs_extra("train", "training in several processes"):
        from accelerate import Accelerator
    return Processes(Accelerator(cpu=device == "cpu"))
