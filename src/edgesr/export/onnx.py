"""Write a model as ONNX: time folded into biases, dynamic batch and sides, compared with torch before it is written."""

from __future__ import annotations

import copy
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from edgesr.atomic import write_whole
from edgesr.errors import EdgesrError
from edgesr.export.graph import for_runtimes
from edgesr.model import EdgeSR
from edgesr.model.at_mean import AtMean
from edgesr.presets import LATENT_STRIDE

OPSET = 18
MAX_DIFFERENCE = 1e-4  # of [0, 1] output values between torch and onnxruntime, in float32


def export_onnx(model: EdgeSR, path: Path, metadata: dict[str, str] | None = None) -> float:
    """Write `model` to `path`; return the largest absolute difference to torch on a random tile (output values in [0, 1]).

    Inputs `lr` (B, 3, h, w) in [0, 1] and `eps` (B, C, h/2, w/2) ~ N(0, I); output `hr` (B, 3, 4h, 4w) in [0, 1]; h and w
    multiples of the preset's. Raises EdgesrError, and writes no file, if the difference is too large.
    """
    data = to_onnx(model, None, metadata)
    difference = _parity(model, data)
    if not difference <= MAX_DIFFERENCE:  # not a number fails as well
        raise EdgesrError(
            f"{path.name}: onnxruntime differs from torch by {difference:.2g}, more than {MAX_DIFFERENCE:g}; nothing written"
        )
    write_whole(path, data)
    return difference


def to_onnx(
    model: EdgeSR, size: tuple[int, int] | None, metadata: dict[str, str] | None = None, *, single: bool = False
) -> bytes:
    """Return `model` as an ONNX file for one LR tile of `size` (width, height) px; None: any batch and size.

    `single`: without the input `eps`; the noise is at its mean.
    """
    inputs = (
        (random_tile(model, 1, *size)) if size else random_tile(model, 2, 8 * model.preset.multiple, 16 * model.preset.multiple)
    )[: 1 if single else 2]
    graph = AtMean(for_runtimes(model)) if single else for_runtimes(model)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph, inputs, input_names=["lr", "eps"][: len(inputs)], output_names=["hr"],
            dynamic_shapes=None if size else _any_size(model)[: len(inputs)],
            opset_version=OPSET, dynamo=True, optimize=True, verbose=False,
        )  # fmt: skip
    assert program is not None
    proto = program.model_proto
    for key, value in (metadata or {}).items():
        proto.metadata_props.add(key=key, value=value)
    _drop_debug_text(proto)
    onnx.checker.check_model(proto)
    data: bytes = proto.SerializeToString()
    return data


def random_tile(model: EdgeSR, batch: int, width: int, height: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return lr (batch, 3, height, width) in [0, 1] and eps for it; the values are reproducible."""
    generator = torch.Generator().manual_seed(0)
    lr = torch.rand(batch, 3, height, width, generator=generator)
    return lr, torch.randn(batch, model.preset.latent_channels, height // 2, width // 2, generator=generator)


def _any_size(model: EdgeSR) -> tuple[dict[int, Any], dict[int, Any]]:
    batch, height, width = (torch.export.Dim(name, min=1) for name in ("batch", "height_units", "width_units"))
    multiple = model.preset.multiple
    unit = multiple // LATENT_STRIDE
    return {0: batch, 2: multiple * height, 3: multiple * width}, {0: batch, 2: unit * height, 3: unit * width}


def _drop_debug_text(proto: onnx.ModelProto) -> None:
    """Remove stack traces of the exporting machine."""
    # The names of symbols differ in every process, so that the two forms of a network would not compare equal.
    del proto.graph.metadata_props[:]
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        del value.metadata_props[:]


@torch.no_grad()
def _parity(model: EdgeSR, data: bytes) -> float:
    lr, eps = random_tile(model, 2, 8 * model.preset.multiple, 16 * model.preset.multiple)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    got = session.run(["hr"], {"lr": lr.numpy(), "eps": eps.numpy()})[0]
    return float(np.abs(got - copy.deepcopy(model).eval().float().cpu()(lr, eps).numpy()).max())
