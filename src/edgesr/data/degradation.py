"""Blind degradation of high-resolution crops: the second-order pipeline of Real-ESRGAN (arXiv 2107.10833), batched.

Two rounds of blur, resize, noise and JPEG, then a final sinc filter; the second JPEG comes before or after the last
resize and filter. A third round at the LR picture's own size can follow (ours). `plan` draws the random parameters; this module applies
them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from edgesr.data import kernels
from edgesr.data.jpeg import TO_YCBCR, jpeg
from edgesr.data.plan import DegradationConfig, LastRound, Plan, Round, draw_plans
from edgesr.errors import UsageError

LUMA = TO_YCBCR[0]  # BT.601
SPECKS = 1.5  # relative to per-pixel noise: chroma noise is less visible, and interpolation weakens it
POISSON_LEVELS = 256  # photons of a white pixel at Poisson scale 1


@torch.no_grad()
def degrade(
    hr: torch.Tensor, *, scale: int, generator: torch.Generator, config: DegradationConfig | None = None
) -> torch.Tensor:
    """Degraded LR of HR crops: (B, 3, H, W) in [0, 1] -> (B, 3, H / scale, W / scale) float32, multiples of 1/255.

    `generator` is a CPU generator; the same seed, batch and device give the same result. Raises UsageError if H or W is
    not a multiple of `scale`, or is too small for the largest kernel at the smallest intermediate size.
    """
    config = config or DegradationConfig()
    _check_size(hr, scale, config)
    plans = draw_plans(len(hr), config, generator)
    noise = device_generator(hr.device, generator)
    size = (hr.shape[2] // scale, hr.shape[3] // scale)
    with torch.autocast(hr.device.type, enabled=False):  # the DCT and the Fourier transform need float32
        groups = zip(hr.float().split(config.group), plans, strict=True)
        lr = torch.cat([_degraded(images, plan, size, noise) for images, plan in groups])
    return lr.clamp(0, 1).mul(255).round() / 255


def device_generator(device: torch.device, seeds: torch.Generator) -> torch.Generator:
    """A generator on `device`, seeded by the next draw of the CPU generator `seeds`."""
    return torch.Generator(device).manual_seed(int(torch.randint(2**62, (), generator=seeds)))


def _check_size(hr: torch.Tensor, scale: int, config: DegradationConfig) -> None:
    height, width = hr.shape[2:]
    if height % scale or width % scale:
        raise UsageError(f"HR crops of {height}x{width} px: choose sides that are multiples of the scale {scale}")
    shortest = min(height, width)
    smallest = min(int(shortest * config.first.resize_range[0]), shortest // scale)
    radius = max(config.first.kernel_size[1], config.second.kernel_size[1], config.final_sinc_size[1]) // 2
    if smallest <= radius:
        raise UsageError(f"HR crops of {height}x{width} px are too small to degrade: choose larger crops")


def _degraded(images: torch.Tensor, plan: Plan, size: tuple[int, int], noise: torch.Generator) -> torch.Tensor:
    """One group, (G, 3, H, W) -> (G, 3, *size)."""
    lr = (_degrade_lightly if plan.light else _degrade_group)(images, plan, size, noise)
    return lr if plan.last is None else _last_round(lr, plan.last, noise)


def _degrade_group(images: torch.Tensor, plan: Plan, size: tuple[int, int], noise: torch.Generator) -> torch.Tensor:
    """Samples that share all intermediate sizes: (G, 3, H, W) -> (G, 3, *size)."""
    images = _blur_resize_noise(images, plan.first, (images.shape[2], images.shape[3]), noise)
    images = jpeg(images, plan.first.quality.to(images.device))
    images = _blur_resize_noise(images, plan.second, size, noise)
    quality, sharp = plan.second.quality.to(images.device), plan.final_kernels.to(images.device)
    if plan.jpeg_last:
        return jpeg(kernels.blur(_resize(images, size, plan.final_mode), sharp), quality)
    return kernels.blur(_resize(jpeg(images, quality), size, plan.final_mode), sharp)


def _degrade_lightly(images: torch.Tensor, plan: Plan, size: tuple[int, int], noise: torch.Generator) -> torch.Tensor:
    """One antialiased bicubic reduction; half of the groups also get a third of the first round's noise, and its JPEG."""
    lr = F.interpolate(images, size=size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    if not plan.jpeg_last:
        return lr
    drawn = plan.first
    lr = add_noise(lr, gaussian=drawn.gaussian, strength=drawn.strength / 3, grey=drawn.grey, generator=noise)
    return jpeg(lr, drawn.quality.to(images.device))


def _last_round(lr: torch.Tensor, drawn: LastRound, noise: torch.Generator) -> torch.Tensor:
    """Blur, per-pixel noise or colour speckle, impulses and JPEG, all at the LR picture's own size."""
    device, (height, width) = lr.device, lr.shape[-2:]
    radius = min(drawn.kernels.shape[-1] // 2, min(height, width) - 1)
    middle = drawn.kernels.shape[-1] // 2
    lr = kernels.blur(
        lr, drawn.kernels[:, middle - radius :, middle - radius :][:, : 2 * radius + 1, : 2 * radius + 1].to(device)
    )
    plain = torch.randn(lr.shape, device=device, generator=noise)
    specks = torch.randn((len(lr), 3, -(-height // 2), -(-width // 2)), device=device, generator=noise)
    specks = F.interpolate(specks, size=(height, width), mode="bilinear", align_corners=False)
    specks = specks - (specks * specks.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)  # chroma only
    colour, strength = drawn.colour.to(device)[:, None, None, None], drawn.strength.to(device)[:, None, None, None]
    lr = lr + strength * torch.where(colour, SPECKS * specks, plain)
    hit = torch.rand((len(lr), 1, height, width), device=device, generator=noise)
    share = drawn.impulses.to(device)[:, None, None, None]
    lr = torch.where(hit < share, (hit < share / 2).to(lr), lr).clamp(0, 1)
    compressed = jpeg(lr, drawn.quality.clamp_min(1).float().to(device))
    return torch.where((drawn.quality > 0).to(device)[:, None, None, None], compressed, lr)


def _blur_resize_noise(images: torch.Tensor, drawn: Round, base: tuple[int, int], noise: torch.Generator) -> torch.Tensor:
    """The common steps of both rounds; the resize factor is relative to the size `base` (height, width)."""
    images = kernels.blur(images, drawn.kernels.to(images.device))
    images = _resize(images, (int(base[0] * drawn.factor), int(base[1] * drawn.factor)), drawn.mode)
    return add_noise(images, gaussian=drawn.gaussian, strength=drawn.strength, grey=drawn.grey, generator=noise)


def _resize(images: torch.Tensor, size: tuple[int, int], mode: str) -> torch.Tensor:
    """Resize to (height, width) without antialiasing, as the original does: aliasing is one of the degradations."""
    if mode == "area":
        return F.interpolate(images, size=size, mode=mode)
    return F.interpolate(images, size=size, mode=mode, align_corners=False)


def add_noise(
    images: torch.Tensor,
    *,
    gaussian: torch.Tensor,
    strength: torch.Tensor,
    grey: torch.Tensor,
    generator: torch.Generator,
) -> torch.Tensor:
    """Add noise to images (B, 3, H, W) in [0, 1], of a kind chosen per sample; clamped to [0, 1].

    Where `gaussian` (B,) is true the noise is Gaussian with standard deviation `strength` (B,) in [0, 1] units, otherwise
    Poisson (shot) noise multiplied by `strength`. Where `grey` (B,) is true the three channels get the same noise.
    `generator` is on images' device.
    """
    noisy = []
    for image, is_gaussian, amount, is_grey in zip(
        images.clamp(0, 1), gaussian.tolist(), strength.tolist(), grey.tolist(), strict=True
    ):
        clean = _luma(image) if is_grey else image  # (1 or 3, H, W)
        if is_gaussian:
            noise = torch.randn(clean.shape, device=image.device, generator=generator)
        else:
            noise = torch.poisson(clean * POISSON_LEVELS, generator=generator) / POISSON_LEVELS - clean
        noisy.append(image + amount * noise)
    return torch.stack(noisy).clamp_(0, 1)


def _luma(image: torch.Tensor) -> torch.Tensor:
    """BT.601 luma of (3, H, W), as (1, H, W)."""
    red, green, blue = image.split(1)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
