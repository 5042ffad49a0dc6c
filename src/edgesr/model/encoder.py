"""The two encoders: E_L, trained jointly with the UNet (paper section 3), and our own small frozen E_H (ours; stage 0)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgesr.model.blocks import ResBlock, blocks
from edgesr.presets import EncoderConfig

LOG_S_MIN = -4.0  # log s is bounded to (LOG_S_MIN, 0); unbounded, it collapses or diverges (docs/method.md, pitfalls)
LATENT_STRIDE_HR = 8  # HR px per latent position


class LREncoder(nn.Module):
    """(mu, log s) of the LR-conditioned Gaussian, and the features for the decoder's skip.

    It operates on the LR at its own size: pixel-unshuffle to the latent grid, then convolutions. Encoding an upsampled picture would
    cost 16 times more without any benefit.
    """

    def __init__(self, config: EncoderConfig, latent_channels: int, scale: int = 4) -> None:
        super().__init__()
        self.stride = LATENT_STRIDE_HR // scale  # LR px per latent position: 2 at x4, 4 for the x2 teacher
        self.stem = nn.Conv2d(3 * self.stride**2, config.width, 3, padding=1)
        self.trunk = blocks(config.blocks, config.width)
        self.head = nn.Conv2d(config.width, 2 * latent_channels, 1)

    def forward(self, lr: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map lr (B, 3, h, w) in [0, 1] to mu and log_s (B, C, h/stride, w/stride) and features (B, width, h/stride, w/stride)."""
        features = self.trunk(F.relu(self._stem(lr - 0.5)))
        both = self.head(features)
        channels = self.head.out_channels // 2
        mu, raw = both[:, :channels], both[:, channels:]  # slices, which every runtime supports
        return mu, LOG_S_MIN * torch.sigmoid(raw), features

    def _stem(self, x: Tensor) -> Tensor:
        """The stem on the pixel-unshuffled picture, as one strided convolution: no tensor has more than four axes, as NPUs require."""
        if self.stem.in_channels == 3:  # folded
            return self.stem(x)
        weight = F.pixel_shuffle(self.stem.weight, self.stride)  # (width, 3, 3 stride, 3 stride)
        return F.conv2d(x, weight, self.stem.bias, self.stride, padding=self.stride)

    @torch.no_grad()
    def fold_stem(self) -> None:
        """Make the strided convolution a layer: some converters accept only stored weights, not computed ones."""
        strided = nn.Conv2d(3, self.stem.out_channels, 3 * self.stride, self.stride, padding=self.stride)
        strided.weight.copy_(F.pixel_shuffle(self.stem.weight, self.stride))
        strided.bias = self.stem.bias
        self.stem = strided


class HREncoder(nn.Module):
    """E_H: hr -> z_h, scaled to unit variance per channel; trained in stage 0, then frozen. Not part of the inference network."""

    mean: Tensor
    std: Tensor

    def __init__(self, latent_channels: int, width: int = 64, depth: int = 2) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3 * LATENT_STRIDE_HR**2, width, 3, padding=1)
        self.trunk = nn.Sequential(*(ResBlock(width) for _ in range(depth)))
        self.head = nn.Conv2d(width, latent_channels, 1)
        self.register_buffer("mean", torch.zeros(latent_channels))
        self.register_buffer("std", torch.ones(latent_channels))

    def forward(self, hr: Tensor) -> Tensor:
        """Map hr (B, 3, H, W) in [0, 1], sides multiples of 8, to z_h (B, C, H/8, W/8)."""
        x = F.pixel_unshuffle(hr - 0.5, LATENT_STRIDE_HR)
        z = self.head(self.trunk(F.relu(self.stem(x))))
        return (z - self.mean[:, None, None]) / self.std[:, None, None]

    @property
    def latent_channels(self) -> int:
        """C."""
        return self.head.out_channels

    @torch.no_grad()
    def track_statistics(self, z: Tensor, momentum: float) -> None:
        """Move the running mean and standard deviation towards those of normalised latents z (B, C, h, w)."""
        mean = z.mean(dim=(0, 2, 3)) * self.std + self.mean
        std = (z.std(dim=(0, 2, 3)) * self.std).clamp_min(1e-3)
        # Not in place: the backward pass still needs the old values.
        self.mean = self.mean.lerp(mean, momentum)
        self.std = self.std.lerp(std, momentum)
