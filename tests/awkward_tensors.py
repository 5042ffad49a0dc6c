"""Tensors that a file format may spoil: every layout, type and special value."""

from __future__ import annotations

import torch


def awkward_tensors():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(6, 4, 3, 3, generator=generator)
    return {
        "plain": values,
        "channels_last": values.to(memory_format=torch.channels_last),
        "view": values[::2, 1:3],
        "special": torch.tensor([float("nan"), float("inf"), -0.0, 1e-45]),
        "bfloat16": values.bfloat16(),
        "double": values.double() / 3,
        "step": torch.tensor(7.0),
        "empty": torch.empty(0),
        "integers": torch.arange(5),
    }


def bits(tensor):
    return tensor.contiguous().flatten().view(torch.uint8) if tensor.numel() else tensor
