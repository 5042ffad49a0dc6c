"""The discriminators of stages 3 and 4: Real-ESRGAN's U-Net, and a PatchGAN on high-pass luma (ours: the paper says only that its
decoder is fine-tuned)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from edgesr.data.jpeg import TO_YCBCR
from edgesr.model.blocks import full_precision
from edgesr.presets import SCALE

SLOPE = 0.2  # negative slope of the leaky ReLU
LUMA = TO_YCBCR[0]  # of R, G and B
BOX = 9  # HR px a side; the PatchGAN's input is the luma minus its mean over this box
GAIN = 4  # of the high-pass luma, which has an amplitude of a few levels only


class Discriminator(nn.Module):
    """The U-Net discriminator of Real-ESRGAN (arXiv 2107.10833, section 3.3), norm-free.

    Every convolution except the first and the last is divided by its spectral norm, estimated by one power iteration per forward
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
        """Map pictures (B, 3, H, W) in [0, 1], 8 px a side or more, to logits (B, 1, H, W), high where a picture looks real."""
        x = F.leaky_relu(self.first(2 * x - 1), SLOPE)  # (B, width, H, W); centred input (ours) trains several times faster
        skips = []
        for convolution in self.down:
            skips.append(x)
            x = F.leaky_relu(convolution(x), SLOPE)  # (B, 2 width, H/2, W/2) and so on
        for convolution in self.up:
            skip = skips.pop()
            x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            x = F.leaky_relu(convolution(x), SLOPE) + skip
        for convolution in self.tail:
            x = F.leaky_relu(convolution(x), SLOPE)
        return self.last(x)


class HighPassPatch(nn.Module):
    """A PatchGAN of four strided levels on the high-pass luma of a picture, conditioned on the luma of its LR (ours).

    Its input contains neither colour nor the means of areas, so its gradients cannot shift them. The convolutions between the first and
    the last have spectral norm 1, as in `Discriminator`.
    """

    luma: Tensor

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.register_buffer("luma", torch.tensor(LUMA)[:, None, None], persistent=False)
        self.first = nn.Conv2d(2, width, 4, stride=2, padding=1)
        self.middle = nn.ModuleList(
            [
                _normed(width, 2 * width, 4, stride=2, bias=True),
                _normed(2 * width, 4 * width, 4, stride=2, bias=True),
                _normed(4 * width, 4 * width, 3, bias=True),
            ]
        )
        self.last = nn.Conv2d(4 * width, 1, 3, padding=1)

    def forward(self, x: Tensor, lr: Tensor, shift: tuple[int, int] = (0, 0)) -> Tensor:
        """Map pictures (B, 3, H, W) in [0, 1], 16 px a side or more, and their LR (B, 3, H/4, W/4) to logits, one per 8x8 px.

        The first `shift` rows and columns (HR px) of both are cropped: a new shift every step keeps the strides from aligning with the
        generator's grids.
        """
        down, right = shift
        with full_precision(x):
            y = self._luma(x)[..., down:, right:]
            mean = F.avg_pool2d(F.pad(y, [BOX // 2] * 4, mode="reflect"), BOX, stride=1)
            known = F.interpolate(self._luma(lr), scale_factor=SCALE, mode="bilinear")[..., down:, right:]
            x = torch.cat([GAIN * (y - mean), 2 * known - 1], dim=1)  # (B, 2, H, W)
        x = F.leaky_relu(self.first(x.contiguous(memory_format=torch.channels_last)), SLOPE)  # (B, width, H/2, W/2)
        for convolution in self.middle:
            x = F.leaky_relu(convolution(x), SLOPE)  # finally (B, 4 width, H/8, W/8)
        return self.last(x)

    def _luma(self, x: Tensor) -> Tensor:
        """The luma (B, 1, H, W) of (B, 3, H, W)."""
        return (x.float() * self.luma).sum(dim=1, keepdim=True)


class _FullPrecisionWeight(nn.Conv2d):
    """A convolution whose weight is computed outside autocast: the power iteration does not converge in bfloat16."""

    def forward(self, x: Tensor) -> Tensor:
        with full_precision(x):
            weight = self.weight
        return self._conv_forward(x, weight, self.bias)


def _normed(width_in: int, width_out: int, kernel: int, stride: int = 1, *, bias: bool = False) -> nn.Module:
    """A convolution of spectral norm 1 (Miyato et al. 2018, arXiv 1802.05957), by default without bias as in Real-ESRGAN."""
    return spectral_norm(_FullPrecisionWeight(width_in, width_out, kernel, stride, padding=1, bias=bias))
