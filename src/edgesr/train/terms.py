"""The terms that compare pictures, with their weights: pixels, PSNR, features, adversary; shared by every stage that makes some."""

from __future__ import annotations

import torch
from torch import Tensor

from edgesr.train.discriminator import Adversary
from edgesr.train.losses import perceptual_distance
from edgesr.train.recipe import LossConfig

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
        if self.adversary is not None and self.adversary_acts(progress):
            scalars["adversarial"] = self.adversary.generator_term(out)
            total = total + config.adversarial.weight * scalars["adversarial"]
        return total, scalars
