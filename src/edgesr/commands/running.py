"""Run the jobs of `edgesr.commands.jobs` in order: a bad image does not stop the run, and memory is freed after each.

Three threads work at the same time: one reads, one runs the network, and the caller's encodes and writes. The network is a row of tiles
ahead of the encoder, and begins with the next image, if that is small, while the last rows of one are encoded.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from edgesr import atomic, images
from edgesr.commands.jobs import Job
from edgesr.errors import EdgesrError, InputError, one_line
from edgesr.images.bands import Bands
from edgesr.images.read import size_of
from edgesr.images.threads import Ahead
from edgesr.upscaling.file import Opened, Options, Upscaled, computed, failure, opened
from edgesr.upscaling.upscaler import Upscaler

SMALL = 2**19  # LR px of an image that is begun while the one before is encoded; of a larger one the rows would take memory

Progress = Callable[[int, float], None]


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


class _Flow(NamedTuple):
    """An image whose rows are being computed."""

    upscaled: Upscaled
    ahead: Ahead | None  # None: nothing is computed


def run(jobs: Sequence[Job], upscaler: Upscaler, settings: Settings, progress: Progress | None = None) -> Iterator[Result]:
    """Run the jobs in order and yield the result of each; see `Run`."""
    with Run(jobs, settings) as running:
        yield from running.results(upscaler, progress)


class Run:
    """Jobs that are run once, with an upscaler that may be loaded while the first image is read.

    `network_seconds` is the time that the network was busy.
    """

    def __init__(self, jobs: Sequence[Job], settings: Settings) -> None:
        self._jobs, self._settings = jobs, settings
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="read")
        self._computing = ThreadPoolExecutor(1, thread_name_prefix="network")
        self._opened: dict[int, Future[Opened]] = {}
        self._flows: dict[int, Future[_Flow]] = {}
        self._running: list[Ahead] = []
        self.network_seconds = 0.0
        if jobs and jobs[0].source is not None and not _reason_to_skip(jobs[0], settings):
            self._opened[0] = self._reading.submit(_open, jobs[0], settings)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        """Compute nothing further."""
        self._reading.shutdown(cancel_futures=True)
        for ahead in self._running:
            ahead.close()
        self._computing.shutdown()

    def results(self, upscaler: Upscaler, progress: Progress | None = None) -> Iterator[Result]:
        """Yield the result of each job; a failure is a result too, and the next job follows.

        `progress` gets the index of the job and its fraction done in [0, 1], never less than before, from any thread. Raises
        BrokenPipeError if the reader of standard output has closed it.
        """
        for folder in {job.target.parent for job in self._jobs if job.target is not None}:
            atomic.remove_abandoned(folder)
        report = _forward(progress)
        for index, job in enumerate(self._jobs):
            report(index, 0.0)
            yield self._attempt(index, job, upscaler, report)

    def _attempt(self, index: int, job: Job, upscaler: Upscaler, report: Progress) -> Result:
        source = "-" if job.source is None else str(job.source)
        target = None if job.problem and job.target is None else "-" if job.target is None else str(job.target)
        result = Result(source, target, "failed")
        start = time.perf_counter()
        try:
            reason = _reason_to_skip(job, self._settings)
            if reason:
                result.notes.append(reason)
                result.status = "skipped"
            else:
                self._perform(index, job, upscaler, report, result)
                result.status = "done"
        except BrokenPipeError:
            raise
        except atomic.ExistsError as error:
            if self._settings.skip_existing:
                result.notes, result.status = ["written meanwhile by another run"], "skipped"
            else:
                result.error = str(error)
        except Exception as error:
            result.error = failure(error, source)
        result.seconds = round(time.perf_counter() - start, 3)
        return result

    def _perform(self, index: int, job: Job, upscaler: Upscaler, report: Progress, result: Result) -> None:
        """Upscale one image, and begin with the next; everything that can be checked is checked before the network runs."""
        try:
            (picture, format, source_format, enlarged), ahead = self._flow(index, upscaler, report)
        finally:
            self._begin(index + 1, upscaler, report)
        try:
            as_it_is = not enlarged and format == source_format and not self._settings.strip_metadata
            if as_it_is and job.source is not None and job.target is not None:
                with atomic.atomic_write(job.target, _overwrites(self._settings, job.target), source=job.source) as stream:
                    stream.write(job.source.read_bytes())
                notes = []
            else:
                notes = _deliver(picture, job, format, self._settings)
        finally:
            if ahead is not None:
                ahead.close()
                self._running.remove(ahead)
                self.network_seconds += ahead.seconds
        result.notes += [*picture.notes, *notes]
        result.height, result.width = picture.pixels.shape[:2]

    def _begin(self, index: int, upscaler: Upscaler, report: Progress) -> None:
        """Begin to read and compute a job in the other threads, if it is small."""
        if index < len(self._jobs) and _is_small(self._jobs[index], self._settings):
            self._flows[index] = self._reading.submit(self._started, index, upscaler, report)

    def _flow(self, index: int, upscaler: Upscaler, report: Progress) -> _Flow:
        begun = self._flows.pop(index, None)
        return begun.result() if begun is not None else self._started(index, upscaler, report)

    def _started(self, index: int, upscaler: Upscaler, report: Progress) -> _Flow:
        """Read an image, unless that has begun; check where the result goes, and let the network begin."""
        job, settings = self._jobs[index], self._settings
        begun = self._opened.pop(index, None)
        found = begun.result() if begun is not None else _open(job, settings)
        if job.target is not None:
            _prepare(job.target)
            atomic.check_target(job.target, overwrite=_overwrites(settings, job.target))
        result = computed(found, upscaler, settings, progress=lambda fraction: report(index, fraction))
        if not result.enlarged:
            return _Flow(result, None)
        bands = result.picture.pixels
        ahead = Ahead(bands, self._computing)
        self._running.append(ahead)
        return _Flow(result._replace(picture=result.picture.with_pixels(Bands(bands.shape, bands.dtype, ahead))), ahead)


def _forward(progress: Progress | None) -> Progress:
    """Return `progress` without reports of less than was reported before: the network may be at the next job already."""
    furthest = -1.0

    def report(index: int, fraction: float) -> None:
        nonlocal furthest
        if progress is not None and index + fraction > furthest:
            furthest = index + fraction
            progress(index, fraction)

    return report


def _is_small(job: Job, settings: Settings) -> bool:
    """Whether an image takes little memory, by its header; it must be a file, which nobody has to wait for."""
    if job.source is None or job.problem or _reason_to_skip(job, settings):
        return False
    with suppress(EdgesrError, OSError):
        width, height = size_of(job.source)
        return width * height <= SMALL
    return False


def _open(job: Job, settings: Settings) -> Opened:
    """Read an image, and check all that needs no network."""
    if job.problem:
        raise InputError(job.problem)
    if job.target is not None and job.target.exists():
        atomic.check_target(job.target, overwrite=_overwrites(settings, job.target))
    format = settings.format if job.target is None else images.format_for(str(job.target))
    return opened(sys.stdin.buffer if job.source is None else job.source, settings, format=format)


def _reason_to_skip(job: Job, settings: Settings) -> str | None:
    if settings.skip_existing and job.target is not None and job.target.is_file() and not _is_empty(job.target):
        return "already exists"
    return job.skip


def _overwrites(settings: Settings, target: Path) -> bool:
    """Whether `target` may be replaced: with --overwrite, or if it is an empty file of an interrupted run."""
    return settings.overwrite or (settings.skip_existing and _is_empty(target))


def _is_empty(target: Path) -> bool:
    return target.is_file() and target.stat().st_size == 0


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
