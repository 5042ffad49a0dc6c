"""Edge-SD-SR: one-step latent-diffusion 4x super-resolution that runs on a CPU, without torch.

>>> from edgesr import upscale_file
>>> upscale_file("photo.jpg", "photo_4x.png")  # doctest: +SKIP
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgesr.presets import list_models
    from edgesr.upscaling.file import upscale_file
    from edgesr.upscaling.upscaler import Upscaler, upscale

# onnxruntime's own packages send usage events to its maker unless this is set before it is imported; a user's own value counts.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
__all__ = ["Upscaler", "__version__", "list_models", "upscale", "upscale_file"]

_HOMES = {
    "Upscaler": "edgesr.upscaling.upscaler",
    "upscale": "edgesr.upscaling.upscaler",
    "upscale_file": "edgesr.upscaling.file",
    "list_models": "edgesr.presets",
}


def __getattr__(name: str) -> Any:
    """Import on first use: `edgesr --help` must not wait for numpy, Pillow and onnxruntime."""
    if name not in _HOMES:
        raise AttributeError(f"module 'edgesr' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
