"""The decoders D(z0_hat, features, lr) -> hr_hat, with the LR skip and the bicubic residual (ours) or, as in the paper, without."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgesr.model.blocks import GroupNormResBlock, bicubic_weights, blocks, full_precision, replicated, zero_
from edgesr.presets import SCALE, PyramidDecoderConfig, SkipDecoderConfig

SIGMAS = (0.8, 1.6, 3.2)  # LR px, of `Smoothing`
RADIUS = 8  # LR px, of the widest


class Smoothing(nn.Module):
    """Smooths the LR picture by different amounts at every pixel and colour (ours): the kernel prediction of denoisers, with three blurs.

    D adds to bicubic(lr). Without this, a residual has to repeat all noise of the LR, negated, and small networks leave most of it.
    """

    rows: Tensor
    columns: Tensor
    sums: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.shares = nn.Conv2d(width, 3 * len(SIGMAS), 3, padding=1)
        at = torch.arange(-RADIUS, RADIUS + 1.0)
        blurs = torch.stack([torch.exp(-at.square() / (2 * sigma**2)) for sigma in SIGMAS]).repeat(3, 1)
        blurs /= blurs.sum(dim=1, keepdim=True)  # (9, 17): of red, green, blue
        # Converters for phones know no grouped convolutions of such shapes: zeros join nothing but each colour with itself.
        colours, each = torch.eye(3).repeat_interleave(len(SIGMAS), dim=0), torch.eye(3 * len(SIGMAS))
        self.register_buffer("rows", colours[:, :, None, None] * blurs[:, None, None, :], persistent=False)
        self.register_buffer("columns", each[:, :, None, None] * blurs[:, None, :, None], persistent=False)
        self.register_buffer("sums", colours.T[:, :, None, None].contiguous(), persistent=False)  # of each colour's three
        zero_(self.shares)  # training starts from the picture as it is

    def forward(self, x: Tensor, lr: Tensor) -> Tensor:
        """Map x (B, width, h, w) and lr (B, 3, h, w) in [0, 1] to (B, 3, h, w)."""
        shares = self.shares(x)  # (B, 9, h, w)
        if shares.dtype != lr.dtype:  # under autocast; a cast to the same type would be in the exported graph
            shares = shares.to(lr.dtype)
        with full_precision(lr):
            blurred = F.conv2d(F.conv2d(replicated(lr, RADIUS), self.rows), self.columns)
            return lr - lr * F.conv2d(shares, self.sums) + F.conv2d(shares * blurred, self.sums)


def at_rest(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of `Smoothing` among a network's, as in one that does not smooth: zeros."""
    return {name: torch.zeros_like(tensor) for name, tensor in state.items() if ".smoothing." in name}


class SkipDecoder(nn.Module):
    """bicubic(lr) + a residual from the latent and the LR encoder's features, which keeps colours stable (ours).

    With lr_skip=False, for the ablation, it receives the latent alone and adds to mid grey.
    """

    bicubic: Tensor

    def __init__(
        self,
        config: SkipDecoderConfig,
        latent_channels: int,
        feature_width: int,
        *,
        lr_skip: bool = True,
        smoothing: bool = True,
    ) -> None:
        super().__init__()
        self.lr_skip = lr_skip
        self.mix = nn.Conv2d(latent_channels + (feature_width if lr_skip else 0), config.width, 1)
        self.trunk = blocks(config.blocks, config.width)
        self.upsample = nn.Conv2d(config.width, 4 * config.lr_width, 1)
        self.lr_trunk = blocks(config.lr_blocks, config.lr_width)
        self.conv_out = nn.Conv2d(config.lr_width, 3 * SCALE**2, 3, padding=1)
        self.register_buffer("bicubic", bicubic_weights(SCALE), persistent=False)
        zero_(self.conv_out)  # training starts from bicubic
        self.smoothing = Smoothing(config.lr_width) if smoothing and lr_skip else None

    def forward(self, z0: Tensor, features: Tensor, lr: Tensor) -> Tensor:
        """Map z0 (B, C, h/2, w/2), features (B, F, h/2, w/2) and lr (B, 3, h, w) in [0, 1] to hr_hat (B, 3, 4h, 4w).

        hr_hat is not clamped.
        """
        x = torch.cat([z0, features], dim=1) if self.lr_skip else z0
        x = self.trunk(F.relu(self.mix(x)))  # (B, width, h/2, w/2)
        x = F.pixel_shuffle(self.upsample(x), 2)  # (B, lr_width, h, w)
        x = F.relu(self.lr_trunk(x))
        residual = self.conv_out(x)  # (B, 48, h, w)
        if not self.lr_skip:
            return F.pixel_shuffle(residual, SCALE) + 0.5
        if self.smoothing is not None:
            lr = self.smoothing(x, lr)
        # A convolution to 16 phases, and one pixel shuffle for both: a runtime's own Resize is much slower.
        return F.pixel_shuffle(_bicubic_phases(lr, self.bicubic) + residual, SCALE)


class PyramidDecoder(nn.Module):
    """Three resolutions up to half the HR size, then a pixel shuffle; the LR skip and bicubic(lr) as in `SkipDecoder` (ours).

    With lr_skip=False it is the paper's: it receives the latent alone and adds to mid grey.
    """

    bicubic: Tensor

    def __init__(self, config: PyramidDecoderConfig, latent_channels: int, feature_width: int, *, lr_skip: bool = True) -> None:
        super().__init__()
        self.lr_skip = lr_skip
        widths = config.widths
        self.conv_in = nn.Conv2d(latent_channels + (feature_width if lr_skip else 0), widths[0], 3, padding=1)
        self.levels = nn.ModuleList(
            nn.Sequential(*(GroupNormResBlock(width, width, config.groups) for _ in range(count)))
            for width, count in zip(widths, config.blocks, strict=True)
        )
        self.upsample = nn.ModuleList(nn.Conv2d(a, 4 * b, 1) for a, b in pairwise(widths))
        self.norm_out = nn.GroupNorm(min(config.groups, widths[-1]), widths[-1], eps=1e-5)
        self.conv_out = nn.Conv2d(widths[-1], 12, 3, padding=1)
        self.register_buffer("bicubic", bicubic_weights(SCALE), persistent=False)
        zero_(self.conv_out)  # training starts from bicubic

    def forward(self, z0: Tensor, features: Tensor, lr: Tensor) -> Tensor:
        """Map z0 (B, C, h/2, w/2), features (B, F, h/2, w/2) and lr (B, 3, h, w) in [0, 1] to hr_hat (B, 3, 4h, 4w).

        hr_hat is not clamped.
        """
        x = torch.cat([z0, features], dim=1) if self.lr_skip else z0
        x = self.levels[0](self.conv_in(x))  # (B, widths[0], h/2, w/2)
        for upsample, level in zip(self.upsample, list(self.levels)[1:], strict=True):
            x = level(F.pixel_shuffle(upsample(x), 2))
        residual = F.pixel_shuffle(self.conv_out(F.silu(self.norm_out(x))), 2)  # (B, 3, 4h, 4w)
        return residual + (F.pixel_shuffle(_bicubic_phases(lr, self.bicubic), SCALE) if self.lr_skip else 0.5)


def _bicubic_phases(lr: Tensor, weights: Tensor) -> Tensor:
    """Bicubic upsampling of lr (B, 3, h, w) before its pixel shuffle, (B, 48, h, w), in float32."""
    with full_precision(lr):
        return F.conv2d(replicated(lr, 2), weights)
