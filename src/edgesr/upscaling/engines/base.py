"""What every engine is given and offers, and the errors that they share."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edgesr.errors import EdgesrError, one_line

Array = NDArray[np.float32]


class Contents(NamedTuple):
    """What a file of weights says of itself."""

    inputs: dict[str, tuple[int | None, ...]]  # name: shape, None for a side of any length
    metadata: dict[str, str]  # of edgesr's own exports: preset, latent_channels, halo...; other files may have none


class Settings(NamedTuple):
    """How a network is run."""

    threads: int
    provider: str | None = None  # of onnxruntime
    fallback: bool = False  # whether the CPU may run parts that the provider does not support
    steps: int = 1  # of the diffusion; more than 1 for a checkpoint only
    precision: str = "fp32"  # of what is not in 8 bits in the file: fp32, or bf16 where the engine has it


class Engine(Protocol):
    """A loaded network."""

    description: str  # what is really in use, for people
    contents: Contents  # of the file that it was loaded from

    def __call__(self, lr: Array, eps: Array) -> Array:
        """Map lr (1, 3, h, w) in [0, 1] and eps (1, C, h/2, w/2) to hr (1, 3, 4h, 4w) in [0, 1]; may raise MemoryError."""
        ...


def thread_count(threads: int) -> str:
    """Return "1 thread", "2 threads"... for a description."""
    return f"{threads} thread{'s' if threads > 1 else ''}"


def model_name(model: Path | bytes) -> str:
    """Return what an error calls the model: its path, or "the model's bytes"."""
    return "the model's bytes" if isinstance(model, bytes) else str(model)


def load_error(model: Path | bytes, error: Exception) -> EdgesrError:
    """Return the error for a model file that cannot be loaded."""
    return EdgesrError(
        f"{model_name(model)}: cannot load the model file; reinstall edgesr, or export it again ({one_line(error)})"
    )


def window_error(lr: Array) -> MemoryError:
    """Return the error for a window (1, 3, h, w) that does not fit into memory."""
    return MemoryError(f"not enough memory for a window of {lr.shape[3]}x{lr.shape[2]} pixels")
