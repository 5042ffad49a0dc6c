"""The perceptual distances available for training, by name; the networks are in `pretrained.features`."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from edgesr.errors import UsageError, one_line
from edgesr.pretrained.features import efficientnet_lite, vgg16

LEVELS = 4  # of EfficientNet-Lite0: deeper features are slower and carry little information on texture
INSTEAD = "set loss.perceptual_network = 'efficientnet-lite0', whose weights come with a package"


def perceptual_distance(network: str) -> nn.Module:
    """Return the distance called `network`: a module (out, hr) -> scalar for pictures (B, 3, H, W) in [0, 1].

    "efficientnet-lite0": works offline. "vgg16:FILE": torchvision's ImageNet weights from a file; "vgg16": the same from torch's hub
    cache, downloaded if necessary. "lpips-vgg", "lpips-alex": LPIPS (arXiv 1801.03924) from its authors' package `lpips`.
    For training only: evaluate with another network. Raises UsageError if the network is not available.
    """
    name, _, file = network.partition(":")
    if name == "efficientnet-lite0":
        return efficientnet_lite(0, LEVELS)
    if name == "vgg16":
        return vgg16(Path(file) if file else _hub_vgg16())
    if name in ("lpips-vgg", "lpips-alex"):
        return _Lpips(name.removeprefix("lpips-"))
    raise UsageError(
        f"recipe: unknown perceptual network '{network}': choose one of efficientnet-lite0, vgg16, vgg16:FILE, lpips-vgg, lpips-alex"
    )


def _hub_vgg16() -> Path:
    """torchvision's file in torch's hub cache, downloaded if it is missing."""
    url = "https://download.pytorch.org/models/vgg16-397923af.pth"
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), hash_prefix="397923af", progress=False)
        except Exception as error:  # no network, a full disk, a proxy's error page
            raise UsageError(
                f"VGG16's weights cannot be fetched ({one_line(error)}); name a file as vgg16:FILE, or {INSTEAD}"
            ) from None
    return path


class _Lpips(nn.Module):
    """LPIPS on pictures in [0, 1]."""

    def __init__(self, network: str) -> None:
        super().__init__()
        try:
            import lpips  # an optional extra, which needs torchvision

            self.distance = lpips.LPIPS(net=network, verbose=False).eval().requires_grad_(False)
        except Exception as error:  # not installed, an incompatible torchvision, no network for the weights
            raise UsageError(f"LPIPS with {network} cannot be loaded ({one_line(error)}); {INSTEAD}") from None

    def forward(self, out: Tensor, hr: Tensor) -> Tensor:
        return self.distance(out, hr, normalize=True).mean()
