"""Write the file of differences from a released ONNX file to the network's other form (read by `upscaling.forms`)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from edgesr.atomic import new_file
from edgesr.errors import EdgesrError, one_line
from edgesr.upscaling.forms import DIFFERENCE, WEIGHT, Difference, interpolate, write

MAX_DIFFERENCE = 1e-3  # of [0, 1] output values, between the fidelity form and its reconstruction from the difference

Weights = NDArray[np.float32]


def write_difference(base: Path, fidelity: Path, target: Path, metadata: dict[str, str] | None = None) -> float:
    """Write the difference from the ONNX file `base` to `fidelity`, two exports of one network, to `target` (.npz).

    Returns the largest absolute difference, of output values in [0, 1] on a random tile, between `fidelity` and its reconstruction
    from `base` and `target`. Raises EdgesrError, and leaves `target` as it was, if a file cannot be read, if the two are not forms
    of one network, or if half precision cannot represent the difference.
    """
    data, ours = _parsed(base)
    wanted, theirs = _parsed(fidelity)
    if _skeleton(ours) != _skeleton(theirs):
        raise EdgesrError(
            f"{base}: its graph or the shapes of its weights differ from the other form's; export both with the same version of edgesr"
        )
    difference = _difference(base, data, ours, theirs)
    with new_file(target) as stream:
        temporary = Path(stream.name)
        write(temporary, difference, metadata)
        made = interpolate(base, temporary, 1.0)
        if not _holds(onnx.load_model_from_string(made), ours, theirs):
            raise EdgesrError(
                f"{target}: half precision cannot represent the difference of the two forms' weights; nothing written"
            )
        parity = _parity(made, wanted)
        if not parity <= MAX_DIFFERENCE:  # not a number fails as well
            raise EdgesrError(
                f"{target}: its output differs from the fidelity form's by {parity:.2g}, more than {MAX_DIFFERENCE:g}; nothing written"
            )
    return parity


def _parsed(path: Path) -> tuple[bytes, onnx.ModelProto]:
    try:
        data = path.read_bytes()
        return data, onnx.load_model_from_string(data)
    except Exception as error:  # the parser's errors share no base class but this one
        raise EdgesrError(f"{path}: cannot be read as an ONNX file ({one_line(error)})") from None


def _tensors(proto: onnx.ModelProto) -> list[onnx.TensorProto]:
    """The float32 tensors stored as raw bytes: the weights, and a few constants of the graph."""
    return [tensor for tensor in proto.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT and tensor.raw_data]


def _weights(proto: onnx.ModelProto) -> list[Weights]:
    return [np.frombuffer(tensor.raw_data, WEIGHT) for tensor in _tensors(proto)]


def _filled(proto: onnx.ModelProto, byte: bytes) -> onnx.ModelProto:
    """A copy with every byte of the weights replaced by `byte`."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    for tensor in _tensors(copy):
        tensor.raw_data = byte * len(tensor.raw_data)
    return copy


def _skeleton(proto: onnx.ModelProto) -> bytes:
    """The graph without its weights: operators, names, shapes, integers."""
    return _filled(proto, b"\0").graph.SerializeToString()


def _offsets(path: Path, data: bytes, proto: onnx.ModelProto) -> list[int]:
    """The offset in `data` of each weight tensor, found as the bytes that change when all weights do."""
    if proto.SerializeToString() != data:
        raise EdgesrError(f"{path}: not laid out as tools/release.py writes it; release it again")
    low, high = (np.frombuffer(_filled(proto, byte).SerializeToString(), np.uint8) for byte in (b"\0", b"\xff"))
    edges = np.flatnonzero(
        np.diff(low != high, prepend=False, append=False)
    )  # the header of each tensor separates it from the one before
    return edges[::2].tolist()


def _difference(path: Path, data: bytes, ours: onnx.ModelProto, theirs: onnx.ModelProto) -> Difference:
    blocks, values = [], [np.empty(0, DIFFERENCE)]
    for offset, before, after in zip(_offsets(path, data, ours), _weights(ours), _weights(theirs), strict=True):
        if not np.array_equal(before, after):  # constants are the same
            blocks.append((offset, before.size))
            with np.errstate(over="ignore"):  # overflow is found when the result is checked
                values.append((after - before).astype(DIFFERENCE))
    return Difference(hashlib.sha256(data).hexdigest(), np.array(blocks, np.int64).reshape(-1, 2), np.concatenate(values))


def _holds(made: onnx.ModelProto, ours: onnx.ModelProto, theirs: onnx.ModelProto) -> bool:
    """Whether `made` is `ours` with the weights of `theirs`, within the precision of half-precision differences."""
    if _skeleton(made) != _skeleton(ours):
        return False
    half, single = np.finfo(np.float16), np.finfo(np.float32)
    for got, before, after in zip(_weights(made), _weights(ours), _weights(theirs), strict=True):
        tolerance = half.eps * np.abs(after - before) + half.smallest_subnormal + single.eps * np.abs(after)
        if not (np.abs(got - after) <= tolerance).all():
            return False
    return True


def _parity(made: bytes, wanted: bytes) -> float:
    sessions = [onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]) for data in (made, wanted)]
    channels = next(node.shape[1] for node in sessions[0].get_inputs() if node.name == "eps")
    rng = np.random.default_rng(0)
    lr, eps = rng.random((1, 3, 64, 96), np.float32), rng.standard_normal((1, channels, 32, 48), np.float32)
    ours, theirs = (session.run(["hr"], {"lr": lr, "eps": eps})[0] for session in sessions)
    return float(np.abs(ours - theirs).max())
