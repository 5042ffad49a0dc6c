"""The stages: which networks train, and against what (DESIGN section 4). Each is a small class with the loss in one method."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from edgesr import diffusion
from edgesr.errors import UsageError
from edgesr.model import build
from edgesr.model.encoder import HREncoder
from edgesr.presets import Preset
from edgesr.train.losses import PerceptualDistance
from edgesr.train.recipe import LossConfig

Scalars = dict[str, Tensor]


class Networks(nn.Module):
    """Everything a stage may train or freeze."""

    def __init__(self, preset: Preset, seed: int) -> None:
        super().__init__()
        self.edge = build(preset, seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.hr_encoder = HREncoder(preset.latent_channels)


class Stage(Protocol):
    """One stage of training."""

    name: str

    def trained(self, nets: Networks) -> list[nn.Module]:
        """Return the modules whose parameters move; the others are frozen."""
        ...

    def loss(
        self, nets: Networks, hr: Tensor, lr: Tensor, progress: float, generator: torch.Generator
    ) -> tuple[Tensor, Scalars]:
        """Return the loss and its terms for hr (B, 3, H, W) and lr (B, 3, H/4, W/4) in [0, 1]; progress is in [0, 1]."""
        ...

    def reconstruct(self, nets: Networks, hr: Tensor, lr: Tensor, *, latent: bool) -> Tensor:
        """Return what the stage makes of the pair, (B, 3, H, W); with latent=False from a latent of zeros."""
        ...


class Autoencoder:
    """Stage 0: E_H and D (with the LR features that D receives) against pixels; z_h becomes what the LR lacks."""

    name = "autoencoder"

    def __init__(self, config: LossConfig) -> None:
        self.config = config

    def trained(self, nets: Networks) -> list[nn.Module]:
        """E_H, D, and the trunk of E_L; the head of E_L and the UNet get no gradient here."""
        return [nets.hr_encoder, nets.edge.decoder, nets.edge.encoder.stem, nets.edge.encoder.trunk]

    def loss(
        self,
        nets: Networks,
        hr: Tensor,
        lr: Tensor,
        progress: float,  # noqa: ARG002
        generator: torch.Generator,
    ) -> tuple[Tensor, Scalars]:
        """L1 of D(z_h + noise, lr)."""
        z_h = nets.hr_encoder(hr)
        nets.hr_encoder.track_statistics(z_h.detach().float(), momentum=0.02)
        z = z_h + self.config.latent_noise * _normal(z_h, generator)
        features = nets.edge.encoder(lr)[2]
        pixel = (nets.edge.decoder(z, features, lr).float() - hr).abs().mean()
        return self.config.pixel * pixel, {"pixel": pixel.detach(), "std z_h": z_h.detach().std()}

    def reconstruct(self, nets: Networks, hr: Tensor, lr: Tensor, *, latent: bool) -> Tensor:
        """D(z_h, lr)."""
        z_h = nets.hr_encoder(hr)
        return nets.edge.decoder(z_h if latent else torch.zeros_like(z_h), nets.edge.encoder(lr)[2], lr)


class EndToEnd:
    """Stage 4 (ours): E_L, UNet and D together, the one-step result against pixels and features, v against the frozen E_H.

    One evaluation of the UNet serves both: part of the batch is at T, and goes on to the decoder.
    """

    name = "end-to-end"

    def __init__(self, config: LossConfig) -> None:
        self.config = config
        self.perceptual = PerceptualDistance() if config.perceptual else None

    def trained(self, nets: Networks) -> list[nn.Module]:
        """The whole network that ships; E_H stays frozen."""
        return [nets.edge]

    def loss(
        self, nets: Networks, hr: Tensor, lr: Tensor, progress: float, generator: torch.Generator
    ) -> tuple[Tensor, Scalars]:
        """Return pixel L1 at T, mean squared error of v at every t, and the regulariser of s."""
        config, edge = self.config, nets.edge
        with torch.no_grad():
            z_h = nets.hr_encoder(hr).float()
        mu, log_s, features = edge.encoder(lr)
        mu, log_s = mu.float(), log_s.float()
        n = diffusion.conditioned_noise(mu, log_s, _normal(mu, generator))
        t = torch.rand(len(hr), generator=generator).to(hr.device)
        share = config.terminal_start + (config.terminal_end - config.terminal_start) * progress
        terminal = max(1, round(share * len(hr)))
        t[:terminal] = diffusion.T
        v = edge.unet(diffusion.diffuse(z_h, n, t), t).float()
        latent = (v - diffusion.v_target(z_h, n, t)).square().mean()
        z0 = -v[:terminal]  # z0_hat of one step, at T
        out = edge.decoder(z0, features[:terminal], lr[:terminal]).float()
        pixel = (out - hr[:terminal]).abs().mean()
        spread = ((2 * log_s).exp() / 2 - log_s - 0.5).mean()
        loss = config.pixel * pixel + config.latent * latent + config.spread * spread
        scalars = {
            "pixel": pixel,
            "v": latent,
            "mean s": log_s.exp().mean(),
            "norm mu": mu.square().mean().sqrt(),
        }
        if self.perceptual is not None:
            scalars["perceptual"] = self.perceptual.to(hr.device)(out, hr[:terminal])
            loss = loss + config.perceptual * scalars["perceptual"]
        return loss, {name: value.detach() for name, value in scalars.items()}

    def reconstruct(self, nets: Networks, hr: Tensor, lr: Tensor, *, latent: bool) -> Tensor:  # noqa: ARG002
        """D(z0_hat, lr) in one step, as it ships."""
        mu, log_s, features = nets.edge.encoder(lr)
        eps = _normal(mu, torch.Generator().manual_seed(0))
        z0 = diffusion.one_step(nets.edge.unet, diffusion.conditioned_noise(mu, log_s, eps))
        return nets.edge.decoder(z0 if latent else torch.zeros_like(z0), features, lr)


STAGES = {stage.name: stage for stage in (Autoencoder, EndToEnd)}


def get_stage(name: str, config: LossConfig) -> Stage:
    """Return the stage called `name`; raises UsageError that lists the known ones."""
    if name not in STAGES:
        raise UsageError(f"recipe: unknown stage '{name}': choose one of {', '.join(STAGES)}")
    return STAGES[name](config)


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    """Draw on the CPU, so that a seed means the same on every device."""
    return torch.randn(like.shape, generator=generator).to(like.device, like.dtype)
