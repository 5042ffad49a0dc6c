"""Run the jobs of `edgesr.commands.jobs` one by one: a bad image does not stop the run, and memory is freed after each."""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgesr import atomic, images
from edgesr.commands.jobs import Job
from edgesr.errors import EdgesrError, InputError, UsageError, one_line
from edgesr.images.bands import Bands
from edgesr.upscaling.upscaler import Upscaler, target_size

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """What `run` does with every job."""

    scale: float | None = None  # output px per input px, 1..8; None: by width and height, or 4
    width: int | None = None  # output px
    height: int | None = None  # output px
    format: str | None = None  # of a result for standard output; None: that of its source
    quality: int | None = None  # 1..100, of lossy formats
    max_pixels: int | None = None  # of an input, decoded; None: the default of `images.read`
    accept_damaged: bool = False
    strip_metadata: bool = False
    only_enlarge: bool = False  # copy inputs that are already at least as large as the result
    skip_existing: bool = False
    overwrite: bool = False


@dataclass
class Result:
    """The result of one job; the fields are the keys of the JSON report."""

    input: str
    output: str | None
    status: str  # "done", "skipped" or "failed"
    error: str | None = None
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    width: int | None = None  # output px
    height: int | None = None  # output px


def run(
    jobs: Sequence[Job], upscaler: Upscaler, settings: Settings, progress: Callable[[int, float], None] | None = None
) -> Iterator[Result]:
    """Run the jobs in order and yield the result of each; a failure is a result too, and the next job follows.

    `progress` gets the index of the job and its fraction done in [0, 1]. Raises BrokenPipeError if the reader of
    standard output has closed it.
    """
    for folder in {job.target.parent for job in jobs if job.target is not None}:
        atomic.remove_abandoned(folder)
    for index, job in enumerate(jobs):
        if progress is not None:
            progress(index, 0.0)
        yield _attempt(job, upscaler, settings, None if progress is None else _at(progress, index))


def _at(progress: Callable[[int, float], None], index: int) -> Callable[[float], None]:
    return lambda fraction: progress(index, fraction)


def _attempt(job: Job, upscaler: Upscaler, settings: Settings, progress: Callable[[float], None] | None) -> Result:
    source = "-" if job.source is None else str(job.source)
    target = None if job.problem and job.target is None else "-" if job.target is None else str(job.target)
    result = Result(source, target, "failed")
    start = time.perf_counter()
    try:
        reason = _reason_to_skip(job, settings)
        if reason:
            result.notes.append(reason)
            result.status = "skipped"
        else:
            _perform(job, upscaler, settings, progress, result)
            result.status = "done"
    except BrokenPipeError:
        raise
    except atomic.ExistsError as error:
        if settings.skip_existing:
            result.notes, result.status = ["written meanwhile by another run"], "skipped"
        else:
            result.error = str(error)
    except EdgesrError as error:
        result.error = str(error)
    except MemoryError:
        result.error = "not enough memory: use a smaller --tile, such as --tile 64, or a lower --scale"
    except OSError as error:
        result.error = f"{error.filename or source}: {one_line(error)}"
    except Exception as error:  # a bug that one image triggers must not stop the others
        log.debug("%s", source, exc_info=True)
        result.error = f"unexpected {type(error).__name__}: {error}; please report it with the output of --debug"
    result.seconds = round(time.perf_counter() - start, 3)
    return result


def _reason_to_skip(job: Job, settings: Settings) -> str | None:
    if settings.skip_existing and job.target is not None and job.target.is_file() and not _is_empty(job.target):
        return "already exists"
    return job.skip


def _overwrites(settings: Settings, target: Path) -> bool:
    """Whether `target` may be replaced: with --overwrite, or if it is an empty file of an interrupted run."""
    return settings.overwrite or (settings.skip_existing and _is_empty(target))


def _is_empty(target: Path) -> bool:
    return target.is_file() and target.stat().st_size == 0


def _perform(
    job: Job, upscaler: Upscaler, settings: Settings, progress: Callable[[float], None] | None, result: Result
) -> None:
    """Upscale one image; everything that can be checked is checked before the network runs."""
    if job.problem:
        raise InputError(job.problem)
    if job.target is not None:
        _prepare(job.target)
        atomic.check_target(job.target, overwrite=_overwrites(settings, job.target))
    limit = images.MAX_PIXELS if settings.max_pixels is None else settings.max_pixels
    source = sys.stdin.buffer if job.source is None else job.source
    try:
        picture = images.read(source, max_pixels=limit, accept_damaged=settings.accept_damaged)
    except images.DamagedError as error:
        hint = "" if settings.accept_damaged else " (use --accept-damaged to upscale what can be decoded)"
        raise InputError(f"{error}{hint}") from error
    format = _writable(settings.format or picture.format) if job.target is None else images.format_for(str(job.target))
    scale, width, height = settings.scale, settings.width, settings.height
    old_height, old_width = picture.pixels.shape[:2]
    size = target_size(old_width, old_height, scale, width, height)
    images.check_size(format, *size)
    if settings.only_enlarge and size[0] <= old_width and size[1] <= old_height:
        result.notes.append("already large enough: copied")
        upscaled = picture.with_pixels(Bands.of(picture.pixels))
        if job.source is not None and job.target is not None and format == picture.format and not settings.strip_metadata:
            with atomic.atomic_write(job.target, _overwrites(settings, job.target), source=job.source) as stream:
                stream.write(job.source.read_bytes())
            result.height, result.width = old_height, old_width
            return
    else:
        upscaled = upscaler.stream_picture(picture, scale=scale, width=width, height=height, progress=progress)
    notes = _deliver(upscaled, job, format, settings)
    result.notes += [*upscaled.notes, *notes]
    result.height, result.width = upscaled.pixels.shape[:2]


def _deliver(picture: images.Picture[Bands], job: Job, format: str, settings: Settings) -> list[str]:
    """Write to the job's target, or to standard output; return the writer's notes."""
    quality, strip_metadata = settings.quality, settings.strip_metadata
    if job.target is not None:
        return images.write(
            job.target,
            picture,
            quality=quality,
            strip_metadata=strip_metadata,
            overwrite=_overwrites(settings, job.target),
            source=job.source,
        )
    # Encoded to a file first: a pipe gets the complete image or nothing.
    with tempfile.TemporaryDirectory() as folder, Path(folder, "picture").open("x+b") as whole:
        images.encode_into(whole, picture, format, quality=quality, strip_metadata=strip_metadata)
        whole.seek(0)
        shutil.copyfileobj(whole, sys.stdout.buffer)
    sys.stdout.buffer.flush()
    return []


def _writable(format: str) -> str:
    try:
        return images.format_for(format)
    except UsageError:
        return "PNG"


def _prepare(target: Path) -> None:
    """Create the folder of `target` and check that a file of that name can be created, before the network runs."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent):
            target.exists()  # raises if the name is too long
    except OSError as error:
        raise InputError(f"cannot write into {target.parent}: {one_line(error)}; choose another OUT with -o") from error
