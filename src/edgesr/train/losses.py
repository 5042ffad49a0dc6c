"""The losses: the weighted picture terms, shared by all stages that output pictures, and the latent terms.

A picture term is a function of (out, hr) with a field of `LossConfig` and a row of TERMS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from edgesr.data.fields import bounded
from edgesr.model import diffusion
from edgesr.train.adversary import AdversarialConfig, Adversary, Shown
from edgesr.train.perceptual import perceptual_distance
from edgesr.train.step import Batch, StepRandom

LATTICE_PERIOD = 16  # HR px, of the UNet's coarsest grid; a multiple of the latent's period (8) and the LR picture's (4)
LATTICE_CELL = 64  # HR px a side; patterns are measured per cell, since they may be local
LATTICE_FAINT = 1e-5  # amplitude, of [0, 1], below which the term saturates: the direction of rounding errors is random
COLOUR_CELL = 16  # HR px a side: coarser than the scale of the features, finer than a uniformly coloured area
FEATURES_SHIFT = 8  # the features crop fewer rows and columns than this: covers every offset within their coarsest stride
ADVERSARY_SHIFT = 4  # the same for a discriminator with shifts: every offset within an LR pixel
ARTIFACT_WINDOW = 7  # HR px a side
SHARPEN_SIGMA, SHARPEN_RADIUS = 2.0, 6  # HR px
LEVEL = 1e-3  # mean squared error (30 dB) at which the PSNR term saturates, so that flat crops do not dominate


@dataclass(frozen=True)
class LossConfig:
    """Weights of the terms; pixel values in [0, 1], latents of unit variance. A stage rejects fields that it does not read."""

    pixel: float = bounded(1.0, "0 or more")  # L1 of D(one-step z0_hat, lr)
    psnr: float = bounded(0.0, "0 or more")  # negative PSNR of each crop in dB, of the same; saturates at 30 dB
    perceptual: float = bounded(0.0, "0 or more")  # distance of features, of the same; with 0 the network is not loaded
    perceptual_network: str = "efficientnet-lite0"  # or vgg16, lpips-vgg, lpips-alex, if their weights are available
    # HR px a side of the random window for the features; 0: whole crops. 96 takes a third of the time.
    perceptual_window: int = bounded(0, "0 or more")
    # Share of the ground truth in targets that come from a teacher.
    truth: float = bounded(0.0, "0 to 1")
    sharpen: float = bounded(0.0, "0 or more")  # weight of an unsharp mask on a teacher's targets; on truths there is none
    # Faint patterns with the period of the network's grids, which perceptual terms encourage.
    lattice: float = bounded(0.0, "0 or more")
    colour: float = bounded(0.0, "0 or more")  # L1 of the means of 16 px cells, which features do not constrain
    artifacts: float = bounded(0.0, "0 or more")  # L1 weighted by the local variance of the error (LDL)
    # L1 between results for shifted LR pictures: patterns of the latent's and the UNet's grids.
    equivariance: float = bounded(0.0, "0 or more")
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    latent: float = bounded(0.02, "0 or more")  # mean squared error of v, or of z0_hat against the teacher's
    weighting: Literal["v", "z0"] = "v"  # of that error over t: of v, or times sigma_t^2, which is the squared error of z0_hat
    target: Literal["teacher", "truth"] = "teacher"  # of stage student-x4: scale distillation, or none (the ablation)
    log_s_reg: float = bounded(1e-4, "0 or more")  # of s only, not mu: see `log_s_regulariser` (docs/method.md, pitfalls)
    mu_prior: float = bounded(0.1, "0 or more")  # squared error of mu as a prediction of z_h, in stage autoencoder (ours)
    latent_noise: float = bounded(0.1, "0 or more")  # standard deviation of the noise on z_h in stage autoencoder (ours)
    # Share of a batch at t = T at the first step; the rest is uniform in [0, T].
    terminal_start: float = bounded(0.75, "0 to 1")
    # The same at the last step: timesteps move towards T during training.
    terminal_end: float = bounded(1.0, "0 to 1")

    def terminal_share(self, progress: float) -> float:
        """The share of a batch at T; `progress` in [0, 1]."""
        return self.terminal_start + (self.terminal_end - self.terminal_start) * progress


class Terms(NamedTuple):
    """The picture terms of one step."""

    total: Tensor  # their weighted sum, scalar
    scalars: dict[str, Tensor]
    shown: Shown | None  # input of the adversary, if active


class PictureLoss:
    """Weighted sum of the picture terms; terms of weight 0 are not computed. Owns the adversary, if there is one."""

    # The fields of LossConfig that it reads.
    fields = frozenset(
        [
            "pixel",
            "psnr",
            "perceptual",
            "perceptual_network",
            "perceptual_window",
            "truth",
            "sharpen",
            "lattice",
            "colour",
            "artifacts",
            "adversarial",
        ]
    )

    def __init__(self, config: LossConfig, seed: int, device: torch.device) -> None:
        self.config = config
        self.features = perceptual_distance(config.perceptual_network).to(device) if config.perceptual else None
        self.adversary = Adversary(config.adversarial, seed, device) if config.adversarial.weight else None

    def __call__(self, out: Tensor, batch: Batch, progress: float, random: StepRandom) -> Terms:
        """Return the terms of out (B', 3, H, W) in [0, 1], made from the first B' of the batch.

        The target is a teacher's, the ground truth, or a weighted mean of both.
        """
        config, rows = self.config, slice(len(out))
        wanted = self.wanted(batch)[rows]
        window = _window(random, config.perceptual_window, out)
        scalars = {name: term(out, wanted) for name, term in TERMS.items() if getattr(config, name) or name == "pixel"}
        if self.features is not None:
            scalars["perceptual"] = self.features(window(out), window(wanted))
        weights = {name: getattr(config, name) * (-1 if name == "psnr" else 1) for name in scalars}
        shown = self._shown(out, wanted, batch, progress, random)
        if shown is not None and self.adversary is not None:
            scalars["adversarial"] = self.adversary.generator_term(shown, random.processes)
            weights["adversarial"] = config.adversarial.weight_at(progress)
        total = torch.stack([weights[name] * value.float() for name, value in scalars.items()]).sum()
        return Terms(total, scalars, shown)

    def wanted(self, batch: Batch) -> Tensor:
        """What pictures are compared with, (B, 3, H, W) in [0, 1]: hr, or a teacher's target, mixed with hr and sharpened."""
        wanted, config = batch.wanted, self.config
        if config.truth:
            wanted = wanted.lerp(batch.hr, config.truth)
        if config.sharpen:
            taught = (batch.wanted != batch.hr).flatten(1).any(dim=1)[:, None, None, None]
            wanted = torch.where(taught, sharpened(wanted, config.sharpen), wanted)
        return wanted

    def _shown(self, out: Tensor, wanted: Tensor, batch: Batch, progress: float, random: StepRandom) -> Shown | None:
        """The adversary's input; None if it is not active."""
        config = self.config.adversarial
        if self.adversary is None or progress < config.start:
            return None
        real = wanted if config.real == "target" else batch.hr[: len(out)]
        shift = random.shift(ADVERSARY_SHIFT) if config.network == "highpass-patch" else (0, 0)
        return Shown(out, real, batch.lr[: len(out)], shift)


def _window(random: StepRandom, side: int, pictures: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the crop function for a step's features; `side` in HR px, 0 for everything except some first rows and columns.

    A new position every step keeps the features' strides from aligning with the decoder's pixel shuffle; otherwise a faint lattice
    develops on flat areas (ours).
    """
    if not side:
        down, right = random.shift(FEATURES_SHIFT)
        return lambda pictures: pictures[..., down:, right:]
    down, right = random.window(side, *pictures.shape[-2:])
    return lambda pictures: pictures[..., down : down + side, right : right + side]


def sharpened(pictures: Tensor, weight: float) -> Tensor:
    """Unsharp mask: pictures + weight (pictures - their Gaussian blur of 2 px), clamped; (B, 3, H, W) in [0, 1], sides above 6 (ours).

    Real-ESRGAN (arXiv 2107.10833, section 3.4) trains on sharpened truths with a threshold; here teachers' targets alone are sharpened.
    """
    places = torch.arange(-SHARPEN_RADIUS, SHARPEN_RADIUS + 1, device=pictures.device, dtype=pictures.dtype)
    kernel = (-places.square() / (2 * SHARPEN_SIGMA**2)).exp()
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    padded = F.pad(pictures, [SHARPEN_RADIUS] * 4, mode="reflect")
    blurred = F.conv2d(F.conv2d(padded, kernel, groups=3), kernel.transpose(2, 3), groups=3)
    return (pictures + weight * (pictures - blurred)).clamp(0, 1)


def absolute_error(out: Tensor, hr: Tensor) -> Tensor:
    """L1: out and hr are (B, 3, H, W) in [0, 1]."""
    return (out - hr).abs().mean()


def psnr(out: Tensor, hr: Tensor) -> Tensor:
    """Mean PSNR of the pictures in dB, saturating at 30: out and hr are (B, 3, H, W) in [0, 1]."""
    error = (out - hr).square().mean(dim=(1, 2, 3))
    return -10 * (error + LEVEL).log10().mean()


def colour_shift(out: Tensor, hr: Tensor) -> Tensor:
    """The mean absolute difference of the means of cells of 16 px: out and hr are (B, 3, H, W) in [0, 1], H and W at least 16."""
    return F.avg_pool2d(out - hr, COLOUR_CELL).abs().mean()


def artifacts(out: Tensor, hr: Tensor) -> Tensor:
    """L1 weighted by the variance of the error around each pixel and in the whole crop, which is typical of adversarial artefacts.

    LDL of Liang et al. 2022 (arXiv 2203.09195, equations 3 to 5) without its comparison with an averaged network; the weights have no
    gradient. Areas of uniform error contribute nothing. out and hr are (B, 3, H, W) in [0, 1].
    """
    error = (out - hr).abs()
    residual = error.detach().sum(dim=1, keepdim=True)  # (B, 1, H, W)
    padded = F.pad(residual, [ARTIFACT_WINDOW // 2] * 4, mode="reflect")
    mean, square = (F.avg_pool2d(x, ARTIFACT_WINDOW, stride=1) for x in (padded, padded.square()))
    count = ARTIFACT_WINDOW**2
    local = (square - mean.square()).clamp_min(0) * (count / (count - 1))
    return (residual.var(dim=(1, 2, 3), keepdim=True) ** 0.2 * local * error).mean()


def lattice(out: Tensor, hr: Tensor) -> Tensor:
    """Periodic error with the period of the network's grids: the sum of its harmonics' amplitudes, mean over cells and channels (ours).

    To a feature network, a soft area with a faint periodic pattern looks more like a photograph, and a network that downsamples and
    upsamples produces such patterns easily; they are too faint for L1. Only harmonics of the period count, so textures are hardly
    affected. Amplitudes are summed, not powers, so that strong harmonics do not mask faint ones. out and hr are (B, 3, H, W) in [0, 1],
    H and W at least 16.
    """
    batch, channels, height, width = out.shape
    period, cell = LATTICE_PERIOD, min(LATTICE_CELL, min(height, width) // LATTICE_PERIOD * LATTICE_PERIOD)
    rows, columns, repeats = height // cell, width // cell, cell // period
    error = (out - hr)[..., : rows * cell, : columns * cell]
    folded = error.reshape(batch, channels, rows, repeats, period, columns, repeats, period).mean(dim=(3, 6))
    power = torch.view_as_real(torch.fft.fft2(folded, dim=(3, 5), norm="forward")).square().sum(dim=-1)
    amplitudes = (power + LATTICE_FAINT**2).sqrt() - LATTICE_FAINT  # (B, 3, rows, 16, columns, 16)
    return (amplitudes.sum(dim=(3, 5)) - amplitudes[:, :, :, 0, :, 0]).mean()


TERMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "pixel": absolute_error,
    "psnr": psnr,
    "lattice": lattice,
    "colour": colour_shift,
    "artifacts": artifacts,
}

# The fields of LossConfig that the latent loss depends on.
LATENT_FIELDS = frozenset(("latent", "weighting", "log_s_reg", "terminal_start", "terminal_end"))


def v_error(config: LossConfig, v: Tensor, noise: Tensor, z_h: Tensor, t: Tensor) -> Tensor:
    """Mean squared error of v_hat (B, C, h, w) against alpha_t noise - sigma_t z_h; t (B,) in [0, T].

    The weighting "z0" multiplies it by sigma_t^2, which gives the squared error of z0_hat.
    """
    error = (v - diffusion.v_target(z_h, noise, t)).square()
    if config.weighting == "z0":
        error = diffusion.alpha_sigma(t, error)[1] ** 2 * error
    return error.mean()


def log_s_regulariser(log_s: Tensor) -> Tensor:
    """Mean of (s^2 - 1) / 2 - log s, the KL divergence of N(0, s^2) from N(0, 1): 0 where s is 1."""
    return ((2 * log_s).exp() / 2 - log_s - 0.5).mean()
