"""PyTorch: the weights of an ONNX file read back into the network, or a checkpoint, whose network can take several steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from edgesr.model import EdgeSR
from edgesr.model.loading import load_averaged, read_back
from edgesr.upscaling.engines.base import Array, Contents, Settings, load_error, model_name, thread_count, window_error


class Torch:
    """The network on CUDA or Apple's Metal where torch has them, else on the CPU with `channels_last` convolutions."""

    def __init__(self, model: Path | bytes, settings: Settings) -> None:
        torch.set_num_threads(settings.threads)
        network, metadata = _network(model)
        if not network.folded and settings.steps == 1:
            network = network.fold()
        channels = network.preset.latent_channels
        self.contents = Contents({"lr": (None, 3, None, None), "eps": (None, channels, None, None)}, metadata)
        self._steps = settings.steps
        device = next((kind for kind in ("cuda", "mps") if getattr(torch, kind).is_available()), "cpu")
        self._device = torch.device(device)
        self._model = network.eval().requires_grad_(False).to(self._device)
        self._model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.description = f"torch ({device.upper()}, {thread_count(settings.threads)})"

    @torch.inference_mode()
    def __call__(self, lr: Array, eps: Array) -> Array:
        """Evaluate the network; see Engine."""
        try:
            hr = self._model(*(torch.from_numpy(np.ascontiguousarray(x)).to(self._device) for x in (lr, eps)), self._steps)
        except (RuntimeError, torch.OutOfMemoryError) as error:
            if "memory" in str(error):
                raise window_error(lr) from error
            raise
        return hr.contiguous().cpu().numpy()


load = Torch


def _network(model: Path | bytes) -> tuple[EdgeSR, dict[str, str]]:
    """The network and the metadata of a checkpoint folder, an ONNX file, or the bytes of one."""
    if isinstance(model, Path) and model.is_dir():
        return load_averaged(model)
    try:
        data = model if isinstance(model, bytes) else model.read_bytes()
    except OSError as error:
        raise load_error(model, error) from None
    return read_back(data, model_name(model))
