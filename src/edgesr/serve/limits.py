"""The limits of the server in one place, and the exception that reports which one was exceeded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits per request and for all requests together."""

    body_bytes: int = 32 * 2**20  # of an image file
    pixels: int = 2**24  # of an input; its result may have 16 times as many
    queue: int = 16  # images waiting or running; further ones are refused with 429
    uploads: int = 64  # concurrent uploads; a further one cancels the slowest with 408
    jobs: int = 1  # images processed at the same time
    seconds: float = 120.0  # from the last byte of the request to the result
    upload_seconds: float = 30.0  # from the first byte of the request to the last
    upload_grace: float = 3.0  # seconds before `upload_rate` applies
    upload_rate: int = 8 * 2**10  # minimum bytes per second of an upload
    stored_jobs: int = 16  # waiting, running, or with a result that nobody has deleted
    job_bytes: int = 4 * 2**30  # of the results of jobs together; beyond it no further jobs are taken
    job_seconds: float = 3600.0  # from the start of a job to its result
    job_keep_seconds: float = 3600.0  # from the end of a job until it is removed
    process_memory: float | None = None  # MB of each process that upscales; see memory.py
    idle_seconds: float = 10.0  # of an idle connection, and for the headers of a request

    @property
    def upload_memory(self) -> int:
        """Bytes of all uploads in progress together; beyond it the slowest is cancelled."""
        return 4 * self.body_bytes


class Refusal(Exception):  # noqa: N818 -- not an error of the server
    """A refused request: HTTP status, short name of the reason, and a message of one line."""

    def __init__(self, status: int, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.reason, self.detail = status, reason, detail

    def __reduce__(self) -> tuple[type[Refusal], tuple[int, str, str]]:
        return Refusal, (self.status, self.reason, self.detail)  # from a worker process
