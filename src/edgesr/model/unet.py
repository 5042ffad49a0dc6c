"""The two UNets that predict v from z_t and t: a norm-free one for edge devices (ours) and Stable Diffusion's architecture for `paper`."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgesr.model.blocks import GroupNormResBlock, ResBlock, TimeEmbedding, fold_time
from edgesr.presets import StableDiffusionUNetConfig, UNetConfig


class TimedNetwork(nn.Module):
    """A network with a time input, which can be fixed."""

    time: TimeEmbedding | None

    def fold_time(self, t: Tensor) -> None:
        """Fix the time to t (1,): its embedding is folded into biases, and `forward` ignores t afterwards."""
        if self.time is None:
            raise ValueError("the time is folded already")
        fold_time(list(self.modules()), self.time(t))
        self.time = None


class UNet(TimedNetwork):
    """Norm-free, additive skips, 1x1 and 2x2 convolutions between levels: a small, known receptive field (ours)."""

    def __init__(self, config: UNetConfig, in_channels: int, out_channels: int) -> None:
        super().__init__()
        widths, time_width = config.widths, config.time_width
        self.time = TimeEmbedding(time_width, time_width)
        self.conv_in = nn.Conv2d(in_channels, widths[0], 1)
        self.down = nn.ModuleList(_level(config.blocks, width, time_width) for width in widths[:-1])
        self.downsample = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.middle = _level(config.middle_blocks, widths[-1], time_width)
        self.upsample = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in pairwise(widths))
        self.up = nn.ModuleList(_level(config.blocks, width, time_width) for width in widths[:-1])
        self.conv_out = nn.Conv2d(widths[0], out_channels, 1)

    def forward(self, z_t: Tensor, t: Tensor) -> Tensor:
        """Map z_t (B, in_channels, h, w), sides multiples of 2^(levels - 1), and t (B,) to v_hat (B, out_channels, h, w)."""
        time = self.time(t) if self.time is not None else None
        x = self.conv_in(z_t)
        skips = []
        for level, downsample in zip(self.down, self.downsample, strict=True):
            x = _run(level, x, time)
            skips.append(x)
            x = downsample(x)
        x = _run(self.middle, x, time)
        for level, upsample in zip(reversed(self.up), reversed(self.upsample), strict=True):
            x = skips.pop() + F.pixel_shuffle(upsample(x), 2)
            x = _run(level, x, time)
        return self.conv_out(x)


class StableDiffusionUNet(TimedNetwork):
    """Stable Diffusion's UNet without attention and text: the order of its layers is kept, so that its weights can be cut to fit."""

    def __init__(self, config: StableDiffusionUNetConfig, in_channels: int, out_channels: int) -> None:
        super().__init__()
        widths, groups, time_width = config.widths, config.groups, config.time_width

        def block(a: int, b: int) -> GroupNormResBlock:
            return GroupNormResBlock(a, b, groups, time_width)

        self.time = TimeEmbedding(widths[0], time_width)
        self.conv_in = nn.Conv2d(in_channels, widths[0], 3, padding=1)
        self.down, self.downsample = nn.ModuleList(), nn.ModuleList()
        skips, width = [widths[0]], widths[0]
        for i, out_width in enumerate(widths):
            self.down.append(nn.ModuleList(block(width if j == 0 else out_width, out_width) for j in range(config.blocks)))
            skips += [out_width] * config.blocks
            width = out_width
            if i < len(widths) - 1:
                self.downsample.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
                skips.append(width)
        self.middle = nn.ModuleList([block(width, width), block(width, width)])
        self.up, self.upsample = nn.ModuleList(), nn.ModuleList()
        for i, out_width in enumerate(reversed(widths)):
            level = nn.ModuleList()
            for _ in range(config.blocks + 1):
                level.append(block(width + skips.pop(), out_width))
                width = out_width
            self.up.append(level)
            if i < len(widths) - 1:
                self.upsample.append(nn.Conv2d(width, width, 3, padding=1))
        self.norm_out = nn.GroupNorm(groups, width, eps=1e-5)
        self.conv_out = nn.Conv2d(width, out_channels, 3, padding=1)

    def forward(self, z_t: Tensor, t: Tensor) -> Tensor:
        """Map z_t (B, in_channels, h, w), sides multiples of 2^(levels - 1), and t (B,) to v_hat (B, out_channels, h, w)."""
        time = self.time(t) if self.time is not None else None
        x = self.conv_in(z_t)
        skips = [x]
        for i, level in enumerate(self.down):
            for block in level:  # type: ignore[attr-defined]
                x = block(x, time)
                skips.append(x)
            if i < len(self.downsample):
                x = self.downsample[i](x)
                skips.append(x)
        x = _run(self.middle, x, time)
        for i, level in enumerate(self.up):
            for block in level:  # type: ignore[attr-defined]
                x = block(torch.cat([x, skips.pop()], dim=1), time)
            if i < len(self.upsample):
                x = self.upsample[i](F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return self.conv_out(F.silu(self.norm_out(x)))


def _level(count: int, width: int, time_width: int) -> nn.ModuleList:
    return nn.ModuleList(ResBlock(width, time_width) for _ in range(count))


def _run(level: nn.Module, x: Tensor, time: Tensor | None) -> Tensor:
    for block in level.children():
        x = block(x, time)
    return x
