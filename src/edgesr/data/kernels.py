"""Blur kernels of the Real-ESRGAN degradation (arXiv 2107.10833, section 3): Gaussian, generalised Gaussian, plateau
and sinc kernels, built in batches, and their application to a batch of pictures by the Fourier transform."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F


def kernel_grid(extent: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Coordinates of an (extent, extent) kernel in px from its centre: x and y, each (extent, extent)."""
    axis = torch.arange(extent, dtype=torch.float32) - extent // 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return x, y


def quadratic_form(sigma_x: torch.Tensor, sigma_y: torch.Tensor, theta: torch.Tensor, extent: int) -> torch.Tensor:
    """x^T Sigma^-1 x on the kernel's grid, (B, extent, extent).

    `sigma_x` and `sigma_y` (B,) are standard deviations in px along axes rotated by `theta` (B,) radians.
    """
    x, y = kernel_grid(extent)
    cosine, sine = theta.cos()[:, None, None], theta.sin()[:, None, None]
    along, across = cosine * x + sine * y, cosine * y - sine * x  # (B, extent, extent)
    return (along / sigma_x[:, None, None]) ** 2 + (across / sigma_y[:, None, None]) ** 2


def generalised_gaussian(form: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
    """Unnormalised exp(-form^beta / 2), (B, K, K); `beta` (B,) = 1 is the plain Gaussian."""
    return torch.exp(-0.5 * form ** beta[:, None, None])


def plateau(form: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
    """Unnormalised 1 / (1 + form^beta), (B, K, K): a flat top with edges that steepen with `beta` (B,)."""
    return 1 / (1 + form ** beta[:, None, None])


def sinc(cutoff: torch.Tensor, extent: int) -> torch.Tensor:
    """Unnormalised circular low-pass kernels with `cutoff` (B,) in radians per px, (B, K, K): their ringing imitates
    sharpening."""
    x, y = kernel_grid(extent)
    radius = torch.hypot(x, y)
    frequency = cutoff[:, None, None]
    ring = frequency * torch.special.bessel_j1(frequency * radius) / (2 * math.pi * radius.clamp(min=1e-6))
    return torch.where(radius == 0, frequency**2 / (4 * math.pi), ring)


def crop_and_normalise(kernels: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
    """Zero each (K, K) kernel outside its own odd `size` (B,) px and make it sum to 1, so that blur keeps
    brightness."""
    x, y = kernel_grid(kernels.shape[-1])
    reach = torch.maximum(x.abs(), y.abs())
    kernels = kernels * (reach <= (size // 2)[:, None, None])
    return kernels / kernels.sum(dim=(1, 2), keepdim=True)


def blur(images: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """Correlate images (B, C, H, W) with one odd kernel each, (B, K, K), reflecting at the borders. H and W exceed K //
    2.

    Uses the Fourier transform, whose cost does not depend on the kernel size: half the time of a 21x21 depthwise
    convolution on a CPU.
    """
    radius = kernels.shape[-1] // 2
    height, width = images.shape[-2:]
    padded = F.pad(images, (radius, radius, radius, radius), mode="reflect")
    extent = (_fast_length(height + 2 * radius), _fast_length(width + 2 * radius))
    spectrum = torch.fft.rfft2(padded, s=extent) * torch.fft.rfft2(kernels, s=extent).conj()[:, None]
    return torch.fft.irfft2(spectrum, s=extent)[..., :height, :width]


def _fast_length(length: int) -> int:
    """The smallest even number >= `length` without prime factors above 5: Fourier transforms of other lengths are slow."""
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1 and length % 2 == 0:
            return length
        length += 1
