"""How the LR picture conditions the diffusion: bidirectional conditioning, the paper's central idea, and standard conditioning, the
baseline of its ablations. docs/method.md, equations 1 and 2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from edgesr.model import diffusion

Noise = Callable[[Tensor, Tensor, Tensor], Tensor]  # mu, log_s, eps, each (B, C, h, w) -> n (B, C, h, w)


@dataclass(frozen=True)
class Variant:
    """The network options of the paper's ablations; the defaults are those of the released weights."""

    conditioning: Literal["bidirectional", "standard"] = "bidirectional"
    variance: Literal["learned", "one", "zero"] = "learned"  # of the LR-conditioned Gaussian: s of E_L, s = 1, s = 0
    lr_skip: bool = True  # D receives LR features and adds to bicubic (ours); false: D receives the latent alone
    smoothing: bool = True  # D smooths the LR before bicubic, where there is noise (ours); of a `SkipDecoder` with lr_skip

    @classmethod
    def recorded(cls, record: Mapping[str, Any]) -> Variant:
        """The variant that a checkpoint or a model file records by its fields; older ones are without smoothing and do not name it.

        Raises TypeError for a field that is none of these.
        """
        return cls(**{"smoothing": False, **record})


class Conditioning(Protocol):
    """Defines the UNet's input and the noise at the end of the forward process."""

    def unet_channels(self, latent_channels: int) -> int:
        """The number of input channels of the UNet."""
        ...

    def noise(self, mu: Tensor, log_s: Tensor, eps: Tensor) -> Tensor:
        """n (B, C, h, w) of the forward process z_t = alpha_t z_h + sigma_t n; eps ~ N(0, I)."""
        ...

    def unet_input(self, z_t: Tensor, mu: Tensor) -> Tensor:
        """The UNet's input (B, unet_channels, h, w) at z_t (B, C, h, w)."""
        ...


class Bidirectional:
    """n = mu + s eps: the LR embedding sets the mean and variance of the noise, and the UNet receives z_t alone.

    At T the process is the LR-conditioned Gaussian N(mu, s^2), so the LR picture enters through the forward process, and reaches
    the reverse process only through z_t.
    """

    def __init__(self, variance: Literal["learned", "one", "zero"] = "learned") -> None:
        self.noise: Noise = VARIANCES[variance]

    def unet_channels(self, latent_channels: int) -> int:
        """See Conditioning."""
        return latent_channels

    def unet_input(self, z_t: Tensor, mu: Tensor) -> Tensor:  # one signature for both
        """See Conditioning."""
        return z_t


class Standard:
    """n = eps, and the UNet receives concat(z_t, E_L(lr)): the noise does not depend on the LR picture."""

    def unet_channels(self, latent_channels: int) -> int:
        """See Conditioning."""
        return 2 * latent_channels

    def noise(self, mu: Tensor, log_s: Tensor, eps: Tensor) -> Tensor:
        """See Conditioning."""
        return eps

    def unet_input(self, z_t: Tensor, mu: Tensor) -> Tensor:
        """See Conditioning."""
        return torch.cat([z_t, mu], dim=1)


VARIANCES: dict[str, Noise] = {
    "learned": diffusion.conditioned_noise,
    "one": lambda mu, log_s, eps: mu + eps,
    "zero": lambda mu, log_s, eps: mu,
}


def conditioning(variant: Variant) -> Conditioning:
    """The conditioning of a variant."""
    return Standard() if variant.conditioning == "standard" else Bidirectional(variant.variance)
