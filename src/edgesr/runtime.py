"""Engines that evaluate the released network on a CPU, behind one small protocol; none of them imports torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgesr.errors import EdgesrError, UsageError

Array = NDArray[np.float32]


class Engine(Protocol):
    """A loaded network."""

    description: str  # what is really in use, for people

    def __call__(self, lr: Array, eps: Array) -> Array:
        """Map lr (1, 3, h, w) in [0, 1] and eps (1, C, h/2, w/2) to hr (1, 3, 4h, 4w) in [0, 1]; may raise MemoryError."""
        ...


class OnnxRuntime:
    """onnxruntime on the CPU, the default."""

    def __init__(self, model: Path | bytes, threads: int) -> None:
        onnxruntime = import_module("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.enable_mem_pattern = False  # a plan kept for every shape: more memory, and no faster where shapes differ
        options.log_severity_level = 4  # nothing: errors are raised, and need not be printed as well
        try:
            source = model if isinstance(model, bytes) else str(model)
            self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no base class but this one
            raise _damaged(model, error) from None
        self.description = f"onnxruntime ({self._session.get_providers()[0]}, {_count(threads)})"

    def __call__(self, lr: Array, eps: Array) -> Array:
        """Evaluate the network; see Engine."""
        try:
            return self._session.run(["hr"], {"lr": lr, "eps": eps})[0]
        except Exception as error:  # again no base class, and none for memory
            if "Failed to allocate memory" in str(error) or "bad_alloc" in str(error):
                raise MemoryError(f"not enough memory for a window of {lr.shape[3]}x{lr.shape[2]} pixels") from error
            raise


class OpenVino:
    """Intel's OpenVINO on the CPU; it reads the same file."""

    def __init__(self, model: Path | bytes, threads: int) -> None:
        openvino = import_module("openvino")
        config = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        try:
            core = openvino.Core()
            source = core.read_model(model if isinstance(model, bytes) else str(model))
            compiled = core.compile_model(source, "CPU", config)
        except RuntimeError as error:
            raise _damaged(model, error) from None
        self._request = compiled.create_infer_request()
        self.description = f"openvino (CPU, {_count(threads)})"

    def __call__(self, lr: Array, eps: Array) -> Array:
        """Evaluate the network; see Engine."""
        return self._request.infer({"lr": lr, "eps": eps})["hr"]


ENGINES: dict[str, Callable[[Path | bytes, int], Engine]] = {"onnxruntime": OnnxRuntime, "openvino": OpenVino}
_PACKAGES = {"onnxruntime": "'onnxruntime'", "openvino": "'edgesr[openvino]'"}


def load_engine(name: str, model: Path | bytes, threads: int | None) -> Engine:
    """Load `model`, an ONNX file or the bytes of one, into the engine called `name` on so many threads (None: every core).

    "auto" is onnxruntime. Raises UsageError for an unknown engine, one that is not installed, or a wrong thread count; EdgesrError
    for a damaged model.
    """
    name = "onnxruntime" if name == "auto" else name
    if name not in ENGINES:
        raise UsageError(f"unknown engine '{name}': choose one of auto, {', '.join(ENGINES)}")
    if threads is not None and not (isinstance(threads, int) and threads >= 1):
        raise UsageError(f"--threads {threads}: give a whole number of at least 1")
    try:
        return ENGINES[name](model, threads or available_cores())
    except ImportError:
        raise UsageError(f"the engine '{name}' is not installed: pip install {_PACKAGES[name]}") from None


def available_cores() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _count(threads: int) -> str:
    return f"{threads} thread{'s' if threads > 1 else ''}"


def _damaged(model: Path | bytes, error: Exception) -> EdgesrError:
    reason = " ".join(str(error).split())[:200]
    name = "a model's bytes" if isinstance(model, bytes) else model
    return EdgesrError(f"{name}: cannot load the model file; reinstall edgesr, or export it again ({reason})")
