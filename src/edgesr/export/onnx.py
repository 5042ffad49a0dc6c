"""Write a model as ONNX: time folded into biases, batch and sides dynamic, parity checked before it is kept."""

from __future__ import annotations

import copy
import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from edgesr.errors import EdgesrError
from edgesr.model import EdgeSR

OPSET = 18
MAX_DIFFERENCE = 1e-4  # of [0, 1] output values between torch and onnxruntime, in float32


def export_onnx(model: EdgeSR, path: Path, metadata: dict[str, str] | None = None) -> float:
    """Write `model` to `path`; return the largest absolute difference to torch on a random tile (output values in [0, 1]).

    Inputs `lr` (B, 3, h, w) in [0, 1] and `eps` (B, C, h/2, w/2) ~ N(0, I); output `hr` (B, 3, 4h, 4w) in [0, 1]; h and w
    multiples of the preset's. Raises EdgesrError, and leaves no file, when the parity fails.
    """
    folded = copy.deepcopy(model).eval().float().cpu().fold_time()
    folded.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    multiple, channels = model.preset.multiple, model.preset.latent_channels
    generator = torch.Generator().manual_seed(0)
    lr = torch.rand(2, 3, 16 * multiple, 8 * multiple, generator=generator)
    eps = torch.randn(2, channels, 8 * multiple, 4 * multiple, generator=generator)
    batch, height, width = (torch.export.Dim(name, min=1) for name in ("batch", "height_units", "width_units"))
    unit = multiple // 2
    shapes = (
        {0: batch, 2: multiple * height, 3: multiple * width},
        {0: batch, 2: unit * height, 3: unit * width},
    )
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            folded, (lr, eps), input_names=["lr", "eps"], output_names=["hr"], dynamic_shapes=shapes, opset_version=OPSET,
            dynamo=True, optimize=True, verbose=False,
        )  # fmt: skip
    assert program is not None
    proto = program.model_proto
    for key, value in (metadata or {}).items():
        proto.metadata_props.add(key=key, value=value)
    _drop_debug_text(proto)
    onnx.checker.check_model(proto)
    data = proto.SerializeToString()
    difference = _parity(folded, data, lr, eps)
    if not difference <= MAX_DIFFERENCE:  # not a number fails as well
        raise EdgesrError(
            f"{path.name}: onnxruntime differs from torch by {difference:.2g}, more than {MAX_DIFFERENCE:g}; nothing written"
        )
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_bytes(data)
    temporary.replace(path)
    return difference


def _drop_debug_text(proto: onnx.ModelProto) -> None:
    """Stack traces of the exporting machine have no place in a released file."""
    del proto.graph.metadata_props[
        :
    ]  # it names its symbols anew in every process: two forms could not be told to be one network
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        del value.metadata_props[:]


def _parity(model: EdgeSR, data: bytes, lr: torch.Tensor, eps: torch.Tensor) -> float:
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    got = session.run(["hr"], {"lr": lr.numpy(), "eps": eps.numpy()})[0]
    with torch.no_grad():
        want = model(lr, eps).numpy()
    return float(np.abs(got - want).max())
