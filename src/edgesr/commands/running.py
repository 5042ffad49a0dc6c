"""Run the jobs of `edgesr.commands.jobs` one by one: a bad image does not stop the run, and memory is freed after each."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgesr import atomic, images
from edgesr.commands.jobs import Job
from edgesr.errors import InputError, one_line
from edgesr.images.bands import Bands
from edgesr.upscaling.file import Options, failure, upscaled
from edgesr.upscaling.upscaler import Upscaler


@dataclass(frozen=True)
class Settings(Options):
    """What `run` does with every job."""

    format: str | None = None  # of a result for standard output; None: that of its source
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
    except Exception as error:
        result.error = failure(error, source)
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
    source = sys.stdin.buffer if job.source is None else job.source
    format = settings.format if job.target is None else images.format_for(str(job.target))
    picture, format, source_format, enlarged = upscaled(source, upscaler, settings, format=format, progress=progress)
    as_it_is = not enlarged and format == source_format and not settings.strip_metadata
    if as_it_is and job.source is not None and job.target is not None:
        with atomic.atomic_write(job.target, _overwrites(settings, job.target), source=job.source) as stream:
            stream.write(job.source.read_bytes())
        notes = []
    else:
        notes = _deliver(picture, job, format, settings)
    result.notes += [*picture.notes, *notes]
    result.height, result.width = picture.pixels.shape[:2]


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


def _prepare(target: Path) -> None:
    """Create the folder of `target` and check that a file of that name can be created, before the network runs."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent):
            target.exists()  # raises if the name is too long
    except OSError as error:
        raise InputError(f"cannot write into {target.parent}: {one_line(error)}; choose another OUT with -o") from error
