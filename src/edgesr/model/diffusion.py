"""The diffusion process (docs/method.md, equations 1 to 4), independent of networks, data and training.

Time t is in [0, 1] with T = 1, as a tensor of shape (B,) or a float. The schedule is the cosine one,
alpha_t = cos(pi t / 2) and sigma_t = sin(pi t / 2), with alpha_T exactly 0 (zero terminal SNR; the choice of the cosine is
ours). Latents are (B, C, h, w), of unit variance per channel.

`model.conditioning` defines n and the network's input in addition to z_t.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

T = 1.0
Denoiser = Callable[[Tensor, Tensor], Tensor]  # (z_t (B,C,h,w), t (B,)) -> v_hat (B,C,h,w)


def alpha_sigma(t: Tensor | float, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return (alpha_t, sigma_t), each (B, 1, 1, 1) or (1, 1, 1, 1), of `like`'s type; alpha_T is exactly 0."""
    time = torch.as_tensor(t, dtype=torch.float64, device=like.device).reshape(-1, 1, 1, 1)
    alpha = torch.where(time == T, 0.0, torch.cos(time * (math.pi / 2)))
    sigma = torch.sin(time * (math.pi / 2))
    return alpha.to(like.dtype), sigma.to(like.dtype)


def conditioned_noise(mu: Tensor, log_s: Tensor, eps: Tensor) -> Tensor:
    """n = mu + s eps, a sample of the LR-conditioned Gaussian N(mu, s^2); eps ~ N(0, I)."""
    return mu + log_s.exp() * eps


def diffuse(z_h: Tensor, n: Tensor, t: Tensor | float) -> Tensor:
    """z_t = alpha_t z_h + sigma_t n."""
    alpha, sigma = alpha_sigma(t, z_h)
    return alpha * z_h + sigma * n


def v_target(z_h: Tensor, n: Tensor, t: Tensor | float) -> Tensor:
    """v = alpha_t n - sigma_t z_h, the network's target."""
    alpha, sigma = alpha_sigma(t, z_h)
    return alpha * n - sigma * z_h


def z0_from_v(z_t: Tensor, v: Tensor, t: Tensor | float) -> Tensor:
    """z0_hat = alpha_t z_t - sigma_t v_hat."""
    alpha, sigma = alpha_sigma(t, z_t)
    return alpha * z_t - sigma * v


def n_from_v(z_t: Tensor, v: Tensor, t: Tensor | float) -> Tensor:
    """n_hat = sigma_t z_t + alpha_t v_hat."""
    alpha, sigma = alpha_sigma(t, z_t)
    return sigma * z_t + alpha * v


def one_step(denoise: Denoiser, n: Tensor) -> Tensor:
    """z0_hat = -v_hat(z_T, T) with z_T = n: the whole reverse process in one evaluation."""
    return -denoise(n, torch.full((n.shape[0],), T, device=n.device, dtype=n.dtype))


def ddim(denoise: Denoiser, n: Tensor, steps: int) -> Tensor:
    """Deterministic DDIM from T to 0 in `steps` equal steps of t; with steps=1 it equals `one_step`.

    Raises ValueError if steps < 1.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    times = [T * (1 - i / steps) for i in range(steps + 1)]
    z_t = n
    for t, t_next in pairwise(times):
        v = denoise(z_t, torch.full((n.shape[0],), t, device=n.device, dtype=n.dtype))
        z_t = diffuse(z0_from_v(z_t, v, t), n_from_v(z_t, v, t), t_next)
    return z_t
