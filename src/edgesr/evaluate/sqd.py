"""SQD, a perceptual distance in the features of SqueezeNet 1.1, a network that no training here uses; not calibrated.

Levels are relu(conv1) and the outputs of fire3, fire5 and fire7. Lower is better; no unit. It evaluates models that
were trained on EfficientNet-Lite's features, so it must never become a training loss. Two files of weights are supported, each with
its own preprocessing: torchvision's (RGB, ImageNet's mean and deviation), and an archive in Caffe's convention (BGR in 0..255,
minus 104, 117, 123). They may be different trainings of the network: compare figures from one file only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgesr.evaluate.unavailable import Unavailable, brief
from edgesr.evaluate.weight_files import SQUEEZENET, SQUEEZENET_ARCHIVE, fetched_from
from edgesr.pretrained.features import FeatureDistance

URL = f"https://download.pytorch.org/models/{SQUEEZENET}"
CAFFE_MEAN, CAFFE_STD = (123 / 255, 117 / 255, 104 / 255), (1 / 255,) * 3  # RGB in [0, 1]
TORCHVISION_INDEX = {2: 3, 3: 4, 4: 6, 5: 7, 6: 9, 7: 10}  # of the fire modules in `features`
# Fire module -> channels in, squeezed, and of each of the two expansions; a level ends after every second one.
FIRES = {2: (64, 16, 64), 3: (128, 16, 64), 4: (128, 32, 128), 5: (256, 32, 128), 6: (256, 48, 192), 7: (384, 48, 192)}


class SQD:
    """The metric, its network loaded once."""

    def __init__(self, weights: Path | None) -> None:
        """Load the network from the folder `weights`: torchvision's file or, where that is absent, the archive.

        Without a folder torchvision's file comes from torch.hub's cache or from the network. Raises Unavailable if there is no file,
        or one that is damaged or holds another network.
        """
        if weights is not None and not (weights / SQUEEZENET).is_file():
            self._distance = _from_archive(weights)
        else:
            self._distance = _from_torchvision(weights)

    @torch.no_grad()
    def __call__(self, out: NDArray[Any], hr: NDArray[Any]) -> float:
        """Return the distance of two pictures of one size, (H, W, 3) uint8; raises ValueError when the sizes differ."""
        if out.shape != hr.shape:
            raise ValueError(f"pictures of different sizes: {out.shape} and {hr.shape}")
        return float(self._distance(_tensor(out), _tensor(hr)))


class _Fire(nn.Module):
    """A fire module of SqueezeNet: (B, width, h, w) -> (B, 2 * expanded, h, w)."""

    def __init__(self, width: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(width, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze1x1(x).relu()
        return torch.cat([self.expand1x1(x), self.expand3x3(x)], dim=1).relu()


def _stages(tensors: Mapping[str, Tensor], key: Callable[[str], str], file: str) -> list[nn.Module]:
    """The four stages, from `tensors` under `key` of the names conv1 and fireN.squeeze1x1, .expand1x1 and .expand3x3."""

    def filled(name: str, layer: nn.Conv2d) -> None:
        try:
            layer.load_state_dict({part: tensors[f"{key(name)}.{part}"] for part in ("weight", "bias")})
        except (KeyError, RuntimeError):
            raise Unavailable(f"{file}: is not SqueezeNet 1.1 ({key(name)} is missing or has another shape)") from None

    conv1 = nn.Conv2d(3, 64, 3, stride=2)
    filled("conv1", conv1)
    stages: list[nn.Module] = [nn.Sequential(conv1, nn.ReLU(inplace=True))]
    for first in (2, 4, 6):
        fires = [_Fire(*FIRES[number]) for number in (first, first + 1)]
        for number, fire in enumerate(fires, first):
            for name, layer in fire.named_children():
                assert isinstance(layer, nn.Conv2d)
                filled(f"fire{number}.{name}", layer)
        stages.append(nn.Sequential(nn.MaxPool2d(3, 2, ceil_mode=True), *fires))
    return stages


def _from_torchvision(weights: Path | None) -> FeatureDistance:
    with fetched_from(weights, SQUEEZENET):
        tensors = torch.hub.load_state_dict_from_url(
            URL, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    return FeatureDistance(_stages(tensors, _torchvision_key, SQUEEZENET))


def _torchvision_key(name: str) -> str:
    if name == "conv1":
        return "features.0"
    fire, _, layer = name.partition(".")
    return f"features.{TORCHVISION_INDEX[int(fire.removeprefix('fire'))]}.{layer.replace('squeeze1x1', 'squeeze')}"


def _from_archive(weights: Path) -> FeatureDistance:
    path = weights / SQUEEZENET_ARCHIVE
    if not path.is_file():
        raise Unavailable(f"{weights}: weights not found: {SQUEEZENET} or {SQUEEZENET_ARCHIVE}")
    try:
        with np.load(path) as archive:
            tensors = {name: torch.from_numpy(archive[name]).float() for name in archive.files}
        tensors["conv1.weight"] = tensors["conv1.weight"].flip(1)  # the distance takes RGB
    except Exception as error:  # a damaged archive raises a dozen kinds
        raise Unavailable(f"{path}: cannot be read ({brief(error)})") from None
    return FeatureDistance(_stages(tensors, str, str(path)), CAFFE_MEAN, CAFFE_STD)


def _tensor(pixels: NDArray[Any]) -> Tensor:
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    return tensor.contiguous(memory_format=torch.channels_last)
