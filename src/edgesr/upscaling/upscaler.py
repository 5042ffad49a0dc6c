"""Upscale images of any size: reading, tiling and the network together. `from edgesr import Upscaler` is defined here."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import count
from numbers import Integral, Real
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgesr import images
from edgesr.errors import EdgesrError, UsageError
from edgesr.images import Picture
from edgesr.images.bands import Bands
from edgesr.presets import LATENT_STRIDE, SCALE, get_preset, weights_version
from edgesr.upscaling import checks, network
from edgesr.upscaling import memory as memory_limits
from edgesr.upscaling.network import BLENDED_OVERLAP, BLENDED_TILE
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
from edgesr.upscaling.sharpen import sharpen
from edgesr.upscaling.tiling import Plan, Span, assemble, crop, plan_blended, plan_exact

Progress = Callable[[float], None]
Pixels = NDArray[Any]  # (H, W, C) uint8, uint16, or floating point in [0, 1]

MIN_SCALE, MAX_SCALE = 1.0, 8.0


class Upscaler:
    """A loaded model that upscales any number of images.

    `fidelity` interpolates between the model's two forms, from 0 (crisp) to 1 (faithful to the input); models with one form only
    accept 0. `precision` is "fp32", "bf16" (openvino) or "int8" (onnxruntime, openvino; fidelity 0 or 1), or "auto", the fastest that
    was measured on such a processor; the attribute `precision` says which one is in use. `tile` is the tile size in LR px without the
    halo, or "auto"; it changes memory and speed, never the result. "blended" selects the paper's plan: tiles of 128 px that overlap by
    32 and are blended, as on a device with a fixed tile size. `memory` limits what the process takes to about so many MB, and lets
    windows be larger than usual where that allows it. `threads` None uses all cores. The same `seed` of the noise gives the
    same bytes. `weights` replaces the released weights: an ONNX file of this model, a folder like the package's, or a checkpoint folder
    for the engine torch, which can also be run in several diffusion `steps` (DDIM).

    Raises UsageError for an unknown model, one without weights, weights of another model, an invalid fidelity, tile or seed, an
    unknown or missing engine, a precision that engine, processor or weights do not have, or steps that the weights do not support;
    EdgesrError for damaged weights, or a network of another model.
    """

    def __init__(
        self,
        model: str = "tiny",
        *,
        fidelity: float = 0.0,
        engine: str = "auto",
        precision: str = "auto",
        tile: int | str = "auto",
        threads: int | None = None,
        seed: int = 0,
        weights: str | Path | None = None,
        steps: int = 1,
        memory: int | None = None,
    ) -> None:
        get_preset(model)  # an unknown model is reported first
        checks.check_name(engine=engine, precision=precision)
        self.model, self.steps = model, steps
        self.fidelity = checks.checked_fidelity(fidelity)
        self._blended = tile in checks.BLENDED
        self._tile = None if self._blended else checks.checked_tile(tile)
        self._memory = memory_limits.checked(memory)
        self._seed = checks.checked_seed(seed)
        self.preset, self._engine, self._least_side, self.precision = network.load(
            model,
            self.fidelity,
            engine=engine,
            precision=precision,
            threads=threads,
            weights=weights,
            steps=steps,
            blended=self._blended,
        )
        self.engine = self._engine.description
        self._weights = weights

    @classmethod
    def from_pretrained(cls, model: str | Path, *, revision: str | None = None, **options: Any) -> Upscaler:
        """Load a model folder, or a model of the Hugging Face Hub (`pip install 'edgesr[hub]'`) such as "name/edgesr-tiny".

        A folder has the files of the package's own weights: `tiny.onnx` and, if there are, the difference to the fidelity form and the
        files in 8 bits; they are checked against its SHA256SUMS. `revision` is a branch, tag or commit of the Hub. `options` are
        those of `Upscaler`, without `model` and `weights`. Raises as `Upscaler`; EdgesrError also if the model is not there, the Hub
        cannot be reached, or a file is damaged.
        """
        from edgesr.upscaling import hub

        folder = hub.folder_of(model, revision=revision)
        return cls(hub.preset_of(folder), weights=folder, **options)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write these weights as a folder for `from_pretrained`, with checksums and a model card; return it.

        Raises UsageError for weights in torch's layout, and InputError if the folder exists and is not empty.
        """
        from edgesr.upscaling import hub

        return hub.save(self.model, self._weights, Path(folder))

    def push_to_hub(self, repo_id: str, *, private: bool = False, token: str | None = None) -> str:
        """Upload what `save_pretrained` writes to the Hugging Face Hub and return the address of the commit.

        `token` None uses the one of `hf auth login`. Raises as `save_pretrained`; EdgesrError if the Hub refuses or cannot be reached.
        """
        from edgesr.upscaling import hub

        return hub.push(self.model, self._weights, repo_id, private=private, token=token)

    @property
    def identity(self) -> dict[str, object]:
        """All that decides the pixels of a result, besides its size, in values for JSON: to tell whether two runs make the same."""
        own = None if self._weights is None else str(Path(self._weights).resolve())
        return {
            "model": self.model,
            "weights": weights_version(self.model) if own is None else [own, Path(own).stat().st_mtime_ns],
            "fidelity": self.fidelity,
            "steps": self.steps,
            "seed": self._seed,
            "blended": self._blended,
            "engine": self.engine.partition(" (")[0],
            "precision": self.precision,
        }

    @overload
    def __call__(
        self,
        image: Pixels,
        *,
        scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        sharpness: float = 0.0,
    ) -> Pixels: ...
    @overload
    def __call__(
        self,
        image: Image.Image | str | Path | bytes,
        *,
        scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        sharpness: float = 0.0,
    ) -> Image.Image: ...
    def __call__(
        self,
        image: Any,
        *,
        scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        sharpness: float = 0.0,
    ) -> Any:
        """Upscale `image` and return the same type: a PIL image or an array; for a path or bytes a PIL image.

        An array is (H, W) or (H, W, C), C from 1 to 4 (grey, grey + alpha, RGB, RGB + alpha), uint8, uint16 or floating point in
        [0, 1]. `scale`, `width` and `height` as in `target_size`. `sharpness` from 0 (off) to 1 is that of an unsharp mask on the
        result's luma, of 2 px. Raises UsageError for other types, an invalid size or sharpness, InputError for a file that cannot be read.
        """
        if isinstance(image, np.ndarray):
            pixels = checks.checked_array(image)
            size = target_size(pixels.shape[1], pixels.shape[0], scale, width, height)
            out = self._bands(pixels, size, sharpness).whole()
            return out[:, :, 0] if image.ndim == 2 else out
        if isinstance(image, Image.Image):
            picture = images.from_pil(image)
        elif isinstance(image, str | Path | bytes):
            picture = images.read(image)
        else:
            raise UsageError(
                f"cannot upscale a {type(image).__name__}: give a PIL image, an array, a path or the bytes of a file"
            )
        return images.to_pil(self.upscale_picture(picture, scale=scale, width=width, height=height, sharpness=sharpness))

    def upscale_picture(
        self,
        picture: Picture,
        *,
        scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        sharpness: float = 0.0,
        progress: Progress | None = None,
    ) -> Picture:
        """Return the upscaled picture with its metadata; `progress` gets the fraction done in [0, 1] after each tile."""
        flowing = self.stream_picture(picture, scale=scale, width=width, height=height, sharpness=sharpness, progress=progress)
        return flowing.with_pixels(flowing.pixels.whole())

    def stream_picture(
        self,
        picture: Picture,
        *,
        scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        sharpness: float = 0.0,
        progress: Progress | None = None,
    ) -> Picture[Bands]:
        """Like `upscale_picture`, but the pixels are bands that are computed one by one, on demand."""
        old_height, old_width = picture.pixels.shape[:2]
        size = target_size(old_width, old_height, scale, width, height)
        return picture.with_pixels(self._bands(picture.pixels, size, sharpness, progress))

    def _bands(self, pixels: Pixels, size: tuple[int, int], sharpness: float, progress: Progress | None = None) -> Bands:
        """(H, W, C) -> (size[1], size[0], C)."""
        amount = checks.checked_sharpness(sharpness)
        return sharpen(self._of_size(pixels, size, progress), amount)

    def _of_size(self, pixels: Pixels, size: tuple[int, int], progress: Progress | None) -> Bands:
        """(H, W, C) -> (size[1], size[0], C): the model on colour and on alpha, then Lanczos if the size is not 4x.

        A size below the input's is Lanczos alone.
        """
        channels = pixels.shape[2]
        colour, alpha = (pixels[:, :, :-1], pixels[:, :, -1:]) if channels in (2, 4) else (pixels, None)
        if size[0] < pixels.shape[1] and size[1] < pixels.shape[0]:  # there is nothing to add
            whole = pixels if alpha is None else np.concatenate([fill_transparent(colour, alpha), alpha], axis=2)
            return resize(Bands.of(whole), size)
        passes = 1 if alpha is None or _constant(alpha) else 2
        plan = self._plan(*self._padded(pixels), pixels.nbytes)
        tick = _counted(progress, passes * len(plan))
        if alpha is None:
            return resize(self._network(colour, plan, tick), size)
        bands = self._network(fill_transparent(colour, alpha), plan, tick)
        if passes == 1:
            opacity = alpha[0, 0, 0]
            return resize(bands, size).map(lambda rows: np.insert(rows, channels - 1, opacity, axis=2), channels=channels)
        opaque = hold_within_neighbours(self._network(alpha, plan, tick), alpha)
        return resize(append_alpha(bands, opaque), size)

    def _network(self, pixels: Pixels, plan: Plan, tick: Callable[[], None]) -> Bands:
        """(H, W, 1 or 3) -> (4H, 4W, 1 or 3) of the same type, tile by tile; calls `tick` after each tile."""
        height, width, channels = pixels.shape
        shape, dtype = (SCALE * height, SCALE * width, channels), pixels.dtype

        def kept(row: Span, column: Span) -> NDArray[Any]:
            rows = np.clip(
                np.arange(row.start, row.stop), 0, height - 1
            )  # the last row and column are repeated up to the multiple
            columns = np.clip(np.arange(column.start, column.stop), 0, width - 1)
            lr = to_network(pixels[rows[:, None], columns])
            eps = noise_field(self._seed, self.preset.latent_channels, _latent(row), _latent(column))
            hr = crop(self._engine(lr, eps[None])[0], row, column, SCALE)  # (3, h, w)
            if not np.isfinite(hr.sum()):
                raise EdgesrError(f"the output of the network is not finite (engine {self.engine}): try another --engine")
            tick()
            hr = to_grey(hr) if channels == 1 else hr
            return hr if plan.blended else from_network(hr, dtype)

        if not plan.blended:
            return Bands(shape, dtype, assemble(plan, kept, SCALE, shape, dtype))
        sums = Bands(shape, np.float32, assemble(plan, kept, SCALE, shape, np.float32))
        return sums.map(lambda rows: from_network(rows, dtype), dtype=dtype)

    def _padded(self, pixels: Pixels) -> tuple[int, int]:
        """Height and width padded for the network: multiples of the model's, and at least the fixed tile size of some weights."""
        height, width = (
            max(-(-side // self.preset.multiple) * self.preset.multiple, self._least_side) for side in pixels.shape[:2]
        )
        return height, width

    def _plan(self, height: int, width: int, input_bytes: int = 0) -> Plan:
        halo, multiple = self.preset.halo_of(self.steps), self.preset.multiple
        if self._blended or halo is None:
            return plan_blended(height, width, tile=BLENDED_TILE, overlap=BLENDED_OVERLAP, multiple=multiple)
        limits = memory_limits.limits(self.preset, input_bytes, self._memory)
        return plan_exact(height, width, tile=self._tile, halo=halo, multiple=multiple, **limits._asdict())


@overload
def upscale(
    image: Pixels,
    *,
    model: str = "tiny",
    fidelity: float = 0.0,
    scale: float | None = None,
    width: int | None = None,
    height: int | None = None,
    sharpness: float = 0.0,
    engine: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
) -> Pixels: ...
@overload
def upscale(
    image: Image.Image | str | Path | bytes,
    *,
    model: str = "tiny",
    fidelity: float = 0.0,
    scale: float | None = None,
    width: int | None = None,
    height: int | None = None,
    sharpness: float = 0.0,
    engine: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
) -> Image.Image: ...
def upscale(
    image: Any,
    *,
    model: str = "tiny",
    fidelity: float = 0.0,
    scale: float | None = None,
    width: int | None = None,
    height: int | None = None,
    sharpness: float = 0.0,
    engine: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
) -> Any:
    """Upscale one image; the model stays loaded for the next call. See `Upscaler` for types and errors."""
    return loaded(model, fidelity, engine, threads, precision)(
        image, scale=scale, width=width, height=height, sharpness=sharpness
    )


@lru_cache(maxsize=2)
def loaded(model: str, fidelity: float, engine: str, threads: int | None, precision: str = "auto") -> Upscaler:
    """The upscaler of the last calls with these arguments, or a new one."""
    return Upscaler(model, fidelity=fidelity, engine=engine, threads=threads, precision=precision)


def target_size(
    width: int, height: int, scale: float | None = None, target_width: int | None = None, target_height: int | None = None
) -> tuple[int, int]:
    """Return the output's (width, height) in px for an input of `width` x `height` px.

    Give `scale` from 1 to 8 (default 4), or a target width, height or both: the largest size within them that keeps the aspect
    ratio, which may be smaller than the input. Raises UsageError if both ways are used, or if the scale is out of range.
    """
    checks.check_numbers(Real, scale=scale)
    checks.check_numbers(Integral, width=target_width, height=target_height)
    least = MIN_SCALE
    if target_width is None and target_height is None:
        factor = float(SCALE) if scale is None else scale
    elif scale is not None:
        raise UsageError("give either a scale or a target width or height, not both")
    else:
        least, sides = 0.0, ((target_width, width), (target_height, height))
        factor = min(target / side for target, side in sides if target is not None)
    if not (least <= factor <= MAX_SCALE and factor > 0):  # also catches NaN
        raise UsageError(f"scale {factor:g} is out of range: give {MIN_SCALE:g} to {MAX_SCALE:g}")
    return max(1, round(width * factor)), max(1, round(height * factor))


def _latent(span: Span) -> range:
    """The latent positions of a window, of one axis."""
    return range(span.start // LATENT_STRIDE, span.stop // LATENT_STRIDE)


def _constant(plane: Pixels) -> bool:
    return bool((plane == plane[0, 0, 0]).all())


def _counted(progress: Progress | None, total: int) -> Callable[[], None]:
    """Return a function to call after each of `total` tiles, which reports the fraction done to `progress`."""
    numbers = count(1)
    return (lambda: progress(next(numbers) / total)) if progress else (lambda: None)
