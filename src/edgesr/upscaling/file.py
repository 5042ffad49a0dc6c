"""Upscale a file into a file, as the command does: format by extension, metadata kept, written whole or not at all."""

from __future__ import annotations

import logging
from pathlib import Path

from edgesr import atomic, images
from edgesr.errors import InputError, UsageError
from edgesr.upscaling.upscaler import Upscaler, loaded, target_size

log = logging.getLogger(__name__)


def upscale_file(
    source: str | Path,
    target: str | Path | None = None,
    *,
    model: str = "tiny",
    fidelity: float = 0.0,
    scale: float | None = None,
    width: int | None = None,
    height: int | None = None,
    engine: str = "auto",
    threads: int | None = None,
    upscaler: Upscaler | None = None,
    quality: int | None = None,
    strip_metadata: bool = False,
    overwrite: bool = False,
    accept_damaged: bool = False,
    max_pixels: int = images.MAX_PIXELS,
) -> Path:
    """Upscale the file `source` into the file `target` and return its path; by default that is `photo_4x.jpg` for `photo.jpg`.

    The extension of `target` decides the format. Profile, EXIF, XMP, text and resolution are kept unless `strip_metadata`; what the
    format cannot hold is logged. `quality` is 1 to 100, of lossy formats. The result is computed and encoded in bands, so that it is
    never in memory as a whole, and appears as a whole. `upscaler` is a loaded one to use in place of `model`, `fidelity`, `engine` and
    `threads`; sizes as in `target_size`.

    Raises InputError if `source` cannot be read, exceeds `max_pixels` pixels, or is damaged and `accept_damaged` is not set, or if
    `target` cannot be written; atomic.ExistsError, an EdgesrError, if it exists and `overwrite` is not set; UsageError for a wrong
    argument, or if both are the same file.
    """
    source = Path(source)
    target = _beside(source) if target is None else Path(target)
    if target.exists() and source.exists() and target.samefile(source):
        raise UsageError(f"{target} is the input itself: inputs are never overwritten; give another name")
    format = images.format_for(str(target))
    if not target.parent.is_dir():
        raise InputError(f"{target.parent}: no such folder; create it first")
    atomic.check_target(target, overwrite=overwrite)
    picture = images.read(source, max_pixels=max_pixels, accept_damaged=accept_damaged)
    images.check_size(format, *target_size(picture.pixels.shape[1], picture.pixels.shape[0], scale, width, height))
    upscaler = upscaler or loaded(model, fidelity, engine, threads)
    upscaled = upscaler.stream_picture(picture, scale=scale, width=width, height=height)
    notes = images.write(target, upscaled, quality=quality, strip_metadata=strip_metadata, overwrite=overwrite, source=source)
    for note in [*upscaled.notes, *notes]:
        log.info("%s: %s", source, note)
    return target


def _beside(source: Path) -> Path:
    """`photo_4x.jpg` for `photo.jpg`; .png where the source's format is not written."""
    try:
        images.format_for(source.suffix)
    except UsageError:
        return source.with_name(f"{source.stem}_4x{images.extension_for('PNG')}")
    return source.with_name(f"{source.stem}_4x{source.suffix}")
