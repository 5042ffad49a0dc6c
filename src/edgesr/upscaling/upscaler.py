"""lr -> hr for a picture of any size: images, tiles and the engine put together; `from edgesr import Upscaler` is this."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from importlib import resources
from itertools import count
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgesr import images
from edgesr.errors import EdgesrError, UsageError, one_line
from edgesr.images import Picture
from edgesr.images.bands import Bands
from edgesr.presets import LATENT_STRIDE, PRESETS, SCALE, Preset, difference_path, get_preset, weights_path
from edgesr.upscaling import checksums, forms
from edgesr.upscaling.engines import load_engine
from edgesr.upscaling.fit import fit
from edgesr.upscaling.noise import noise_field
from edgesr.upscaling.planes import beside, fill_transparent, hold_within_neighbours, resize, to_grey
from edgesr.upscaling.tiling import Plan, Span, assemble, crop, plan_blended, plan_exact

Progress = Callable[[float], None]
Pixels = NDArray[Any]  # (H, W, C) uint8, uint16, or floating point in [0, 1]

MIN_SCALE, MAX_SCALE = 1.0, 8.0
MIN_TILE = 16  # LR px
WINDOW_PIXELS = 512 * 512  # LR px a window at most: about 250 MB of activations for `tiny`; docs/performance.md has others
BAND_PIXELS = 512 * 2560  # LR px a row of tiles, whose result is held until it is encoded: 63 MB of 8-bit RGB
BLENDED_TILE, BLENDED_OVERLAP = 128, 32  # LR px, the paper's: 25 tiles for 512x512
PAPER = "paper"  # the name of that plan, for models whose tiles are exact by themselves


class Upscaler:
    """A loaded model, for one picture after the other.

    `fidelity` from 0 (crisp) to 1 (true to the input) lies between the model's two forms; 0 is all that a model of one form has.
    `tile` is the side in LR px of the part a tile contributes, or "auto"; it changes memory and speed, never the result. "paper" is the
    paper's plan, tiles of 128 px that overlap by 32 and fade into each other: what a device with a fixed tile computes.
    `threads` None uses every core. `seed` names the noise field: the same seed gives the same bytes. `weights` is an ONNX file of this
    model, of your own training or by `edgesr export`, in place of the released one; or the checkpoint folder of a training, for the
    engine torch. Such a folder can also be run in several `steps` of the diffusion (DDIM).

    Raises UsageError for an unknown model, one without weights, weights of another model, a wrong fidelity, an unknown or missing
    engine, a wrong tile or seed, or steps that the weights cannot take; EdgesrError for damaged weights, and for a network that is
    not one of this model.
    """

    def __init__(
        self,
        model: str = "tiny",
        *,
        fidelity: float = 0.0,
        engine: str = "auto",
        tile: int | str = "auto",
        threads: int | None = None,
        seed: int = 0,
        weights: str | Path | None = None,
        steps: int = 1,
    ) -> None:
        self.preset = get_preset(model)
        self.model = model
        _check_named(engine=engine)
        self.fidelity = _checked_fidelity(fidelity)
        self._blended = tile == PAPER
        self._tile = None if tile == PAPER else _checked_tile(tile)
        self._seed, self.steps = _checked_seed(seed), steps
        if weights is None:
            with resources.as_file(_released(model)) as path:
                checksums.check(path)
                self._engine = load_engine(engine, self._form(path), threads, steps)
        else:
            self._engine = load_engine(engine, _own(weights, self.fidelity), threads, steps)
        self.engine = self._engine.description
        self._side = self._fit(weights or weights_path(model).name)
        if weights is not None:
            self._try(weights)

    def _fit(self, name: str | Path) -> int:
        """Take from the weights what they fix; return the least side of a window, LR px: 1, or that of the one tile they take."""
        channels, tile = fit(self.preset, self._engine.contents, name)
        self.preset = self.preset.with_latent_channels(channels)
        if tile is None:
            return 1
        if tile != (BLENDED_TILE, BLENDED_TILE):
            raise UsageError(f"{name}: takes tiles of {tile[0]}x{tile[1]} px alone; export it with {_useful_size(self.preset)}")
        if self.preset.halo is not None and not self._blended:
            raise UsageError(
                f"{name}: takes tiles of {tile[0]}x{tile[1]} px alone; use --tile paper, or export it with --size dynamic"
            )
        return BLENDED_TILE

    def _try(self, weights: object) -> None:
        """Raise EdgesrError if a network of the user's own is not one of this model: said once, before the first picture."""
        side = BLENDED_TILE if self._blended or self.preset.halo is None else MIN_TILE
        lr = np.zeros((1, 3, side, side), np.float32)
        eps = np.zeros((1, self.preset.latent_channels, side // LATENT_STRIDE, side // LATENT_STRIDE), np.float32)
        try:
            hr = self._engine(lr, eps)
        except MemoryError:
            raise
        except Exception as error:  # the engines' exceptions share no base class
            raise EdgesrError(f"{weights}: is no network of the model '{self.model}': {one_line(error)}") from None
        if np.shape(hr) != (1, 3, SCALE * side, SCALE * side):
            shape = "x".join(str(length) for length in np.shape(hr))
            raise EdgesrError(f"{weights}: is no network of the model '{self.model}': it gives {shape} for 1x3x{side}x{side}")
        if not np.isfinite(hr).all():
            raise EdgesrError(f"{weights}: gives values that are no numbers: the weights are damaged, or its training diverged")

    def _form(self, path: Path) -> Path | bytes:
        """The ONNX file at `path` as it is, or its bytes with the weights moved towards the fidelity form."""
        if self.fidelity == 0:
            return path
        difference = difference_path(self.model)
        if not difference.is_file():
            raise UsageError(f"fidelity {self.fidelity:g}: the model '{self.model}' has one form only; leave fidelity out")
        with resources.as_file(difference) as beside:
            checksums.check(beside)
            return forms.interpolate(path, beside, self.fidelity)

    def __call__(self, image: Any, *, scale: float | None = None, width: int | None = None, height: int | None = None) -> Any:
        """Upscale `image` and return what was given: PIL image for PIL image, array for array; PIL image for a path or bytes.

        An array is (H, W) or (H, W, C), C from 1 to 4 (grey, grey + alpha, RGB, RGB + alpha), uint8, uint16 or floating point in
        [0, 1]. `scale`, `width` and `height` as in `target_size`. Raises UsageError for other types or a wrong size, InputError for a
        file that cannot be read.
        """
        if isinstance(image, np.ndarray):
            pixels = _checked_array(image)
            out = self._bands(pixels, target_size(pixels.shape[1], pixels.shape[0], scale, width, height)).whole()
            return out[:, :, 0] if image.ndim == 2 else out
        if isinstance(image, Image.Image):
            picture = images.from_pil(image)
        elif isinstance(image, str | Path | bytes):
            picture = images.read(image)
        else:
            raise UsageError(f"cannot upscale a {type(image).__name__}: give a PIL image, an array, a path or a file's bytes")
        return images.to_pil(self.upscale_picture(picture, scale=scale, width=width, height=height))

    def upscale_picture(
        self,
        picture: Picture,
        *,
        scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        progress: Progress | None = None,
    ) -> Picture:
        """Return the picture enlarged, its metadata carried over; `progress` gets the fraction done in [0, 1] after each tile."""
        flowing = self.stream_picture(picture, scale=scale, width=width, height=height, progress=progress)
        return flowing.with_pixels(flowing.pixels.whole())

    def stream_picture(
        self,
        picture: Picture,
        *,
        scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        progress: Progress | None = None,
    ) -> Picture[Bands]:
        """Return the picture as `upscale_picture` does, but its pixels as bands, each computed when it is asked for."""
        old_height, old_width = picture.pixels.shape[:2]
        size = target_size(old_width, old_height, scale, width, height)
        return picture.with_pixels(self._bands(picture.pixels, size, progress))

    def _bands(self, pixels: Pixels, size: tuple[int, int], progress: Progress | None = None) -> Bands:
        """(H, W, C) -> (size[1], size[0], C): colour and alpha each through the model, then Lanczos if the size is not 4x."""
        channels = pixels.shape[2]
        colour, alpha = (pixels[:, :, :-1], pixels[:, :, -1:]) if channels in (2, 4) else (pixels, None)
        passes = 1 if alpha is None or _constant(alpha) else 2
        plan = self._plan(*self._padded(pixels))
        tick = _counted(progress, passes * len(plan))
        if alpha is None:
            return resize(self._network(colour, plan, tick), size)
        bands = self._network(fill_transparent(colour, alpha), plan, tick)
        if passes == 1:
            opacity = alpha[0, 0, 0]
            return resize(bands, size).map(lambda rows: np.insert(rows, channels - 1, opacity, axis=2), channels=channels)
        opaque = hold_within_neighbours(self._network(alpha, plan, tick), alpha)
        return resize(beside(bands, opaque), size)

    def _network(self, pixels: Pixels, plan: Plan, tick: Callable[[], None]) -> Bands:
        """(H, W, 1 or 3) -> (4H, 4W, 1 or 3) of the same type, tile by tile; calls `tick` after each."""
        height, width, channels = pixels.shape
        shape, dtype = (SCALE * height, SCALE * width, channels), pixels.dtype

        def kept(row: Span, column: Span) -> NDArray[Any]:
            rows = np.clip(np.arange(row.start, row.stop), 0, height - 1)  # repeats the last row and column up to the multiple
            columns = np.clip(np.arange(column.start, column.stop), 0, width - 1)
            lr = _to_network(pixels[rows[:, None], columns])
            eps = noise_field(self._seed, self.preset.latent_channels, _latent(row), _latent(column))
            hr = crop(self._engine(lr, eps[None])[0], row, column, SCALE)  # (3, h, w)
            if not np.isfinite(hr.sum()):
                raise EdgesrError(f"the network gave values that are no numbers (engine {self.engine}): try another --engine")
            tick()
            hr = to_grey(hr) if channels == 1 else hr
            return hr if plan.blended else _from_network(hr, dtype)

        if not plan.blended:
            return Bands(shape, dtype, assemble(plan, kept, SCALE, shape, dtype))
        sums = Bands(shape, np.float32, assemble(plan, kept, SCALE, shape, np.float32))
        return sums.map(lambda rows: _from_network(rows, dtype), dtype=dtype)

    def _padded(self, pixels: Pixels) -> tuple[int, int]:
        """Height and width as the network takes them: multiples of the model's, and no less than the one tile of some weights."""
        height, width = (max(-(-side // self.preset.multiple) * self.preset.multiple, self._side) for side in pixels.shape[:2])
        return height, width

    def _plan(self, height: int, width: int) -> Plan:
        halo, multiple = self.preset.halo_of(self.steps), self.preset.multiple
        if self._blended or halo is None:
            return plan_blended(height, width, tile=BLENDED_TILE, overlap=BLENDED_OVERLAP, multiple=multiple)
        limits = {"window_pixels": WINDOW_PIXELS, "band_pixels": BAND_PIXELS}
        return plan_exact(height, width, tile=self._tile, halo=halo, multiple=multiple, **limits)


def upscale(
    image: Any,
    *,
    model: str = "tiny",
    fidelity: float = 0.0,
    scale: float | None = None,
    width: int | None = None,
    height: int | None = None,
    engine: str = "auto",
    threads: int | None = None,
) -> Any:
    """Upscale one image with a model that stays loaded for the next call; see `Upscaler` for types and errors."""
    return _loaded(model, fidelity, engine, threads)(image, scale=scale, width=width, height=height)


@lru_cache(maxsize=2)
def _loaded(model: str, fidelity: float, engine: str, threads: int | None) -> Upscaler:
    return Upscaler(model, fidelity=fidelity, engine=engine, threads=threads)


def target_size(
    width: int, height: int, scale: float | None = None, target_width: int | None = None, target_height: int | None = None
) -> tuple[int, int]:
    """Return the output's (width, height) in px for an input of `width` x `height` px.

    `scale` from 1 to 8, 4 if nothing is given; or a target width, or height, or both: the largest size inside them that keeps the
    shape. Raises UsageError when both ways are used, or the scale that results is out of range.
    """
    _check_numbers(Real, scale=scale)
    _check_numbers(Integral, width=target_width, height=target_height)
    if target_width is None and target_height is None:
        factor = float(SCALE) if scale is None else scale
    elif scale is not None:
        raise UsageError("give either a scale or a target width/height, not both")
    else:
        sides = ((target_width, width), (target_height, height))
        factor = min(target / side for target, side in sides if target is not None)
    if not MIN_SCALE <= factor <= MAX_SCALE:  # also catches NaN
        raise UsageError(f"scale {factor:g} is out of range: it must lie between {MIN_SCALE:g} and {MAX_SCALE:g}")
    return max(1, round(width * factor)), max(1, round(height * factor))


def _check_numbers(kind: type, **values: object) -> None:
    for name, value in values.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, kind)):
            raise UsageError(f"{name} {value!r}: give a {'whole ' if kind is Integral else ''}number")


def _check_named(**values: object) -> None:
    for name, value in values.items():
        if not isinstance(value, str):
            raise UsageError(f"{name} {value!r}: give a name")


def _checked_seed(seed: int) -> int:
    _check_numbers(Integral, seed=seed)
    if seed is None:
        raise UsageError("seed None: give a whole number")
    return int(seed)


def _released(model: str) -> resources.abc.Traversable:
    source = weights_path(model)
    if not source.is_file():
        have = ", ".join(name for name in PRESETS if weights_path(name).is_file())
        raise UsageError(f"the model '{model}' has no released weights yet; models that have: {have}")
    return source


def _own(weights: str | Path, fidelity: float) -> Path:
    if fidelity:
        raise UsageError(f"fidelity {fidelity:g}: a file of weights has one form; leave fidelity out")
    if not isinstance(weights, str | os.PathLike):
        raise UsageError(f"weights: give the path of an ONNX file, not a {type(weights).__name__}")
    if not (path := Path(weights)).exists():
        raise UsageError(f"{weights}: no such file of weights")
    return path


def _useful_size(preset: Preset) -> str:
    return f"--size {BLENDED_TILE}x{BLENDED_TILE}" if preset.halo is None else "--size dynamic"


def _checked_fidelity(fidelity: float) -> float:
    if isinstance(fidelity, bool) or not (isinstance(fidelity, Real) and 0 <= fidelity <= 1):  # also catches NaN
        raise UsageError(f"fidelity '{fidelity}': give a number from 0 (crisp) to 1 (true to the input)")
    return float(fidelity)


def _checked_tile(tile: int | str) -> int | None:
    if tile == "auto":
        return None
    try:
        side = int(tile)
    except (TypeError, ValueError, OverflowError):
        side = 0
    if side < MIN_TILE:
        raise UsageError(f"tile '{tile}': give 'auto', 'paper' or a whole number of LR pixels, at least {MIN_TILE}")
    return side


def _checked_array(array: NDArray[Any]) -> Pixels:
    if not (array.dtype in (np.uint8, np.uint16) or np.issubdtype(array.dtype, np.floating)):
        raise UsageError(f"an array of {array.dtype}: give uint8, uint16, or floating point in [0, 1]")
    pixels = array[:, :, None] if array.ndim == 2 else array
    if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4 or 0 in pixels.shape:
        raise UsageError(f"an array of shape {array.shape}: give (height, width) or (height, width, 1 to 4 channels)")
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        raise UsageError("an array with values that are no finite numbers (NaN or infinity): replace them first")
    return pixels


def _latent(span: Span) -> range:
    """The latent positions of a window, of one axis."""
    return range(span.start // LATENT_STRIDE, span.stop // LATENT_STRIDE)


def _constant(plane: Pixels) -> bool:
    return bool((plane == plane[0, 0, 0]).all())


def _counted(progress: Progress | None, total: int) -> Callable[[], None]:
    """Return what to call after each of `total` tiles for `progress` to get the fraction done."""
    numbers = count(1)
    return (lambda: progress(next(numbers) / total)) if progress else (lambda: None)


def _white(dtype: np.dtype[Any]) -> float:
    return float(np.iinfo(dtype).max) if np.issubdtype(dtype, np.integer) else 1.0


def _to_network(pixels: Pixels) -> NDArray[np.float32]:
    """(h, w, 1 or 3) -> (1, 3, h, w) float32 in [0, 1]."""
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32) / np.float32(_white(pixels.dtype))
    return np.clip(np.broadcast_to(planes, (3, *planes.shape[1:])), 0, 1)[None]


def _from_network(values: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values in [0, 1] -> the same shape in `dtype`, rounded to the nearest level."""
    if np.issubdtype(dtype, np.floating):
        return values.astype(dtype)
    levels = values * np.float32(_white(dtype))
    levels += np.float32(0.5)
    return levels.astype(dtype)
