"""The random parameters of the blind degradation: their ranges, and their draws for a batch on the CPU, so that one
seed gives the same degradation on every device."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from edgesr.data import kernels
from edgesr.data.fields import bounded

RESIZE_MODES = ("area", "bilinear", "bicubic")

Range = tuple[float, float]


@dataclass(frozen=True)
class RoundConfig:
    """Ranges of one round, with the first round's defaults: those of Real-ESRGAN's published training options."""

    blur_probability: float = bounded(1.0, "0 to 1")  # share of the samples that are blurred
    kernel_size: tuple[int, int] = (7, 21)  # px, odd, both ends included
    # isotropic, anisotropic, generalised isotropic, generalised anisotropic, plateau isotropic, plateau anisotropic
    kernel_weights: tuple[float, ...] = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
    # Share of the blurred samples that get a sinc kernel instead of the six above.
    sinc_probability: float = bounded(0.1, "0 to 1")
    sigma: Range = (0.2, 3.0)  # px, standard deviation of the Gaussian family along each axis
    generalised_beta: Range = (0.5, 4.0)  # shape exponent; half of the draws below 1, half above
    plateau_beta: Range = (1.0, 2.0)  # shape exponent of the plateau
    resize_weights: tuple[float, float, float] = (0.2, 0.7, 0.1)  # up, down, keep
    resize_range: Range = (0.15, 1.5)  # factor; first round: of the HR side, second round: of the LR side
    # Share of the samples with Gaussian noise; the others get Poisson noise.
    gaussian_probability: float = bounded(0.5, "0 to 1")
    gaussian_sigma: Range = (1.0, 30.0)  # grey levels of 255
    poisson_scale: Range = (0.05, 3.0)  # factor on the shot noise, with 256 photons for a white pixel
    grey_probability: float = bounded(0.4, "0 to 1")  # share of the samples whose noise is the same in all three channels
    jpeg_quality: tuple[int, int] = (30, 95)  # libjpeg's quality, both ends included


FIRST_ROUND = RoundConfig()
SECOND_ROUND = RoundConfig(
    blur_probability=0.8,
    sigma=(0.2, 1.5),
    resize_weights=(0.3, 0.4, 0.3),
    resize_range=(0.3, 1.2),
    gaussian_sigma=(1.0, 25.0),
    poisson_scale=(0.05, 2.5),
)


@dataclass(frozen=True)
class LastRoundConfig:
    """Ranges of a third round at the size of the LR picture (ours).

    The last resize of the two rounds smooths everything before it. Real small pictures are often out of focus by a few of their own
    pixels, or have per-pixel noise and colour speckle.
    """

    probability: float = bounded(0.0, "0 to 1")  # share of the samples that go through it
    blur_probability: float = bounded(0.4, "0 to 1")  # of those, the share that is blurred
    sigma: Range = (0.4, 2.0)  # LR px, standard deviation of an isotropic Gaussian
    noise_probability: float = bounded(0.5, "0 to 1")  # of those, the share with per-pixel Gaussian noise
    noise_sigma: Range = (1.0, 16.0)  # grey levels of 255
    # Of the noisy ones, the share with chroma noise only, in specks of two pixels.
    colour_probability: float = bounded(0.5, "0 to 1")
    impulse_probability: float = bounded(0.1, "0 to 1")  # of those, the share in which single pixels are black or white
    impulse_share: Range = (0.001, 0.02)  # of the pixels of such a sample
    jpeg_probability: float = bounded(0.6, "0 to 1")  # of those, the share that is compressed at the end
    jpeg_quality: tuple[int, int] = (40, 95)


@dataclass(frozen=True)
class DegradationConfig:
    """Ranges of the whole pipeline; defaults from the same source unless marked "ours"."""

    first: RoundConfig = FIRST_ROUND
    second: RoundConfig = SECOND_ROUND
    final_sinc_probability: float = bounded(0.8, "0 to 1")  # share of the samples with a sinc filter at the end
    final_sinc_size: tuple[int, int] = (7, 21)  # px, odd
    final_sinc_cutoff: Range = (math.pi / 3, math.pi)  # radians per px
    # Share of the groups that are only lightly degraded, since many small pictures are clean (ours).
    light_probability: float = bounded(0.0, "0 to 1")
    last: LastRoundConfig = LastRoundConfig()
    # Samples that share resizes and the order of the last steps (ours: a tensor has one size).
    group: int = bounded(4, "1 or more")


@dataclass(frozen=True)
class Round:
    """The parameters of one round for a group of G samples; CPU tensors."""

    kernels: torch.Tensor  # (G, K, K)
    factor: float  # of the resize
    mode: str  # of the resize, one of RESIZE_MODES
    gaussian: torch.Tensor  # (G,) bool: Gaussian noise, else Poisson
    strength: torch.Tensor  # (G,) standard deviation in [0, 1] units, or factor on the Poisson noise
    grey: torch.Tensor  # (G,) bool
    quality: torch.Tensor  # (G,)


@dataclass(frozen=True)
class LastRound:
    """The parameters of the last round for a group of G samples; CPU tensors."""

    kernels: torch.Tensor  # (G, K, K), a centred impulse where there is no blur
    strength: torch.Tensor  # (G,) standard deviation of the noise in [0, 1] units, 0 for none
    colour: torch.Tensor  # (G,) bool: chroma noise only
    impulses: torch.Tensor  # (G,) share of the pixels that are black or white
    quality: torch.Tensor  # (G,) of the JPEG, 0 for none


@dataclass(frozen=True)
class Plan:
    """All random parameters of the degradation of a group of G samples, except the noise fields."""

    first: Round
    second: Round
    final_kernels: torch.Tensor  # (G, K, K)
    final_mode: str  # of the last resize, one of RESIZE_MODES
    jpeg_last: bool  # whether the second JPEG comes after the last resize and sinc filter, or before
    light: bool  # whether all this is replaced by one plain reduction
    last: LastRound | None = None  # after either


def draw_plans(batch: int, config: DegradationConfig, generator: torch.Generator) -> list[Plan]:
    """One plan for each group of `config.group` samples of a batch (the last group may be smaller).

    Drawn for the whole batch at once, which is faster than group by group. `generator` is a CPU generator.
    """
    first = _draw_rounds(batch, config.first, config.group, generator)
    final_kernels = _draw_final_kernels(batch, config, generator).split(config.group)
    second = _draw_rounds(batch, config.second, config.group, generator)
    final_modes = _draw_modes(len(first), generator)
    jpeg_last = (torch.rand(len(first), generator=generator) < 0.5).tolist()
    light = (torch.rand(len(first), generator=generator) < config.light_probability).tolist()
    last = _draw_last_rounds(batch, config, generator) if config.last.probability else [None] * len(first)
    return [Plan(*parts) for parts in zip(first, second, final_kernels, final_modes, jpeg_last, light, last, strict=True)]


def _draw_rounds(batch: int, config: RoundConfig, group: int, generator: torch.Generator) -> list[Round]:
    groups = math.ceil(batch / group)
    gaussian = torch.rand(batch, generator=generator) < config.gaussian_probability
    sigma = _uniform(batch, config.gaussian_sigma, generator) / 255
    poisson = _uniform(batch, config.poisson_scale, generator)
    strength = torch.where(gaussian, sigma, poisson)
    grey = torch.rand(batch, generator=generator) < config.grey_probability
    low, high = config.jpeg_quality
    quality = torch.randint(low, high + 1, (batch,), generator=generator).float()
    rounds = zip(
        _draw_kernels(batch, config, generator).split(group),
        _draw_factors(groups, config, generator),
        _draw_modes(groups, generator),
        gaussian.split(group),
        strength.split(group),
        grey.split(group),
        quality.split(group),
        strict=True,
    )
    return [Round(*parts) for parts in rounds]


def _uniform(count: int, bounds: tuple[float, float], generator: torch.Generator) -> torch.Tensor:
    low, high = bounds
    return low + (high - low) * torch.rand(count, generator=generator)


def _draw_choices(count: int, weights: tuple[float, ...], generator: torch.Generator) -> torch.Tensor:
    """Indices (B,), each in proportion to its weight."""
    return torch.multinomial(torch.tensor(weights, dtype=torch.float32), count, replacement=True, generator=generator)


def _draw_beta(count: int, bounds: tuple[float, float], generator: torch.Generator) -> torch.Tensor:
    """Half of the exponents below 1 (peaked kernels), half above (flat ones), as in the original."""
    low, high = bounds
    below = torch.rand(count, generator=generator) < 0.5
    return torch.where(below, _uniform(count, (low, 1.0), generator), _uniform(count, (1.0, high), generator))


def _draw_sizes(count: int, bounds: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
    """Odd kernel sizes (B,) between two odd bounds."""
    low, high = bounds
    return low + 2 * torch.randint((high - low) // 2 + 1, (count,), generator=generator)


def _draw_kernels(count: int, config: RoundConfig, generator: torch.Generator) -> torch.Tensor:
    """Blur kernels of a round, (B, K, K); samples that are not blurred get a centred impulse."""
    extent = config.kernel_size[1]
    size = _draw_sizes(count, config.kernel_size, generator)
    family = _draw_choices(count, config.kernel_weights, generator)
    sigma_x, sigma_y = _uniform(count, config.sigma, generator), _uniform(count, config.sigma, generator)
    sigma_y = torch.where(family % 2 == 0, sigma_x, sigma_y)  # even families are isotropic
    theta = _uniform(count, (-math.pi, math.pi), generator)
    form = kernels.quadratic_form(sigma_x, sigma_y, theta, extent)
    beta = torch.where(family < 2, torch.ones(count), _draw_beta(count, config.generalised_beta, generator))
    plateau = kernels.plateau(form, _draw_beta(count, config.plateau_beta, generator))
    bell = torch.where((family < 4)[:, None, None], kernels.generalised_gaussian(form, beta), plateau)

    # Small kernels cannot hold the ringing of a low cutoff.
    lowest = torch.where(size < 13, math.pi / 3, math.pi / 5)
    cutoff = lowest + (math.pi - lowest) * torch.rand(count, generator=generator)
    is_sinc = torch.rand(count, generator=generator) < config.sinc_probability
    drawn = torch.where(is_sinc[:, None, None], kernels.sinc(cutoff, extent), bell)
    return _or_impulse(kernels.crop_and_normalise(drawn, size), config.blur_probability, generator)


def _draw_final_kernels(count: int, config: DegradationConfig, generator: torch.Generator) -> torch.Tensor:
    """Sinc kernels of the end of the pipeline, (B, K, K)."""
    size = _draw_sizes(count, config.final_sinc_size, generator)
    cutoff = _uniform(count, config.final_sinc_cutoff, generator)
    drawn = kernels.crop_and_normalise(kernels.sinc(cutoff, config.final_sinc_size[1]), size)
    return _or_impulse(drawn, config.final_sinc_probability, generator)


def _draw_last_rounds(batch: int, config: DegradationConfig, generator: torch.Generator) -> list[LastRound]:
    last, group = config.last, config.group

    def happens(probability: float) -> torch.Tensor:
        return torch.rand(batch, generator=generator) < probability

    through = happens(last.probability)
    extent = 2 * math.ceil(3 * last.sigma[1]) + 1  # px: three standard deviations on each side
    sigma = _uniform(batch, last.sigma, generator)
    form = kernels.quadratic_form(sigma, sigma, torch.zeros(batch), extent)
    bell = kernels.crop_and_normalise(kernels.generalised_gaussian(form, torch.ones(batch)), torch.full((batch,), extent))
    none = torch.zeros(extent, extent)
    none[extent // 2, extent // 2] = 1
    blurred, noisy, quality = happens(last.blur_probability), happens(last.noise_probability), last.jpeg_quality
    parts = (
        torch.where((through & blurred)[:, None, None], bell, none),
        _uniform(batch, last.noise_sigma, generator) / 255 * (through & noisy),
        happens(last.colour_probability),
        _uniform(batch, last.impulse_share, generator) * (through & happens(last.impulse_probability)),
        torch.randint(quality[0], quality[1] + 1, (batch,), generator=generator) * (through & happens(last.jpeg_probability)),
    )
    return [LastRound(*group_parts) for group_parts in zip(*(part.split(group) for part in parts), strict=True)]


def _or_impulse(drawn: torch.Tensor, probability: float, generator: torch.Generator) -> torch.Tensor:
    """Keep each of the kernels (B, K, K) with a probability, and replace the others by a centred impulse (no blur)."""
    impulse = torch.zeros_like(drawn[0])
    impulse[impulse.shape[0] // 2, impulse.shape[1] // 2] = 1
    keep = torch.rand(len(drawn), generator=generator) < probability
    return torch.where(keep[:, None, None], drawn, impulse)


def _draw_modes(groups: int, generator: torch.Generator) -> list[str]:
    return [RESIZE_MODES[i] for i in torch.randint(len(RESIZE_MODES), (groups,), generator=generator).tolist()]


def _draw_factors(groups: int, config: RoundConfig, generator: torch.Generator) -> list[float]:
    low, high = config.resize_range
    direction = _draw_choices(groups, config.resize_weights, generator)
    choices = torch.stack(
        (_uniform(groups, (1.0, high), generator), _uniform(groups, (low, 1.0), generator), torch.ones(groups))
    )
    return choices.gather(0, direction[None])[0].tolist()
