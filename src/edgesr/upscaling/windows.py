"""An array of any size and kind through the network, window by window: alpha, padding, noise, and the size of the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesr.errors import EdgesrError
from edgesr.images.bands import Bands
from edgesr.presets import LATENT_STRIDE, SCALE
from edgesr.upscaling import memory as memory_limits
from edgesr.upscaling.network import BLENDED_OVERLAP, BLENDED_TILE, Network
from edgesr.upscaling.noise import noise_field
from edgesr.upscaling.planes import (
    append_alpha,
    fill_transparent,
    from_network,
    hold_within_neighbours,
    resize,
    to_grey,
    to_network,
)
from edgesr.upscaling.tiling import Plan, Span, assemble, crop, plan_blended, plan_exact

Progress = Callable[[float], None]
Pixels = NDArray[Any]  # (H, W, C) uint8, uint16, or floating point in [0, 1]


@dataclass(frozen=True)
class WindowedNetwork:
    """A loaded network for arrays of any size, of which it sees windows."""

    network: Network
    tile: int | None  # LR px of a window without its halo, or None for what suits the memory; the result is the same
    blended: bool  # the paper's plan: tiles of one size that overlap
    memory: int | None  # MB that the process may take
    seed: int
    steps: int  # of the diffusion: more need a wider halo

    def __call__(self, pixels: Pixels, size: tuple[int, int], progress: Progress | None = None) -> Bands:
        """(H, W, C) -> (size[1], size[0], C): the network on colour and on alpha, then Lanczos if the size is not 4x.

        A size below the input's is Lanczos alone. `progress` gets the fraction done in [0, 1] after each window.
        """
        channels = pixels.shape[2]
        colour, alpha = (pixels[:, :, :-1], pixels[:, :, -1:]) if channels in (2, 4) else (pixels, None)
        if not enlarges(pixels, size):
            whole = pixels if alpha is None else np.concatenate([fill_transparent(colour, alpha), alpha], axis=2)
            return resize(Bands.of(whole), size)
        passes = 1 if alpha is None or _constant(alpha) else 2
        plan = self.plan(*self._padded(pixels), pixels.nbytes)
        tick = _counted(progress, passes * len(plan))
        if alpha is None:
            return resize(self._upscaled(colour, plan, tick), size)
        bands = self._upscaled(fill_transparent(colour, alpha), plan, tick)
        if passes == 1:
            opacity = alpha[0, 0, 0]
            return resize(bands, size).map(lambda rows: np.insert(rows, channels - 1, opacity, axis=2), channels=channels)
        opaque = hold_within_neighbours(self._upscaled(alpha, plan, tick), alpha)
        return resize(append_alpha(bands, opaque), size)

    def plan(self, height: int, width: int, input_bytes: int = 0) -> Plan:
        """The windows of an image of that size, in LR px, whose pixels take so many bytes."""
        preset = self.network.preset
        halo, multiple = preset.halo_of(self.steps), preset.multiple
        if self.blended or halo is None:
            return plan_blended(height, width, tile=BLENDED_TILE, overlap=BLENDED_OVERLAP, multiple=multiple)
        limits = memory_limits.limits(preset, input_bytes, self.memory)
        return plan_exact(height, width, tile=self.tile, halo=halo, multiple=multiple, **limits._asdict())

    def _upscaled(self, pixels: Pixels, plan: Plan, tick: Callable[[], None]) -> Bands:
        """(H, W, 1 or 3) -> (4H, 4W, 1 or 3) of the same type, tile by tile; calls `tick` after each tile."""
        height, width, channels = pixels.shape
        engine, preset = self.network.engine, self.network.preset
        shape, dtype = (SCALE * height, SCALE * width, channels), pixels.dtype

        def kept(row: Span, column: Span) -> NDArray[Any]:
            # the last row and column are repeated up to the multiple
            rows = np.clip(np.arange(row.start, row.stop), 0, height - 1)
            columns = np.clip(np.arange(column.start, column.stop), 0, width - 1)
            lr = to_network(pixels[rows[:, None], columns])
            eps = noise_field(self.seed, preset.latent_channels, _latent(row), _latent(column))
            hr = crop(engine(lr, eps[None])[0], row, column, SCALE)  # (3, h, w)
            if not np.isfinite(hr.sum()):
                raise EdgesrError(
                    f"the output of the network is not finite (engine {engine.description}): try another --engine"
                )
            tick()
            hr = to_grey(hr) if channels == 1 else hr
            return hr if plan.blended else from_network(hr, dtype)

        if not plan.blended:
            return Bands(shape, dtype, assemble(plan, kept, SCALE, shape, dtype))
        sums = Bands(shape, np.float32, assemble(plan, kept, SCALE, shape, np.float32))
        return sums.map(lambda rows: from_network(rows, dtype), dtype=dtype)

    def _padded(self, pixels: Pixels) -> tuple[int, int]:
        """Height and width padded for the network: multiples of the model's, and at least the fixed tile size of some weights."""
        multiple, least_side = self.network.preset.multiple, self.network.least_side
        height, width = (max(-(-side // multiple) * multiple, least_side) for side in pixels.shape[:2])
        return height, width


def enlarges(pixels: Pixels, size: tuple[int, int]) -> bool:
    """Whether a result of `size` (width, height) has more pixels in either direction: else there is nothing for a network to add."""
    return size[0] >= pixels.shape[1] or size[1] >= pixels.shape[0]


def _latent(span: Span) -> range:
    """The latent positions of a window, of one axis."""
    return range(span.start // LATENT_STRIDE, span.stop // LATENT_STRIDE)


def _constant(plane: Pixels) -> bool:
    return bool((plane == plane[0, 0, 0]).all())


def _counted(progress: Progress | None, total: int) -> Callable[[], None]:
    """Return a function to call after each of `total` tiles, which reports the fraction done to `progress`."""
    numbers = count(1)
    return (lambda: progress(next(numbers) / total)) if progress else (lambda: None)
