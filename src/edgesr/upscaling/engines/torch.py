"""torch as an engine of `edgesr.upscaling.engines`, on a GPU where there is one: a file's weights read back into the network (ours), or a
training's checkpoint, whose network still knows the time and can take several steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from edgesr.export.source import Source, load, read_back
from edgesr.upscaling.engines import Array, Contents, count, damaged


class Torch:
    """PyTorch; on CUDA or Apple's Metal where torch has them, else on the CPU with `channels_last` convolutions."""

    def __init__(self, model: Path | bytes, threads: int, fallback: bool, steps: int = 1) -> None:  # it says where it runs
        torch.set_num_threads(threads)
        source = _source(model)
        network = source.model if source.model.folded or steps > 1 else source.model.fold()
        channels = network.preset.latent_channels
        self.contents = Contents({"lr": (None, 3, None, None), "eps": (None, channels, None, None)}, source.metadata)
        self._steps = steps
        device = next((kind for kind in ("cuda", "mps") if getattr(torch, kind).is_available()), "cpu")
        self._device = torch.device(device)
        self._model = network.eval().requires_grad_(False).to(self._device)
        self._model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.description = f"torch ({device.upper()}, {count(threads)})"

    @torch.inference_mode()
    def __call__(self, lr: Array, eps: Array) -> Array:
        """Evaluate the network; see Engine."""
        try:
            hr = self._model(*(torch.from_numpy(np.ascontiguousarray(x)).to(self._device) for x in (lr, eps)), self._steps)
        except (RuntimeError, torch.OutOfMemoryError) as error:
            if "memory" in str(error):
                raise MemoryError(f"not enough memory for a window of {lr.shape[3]}x{lr.shape[2]} pixels") from error
            raise
        return hr.contiguous().cpu().numpy()


def _source(model: Path | bytes) -> Source:
    """The network of an ONNX file, of the bytes of one, or of a checkpoint folder."""
    if isinstance(model, bytes):
        return read_back(model, Path("a model's bytes"))
    if model.is_dir():
        return load(str(model))
    try:
        return read_back(model.read_bytes(), model)
    except OSError as error:
        raise damaged(model, error) from None
