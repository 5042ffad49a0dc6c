"""The network for model files: constants folded, at most four axes, known operators only."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from edgesr.model import EdgeSR
from edgesr.presets import Preset

# Operators of the ONNX graphs, and their support by each runtime. A test compares the graph of every preset with this.
# Sources: onnxruntime's op_builder_factory.cc of its QNN provider, coreml_supported_mlprogram_ops.md, webgpu-operators.md;
# ExecuTorch's backends/xnnpack/partition/config. QNN HTP and WebGPU support all of them; the others as noted.
CONVOLUTIONAL = {
    "Add", "Clip", "Concat", "Conv", "Exp", "Mul", "Relu", "Sigmoid", "Slice", "Sub",
    "DepthToSpace",  # Core ML: fixed shapes only, hence the variant for one tile size; XNNPACK: as view and permute
}  # fmt: skip
# With Stable Diffusion's UNet: GroupNorm in its parts, on four axes (Div and Sqrt
# are in every list, Rsqrt in none), and nearest-neighbour upsampling by 2.
NORMALISED = CONVOLUTIONAL | {"Div", "ReduceMean", "Reshape", "Resize", "Sqrt"}
# Avoided: Neg and Pad (missing in Core ML's provider), Split (XNNPACK only has slices), InstanceNormalization and
# GroupNormalization (converters use three or five axes), Attention, Resize for the bicubic path (it was the slowest node).


def operators(preset: Preset) -> set[str]:
    """Return the ONNX operators in the graph of a preset."""
    return NORMALISED if preset.group_norm else CONVOLUTIONAL


class GroupNorm(nn.Module):
    """nn.GroupNorm in elementary operators on four axes: converters would use three or five."""

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.groups, self.eps = norm.num_groups, norm.eps
        self.weight = nn.Parameter(norm.weight.detach()[None, :, None, None])
        self.bias = nn.Parameter(norm.bias.detach()[None, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C, h, w), mean 0 and variance 1 in each group of channels before weight and bias."""
        batch, channels, height, width = x.shape
        y = x.reshape(batch, self.groups, channels // self.groups * height, width)
        y = y - y.mean(dim=(2, 3), keepdim=True)
        y = y / torch.sqrt((y * y).mean(dim=(2, 3), keepdim=True) + self.eps)
        return y.reshape(batch, channels, height, width) * self.weight + self.bias


def for_runtimes(model: EdgeSR, *, whole_norms: bool = False) -> EdgeSR:
    """Return a copy of `model` in float32 on the CPU, folded, with GroupNorm split into elementary operators unless `whole_norms`.

    A model that is already folded, such as one read back from a file, is not folded again.
    """
    graph = copy.deepcopy(model).eval().float().cpu().requires_grad_(False)
    graph.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    if not graph.folded:
        graph.fold()
    if not whole_norms:
        _take_norms_apart(graph)
    return graph


def _take_norms_apart(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.GroupNorm):
            setattr(module, name, GroupNorm(child))
        else:
            _take_norms_apart(child)
