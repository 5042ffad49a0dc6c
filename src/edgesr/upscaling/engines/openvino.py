"""Intel's OpenVINO on the CPU; it reads ONNX files, and its own .xml files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino

from edgesr.upscaling.engines.base import Array, Contents, Settings, load_error, thread_count


class OpenVino:
    """A model compiled by OpenVINO in float32 or bfloat16."""

    def __init__(self, model: Path | bytes, settings: Settings) -> None:
        config = {
            "INFERENCE_NUM_THREADS": settings.threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[settings.precision],
        }
        try:
            core = openvino.Core()
            source = core.read_model(model if isinstance(model, bytes) else str(model))
            compiled = core.compile_model(source, "CPU", config)
        except RuntimeError as error:
            raise load_error(model, error) from None
        self._request = compiled.create_infer_request()
        shapes = {
            node.any_name: tuple(None if side.is_dynamic else side.get_length() for side in node.partial_shape)
            for node in source.inputs
        }
        self.contents = Contents(shapes, _metadata(source))
        self.description = f"openvino (CPU, {thread_count(settings.threads)})"

    def __call__(self, lr: Array, eps: Array) -> Array:
        """Evaluate the network; see Engine."""
        return self._request.infer({"lr": lr, "eps": eps})["hr"]


load = OpenVino


def _metadata(model: Any) -> dict[str, str]:
    """A model's metadata, where OpenVINO keeps those of an ONNX file."""
    try:
        return {key: value.astype(str) for key, value in model.rt_info["framework"].items()}
    except (KeyError, AttributeError, TypeError, RuntimeError):
        return {}
