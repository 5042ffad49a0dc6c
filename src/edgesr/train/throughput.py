"""Training speed: samples/s, and the share of the device's measured rate of matrix products."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

SIZES = (
    512,
    1024,
    2048,
    4096,
    8192,
)  # rows and columns of the products: small ones do not fill a GPU, large ones take a CPU seconds
SECONDS = 0.5  # spent on measuring


def step_flops(fn: Callable[[], object]) -> float:
    """Run `fn`, one training step or part of one, once, and return its FLOPs (2 x multiply-accumulates).

    Convolutions, matrix products and attention are counted, forward and backward. Compiled modules run uncompiled, since their fused
    kernels cannot be counted. Side effects of `fn` (gradients, weights, random generators) persist.
    """
    with torch.compiler.set_stance("force_eager"), FlopCounterMode(display=False) as counter, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch warns that the counter traces into compiled modules
        fn()
    return float(counter.get_total_flops())


def measured_peak(device: torch.device, dtype: torch.dtype, seconds: float = SECONDS) -> float:
    """Return the best rate in FLOP/s of square matrix products on `device`, over the sizes that fit into `seconds`."""
    deadline, best = time.perf_counter() + seconds, 0.0
    for size in SIZES:
        a = torch.rand(size, size, device=device).to(dtype)
        fastest = min(_seconds(a) for _ in range(3))  # the first one also selects and loads a kernel
        best = max(best, 2 * size**3 / fastest)
        if time.perf_counter() + 3 * 8 * fastest > deadline:
            break
    return best


class Rates(NamedTuple):
    """The training speed of one process."""

    samples_per_second: float
    share: float  # of the device's peak, 0 to 1; slightly more if the peak was underestimated


class Throughput:
    """Samples/s and the share of the peak over a window, from `start` (or construction) to `rates`."""

    def __init__(self, flops_per_sample: float, peak: float, device: torch.device) -> None:
        self.flops_per_sample, self.peak, self.device = flops_per_sample, peak, device
        self.start()

    def start(self) -> None:
        """Start a new window."""
        _finish(self.device)
        self._samples, self._began = 0, time.perf_counter()

    def count(self, samples: int) -> None:
        """Add the samples of one step; does not synchronise with the device."""
        self._samples += samples

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Exclude the time inside from the window."""
        _finish(self.device)
        began = time.perf_counter()
        yield
        _finish(self.device)
        self._began += time.perf_counter() - began

    def rates(self) -> Rates:
        """Wait for the device to finish the counted steps, and return the rates of the window so far; the window continues."""
        _finish(self.device)
        rate = self._samples / (time.perf_counter() - self._began)
        return Rates(rate, rate * self.flops_per_sample / self.peak)


def _seconds(a: torch.Tensor) -> float:
    _finish(a.device)
    began = time.perf_counter()
    a @ a
    _finish(a.device)
    return time.perf_counter() - began


def _finish(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
