"""The terms that compare pictures, with their weights: pixels, PSNR, features, adversary; shared by every stage that makes some."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from edgesr.train.adversary import Adversary
from edgesr.train.losses import perceptual_distance
from edgesr.train.recipe import LossConfig

LATTICE_PERIOD = 16  # HR px: of the coarsest grid of the UNet; those of the latent (8) and of the LR picture (4) divide it
LATTICE_CELL = 64  # HR px a side, in which a pattern may come and go with the texture
LATTICE_FAINT = 1e-5  # amplitude, of [0, 1], below which the term levels off: rounding has no direction
COLOUR_CELL = 16  # HR px a side: coarser than what features weigh, finer than what the eye takes for one colour
LEVEL = 1e-3  # mean squared error, 30 dB, where the logarithmic term levels off: flat crops are not worth more


class PixelTerms:
    """Weighted sum of the terms of (out, hr); terms of weight 0 cost nothing."""

    def __init__(self, config: LossConfig, seed: int, device: torch.device) -> None:
        self.config = config
        self.features = None
        if config.perceptual:
            self.features = perceptual_distance(config.perceptual_network).to(device)
        self.adversary = Adversary(config.adversarial, seed, device) if config.adversarial.weight else None

    def adversary_acts(self, progress: float) -> bool:
        """Whether the adversary has begun, at this share of the steps."""
        return self.adversary is not None and progress >= self.config.adversarial.start

    def __call__(
        self, out: Tensor, hr: Tensor, progress: float, shift: tuple[int, int] = (0, 0)
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the sum and its terms for out and hr (B, 3, H, W) in [0, 1].

        Features are those of the pictures without their first `shift` rows and columns. Another shift every step keeps the features'
        strides from locking in with the decoder's pixel shuffle: without it a faint lattice grows on flat areas (ours).
        """
        config = self.config
        scalars = {"pixel": (out - hr).abs().mean()}
        total = config.pixel * scalars["pixel"]
        if config.psnr:
            error = (out - hr).square().mean(dim=(1, 2, 3))
            scalars["psnr"] = -10 * (error + LEVEL).log10().mean()
            total = total - config.psnr * scalars["psnr"]
        if self.features is not None:
            down, right = shift
            scalars["perceptual"] = self.features(out[..., down:, right:], hr[..., down:, right:])
            total = total + config.perceptual * scalars["perceptual"]
        if config.lattice:
            scalars["lattice"] = lattice(out, hr)
            total = total + config.lattice * scalars["lattice"]
        if config.colour:
            scalars["colour"] = F.avg_pool2d(out - hr, COLOUR_CELL).abs().mean()
            total = total + config.colour * scalars["colour"]
        if self.adversary is not None and self.adversary_acts(progress):
            scalars["adversarial"] = self.adversary.generator_term(out)
            total = total + config.adversarial.weight * scalars["adversarial"]
        return total, scalars


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
