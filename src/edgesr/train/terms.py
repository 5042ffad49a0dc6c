"""The terms that compare pictures, with their weights: pixels, PSNR, features, adversary; shared by every stage that makes some."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from edgesr.train.adversary import Adversary, Shown
from edgesr.train.batches import Batch, Draws
from edgesr.train.losses import perceptual_distance
from edgesr.train.recipe import LossConfig

LATTICE_PERIOD = 16  # HR px: of the coarsest grid of the UNet; those of the latent (8) and of the LR picture (4) divide it
LATTICE_CELL = 64  # HR px a side, in which a pattern may come and go with the texture
LATTICE_FAINT = 1e-5  # amplitude, of [0, 1], below which the term levels off: rounding has no direction
COLOUR_CELL = 16  # HR px a side: coarser than what features weigh, finer than what the eye takes for one colour
FEATURES_SHIFT = 8  # rows and columns, less than which a step's features leave out: every place within their coarsest stride
ADVERSARY_SHIFT = 4  # the same of a discriminator that wants shifts: every place within an LR pixel
ARTIFACT_WINDOW = 7  # HR px a side
LEVEL = 1e-3  # mean squared error, 30 dB, where the logarithmic term levels off: flat crops are not worth more


class Terms(NamedTuple):
    """What the terms of a step give."""

    total: Tensor  # their weighted sum, scalar
    scalars: dict[str, Tensor]
    shown: Shown | None  # to the adversary, where it acts


class PixelTerms:
    """Weighted sum of the terms of (out, hr); terms of weight 0 cost nothing."""

    def __init__(self, config: LossConfig, seed: int, device: torch.device) -> None:
        self.config = config
        self.features = None
        if config.perceptual:
            self.features = perceptual_distance(config.perceptual_network).to(device)
        self.adversary = Adversary(config.adversarial, seed, device) if config.adversarial.weight else None

    def __call__(self, out: Tensor, wanted: Tensor, batch: Batch, progress: float, draws: Draws) -> Terms:
        """Return the terms of out (B', 3, H, W) in [0, 1], made from the first B' of the batch, and of what is wanted of them.

        Features are those of a random window, the same of all pictures, or of the pictures without some first rows and columns.
        Another place every step keeps the features' strides from locking in with the decoder's pixel shuffle: without it a faint
        lattice grows on flat areas (ours).
        """
        config = self.config
        rows = slice(len(out))
        hr = wanted[rows]
        seen = _window(draws, config.perceptual_window, out)
        scalars = {"pixel": (out - hr).abs().mean()}
        total = config.pixel * scalars["pixel"]
        if config.psnr:
            error = (out - hr).square().mean(dim=(1, 2, 3))
            scalars["psnr"] = -10 * (error + LEVEL).log10().mean()
            total = total - config.psnr * scalars["psnr"]
        if self.features is not None:
            scalars["perceptual"] = self.features(seen(out), seen(hr))
            total = total + config.perceptual * scalars["perceptual"]
        if config.lattice:
            scalars["lattice"] = lattice(out, hr)
            total = total + config.lattice * scalars["lattice"]
        if config.colour:
            scalars["colour"] = colour_shift(out, hr)
            total = total + config.colour * scalars["colour"]
        if config.artifacts:
            scalars["artifacts"] = artifacts(out, hr)
            total = total + config.artifacts * scalars["artifacts"]
        if self.adversary is None or progress < config.adversarial.start:
            return Terms(total, scalars, None)
        wants_shift = config.adversarial.network == "highpass-patch"
        real = hr if config.adversarial.real == "target" else batch.hr[rows]
        shown = Shown(out, real, batch.lr[rows], draws.shift(ADVERSARY_SHIFT) if wants_shift else (0, 0))
        scalars["adversarial"] = self.adversary.generator_term(shown, draws.processes)
        total = total + config.adversarial.weight_at(progress) * scalars["adversarial"]
        return Terms(total, scalars, shown)


def _window(draws: Draws, side: int, pictures: Tensor) -> Callable[[Tensor], Tensor]:
    """What cuts from pictures what a step's features are of; `side` in HR px, 0 for all but some first rows and columns."""
    if not side:
        down, right = draws.shift(FEATURES_SHIFT)
        return lambda pictures: pictures[..., down:, right:]
    down, right = draws.window(side, *pictures.shape[-2:])
    return lambda pictures: pictures[..., down : down + side, right : right + side]


def colour_shift(out: Tensor, hr: Tensor) -> Tensor:
    """The mean absolute difference of the means of cells of 16 px: out and hr are (B, 3, H, W) in [0, 1], H and W at least 16."""
    return F.avg_pool2d(out - hr, COLOUR_CELL).abs().mean()


def artifacts(out: Tensor, hr: Tensor) -> Tensor:
    """L1 weighted by how much the error varies around each pixel, and in the whole crop: what an adversary likes to add.

    LDL of Liang et al. 2022 (arXiv 2203.09195, equations 3 to 5) without its comparison with an averaged network; the weights have no
    gradient. Even areas, and those where the error is even, cost nothing. out and hr are (B, 3, H, W) in [0, 1].
    """
    error = (out - hr).abs()
    residual = error.detach().sum(dim=1, keepdim=True)  # (B, 1, H, W)
    padded = F.pad(residual, [ARTIFACT_WINDOW // 2] * 4, mode="reflect")
    mean, square = (F.avg_pool2d(x, ARTIFACT_WINDOW, stride=1) for x in (padded, padded.square()))
    count = ARTIFACT_WINDOW**2
    local = (square - mean.square()).clamp_min(0) * (count / (count - 1))
    return (residual.var(dim=(1, 2, 3), keepdim=True) ** 0.2 * local * error).mean()


def lattice(out: Tensor, hr: Tensor) -> Tensor:
    """What repeats in the error with the network's grids: the sum of its harmonics' amplitudes, mean over cells and channels (ours).

    To a feature network a soft area with a faint weave looks more like a photograph, and whatever halves and doubles its grid makes such
    weaves at no cost; they are too faint for the L1. Only a period's harmonics count, so a texture is hardly touched; each by its
    amplitude, so that many strong ones hide no faint one. out and hr are (B, 3, H, W) in [0, 1], H and W at least 16.
    """
    batch, channels, height, width = out.shape
    period, cell = LATTICE_PERIOD, min(LATTICE_CELL, min(height, width) // LATTICE_PERIOD * LATTICE_PERIOD)
    rows, columns, repeats = height // cell, width // cell, cell // period
    error = (out - hr)[..., : rows * cell, : columns * cell]
    folded = error.reshape(batch, channels, rows, repeats, period, columns, repeats, period).mean(dim=(3, 6))
    power = torch.view_as_real(torch.fft.fft2(folded, dim=(3, 5), norm="forward")).square().sum(dim=-1)
    amplitudes = (power + LATTICE_FAINT**2).sqrt() - LATTICE_FAINT  # (B, 3, rows, 16, columns, 16)
    return (amplitudes.sum(dim=(3, 5)) - amplitudes[:, :, :, 0, :, 0]).mean()
