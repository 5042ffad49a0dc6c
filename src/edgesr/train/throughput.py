"""How fast a training runs: the FLOPs of a step, counted; the peak of the device, looked up or measured; the share in use (ours)."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

TERA = 1e12
MEASURING_SECONDS = 0.5
LARGEST_PRODUCT = 8192  # rows and columns: enough to fill any one device


@dataclass(frozen=True)
class Peaks:
    """What a GPU's vendor states, TFLOP/s: dense, without the doubling by structured sparsity, sums in float32."""

    half: float  # float16 and bfloat16 on tensor cores
    tf32: float | None  # float32 rounded to TF32 on tensor cores; None: no such unit
    float32: float  # outside the tensor cores
    bfloat16: bool = True  # whether tensor cores take bfloat16


# By the name that the driver reports, without "NVIDIA" or "Tesla". A name that is not here to the letter is measured: a laptop's
# RTX 4090, or a slice of an H100, is another device.
_PEAKS = {
    # NVIDIA H100 datasheet, where tensor core figures "with sparsity" are twice these; H100 white paper for the SXM5 board
    "H100 80GB HBM3": Peaks(half=989.4, tf32=494.7, float32=66.9),
    "H100 PCIe": Peaks(half=756.5, tf32=378.0, float32=51.0),
    "H100 NVL": Peaks(half=835.5, tf32=417.5, float32=60.0),
    # NVIDIA H200 datasheet, likewise halved
    "H200": Peaks(half=989.4, tf32=494.7, float32=66.9),
    "H200 NVL": Peaks(half=835.5, tf32=417.5, float32=60.0),
    # NVIDIA A100 datasheet: every board has the same peaks
    "A100-SXM4-40GB": Peaks(half=312.0, tf32=156.0, float32=19.5),
    "A100-SXM4-80GB": Peaks(half=312.0, tf32=156.0, float32=19.5),
    "A100-PCIE-40GB": Peaks(half=312.0, tf32=156.0, float32=19.5),
    "A100 80GB PCIe": Peaks(half=312.0, tf32=156.0, float32=19.5),
    # NVIDIA L4 datasheet, halved where it counts sparsity; L40S datasheet, which states both
    "L4": Peaks(half=121.0, tf32=60.0, float32=30.3),
    "L40S": Peaks(half=362.05, tf32=183.0, float32=91.6),
    # NVIDIA A10 datasheet; T4 datasheet
    "A10": Peaks(half=125.0, tf32=62.5, float32=31.2),
    "T4": Peaks(half=65.0, tf32=None, float32=8.1, bfloat16=False),
    # GA102 white paper (appendices A and C) and Ada white paper (appendix A), tensor core rows "with FP32 accumulate"
    "RTX A6000": Peaks(half=154.8, tf32=77.4, float32=38.7),
    "GeForce RTX 3090": Peaks(half=71.0, tf32=35.6, float32=35.6),
    "GeForce RTX 3090 Ti": Peaks(half=80.0, tf32=40.0, float32=40.0),
    "GeForce RTX 4090": Peaks(half=165.2, tf32=82.6, float32=82.6),
}


def step_flops(fn: Callable[[], object]) -> float:
    """Run `fn`, one training step or part of one, once for real, and return its FLOPs (2 x multiply-accumulates).

    Convolutions, matrix products and attention count, forward and backward; what is computed twice to save memory counts twice.
    Compiled modules run uncompiled meanwhile: their fused kernels could not be counted. What `fn` changes (gradients, weights,
    random generators) stays changed.
    """
    with torch.compiler.set_stance("force_eager"), FlopCounterMode(display=False) as counter, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch's, that the counter looks into compiled modules
        fn()
    return float(counter.get_total_flops())


def peak_flops(device: torch.device, dtype: torch.dtype) -> tuple[float, str]:
    """Return the dense peak of `device` in FLOP/s for operands of `dtype`, and where the figure is from.

    The vendor's figure for GPUs that are known by name; for others, and for CPUs, the best rate of matrix products in half a second.
    float32 counts as TF32 where convolutions on CUDA may use it, as they may by default.
    """
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        stated = vendor_peak(name, dtype, tf32=_precision_of_convolutions() == "tf32")
        if stated is not None:
            return stated, f"vendor's figure for {name}"
    peak, size = measured_peak(device, dtype)
    return peak, f"measured: {size}x{size} matrix products"


def vendor_peak(name: str, dtype: torch.dtype, *, tf32: bool = True) -> float | None:
    """Return the vendor's dense peak in FLOP/s of the GPU called `name` by its driver; None when it is not known.

    With `tf32` the figure for float32 is that of TF32 on tensor cores.
    """
    peaks = _PEAKS.get(name.removeprefix("NVIDIA ").removeprefix("Tesla "))
    if peaks is None or (dtype == torch.bfloat16 and not peaks.bfloat16):
        return None
    if dtype in (torch.float16, torch.bfloat16):
        return peaks.half * TERA
    if dtype == torch.float32:
        return (peaks.tf32 if tf32 and peaks.tf32 else peaks.float32) * TERA
    return None


def measured_peak(device: torch.device, dtype: torch.dtype, seconds: float = MEASURING_SECONDS) -> tuple[float, int]:
    """Return the best rate in FLOP/s of square matrix products on `device`, and the size that reached it.

    Sizes double from 256 while three products of the next would fit into what is left of `seconds`; the last size takes the rest.
    """
    deadline = time.perf_counter() + seconds
    best, best_size, size, last = 0.0, 0, 256, False
    with _products_as_precise_as_convolutions():
        while not last:
            a = torch.rand(size, size, device=device).to(dtype)
            fastest = min(_seconds(a) for _ in range(3))  # the first of a size also chooses and loads its kernel
            last = size == LARGEST_PRODUCT or time.perf_counter() + 3 * 8 * fastest > deadline
            while last and time.perf_counter() + fastest < deadline:
                fastest = min(fastest, _seconds(a))
            if (rate := 2 * size**3 / fastest) > best:
                best, best_size = rate, size
            size *= 2
    return best, best_size


class Rates(NamedTuple):
    """How fast one process trained."""

    samples_per_second: float
    share: float  # of the device's peak, 0 to 1; a little more when the peak was measured low


class Throughput:
    """Samples a second and the share of the peak over a window: from `start` (or the construction) to `rates`."""

    def __init__(self, flops_per_sample: float, peak: float, device: torch.device) -> None:
        self.flops_per_sample, self.peak, self.device = flops_per_sample, peak, device
        self.start()

    def start(self) -> None:
        """Begin a new window."""
        _finish(self.device)
        self._samples, self._began = 0, time.perf_counter()

    def count(self, samples: int) -> None:
        """Add the samples of one step; does not wait for the device."""
        self._samples += samples

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time inside out of the window."""
        _finish(self.device)
        began = time.perf_counter()
        yield
        _finish(self.device)
        self._began += time.perf_counter() - began

    def rates(self) -> Rates:
        """Wait for the device to finish what was counted, and return the rates of the window so far, which goes on."""
        _finish(self.device)
        rate = self._samples / (time.perf_counter() - self._began)
        return Rates(rate, rate * self.flops_per_sample / self.peak)


def _precision_of_convolutions() -> str:
    precision: str = torch.backends.cudnn.conv.fp32_precision  # type: ignore[attr-defined]  # made at run time
    return precision


@contextmanager
def _products_as_precise_as_convolutions() -> Iterator[None]:
    """On CUDA torch lets convolutions use TF32 by default, but not matrix products; the networks are made of convolutions."""
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = _precision_of_convolutions()
    try:
        yield
    finally:
        matmul.fp32_precision = before


def _seconds(a: torch.Tensor) -> float:
    _finish(a.device)
    began = time.perf_counter()
    a @ a
    _finish(a.device)
    return time.perf_counter() - began


def _finish(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
