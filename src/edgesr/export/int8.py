"""The int8 file of a release: 3x3 convolutions in 8 bits, all else in float32.

The 3x3 convolutions are nine tenths of the operations. The residual stream between them stays float32, and so do the first and the last
layers, whose rounding shows most. `quantize.quantized` writes files with every operator in 8 bits, which NPUs prefer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from edgesr.errors import EdgesrError
from edgesr.export.parity import Array, compare
from edgesr.export.quantize import Tile, quantized
from edgesr.onnx_metadata import read

MIN_PSNR = 48.0  # dB against float32, the mean over photographs that were not calibrated on
_KERNEL = [3, 3]
_SEARCHED = 8  # tiles on which ranges are narrowed
_STEP = 0.8  # by which a range is narrowed at a time
_GAIN = 0.999  # of the squared error: a smaller improvement ends the search
_LEVELS = 255


def int8_for_cpus(data: bytes, tiles: Sequence[Tile], metadata: dict[str, str] | None = None, *, narrow: bool = True) -> bytes:
    """Return an ONNX file of edgesr in 8 bits for CPUs, calibrated on `tiles`, with its metadata and `metadata`.

    Without `narrow` it is made much sooner, as fast to run, and less exact.
    """
    keep_float = tuple(
        node.name
        for node in onnx.load_model_from_string(data).graph.node
        if node.op_type == "Conv" and _kernel(node) != _KERNEL
    )
    proto = onnx.load_model_from_string(quantized(data, list(tiles), keep_float=keep_float, operators=("Conv", "Relu")))
    _keep_stream_float(proto)
    if narrow:
        _narrow(proto, data, tiles[:_SEARCHED])
    helper.set_model_props(proto, {**read(data), "precision": "int8", **(metadata or {})})
    onnx.checker.check_model(proto)
    result: bytes = proto.SerializeToString()
    return result


def psnr_in_float(data: bytes, full: bytes, tiles: Sequence[Tile]) -> list[float]:
    """Return the PSNR in dB of the int8 file `data` against the float32 file `full`, for each of `tiles`.

    The quantised graph is evaluated as written, in float arithmetic: the result of exact integer kernels, on any processor.
    """
    ours, theirs = _as_written(data), _session(full)
    return [compare(ours.run(["hr"], tile)[0], theirs.run(["hr"], tile)[0]).psnr for tile in tiles]


def check(psnr: Sequence[float], what: str) -> None:
    """Raise EdgesrError if the mean PSNR is below the limit."""
    if not np.mean(psnr) >= MIN_PSNR:  # not a number fails as well
        raise EdgesrError(f"{what}: int8 has {np.mean(psnr):.1f} dB against float32, and needs {MIN_PSNR:g}; nothing written")


def _kernel(node: onnx.NodeProto) -> list[int]:
    return next((list(attribute.ints) for attribute in node.attribute if attribute.name == "kernel_shape"), [])


def _producers(proto: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {output: node for node in proto.graph.node for output in node.output}


def _activations(proto: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The DequantizeLinear nodes of activations: those after a QuantizeLinear."""
    made = _producers(proto)
    return [node for node in proto.graph.node if node.op_type == "DequantizeLinear" and node.input[0] in made]


def _keep_stream_float(proto: onnx.ModelProto) -> None:
    """Let all but the quantised convolutions read activations as they were before they were rounded for those."""
    made = _producers(proto)
    floats = {}
    for node in _activations(proto):
        whole = made[node.input[0]].input[0]
        if not _is_quantised(made[whole], made):
            floats[node.output[0]] = whole
    for node in proto.graph.node:
        if not _is_quantised(node, made):
            for index, name in enumerate(node.input):
                node.input[index] = floats.get(name, name) if node.op_type != "QuantizeLinear" else name


def _is_quantised(node: onnx.NodeProto, made: dict[str, onnx.NodeProto]) -> bool:
    """Whether a node is a convolution in 8 bits."""
    return node.op_type == "Conv" and node.input[0] in made and made[node.input[0]].op_type == "DequantizeLinear"


def _narrow(proto: onnx.ModelProto, full: bytes, tiles: Sequence[Tile]) -> None:
    """Narrow the ranges of convolutions' results that are added to the stream, as far as the output comes nearer to float32.

    Calibration takes the whole range of a tensor. Rare extremes waste levels, most of all where a ReLU follows the sum, so that large
    negative values do not count.
    """
    made = _producers(proto)
    quantised = [node for node in proto.graph.node if _is_quantised(node, made)]
    ends = [node for node in _activations(proto) if not any(node.output[0] in other.input for other in quantised)]
    pairs = [(node.input[1], node.input[2]) for node in ends]  # scale, zero point
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    open_ended = onnx.ModelProto()
    open_ended.CopyFrom(proto)
    for scale, zero in pairs:  # an initializer that is also an input can be replaced in each run
        open_ended.graph.input.append(helper.make_tensor_value_info(scale, TensorProto.FLOAT, []))
        open_ended.graph.input.append(helper.make_tensor_value_info(zero, TensorProto.UINT8, []))
    session, exact = _as_written(open_ended.SerializeToString()), _session(full)
    wanted = [exact.run(["hr"], tile)[0] for tile in tiles]

    def error(ranges: list[tuple[float, float]]) -> float:
        fed = _parameters(pairs, ranges)
        outputs = (session.run(["hr"], {**tile, **fed})[0] for tile in tiles)
        return float(np.mean([np.mean((got - want) ** 2) for got, want in zip(outputs, wanted, strict=True)]))

    ranges = [_range(*(float(numpy_helper.to_array(constants[name])) for name in pair)) for pair in pairs]
    least = error(ranges)
    for index in range(len(ranges)):
        for factors in ((_STEP, 1.0), (1.0, _STEP)):
            while True:
                low, high = ranges[index]
                tried = [*ranges[:index], (low * factors[0], high * factors[1]), *ranges[index + 1 :]]
                found = error(tried)
                if not found < _GAIN * least:
                    break
                ranges, least = tried, found
    for name, value in _parameters(pairs, ranges).items():
        constants[name].CopyFrom(numpy_helper.from_array(value, name))


def _range(scale: float, zero: float) -> tuple[float, float]:
    """The smallest and the largest value that a scale and a zero point can represent."""
    return -zero * scale, (_LEVELS - zero) * scale


def _parameters(pairs: list[tuple[str, str]], ranges: list[tuple[float, float]]) -> dict[str, Array]:
    """Scales and zero points of ranges, by name."""
    found = {}
    for (scale, zero), (low, high) in zip(pairs, ranges, strict=True):
        step = max((high - low) / _LEVELS, 1e-9)
        found[scale] = np.array(step, np.float32)
        found[zero] = np.array(np.clip(round(-low / step), 0, _LEVELS), np.uint8)
    return found


def _session(data: bytes, *, optimised: bool = True) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors: it warns of initializers that are also inputs
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _as_written(data: bytes) -> onnxruntime.InferenceSession:
    """A session that rounds as the graph says, but computes in float: fusing those nodes into integer kernels is an optimisation."""
    return _session(data, optimised=False)
