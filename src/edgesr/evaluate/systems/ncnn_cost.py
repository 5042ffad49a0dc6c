"""Parameters and operations of an ncnn network, read from its .param file: one line a layer, `type name inputs outputs
blobs... key=value...`, after a magic number and a line of counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from edgesr.errors import EdgesrError

MAGIC = "7767517"
# Layers without weights whose operations nobody counts, and that keep the size of a picture.
FREE = {
    "Input",
    "Split",
    "Concat",
    "BinaryOp",
    "Eltwise",
    "ReLU",
    "Sigmoid",
    "TanH",
    "Clip",
    "Swish",
    "HardSwish",
    "Mish",
    "GELU",
}


class Layer(NamedTuple):
    """One line of the file."""

    kind: str
    inputs: list[str]  # blobs
    outputs: list[str]
    values: dict[int, str]


def layers(param: Path) -> list[Layer]:
    """Read a .param file; raises EdgesrError that names the file if it is none."""
    try:
        magic, _, *lines = param.read_text(encoding="utf-8").split("\n")
        if magic.strip() != MAGIC:
            raise ValueError("it does not start with ncnn's number")
        return [_layer(line.split()) for line in lines if line.strip()]
    except (OSError, ValueError) as error:  # UnicodeDecodeError is a ValueError
        raise EdgesrError(f"{param}: is not the .param text file of an ncnn network ({error})") from None


def cost(network: list[Layer], pixels: int = 128 * 128) -> tuple[int, float] | None:
    """Return parameters, and 2 x multiply-accumulates / 1e9 for an input of `pixels`; None if a layer's cost is not known here, or
    it lacks a field that tells it: whether the network runs all the same is for ncnn to say.
    """
    try:
        return _counted(network, pixels)
    except (KeyError, ValueError, ZeroDivisionError):
        return None


def _counted(network: list[Layer], pixels: int) -> tuple[int, float] | None:
    grid: dict[str, float] = {}  # positions of each blob, along one axis, for each position of the input
    parameters, operations = 0, 0.0
    for layer in network:
        before = max((grid[blob] for blob in layer.inputs), default=1.0)
        weights, extra = 0, 0
        after = before
        if layer.kind in ("Convolution", "ConvolutionDepthWise"):
            weights, extra = _weights(layer)
            after = before / _stride(layer)
        elif layer.kind in ("Deconvolution", "DeconvolutionDepthWise"):
            weights, extra = _weights(layer)
            after = before * _stride(layer)
        elif layer.kind == "PReLU":
            extra = int(layer.values[0])
        elif layer.kind == "PixelShuffle":
            after = before * int(layer.values[0])
        elif layer.kind == "Interp":
            after = before * float(layer.values[2])
        elif layer.kind not in FREE:
            return None
        parameters += weights + extra
        # A convolution applies every weight at each position that it writes, a transposed one at each that it reads.
        operations += 2.0 * weights * pixels * min(before, after) ** 2
        grid.update(dict.fromkeys(layer.outputs, after))
    return parameters, round(operations / 1e9, 3)


def ends(network: list[Layer]) -> tuple[str, str]:
    """Return the names of the input blob and of the output blob that nothing reads; raises ValueError if either is not one."""
    read = {blob for layer in network for blob in layer.inputs}
    sources = [blob for layer in network if layer.kind == "Input" for blob in layer.outputs]
    sinks = [blob for layer in network for blob in layer.outputs if blob not in read]
    (source,), (sink,) = sources, sinks
    return source, sink


def _layer(words: list[str]) -> Layer:
    kind, _, inputs, outputs, *rest = words
    first, last = int(inputs), int(inputs) + int(outputs)
    return Layer(kind, rest[:first], rest[first:last], dict(_pairs(rest[last:])))


def _pairs(words: list[str]) -> Iterator[tuple[int, str]]:
    for word in words:
        key, _, value = word.partition("=")
        yield int(key), value


def _weights(layer: Layer) -> tuple[int, int]:
    """How many weights, and how many biases."""
    return int(layer.values[6]), int(layer.values[0]) if int(layer.values.get(5, 0)) else 0


def _stride(layer: Layer) -> int:
    return int(layer.values.get(3, 1))
