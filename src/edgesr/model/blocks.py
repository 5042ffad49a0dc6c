"""Building blocks shared by the networks: residual blocks with and without norm, the time embedding, the bicubic path."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ResBlock(nn.Module):
    """x + conv2(relu(conv1(x) + time)), norm-free; conv2 is zero-initialised, so that the block starts as identity (ours).

    Every runtime can fuse ReLU and the plain sum into the convolution.
    """

    def __init__(self, width: int, time_width: int | None = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.time = nn.Linear(time_width, width) if time_width else None
        zero_(self.conv2)

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """Map (B, C, h, w) to (B, C, h, w); `time` is (B, time_width) if the block was built with one."""
        y = self.conv1(x)
        if self.time is not None:
            y = y + self.time(time)[:, :, None, None]
        return x + self.conv2(F.relu(y))

    @torch.no_grad()
    def fold_time(self, time: Tensor) -> None:
        """Fold one time embedding (1, time_width) into the bias of conv1 and drop the projection; raise ValueError if there is none."""
        if self.time is None or self.conv1.bias is None:
            raise ValueError("this block has no time projection to fold")
        self.conv1.bias += self.time(time)[0]
        self.time = None


class GroupNormResBlock(nn.Module):
    """Stable Diffusion's residual block: twice GroupNorm, SiLU and convolution, with the time added in between."""

    def __init__(self, in_width: int, out_width: int, groups: int, time_width: int | None = None) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(min(groups, in_width), in_width, eps=1e-5)
        self.conv1 = nn.Conv2d(in_width, out_width, 3, padding=1)
        self.time = nn.Linear(time_width, out_width) if time_width else None
        self.norm2 = nn.GroupNorm(min(groups, out_width), out_width, eps=1e-5)
        self.conv2 = nn.Conv2d(out_width, out_width, 3, padding=1)
        self.shortcut = nn.Conv2d(in_width, out_width, 1) if in_width != out_width else nn.Identity()
        zero_(self.conv2)

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """Map (B, in_width, h, w) to (B, out_width, h, w); `time` is (B, time_width) if the block was built with one."""
        y = self.conv1(F.silu(self.norm1(x)))
        if self.time is not None:
            y = y + self.time(F.silu(time))[:, :, None, None]  # type: ignore[arg-type]  # a block built with a time is called with one
        return self.shortcut(x) + self.conv2(F.silu(self.norm2(y)))

    @torch.no_grad()
    def fold_time(self, time: Tensor) -> None:
        """Fold one time embedding (1, time_width) into the bias of conv1 and drop the projection; raise ValueError if there is none."""
        if self.time is None or self.conv1.bias is None:
            raise ValueError("this block has no time projection to fold")
        self.conv1.bias += self.time(F.silu(time))[0]
        self.time = None


class TimeEmbedding(nn.Module):
    """Sinusoids of 1000 t through two linear layers (as in Stable Diffusion)."""

    def __init__(self, sinusoids: int, width: int) -> None:
        super().__init__()
        self.sinusoids = sinusoids
        self.linear1 = nn.Linear(sinusoids, width)
        self.linear2 = nn.Linear(width, width)

    def forward(self, t: Tensor) -> Tensor:
        """Map t (B,) in [0, 1] to (B, width)."""
        half = self.sinusoids // 2
        frequencies = torch.exp(torch.arange(half, device=t.device) * (-math.log(10_000.0) / half))
        angles = 1000.0 * t.float()[:, None] * frequencies
        waves = torch.cat([angles.cos(), angles.sin()], dim=1).to(self.linear1.weight.dtype)
        return self.linear2(F.silu(self.linear1(waves)))


def blocks(count: int, width: int) -> nn.Sequential:
    """Return a sequence of `count` ResBlocks without time."""
    return nn.Sequential(*(ResBlock(width) for _ in range(count)))


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Disable autocast if it is on: bfloat16 cannot represent the 256 levels of a picture."""
    device = x.device.type
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()


def replicated(x: Tensor, border: int) -> Tensor:
    """Return (B, C, h + 2 border, w + 2 border): `x` with its outermost rows and columns repeated.

    Uses slices and concatenations, since Core ML and XNNPACK can only pad with a constant.
    """
    x = torch.cat([x[:, :, :1]] * border + [x] + [x[:, :, -1:]] * border, dim=2)
    return torch.cat([x[..., :1]] * border + [x] + [x[..., -1:]] * border, dim=3)


def zero_(*convolutions: nn.Conv2d) -> None:
    """Set weights and biases to zero, so that the layer contributes nothing before training."""
    for convolution in convolutions:
        nn.init.zeros_(convolution.weight)
        if convolution.bias is not None:
            nn.init.zeros_(convolution.bias)


def bicubic_weights(scale: int) -> Tensor:
    """Return the (scale^2 * 3, 3, 5, 5) kernel of bicubic upsampling (Keys, a = -1/2, as in Pillow) before a pixel shuffle.

    Output pixel i is at (i + 1/2) / scale - 1/2 of the input, so each of the scale^2 phases is one fixed 5x5 convolution.
    """
    phases = torch.zeros(scale, 5, dtype=torch.float64)
    for phase in range(scale):
        position = (phase + 0.5) / scale - 0.5
        for tap in range(5):
            phases[phase, tap] = _keys(position - (tap - 2))
    planes = torch.einsum("ya,xb->yxab", phases, phases).reshape(scale * scale, 5, 5)
    weight = torch.zeros(3, scale * scale, 3, 5, 5, dtype=torch.float64)
    for channel in range(3):
        weight[channel, :, channel] = planes
    return weight.reshape(3 * scale * scale, 3, 5, 5).float()


def _keys(x: float, a: float = -0.5) -> float:
    x = abs(x)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    if x < 2:
        return a * (x**3 - 5 * x**2 + 8 * x - 4)
    return 0.0


def fold_time(modules: Sequence[nn.Module], time: Tensor) -> None:
    """Fold one time embedding (1, time_width) into the biases of every residual block among `modules`."""
    for module in modules:
        if isinstance(module, ResBlock | GroupNormResBlock) and module.time is not None:
            module.fold_time(time)
