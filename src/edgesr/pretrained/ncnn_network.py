"""Load a network in ncnn's file format (.param and .bin) as a torch module, so that such an upscaler can be a teacher in batches.

Supports the layers of convolutional super-resolution networks (RRDBNet, SRVGGNetCompact and similar). The format is documented in
ncnn's wiki: "param and model file structure".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgesr.errors import UsageError, one_line
from edgesr.pretrained.ncnn_files import pair

MAGIC = "7767517"  # first line of a .param file
HALF_FLAG, FLOAT_FLAG = 0x01306B47, 0  # precede a convolution's weights
INTERPOLATIONS = {1: "nearest", 2: "bilinear", 3: "bicubic"}


@dataclass(frozen=True)
class Layer:
    """One line of a .param file."""

    kind: str
    name: str
    inputs: tuple[str, ...]  # names of blobs
    outputs: tuple[str, ...]
    numbers: dict[int, float] = field(default_factory=dict)  # scalar parameters by id
    arrays: dict[int, tuple[float, ...]] = field(default_factory=dict)  # list parameters by id

    def integer(self, key: int, default: int = 0) -> int:
        """Parameter `key` as an integer."""
        return int(self.numbers.get(key, default))


class NcnnNetwork(nn.Module):
    """The layers of a .param file, run in order."""

    def __init__(self, layers: list[Layer], modules: list[nn.Module]) -> None:
        super().__init__()
        self.layers = layers
        self.operations = nn.ModuleList(modules)
        produced = {name for layer in layers for name in layer.outputs}
        used = Counter(name for layer in layers for name in layer.inputs)
        sources = [layer.outputs[0] for layer in layers if layer.kind == "Input"]
        sinks = sorted(produced - set(used))
        if len(sources) != 1 or len(sinks) != 1:
            raise UsageError("the network must have one input and one output")
        self._source, self._sink, self._used = sources[0], sinks[0], used

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures (B, 3, h, w) in [0, 1] to the network's output (B, 3, scale h, scale w), not clamped."""
        blobs, left = {self._source: x}, Counter(self._used)
        for layer, operation in zip(self.layers, self.operations, strict=True):
            if layer.kind == "Input":
                continue
            inputs = [blobs[name] for name in layer.inputs]
            for name in layer.inputs:  # freed after their last use: RRDBNet has 1,800 of them
                left[name] -= 1
                if not left[name]:
                    del blobs[name]
            result = operation(*inputs)
            blobs.update(dict.fromkeys(layer.outputs, result))
        return blobs[self._sink]


def load_ncnn(path: Path) -> NcnnNetwork:
    """Load the pair of files of `path`, given with or without suffix, in evaluation mode and without gradients.

    Raises UsageError if a file is missing, damaged, or contains an unsupported layer.
    """
    param, weights = pair(path)
    try:
        layers = _parse(param.read_text(encoding="ascii"))
        raw = weights.read_bytes()
    except OSError as error:
        raise UsageError(f"{error.filename}: {one_line(error)}; a network of ncnn is a pair of .param and .bin files") from None
    except (ValueError, IndexError):  # UnicodeDecodeError is a ValueError
        raise UsageError(f"{param}: not a parameter file of ncnn in its text form") from None
    reader = _Weights(raw)
    try:
        network = NcnnNetwork(layers, [_build(layer, reader) for layer in layers])
    except UsageError as error:
        raise UsageError(f"{param}: {error}") from None
    except (ValueError, KeyError):
        raise UsageError(f"{weights}: does not hold the weights that {param.name} describes") from None
    if reader.left:
        raise UsageError(f"{weights}: holds {reader.left} bytes more than {param.name} describes")
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)


def _parse(text: str) -> list[Layer]:
    lines = text.split("\n")
    if lines[0].strip() != MAGIC:
        raise ValueError
    return [_layer(line.split()) for line in lines[2:] if line.strip()]


def _layer(words: list[str]) -> Layer:
    kind, name, (inputs, outputs) = words[0], words[1], map(int, words[2:4])
    blobs, parameters = words[4 : 4 + inputs + outputs], words[4 + inputs + outputs :]
    numbers: dict[int, float] = {}
    arrays: dict[int, tuple[float, ...]] = {}
    for key, value in (parameter.split("=") for parameter in parameters):
        if int(key) <= -23300:  # an array: its length, then its values
            arrays[-int(key) - 23300] = tuple(map(float, value.split(",")[1:]))
        else:
            numbers[int(key)] = float(value)
    return Layer(kind, name, tuple(blobs[:inputs]), tuple(blobs[inputs:]), numbers, arrays)


class _Weights:
    """Sequential reader of a .bin file; raises ValueError at its end."""

    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = raw, 0

    @property
    def left(self) -> int:
        return len(self._raw) - self._at

    def floats(self, count: int, kind: type = np.float32) -> Tensor:
        values: np.ndarray = np.frombuffer(self._raw, kind, count, self._at)
        self._at += -(-values.nbytes // 4) * 4  # halves are padded to four bytes
        return torch.from_numpy(values.astype(np.float32))

    def flagged(self, count: int) -> Tensor:
        """Weights preceded by a flag for their storage type."""
        flag = int(np.frombuffer(self._raw, np.uint32, 1, self._at)[0])
        self._at += 4
        if flag not in (HALF_FLAG, FLOAT_FLAG):
            raise UsageError("has quantised weights; take its float32 or float16 form")
        return self.floats(count, np.float16 if flag == HALF_FLAG else np.float32)


def _build(layer: Layer, weights: _Weights) -> nn.Module:
    if layer.kind not in BUILDERS:
        raise UsageError(
            f"its layer {layer.name} is a {layer.kind}, which is not supported; supported are {', '.join(BUILDERS)}"
        )
    return BUILDERS[layer.kind](layer, weights)


class _Function(nn.Module):
    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


def _convolution(layer: Layer, weights: _Weights) -> nn.Module:
    width, kernel, count = layer.integer(0), layer.integer(1), layer.integer(6)
    height = layer.integer(11, kernel)
    in_width, rest = divmod(count, width * kernel * height)
    plain = layer.integer(2, 1) == 1 and layer.integer(3, 1) == 1 and layer.integer(8) == 0 and set(layer.arrays) <= {10}
    if rest or not plain or layer.integer(4) != kernel // 2 or layer.integer(14, layer.integer(4)) != layer.integer(4):
        raise UsageError(f"its convolution {layer.name} is strided, dilated, quantised or padded in an unsupported way")
    convolution = nn.Conv2d(in_width, width, (height, kernel), padding=(height // 2, kernel // 2), bias=bool(layer.integer(5)))
    convolution.weight.data = weights.flagged(count).reshape(width, in_width, height, kernel)
    if convolution.bias is not None:
        convolution.bias.data = weights.floats(width)
    activation = layer.integer(9)
    if activation == 0:
        return convolution
    if activation in (1, 2):
        slope = layer.arrays.get(10, (0.0,))[0] if activation == 2 else 0.0
        return nn.Sequential(convolution, nn.LeakyReLU(slope, inplace=True))
    raise UsageError(f"its convolution {layer.name} has an unsupported activation")


def _prelu(layer: Layer, weights: _Weights) -> nn.Module:
    prelu = nn.PReLU(layer.integer(0))
    prelu.weight.data = weights.floats(layer.integer(0))
    return prelu


def _interpolation(layer: Layer, _: _Weights) -> nn.Module:
    mode, factors = INTERPOLATIONS.get(layer.integer(0)), (layer.numbers.get(1, 1.0), layer.numbers.get(2, 1.0))
    if mode is None or layer.integer(3) or layer.integer(4):
        raise UsageError(f"its layer {layer.name} resizes in an unsupported way")
    align = {} if mode == "nearest" else {"align_corners": bool(layer.integer(6))}
    return _Function(lambda x: F.interpolate(x, scale_factor=factors, mode=mode, **align))


def _concatenation(layer: Layer, _: _Weights) -> nn.Module:
    if layer.integer(0):
        raise UsageError(f"its layer {layer.name} joins axes other than channels, which is not supported")
    return _Function(lambda *inputs: torch.cat(inputs, dim=1))


def _weighted_sum(layer: Layer, _: _Weights) -> nn.Module:
    factors = layer.arrays.get(1, (1.0,) * len(layer.inputs))
    if layer.integer(0) != 1 or len(layer.inputs) != 2 or len(factors) != 2:
        raise UsageError(f"its layer {layer.name} is not a sum of two, the only supported kind")
    a, b = factors
    return _Function(lambda x, y: torch.add(y if b == 1 else b * y, x, alpha=a))


def _addition(layer: Layer, _: _Weights) -> nn.Module:
    if layer.integer(0) or layer.integer(1) or len(layer.inputs) != 2:
        raise UsageError(f"its layer {layer.name} is not a sum of two, the only supported kind")
    return _Function(torch.add)


def _identity(_: Layer, __: _Weights) -> nn.Module:
    return nn.Identity()


def _relu(layer: Layer, _: _Weights) -> nn.Module:
    return nn.LeakyReLU(layer.numbers.get(0, 0.0))


def _pixel_shuffle(layer: Layer, _: _Weights) -> nn.Module:
    return nn.PixelShuffle(layer.integer(0))


BUILDERS: dict[str, Callable[[Layer, _Weights], nn.Module]] = {
    "Input": _identity,
    "Split": _identity,
    "Convolution": _convolution,
    "PReLU": _prelu,
    "ReLU": _relu,
    "PixelShuffle": _pixel_shuffle,
    "Interp": _interpolation,
    "Concat": _concatenation,
    "Eltwise": _weighted_sum,
    "BinaryOp": _addition,
}
