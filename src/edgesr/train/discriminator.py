"""The discriminator of the stages 3 and 4: Real-ESRGAN's U-Net (ours: the paper says only that its decoder is fine-tuned)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from edgesr.model.blocks import full_precision

SLOPE = 0.2  # of the leaky ReLU below zero


class Discriminator(nn.Module):
    """The U-Net discriminator of Real-ESRGAN (arXiv 2107.10833, section 3.3), norm-free.

    Every convolution but the first and the last is divided by its spectral norm, estimated by one power iteration a forward
    pass in training mode and none in evaluation mode.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.down = nn.ModuleList(_normed(width << i, width << i + 1, 4, stride=2) for i in range(3))
        self.up = nn.ModuleList(_normed(width << i + 1, width << i, 3) for i in (2, 1, 0))
        self.tail = nn.ModuleList(_normed(width, width, 3) for _ in range(2))
        self.last = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures (B, 3, H, W) in [0, 1], 8 px a side or more, to logits (B, 1, H, W): high where they look real."""
        x = F.leaky_relu(self.first(2 * x - 1), SLOPE)  # (B, width, H, W); centred (ours): it learns several times faster
        skips = []
        for convolution in self.down:
            skips.append(x)
            x = F.leaky_relu(convolution(x), SLOPE)  # (B, 2 width, H/2, W/2) and on
        for convolution in self.up:
            skip = skips.pop()
            x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            x = F.leaky_relu(convolution(x), SLOPE) + skip
        for convolution in self.tail:
            x = F.leaky_relu(convolution(x), SLOPE)
        return self.last(x)


class _FullPrecisionWeight(nn.Conv2d):
    """A convolution that computes its weight outside autocast: a power iteration in bfloat16 does not converge."""

    def forward(self, x: Tensor) -> Tensor:
        with full_precision(x):
            weight = self.weight
        return self._conv_forward(x, weight, self.bias)


def _normed(width_in: int, width_out: int, kernel: int, stride: int = 1) -> nn.Module:
    """A convolution of spectral norm 1 (Miyato et al. 2018, arXiv 1802.05957), without bias as in Real-ESRGAN."""
    return spectral_norm(_FullPrecisionWeight(width_in, width_out, kernel, stride, padding=1, bias=False))
