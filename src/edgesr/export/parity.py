"""Compare an exported file, run by its own runtime, with the torch network on a real tile."""

from __future__ import annotations

from importlib import resources
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from edgesr.errors import EdgesrError
from edgesr.model import EdgeSR
from edgesr.presets import LATENT_STRIDE, Preset
from edgesr.upscaling.noise import noise_field

Array = NDArray[np.float32]

MAX_DIFFERENCE = {"fp32": 1e-3}  # of [0, 1] output values; measured 3e-7 to 2e-4, from the order of sums
MIN_PSNR = {"fp32": 80.0, "fp16": 50.0, "int8": 30.0}  # dB


class Parity(NamedTuple):
    """The difference between a file and torch."""

    difference: float  # the largest absolute one, of output values in [0, 1]
    psnr: float  # dB

    def __str__(self) -> str:
        return f"differs from torch by at most {self.difference:.2g} of [0, 1], PSNR {self.psnr:.1f} dB"


def real_tile(preset: Preset, size: tuple[int, int]) -> tuple[Array, Array]:
    """Return lr (1, 3, height, width) in [0, 1], a photograph repeated by mirroring to `size` (width, height), and its noise."""
    width, height = size
    with resources.files("edgesr.export").joinpath("tile.jpg").open("rb") as stream:
        picture = np.asarray(Image.open(stream).convert("RGB")).astype(np.float32) / np.float32(255)
    rows, columns = (_mirrored(length, side) for length, side in zip(picture.shape, (height, width), strict=False))
    lr: Array = np.ascontiguousarray(picture[rows][:, columns].transpose(2, 0, 1)).reshape(1, 3, height, width)
    eps = noise_field(0, preset.latent_channels, range(height // LATENT_STRIDE), range(width // LATENT_STRIDE))
    return lr, eps.reshape(1, *eps.shape)  # not [None]: ExecuTorch refuses its stride of 0


def _mirrored(length: int, side: int) -> NDArray[np.intp]:
    there_and_back = np.concatenate([np.arange(length), np.arange(length)[::-1]])
    return np.resize(there_and_back, side)


@torch.no_grad()
def reference(model: EdgeSR, lr: Array, eps: Array) -> Array:
    """Return the output of torch for a tile: hr (1, 3, 4h, 4w) in [0, 1]."""
    result: Array = model(torch.from_numpy(lr), torch.from_numpy(eps)).numpy()
    return result


def compare(got: Array, want: Array) -> Parity:
    """Compare two results in [0, 1]; equal ones have a PSNR of infinity."""
    if got.shape != want.shape:
        raise EdgesrError(f"the output of the exported file is {got.shape}, that of torch {want.shape}; please report it")
    error = got.astype(np.float64) - want
    square = float(np.mean(error**2))
    return Parity(float(np.abs(error).max()), float(-10 * np.log10(square)) if square else float("inf"))


def check(parity: Parity, precision: str, what: str) -> None:
    """Raise EdgesrError if the difference is larger than `precision` allows."""
    limit, psnr = MAX_DIFFERENCE.get(precision, 1.0), MIN_PSNR[precision]
    if not (parity.difference <= limit and parity.psnr >= psnr):  # not a number fails as well
        raise EdgesrError(f"{what}: {parity}; {precision} allows {limit:g} and requires {psnr:g} dB; nothing written")
