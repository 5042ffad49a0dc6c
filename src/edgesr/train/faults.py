"""Detection of steps whose loss or gradient is not finite: an immediate error on a CPU; on a GPU recorded and checked later, to avoid
a synchronisation per step."""

from __future__ import annotations

import torch
from torch import Tensor

from edgesr.errors import DivergedError


class Faults:
    """The first step whose loss or gradient was not finite, kept on the device: reading it at every step would stall a GPU."""

    def __init__(self, device: torch.device) -> None:
        self._first = torch.full((3,), -1.0, device=device)  # step, loss, norm of the gradient

    def add(self, step: int, loss: Tensor, norm: Tensor) -> Tensor:
        """Record a step, and return whether it is not finite, as 1.0 or 0.0, a scalar on the device."""
        bad = ~torch.isfinite(loss + norm)
        seen = torch.stack([torch.full_like(self._first[0], float(step)), loss.float(), norm.float()])
        self._first = torch.where(bad & (self._first[0] < 0), seen, self._first)
        return bad.float()

    def first(self) -> tuple[int, float, float] | None:
        """The step, its loss and the norm of its gradient; None if there was none. Synchronises with the device."""
        step, loss, norm = self._first.tolist()
        return None if step < 0 else (int(step), loss, norm)


def is_asynchronous(device: torch.device) -> bool:
    """Whether the device queues work, so that reading a value waits for all of it."""
    return device.type == "cuda"


def diverged(step: int, loss: float, norm: float) -> DivergedError:
    """The error for a step whose loss or gradient is not finite."""
    return DivergedError(
        f"step {step}: the loss is {loss:g} and the norm of its gradient {norm:g}: "
        "lower optimizer.learning_rate and --resume from the last checkpoint"
    )
