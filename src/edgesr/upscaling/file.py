"""Upscale a file into a file, as the command does: format by extension, metadata kept, written whole or not at all."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from edgesr import atomic, images
from edgesr.errors import EdgesrError, InputError, UsageError, one_line
from edgesr.images.bands import Bands
from edgesr.upscaling.upscaler import Upscaler, loaded, target_size

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What happens to every picture of a command."""

    scale: float | None = None  # output px per input px, 1..8; None: by width and height, or 4
    width: int | None = None  # output px
    height: int | None = None  # output px
    sharpness: float | None = None  # 0..1, of an unsharp mask on the result; None: the default of the form
    quality: int | None = None  # 1..100, of lossy formats
    max_pixels: int | None = None  # of an input, decoded; None: the default of `images.read`
    accept_damaged: bool = False
    strip_metadata: bool = False
    only_enlarge: bool = False  # keep inputs that are already at least as large as the result


class Opened(NamedTuple):
    """A picture that was read, and checked against the options."""

    picture: images.Picture
    format: str  # to write
    enlarges: bool  # False: it is large enough, and its pixels are kept


class Upscaled(NamedTuple):
    """A picture that is computed while it is written."""

    picture: images.Picture[Bands]
    format: str  # to write
    source_format: str
    enlarged: bool  # False: the input was large enough, and its pixels are unchanged


def upscaled(
    source: Path | BinaryIO,
    upscaler: Upscaler,
    options: Options,
    *,
    format: str | None = None,
    progress: Callable[[float], None] | None = None,
) -> Upscaled:
    """Read a picture and return its result, whose pixels are computed on demand.

    `format` None is the source's own, or PNG. Everything that can be checked is checked before the network runs. Raises InputError,
    or UsageError for options that do not fit the picture.
    """
    return computed(opened(source, options, format=format), upscaler, options, progress=progress)


def opened(source: Path | BinaryIO, options: Options, *, format: str | None = None) -> Opened:
    """Read a picture and check all that needs no network, as `upscaled`."""
    limit = images.MAX_PIXELS if options.max_pixels is None else options.max_pixels
    try:
        picture = images.read(source, max_pixels=limit, accept_damaged=options.accept_damaged)
    except images.DamagedError as error:
        hint = "" if options.accept_damaged else " (use --accept-damaged to upscale what can be decoded)"
        raise InputError(f"{error}{hint}") from error
    format = format or images.written_as(picture.format)
    height, width = picture.pixels.shape[:2]
    size = target_size(width, height, options.scale, options.width, options.height)
    images.check_size(format, *size)
    return Opened(picture, format, not (options.only_enlarge and size[0] <= width and size[1] <= height))


def computed(
    found: Opened, upscaler: Upscaler, options: Options, *, progress: Callable[[float], None] | None = None
) -> Upscaled:
    """Return the result of a picture that was opened; its pixels are computed on demand."""
    picture = found.picture
    if not found.enlarges:
        picture.notes.append("already large enough: copied")
        return Upscaled(picture.with_pixels(Bands.of(picture.pixels)), found.format, picture.format, False)
    flowing = upscaler.stream_picture(
        picture,
        scale=options.scale,
        width=options.width,
        height=options.height,
        sharpness=options.sharpness,
        progress=progress,
    )
    return Upscaled(flowing, found.format, picture.format, True)


def failure(error: Exception, source: str) -> str:
    """Say on one line why a picture failed, whatever its computation raised."""
    if isinstance(error, EdgesrError):
        return str(error)
    if isinstance(error, MemoryError):
        return "not enough memory: use a smaller --tile, such as --tile 64, or a lower --scale"
    if isinstance(error, OSError):
        return f"{error.filename or source}: {one_line(error)}"
    log.debug("%s", source, exc_info=error)  # a bug that one picture triggers must not stop the others
    return f"unexpected {type(error).__name__}: {error}; please report it with the output of --debug"


def upscale_file(
    source: str | Path,
    target: str | Path | None = None,
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
    never in memory as a whole, and appears as a whole. `upscaler` is a loaded one to use in place of `model`, `fidelity`, `engine`,
    `precision` and `threads`; sizes as in `target_size`; `sharpness` from 0 (off) to 1, or None, as in `Upscaler`.

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
    upscaler = upscaler or loaded(model, fidelity, engine, threads, precision)
    upscaled = upscaler.stream_picture(picture, scale=scale, width=width, height=height, sharpness=sharpness)
    notes = images.write(target, upscaled, quality=quality, strip_metadata=strip_metadata, overwrite=overwrite, source=source)
    for note in [*upscaled.notes, *notes]:
        log.info("%s: %s", source, note)
    return target


def _beside(source: Path) -> Path:
    """`photo_4x.jpg` for `photo.jpg`; .png where the source's format is not written."""
    return source.with_name(f"{source.stem}_4x{images.result_extension(source.suffix)}")
