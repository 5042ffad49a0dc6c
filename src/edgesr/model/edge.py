"""The whole Edge-SD-SR model: LR encoder, one evaluation of the UNet at T, decoder; and the x2 teacher, the same without D."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from edgesr.model import diffusion
from edgesr.model.conditioning import Variant, conditioning
from edgesr.model.decoder import PyramidDecoder, SkipDecoder
from edgesr.model.diffusion import T
from edgesr.model.encoder import LREncoder
from edgesr.model.unet import StableDiffusionUNet, UNet
from edgesr.presets import SCALE, Preset, SkipDecoderConfig, UNetConfig


class Condition(NamedTuple):
    """The condition from the LR picture; all (B, C, h, w) on the latent grid, with C latent channels except for the features."""

    noise: Tensor  # n, the end of the forward process
    mu: Tensor
    log_s: Tensor
    features: Tensor  # (B, width, h, w) of E_L's trunk


class LatentDiffusion(nn.Module):
    """E_L and the UNet, lr -> z0_hat: the diffusion part of the model; at scale 2 it is the teacher of scale distillation."""

    def __init__(self, preset: Preset, variant: Variant | None = None, scale: int = SCALE) -> None:
        super().__init__()
        channels = preset.latent_channels
        self.preset, self.variant = preset, variant or Variant()
        self.encoder = LREncoder(preset.encoder, channels, scale)
        self.conditioning = conditioning(self.variant)
        in_channels = self.conditioning.unet_channels(channels)
        self.unet: UNet | StableDiffusionUNet = (
            UNet(preset.unet, in_channels, channels)
            if isinstance(preset.unet, UNetConfig)
            else StableDiffusionUNet(preset.unet, in_channels, channels)
        )

    def condition(self, lr: Tensor, eps: Tensor) -> Condition:
        """Apply E_L: lr (B, 3, h, w) in [0, 1] and eps ~ N(0, I) on the latent grid give n = mu + s eps and its parts."""
        mu, log_s, features = self.encoder(lr)
        return Condition(self.conditioning.noise(mu, log_s, eps), mu, log_s, features)

    def denoise(self, z_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """v_hat (B, C, h, w) for z_t (B, C, h, w) at t (B,)."""
        return self.unet(self.conditioning.unet_input(z_t, condition.mu), t)

    def one_step(self, condition: Condition) -> Tensor:
        """z0_hat (B, C, h, w): the whole reverse process in one evaluation at T."""
        return diffusion.one_step(lambda z_t, t: self.denoise(z_t, t, condition), condition.noise)

    def in_steps(self, condition: Condition, steps: int) -> Tensor:
        """z0_hat (B, C, h, w) by DDIM with this number of steps; with one step it equals `one_step`."""
        return diffusion.ddim(lambda z_t, t: self.denoise(z_t, t, condition), condition.noise, steps)


class EdgeSR(LatentDiffusion):
    """The inference network: (lr, eps) -> hr in one step, or in several steps before it is folded."""

    def __init__(self, preset: Preset, variant: Variant | None = None) -> None:
        super().__init__(preset, variant)
        self.folded = False
        channels, width, lr_skip = preset.latent_channels, preset.encoder.width, self.variant.lr_skip
        self.decoder: SkipDecoder | PyramidDecoder = (
            SkipDecoder(preset.decoder, channels, width, lr_skip=lr_skip, smoothing=self.variant.smoothing)
            if isinstance(preset.decoder, SkipDecoderConfig)
            else PyramidDecoder(preset.decoder, channels, width, lr_skip=lr_skip)
        )

    def forward(self, lr: Tensor, eps: Tensor, steps: int = 1) -> Tensor:
        """Map lr (B, 3, h, w) in [0, 1] and eps ~ N(0, I) (B, C, h/2, w/2) to hr (B, 3, 4h, 4w) in [0, 1].

        Sides of lr are multiples of `preset.multiple`. Raises ValueError for several steps of a network whose time is folded.
        """
        condition = self.condition(lr, eps)
        z0 = self.one_step(condition) if steps == 1 else self.in_steps(condition, steps)
        return self.decoder(z0, condition.features, lr).clamp(0.0, 1.0)

    def one_step(self, condition: Condition) -> Tensor:
        """z0_hat (B, C, h, w); a folded UNet outputs it directly."""
        if not self.folded:
            return super().one_step(condition)
        return self.denoise(condition.noise, torch.empty(0), condition)  # the time is in the biases

    def in_steps(self, condition: Condition, steps: int) -> Tensor:
        """z0_hat (B, C, h, w) by DDIM; raises ValueError if the time is folded."""
        if self.unet.time is None:
            raise ValueError("the time is folded: this network knows the one step alone")
        return super().in_steps(condition, steps)

    @torch.no_grad()
    def fold(self) -> EdgeSR:
        """Fold everything that does not depend on the picture, for export: the time, the stem's weights, the sign of z0_hat = -v_hat.

        Changes the model in place and returns it; its results stay the same up to rounding.
        """
        self.fold_time()
        self.encoder.fold_stem()
        for parameter in self.unet.conv_out.parameters():
            parameter.neg_()
        self.folded = True
        return self

    def fold_time(self) -> EdgeSR:
        """Fix the UNet to t = T, with its embedding folded into biases, for export. Changes the model in place and returns it."""
        parameter = next(self.parameters())
        self.unet.fold_time(torch.full((1,), T, device=parameter.device))
        return self


def build(preset: Preset, seed: int = 0, variant: Variant | None = None) -> EdgeSR:
    """Return an EdgeSR with newly initialised weights; the same seed gives the same weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return EdgeSR(preset, variant)
