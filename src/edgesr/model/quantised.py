"""8-bit storage of weights in checkpoints: an eighth of a training's size, for `paper`'s 150 million parameters. Loading restores
float32; nothing is computed in 8 bits."""

from __future__ import annotations

import torch
from torch import Tensor

GROUP = 64  # consecutive weights of an output channel that share a scale
LEAST = 4096  # smaller tensors stay as they are: they are many, and together nothing
_CODES, _SCALES = ".int8", ".scale"  # endings of the names of the two stored tensors


def quantise(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Replace each large float32 tensor of two or more dimensions by int8 codes and bfloat16 scales, one per GROUP weights.

    The largest error of a weight is half a code, 1/254 of the largest weight of its group. Biases, norms and small tensors stay.
    """
    stored: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float32 or tensor.dim() < 2 or tensor.numel() < LEAST:
            stored[name] = tensor
            continue
        groups = _grouped(tensor)
        scales = groups.abs().amax(dim=2, keepdim=True) / 127
        scales = (scales * (1 + 2**-8)).bfloat16().clamp_min(2**-100)  # rounded, but never below: no code exceeds 127
        codes = (groups / scales.float()).round().to(torch.int8)
        stored[name + _CODES] = codes.flatten(1)[:, : tensor[0].numel()].reshape(tensor.shape).contiguous()
        stored[name + _SCALES] = scales[:, :, 0]
    return stored


def dequantise(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """The reverse of `quantise`; tensors that were not quantised are returned as they are. Raises ValueError if scales are missing."""
    tensors: dict[str, Tensor] = {}
    for name, tensor in stored.items():
        if name.endswith(_CODES):
            whole = name.removesuffix(_CODES)
            if whole + _SCALES not in stored:
                raise ValueError(f"the scales of {whole} are missing")
            values = _grouped(tensor.float()) * stored[whole + _SCALES].float()[:, :, None]
            tensors[whole] = values.flatten(1)[:, : tensor[0].numel()].reshape(tensor.shape).contiguous()
        elif not (name.endswith(_SCALES) and name.removesuffix(_SCALES) + _CODES in stored):
            tensors[name] = tensor
    return tensors


def _grouped(tensor: Tensor) -> Tensor:
    """(out, ...) as (out, groups, GROUP), padded with zeros."""
    rows = tensor.flatten(1)
    return torch.nn.functional.pad(rows, (0, -rows.shape[1] % GROUP)).unflatten(1, (-1, GROUP))
