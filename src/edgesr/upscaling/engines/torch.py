"""torch as an engine, on a GPU where there is one: the released file's weights read back into the network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from edgesr.export.source import read_back
from edgesr.upscaling.engines import Array, count, damaged


class Torch:
    """PyTorch; on CUDA or Apple's Metal where torch has them, else on the CPU with `channels_last` convolutions."""

    def __init__(self, model: Path | bytes, threads: int, fallback: bool) -> None:  # noqa: ARG002 -- it says where it runs
        torch.set_num_threads(threads)
        try:
            data = model if isinstance(model, bytes) else model.read_bytes()
        except OSError as error:
            raise damaged(model, error) from None
        name = Path("a model's bytes") if isinstance(model, bytes) else model
        device = next((kind for kind in ("cuda", "mps") if getattr(torch, kind).is_available()), "cpu")
        self._device = torch.device(device)
        self._model = read_back(data, name).model.eval().requires_grad_(False).to(self._device)
        self._model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.description = f"torch ({device.upper()}, {count(threads)})"

    @torch.inference_mode()
    def __call__(self, lr: Array, eps: Array) -> Array:
        """Evaluate the network; see Engine."""
        try:
            hr = self._model(*(torch.from_numpy(np.ascontiguousarray(x)).to(self._device) for x in (lr, eps)))
        except (RuntimeError, torch.OutOfMemoryError) as error:
            if "memory" in str(error):
                raise MemoryError(f"not enough memory for a window of {lr.shape[3]}x{lr.shape[2]} pixels") from error
            raise
        return hr.contiguous().cpu().numpy()
