"""Jobs: images that take longer than a connection should last. Their inputs and results are files; the jobs themselves are in memory."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from edgesr.images import formats
from edgesr.serve.limits import Limits, Refusal
from edgesr.serve.runner import Options, Outcome, check
from edgesr.serve.work import Work

_INTERVAL = 0.5  # seconds between two looks at the progress of a job, for its events
_SILENCE = 15.0  # seconds after which a comment keeps the connection of events open
log = logging.getLogger(__name__)
State = Literal["waiting", "running", "done", "failed"]


class Reason(BaseModel):
    """Why a job failed, as the refusals of other requests."""

    reason: str
    detail: str


class Status(BaseModel):
    """What is known of a job."""

    id: str
    state: State
    progress: float = Field(ge=0, le=1, description="fraction done")
    seconds: float = Field(ge=0, description="time that it has run")
    seconds_left: float | None = Field(description="estimate; null if nothing is known yet")
    width: int | None = Field(description="of the result, px")
    height: int | None = Field(description="of the result, px")
    format: str | None = Field(description="media type of the result")
    bytes: int | None = Field(description="of the result's file")
    notes: list[str] = Field(description="what the format could not store")
    error: Reason | None
    expires_in: float | None = Field(description="seconds until a job that has ended is removed")


@dataclass(eq=False)
class Job:
    """An image to upscale."""

    id: str
    state: State = "waiting"
    progress: float = 0.0
    start: float | None = None  # monotonic time
    end: float | None = None
    outcome: Outcome | None = None
    size: int = 0  # bytes of the result
    refusal: Refusal | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def note(self, done: float) -> None:
        """Note the fraction done; called from a thread."""
        if self.start is None:
            self.start, self.state = time.monotonic(), "running"
        self.progress = done


class Jobs:
    """A bounded number of jobs, which run one after the other. Methods raise Refusal."""

    def __init__(self, work: Work, limits: Limits) -> None:
        self._work, self._limits = work, limits
        self._jobs: dict[str, Job] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def check_room(self) -> None:
        """Raise Refusal if there are too many jobs, or their results are too large."""
        if len(self._jobs) >= self._limits.stored_jobs or sum(job.size for job in self._jobs.values()) > self._limits.job_bytes:
            raise Refusal(429, "jobs_full", "there are too many jobs: delete those whose result you have, or try again later")

    async def create(self, data: bytes, options: Options) -> Job:
        """Take a job. Raises Refusal: too many, no image, too large, an invalid size of the result, no disk space."""
        await asyncio.to_thread(check, data, options, self._limits)
        self.check_room()
        self._loop = asyncio.get_running_loop()
        job = Job(secrets.token_urlsafe(24))
        self._jobs[job.id] = job
        try:
            source = await asyncio.to_thread(self._stored, data)
        except Refusal:
            del self._jobs[job.id]
            raise
        job.task = asyncio.create_task(self._perform(job, source, options))
        return job

    def get(self, id: str) -> Job:
        """Return a job. Raises Refusal if there is none."""
        try:
            return self._jobs[id]
        except KeyError:
            raise Refusal(404, "not_found", "no such job: it was deleted, has expired, or the server was restarted") from None

    def result(self, id: str) -> Outcome:
        """Return the result of a job. Raises Refusal: no such job, not done, or why it failed."""
        job = self.get(id)
        if job.refusal is not None:
            raise job.refusal
        if job.outcome is None:
            raise Refusal(409, "not_done", f"the job is {job.state}: try again later, or follow its events")
        return job.outcome

    def delete(self, id: str) -> None:
        """Forget a job and its result; one that runs is stopped after the tile at work."""
        job = self.get(id)
        del self._jobs[id]
        if job.task is not None:
            job.task.cancel()
        if job.outcome is not None:
            job.outcome.file.unlink(missing_ok=True)

    def stop(self) -> None:
        """Stop all jobs; may be called by a signal's handler."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(lambda: [job.task.cancel() for job in self._jobs.values() if job.task is not None])

    def states(self) -> Counter[str]:
        """Return the number of jobs in each state."""
        return Counter(job.state for job in self._jobs.values())

    def status(self, job: Job) -> Status:
        """Describe a job."""
        now = time.monotonic()
        ran = 0.0 if job.start is None else (job.end or now) - job.start
        left = None
        if job.state == "running" and job.progress > 0:
            left = round(ran * (1 - job.progress) / job.progress, 1)
        result = job.outcome
        return Status(
            id=job.id,
            state=job.state,
            progress=round(job.progress, 4),
            seconds=round(ran, 2),
            seconds_left=left,
            width=result.width if result else None,
            height=result.height if result else None,
            format=formats.FORMATS[result.format].mime if result else None,
            bytes=job.size if result else None,
            notes=list(result.notes) if result else [],
            error=Reason(reason=job.refusal.reason, detail=job.refusal.detail) if job.refusal else None,
            expires_in=None if job.end is None else round(max(0.0, job.end + self._limits.job_keep_seconds - now), 1),
        )

    async def events(self, job: Job) -> AsyncIterator[str]:
        """Yield the status of a job whenever it has changed, until the job has ended, as server-sent events."""
        sent, since = "", time.monotonic()
        while True:
            ended = job.ended.is_set()
            status = self.status(job)
            news = f"{status.state} {status.progress}"
            if news != sent:
                sent, since = news, time.monotonic()
                yield f"data: {status.model_dump_json()}\n\n"
            elif time.monotonic() - since > _SILENCE:
                since = time.monotonic()
                yield ":\n\n"
            if ended:
                return
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(job.ended.wait(), _INTERVAL)

    def _stored(self, data: bytes) -> Path:
        try:
            source = self._work.new_file()
            try:
                source.write_bytes(data)
            except OSError:
                source.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise Refusal(503, "disk", f"the image cannot be stored on the server: {error.strerror}") from error
        return source

    async def _perform(self, job: Job, source: Path, options: Options) -> None:
        try:
            job.outcome = await self._work.run_job(source, options, job.note)
            job.size, job.progress, job.state = job.outcome.file.stat().st_size, 1.0, "done"
        except Refusal as refusal:
            self._fail(job, refusal)
        except asyncio.CancelledError:
            self._fail(job, Refusal(503, "stopping", "the job was deleted, or the server is shutting down"))
        except OSError as error:
            self._fail(job, Refusal(503, "disk", f"the image cannot be stored on the server: {error.strerror}"))
        except Exception:
            log.exception("a job failed")
            self._fail(job, Refusal(500, "internal", "internal error of the server; its log has the details"))
        finally:
            source.unlink(missing_ok=True)
            job.end = time.monotonic()
            job.ended.set()
            asyncio.get_running_loop().call_later(self._limits.job_keep_seconds, self._expire, job)

    def _fail(self, job: Job, refusal: Refusal) -> None:
        job.state, job.refusal = "failed", refusal

    def _expire(self, job: Job) -> None:
        if self._jobs.get(job.id) is job:
            self.delete(job.id)
