"""The queue of images: bounded, in front of a few threads; a job can be cancelled between two tiles."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from edgesr import images
from edgesr.errors import EdgesrError, UsageError
from edgesr.images import formats, headers
from edgesr.images.read import size_of
from edgesr.serve.limits import Limits, Refusal
from edgesr.upscaling.upscaler import Upscaler, target_size

_FORMS_KEPT = 3  # networks of different fidelity that stay loaded, at least 20 MB each


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


@dataclass(frozen=True)
class Outcome:
    """An encoded result."""

    data: bytes
    format: str  # Pillow's name
    width: int  # px
    height: int  # px
    notes: tuple[str, ...]
    seconds: float  # of processing, without waiting


class Work:
    """Upscales images, `limits.jobs` at a time; `run` raises Refusal."""

    def __init__(self, limits: Limits, model: str, threads: int | None, precision: str = "auto") -> None:
        self.limits = limits
        self._model, self._threads, self._precision = model, threads, precision
        self._pool = ThreadPoolExecutor(limits.jobs, thread_name_prefix="upscale")
        self._forms: OrderedDict[float, Upscaler] = OrderedDict()
        self._forms_lock = threading.Lock()
        self.pending = 0  # waiting or running
        first = self._upscaler(0.0)
        self.engine, self.precision = first.engine, first.precision

    async def run(self, data: bytes, options: Options) -> Outcome:
        """Upscale the image in `data`. Raises Refusal: queue full, timeout, invalid image or option."""
        self.check_queue()
        self.pending += 1
        stop = threading.Event()
        loop = asyncio.get_running_loop()
        job = self._pool.submit(self._perform, data, options, time.monotonic() + self.limits.seconds, stop)
        job.add_done_callback(lambda _: loop.call_soon_threadsafe(self._done))
        try:
            return await asyncio.wrap_future(job)
        finally:
            stop.set()  # for a client that disconnected; no effect on a finished job

    def check_queue(self) -> None:
        """Raise Refusal if the queue is full."""
        if self.pending >= self.limits.queue:
            raise Refusal(429, "queue_full", f"{self.pending} images are waiting: try again later")

    def close(self) -> None:
        """Wait for running jobs."""
        self._pool.shutdown(wait=True)

    def _done(self) -> None:
        self.pending -= 1

    def _perform(self, data: bytes, options: Options, deadline: float, stop: threading.Event) -> Outcome:
        start = time.monotonic()

        def checkpoint(_: float) -> None:
            if stop.is_set():
                raise Refusal(503, "gone", "the client disconnected")
            if time.monotonic() > deadline:
                raise Refusal(
                    503, "timeout", f"not finished within {self.limits.seconds:g} s: send a smaller image, or try again later"
                )

        checkpoint(0.0)
        try:
            self._check_size(data, options)
            picture = images.read(data, max_pixels=self.limits.pixels)
            format = options.format or (picture.format if picture.format in formats.WRITTEN else "PNG")
            old_height, old_width = picture.pixels.shape[:2]
            images.check_size(format, *target_size(old_width, old_height, options.scale, options.width, options.height))
            upscaler = self._upscaler(options.fidelity)
            size = {"scale": options.scale, "width": options.width, "height": options.height}
            result = images.fit(
                upscaler.upscale_picture(picture, progress=checkpoint, **size),  # type: ignore[arg-type]
                format,
                strip_metadata=options.strip_metadata,
            )
            notes = (*picture.notes, *result.notes)
            encoded = images.encode(result, format, quality=options.quality)
        except EdgesrError as error:
            raise Refusal(
                422, "bad_option" if isinstance(error, UsageError) else "bad_picture", _without_name(error)
            ) from error
        except MemoryError as error:
            raise Refusal(503, "memory", "not enough memory for this image: send a smaller one, or try again later") from error
        height, width = result.pixels.shape[:2]
        return Outcome(encoded, format, width, height, notes, time.monotonic() - start)

    def _check_size(self, data: bytes, options: Options) -> None:
        """Refuse, by its header, a file that is no image, or whose input or result is too large."""
        name = formats.detect(data[:64])
        if name is None:
            raise Refusal(415, "not_a_picture", f"unsupported image format; supported: {formats.readable_formats()}")
        if formats.missing_extra(name):
            raise Refusal(415, "not_supported", f"{name} is not supported by this server")
        width, height = headers.early_size(name, io.BytesIO(data)) or size_of(data)
        limit = self.limits.pixels
        if width * height > limit:
            raise Refusal(413, "too_many_pixels", f"{width}x{height} pixels: the limit of this server is {limit:,}")
        out_width, out_height = target_size(width, height, options.scale, options.width, options.height)
        if out_width * out_height > 16 * limit:
            raise Refusal(
                413, "result_too_large", f"a result of {out_width}x{out_height} pixels is too large: use a lower scale"
            )

    def _upscaler(self, fidelity: float) -> Upscaler:
        with self._forms_lock:
            if fidelity not in self._forms:
                self._forms[fidelity] = Upscaler(
                    self._model, fidelity=fidelity, threads=self._threads, precision=self._precision
                )
                while len(self._forms) > _FORMS_KEPT:
                    self._forms.popitem(last=False)
            self._forms.move_to_end(fidelity)
            return self._forms[fidelity]


def _without_name(error: Exception) -> str:
    return str(error).removeprefix("the picture given: ")
