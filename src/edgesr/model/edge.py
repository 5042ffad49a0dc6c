"""Edge-SD-SR put together: LR encoder, one evaluation of the UNet at T, decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgesr.diffusion import T, conditioned_noise, one_step
from edgesr.model.decoder import LatentDecoder, SkipDecoder
from edgesr.model.encoder import LREncoder
from edgesr.model.unet import StableDiffusionUNet, UNet
from edgesr.presets import Preset, SkipDecoderConfig, UNetConfig


class EdgeSR(nn.Module):
    """The network that ships: (lr, eps) -> hr in one step."""

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        channels = preset.latent_channels
        self.preset = preset
        self.encoder = LREncoder(preset.encoder, channels)
        self.unet: UNet | StableDiffusionUNet = (
            UNet(preset.unet, channels, channels)
            if isinstance(preset.unet, UNetConfig)
            else StableDiffusionUNet(preset.unet, channels, channels)
        )
        self.decoder: SkipDecoder | LatentDecoder = (
            SkipDecoder(preset.decoder, channels, preset.encoder.width)
            if isinstance(preset.decoder, SkipDecoderConfig)
            else LatentDecoder(preset.decoder, channels)
        )

    def forward(self, lr: Tensor, eps: Tensor) -> Tensor:
        """Map lr (B, 3, h, w) in [0, 1] and eps ~ N(0, I) (B, C, h/2, w/2) to hr (B, 3, 4h, 4w) in [0, 1].

        Sides of lr are multiples of `preset.multiple`.
        """
        mu, log_s, features = self.encoder(lr)
        z0 = one_step(self.unet, conditioned_noise(mu, log_s, eps))
        return self.decoder(z0, features, lr).clamp(0.0, 1.0)

    def fold_time(self) -> EdgeSR:
        """Fix the UNet to t = T, its embedding folded into biases: for export. Changes the model in place and returns it."""
        parameter = next(self.parameters())
        self.unet.fold_time(torch.full((1,), T, device=parameter.device))
        return self


def build(preset: Preset, seed: int = 0) -> EdgeSR:
    """Return an EdgeSR with freshly initialised weights, the same ones for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return EdgeSR(preset)
