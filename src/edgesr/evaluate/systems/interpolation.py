"""`bicubic` and `lanczos`: interpolation by Pillow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import PIL
from PIL import Image

from edgesr.evaluate.systems.base import Facts, InProcess, Loaded, Pixels, Place, digest
from edgesr.presets import SCALE

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}


@dataclass(frozen=True)
class Interpolation:
    """One of FILTERS, by Pillow, on one thread."""

    name: str

    def facts(self) -> Facts:
        """See System."""
        return Facts(f"{self.name} interpolation (Pillow {PIL.__version__})", digest(self.name, PIL.__version__))

    def load(self, threads: int) -> Loaded:  # Pillow has one thread
        """See System."""
        return _Loaded(FILTERS[self.name])


class _Loaded(InProcess):
    def __init__(self, resampling: Image.Resampling) -> None:
        self._resampling = resampling

    def __call__(self, lr: Pixels, place: Place) -> Pixels:
        height, width = lr.shape[:2]
        return np.asarray(Image.fromarray(lr).resize((SCALE * width, SCALE * height), self._resampling))
