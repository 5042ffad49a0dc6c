"""Upscale images of any size: reading, tiling and the network together. `from edgesr import Upscaler` is defined here."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, overload

import numpy as np
from PIL import Image

from edgesr import images
from edgesr.errors import UsageError
from edgesr.images import Picture
from edgesr.images.bands import Bands
from edgesr.presets import get_preset, weights_version
from edgesr.upscaling import checks, network
from edgesr.upscaling import memory as memory_limits
from edgesr.upscaling import sharpen as unsharp_mask
from edgesr.upscaling.size import target_size
from edgesr.upscaling.windows import Pixels, Progress, WindowedNetwork, enlarges


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
        blended = tile in checks.BLENDED
        tile_side = None if blended else checks.checked_tile(tile)
        memory, seed = memory_limits.checked(memory), checks.checked_seed(seed)
        loaded = network.load(
            model,
            self.fidelity,
            engine=engine,
            precision=precision,
            threads=threads,
            weights=weights,
            steps=steps,
            blended=blended,
        )
        self._windows = WindowedNetwork(loaded, tile_side, blended, memory, seed, steps)
        self.preset, self.precision, self.engine = loaded.preset, loaded.precision, loaded.engine.description
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
            "seed": self._windows.seed,
            "blended": self._windows.blended,
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
        sharpness: float | None = None,
    ) -> Pixels: ...
    @overload
    def __call__(
        self,
        image: Image.Image | str | Path | bytes,
        *,
        scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        sharpness: float | None = None,
    ) -> Image.Image: ...
    def __call__(
        self,
        image: Any,
        *,
        scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        sharpness: float | None = None,
    ) -> Any:
        """Upscale `image` and return the same type: a PIL image or an array; for a path or bytes a PIL image.

        An array is (H, W) or (H, W, C), C from 1 to 4 (grey, grey + alpha, RGB, RGB + alpha), uint8, uint16 or floating point in
        [0, 1]. `scale`, `width` and `height` as in `target_size`. `sharpness` from 0 (off) to 1 is that of an unsharp mask on the
        result's luma, of 2 px; None is 0.4 for the crisp form, less with `fidelity`, and 0 if the image is reduced. Raises UsageError
        for other types, an invalid size or sharpness, InputError for a file that cannot be read.
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
        sharpness: float | None = None,
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
        sharpness: float | None = None,
        progress: Progress | None = None,
    ) -> Picture[Bands]:
        """Like `upscale_picture`, but the pixels are bands that are computed one by one, on demand."""
        old_height, old_width = picture.pixels.shape[:2]
        size = target_size(old_width, old_height, scale, width, height)
        return picture.with_pixels(self._bands(picture.pixels, size, sharpness, progress))

    def sharpness(self, asked: float | None = None) -> float:
        """Return the sharpness that enlarged images get where `asked` is asked for."""
        return unsharp_mask.default(self.fidelity) if asked is None else checks.checked_sharpness(asked)

    def _bands(self, pixels: Pixels, size: tuple[int, int], sharpness: float | None, progress: Progress | None = None) -> Bands:
        """(H, W, C) -> (size[1], size[0], C)."""
        amount = 0.0 if sharpness is None and not enlarges(pixels, size) else self.sharpness(sharpness)
        return unsharp_mask.sharpen(self._windows(pixels, size, progress), amount)


@overload
def upscale(
    image: Pixels,
    *,
    model: str = "tiny",
    fidelity: float = 0.0,
    scale: float | None = None,
    width: int | None = None,
    height: int | None = None,
    sharpness: float | None = None,
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
    sharpness: float | None = None,
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
    sharpness: float | None = None,
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
