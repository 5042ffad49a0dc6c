"""Upscale one image of a request: checks of its size, decoding, network, and the encoded result in a file."""

from __future__ import annotations

import io
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgesr import images
from edgesr.errors import EdgesrError, UsageError, one_line
from edgesr.images import formats, headers
from edgesr.images.read import size_of
from edgesr.serve import memory
from edgesr.serve.limits import Limits, Refusal
from edgesr.upscaling.size import target_size
from edgesr.upscaling.upscaler import Upscaler

_FORMS_KEPT = 3  # networks of different fidelity that stay loaded, at least 20 MB each, and the windows that each keeps


@dataclass(frozen=True)
class Options:
    """The options of a request."""

    scale: float | None = None
    width: int | None = None
    height: int | None = None
    fidelity: float = 0.0
    format: str | None = None  # Pillow's name; None: the input's if it can be written, else PNG
    quality: int | None = None
    strip_metadata: bool = False
    sharpness: float | None = None


@dataclass(frozen=True)
class Outcome:
    """An encoded result."""

    file: Path
    format: str  # Pillow's name
    width: int  # px
    height: int  # px
    notes: tuple[str, ...]
    seconds: float  # of processing, without waiting


class Runner:
    """Upscales images with the networks that it keeps loaded; may be used by several threads."""

    def __init__(self, limits: Limits, model: str, threads: int | None, precision: str = "auto") -> None:
        self._limits, self._model, self._threads, self._precision = limits, model, threads, precision
        self._forms: OrderedDict[float, Upscaler] = OrderedDict()
        self._forms_lock = threading.Lock()
        first = self._upscaler(0.0)
        self.engine, self.precision = first.engine, first.precision

    def run(self, data: bytes, options: Options, target: Path, checkpoint: Callable[[float], None]) -> Outcome:
        """Upscale the image in `data` into the new file `target`; `checkpoint` gets the fraction done in [0, 1] and may raise.

        Raises Refusal: too large, invalid image or option, no memory or disk space.
        """
        start = time.monotonic()
        checkpoint(0.0)
        with _refusals():
            _check_size(data, options, self._limits)
            picture = images.read(data, max_pixels=self._limits.pixels)
            format = options.format or (picture.format if picture.format in formats.WRITTEN else "PNG")
            old_height, old_width = picture.pixels.shape[:2]
            images.check_size(format, *target_size(old_width, old_height, options.scale, options.width, options.height))
            upscaler = self._upscaler(options.fidelity)
            size = {"scale": options.scale, "width": options.width, "height": options.height}
            result = images.fit(
                upscaler.stream_picture(picture, sharpness=options.sharpness, progress=checkpoint, **size),  # type: ignore[arg-type]
                format,
                strip_metadata=options.strip_metadata,
            )
            with target.open("x+b") as stream:
                images.encode_into(stream, result, format, quality=options.quality)
        height, width = result.pixels.shape[:2]
        return Outcome(target, format, width, height, (*picture.notes, *result.notes), time.monotonic() - start)

    def _upscaler(self, fidelity: float) -> Upscaler:
        with self._forms_lock:
            if fidelity not in self._forms:
                process = self._limits.process_memory
                kept = _FORMS_KEPT if process is None else 1
                while len(self._forms) >= kept:
                    self._forms.popitem(last=False)
                limit = None if process is None else int(memory.PROGRAM + memory.window_share(process))
                self._forms[fidelity] = Upscaler(
                    self._model, fidelity=fidelity, threads=self._threads, precision=self._precision, memory=limit
                )
            self._forms.move_to_end(fidelity)
            return self._forms[fidelity]


def check(data: bytes, options: Options, limits: Limits) -> None:
    """Raise Refusal for what the header of the file shows: no image, too large, an invalid size of the result."""
    with _refusals():
        _check_size(data, options, limits)


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn errors into refusals."""
    try:
        yield
    except EdgesrError as error:
        if isinstance(error.__cause__, MemoryError):
            raise _no_memory() from error
        reason = "bad_option" if isinstance(error, UsageError) else "bad_picture"
        raise Refusal(422, reason, _without_name(error)) from error
    except MemoryError as error:
        raise _no_memory() from error
    except OSError as error:  # a full disk
        raise Refusal(503, "disk", f"the result cannot be stored on the server: {one_line(error)}") from error


def _no_memory() -> Refusal:
    return Refusal(503, "memory", "not enough memory for this image: send a smaller one, or try again later")


def _check_size(data: bytes, options: Options, limits: Limits) -> None:
    name = formats.detect(data[:64])
    if name is None:
        raise Refusal(415, "not_a_picture", f"unsupported image format; supported: {formats.readable_formats()}")
    if formats.missing_extra(name):
        raise Refusal(415, "not_supported", f"{name} is not supported by this server")
    width, height = headers.early_size(name, io.BytesIO(data)) or size_of(data)
    if width * height > limits.pixels:
        raise Refusal(413, "too_many_pixels", f"{width}x{height} pixels: the limit of this server is {limits.pixels:,}")
    out_width, out_height = target_size(width, height, options.scale, options.width, options.height)
    if out_width * out_height > 16 * limits.pixels:
        raise Refusal(413, "result_too_large", f"a result of {out_width}x{out_height} pixels is too large: use a lower scale")
    if limits.process_memory is not None:
        out_name = options.format or (name if name in formats.WRITTEN else "PNG")
        needed = memory.needed(data, name, (width, height), out_name, (out_width, out_height))
        if needed > (share := memory.image_share(limits.process_memory)):
            raise Refusal(
                413,
                "too_much_memory",
                f"this image needs about {needed:.0f} MB, of {share:.0f} on this server: send a smaller one, use a lower scale, "
                f"or format {' or '.join(memory.STREAMED).lower()}",
            )


def _without_name(error: Exception) -> str:
    return str(error).removeprefix("the picture given: ")
