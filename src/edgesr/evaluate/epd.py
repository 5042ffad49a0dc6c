"""EPD, a perceptual distance that works offline: the distance in EfficientNet-Lite2's features, not calibrated.

Training may use Lite0, a smaller network of the same family, so EPD may rate models trained on its features better than people do.
Lower is better; no unit.
"""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray

LEVELS = 5


class EPD:
    """The metric, its network loaded once."""

    def __init__(self) -> None:
        """Load the network; raises UsageError when the extra is not installed."""
        from edgesr.pretrained.features import efficientnet_lite

        self._distance = efficientnet_lite(2, LEVELS, extra="evaluate")

    @torch.no_grad()
    def __call__(self, out: NDArray[Any], hr: NDArray[Any]) -> float:
        """Return the distance of two pictures of one size, (H, W, 3) uint8; raises ValueError when the sizes differ."""
        if out.shape != hr.shape:
            raise ValueError(f"pictures of different sizes: {out.shape} and {hr.shape}")
        return float(self._distance(_tensor(out), _tensor(hr)))


def _tensor(pixels: NDArray[Any]) -> torch.Tensor:
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    return tensor.contiguous(memory_format=torch.channels_last)
