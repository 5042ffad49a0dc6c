"""The terms that compare pictures, with their weights: pixels, PSNR, features, adversary; shared by every stage that makes some."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from edgesr.presets import SCALE
from edgesr.train.discriminator import Adversary
from edgesr.train.losses import perceptual_distance
from edgesr.train.recipe import LossConfig

LATTICE_CELL = 64  # HR px a side: with 16 x 16 values of each phase, chance leaves little of a texture in their means
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
    """What repeats in the error with the decoder's pixel shuffle, in cells of at most 64 px: its root mean square, mean over the cells (ours).

    To a feature network a soft area with a pattern of period 4 looks more like a photograph, and the shuffle makes such patterns at no
    cost; they are too faint for the L1. In a cell the error's means at the 16 phases of the shuffle would be equal but for chance.
    out and hr are (B, 3, H, W) in [0, 1], H and W multiples of 4.
    """
    error = F.pixel_unshuffle(out - hr, SCALE)  # (B, 3 * 16, H / 4, W / 4): a channel and phase each
    cell = tuple(min(LATTICE_CELL // SCALE, side) for side in error.shape[2:])
    phases = F.avg_pool2d(error, cell).unflatten(1, (3, SCALE**2))
    deviation = phases - phases.mean(dim=2, keepdim=True)
    return (deviation.square().mean(dim=(1, 2)) + 1e-12).sqrt().mean()
