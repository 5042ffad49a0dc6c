"""The network as model files hold it: everything folded that no picture changes, four axes at most, known operators only (ours)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from edgesr.model import EdgeSR
from edgesr.presets import Preset

# What the ONNX graphs are made of, and why each runtime takes it. A test lists the operators of every preset's graph against this.
# Sources: onnxruntime's op_builder_factory.cc of its QNN provider, coreml_supported_mlprogram_ops.md, webgpu-operators.md;
# ExecuTorch's backends/xnnpack/partition/config. QNN HTP and WebGPU claim all of them; the others as noted.
CONVOLUTIONAL = {
    "Add", "Clip", "Concat", "Conv", "Exp", "Mul", "Relu", "Sigmoid", "Slice", "Sub",
    "DepthToSpace",  # Core ML: of fixed shapes alone, hence the tile variant; XNNPACK: as view and permute
}  # fmt: skip
# With Stable Diffusion's UNet: GroupNorm in its parts, on four axes (Div and Sqrt
# are in every list, Rsqrt in none), and nearest-neighbour upsampling by 2.
NORMALISED = CONVOLUTIONAL | {"Div", "ReduceMean", "Reshape", "Resize", "Sqrt"}
# Left out on purpose: Neg and Pad (Core ML's provider has neither), Split (XNNPACK has slices only), InstanceNormalization and
# GroupNormalization (converters put them on three or five axes), Attention, Resize for the bicubic path (the slowest node there is).


def operators(preset: Preset) -> set[str]:
    """Return the ONNX operators that the graph of a preset is made of."""
    return NORMALISED if preset.group_norm else CONVOLUTIONAL


class GroupNorm(nn.Module):
    """nn.GroupNorm in elementary operators on four axes: converters would take three or five."""

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
    """Return a copy of `model` in float32 on the CPU, folded, its GroupNorms in parts unless `whole_norms`.

    A model that is folded already, as weights read back from a file are, stays so.
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
