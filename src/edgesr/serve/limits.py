"""What one server takes on, in one visible place: every limit has a figure, and a status that says which one was met."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds on a request and on all of them together."""

    body_bytes: int = 32 * 2**20  # of a picture's file
    pixels: int = 2**24  # of a picture as it comes; its result may have 16 times as many, whatever the scale
    queue: int = 16  # pictures that wait or run; further ones are sent away with 429
    uploads: int = 64  # requests that are read, wait or run; further ones are sent away with 503
    jobs: int = 1  # pictures that run at the same time
    seconds: float = 120.0  # from the last byte of the request to the result
    upload_seconds: float = 30.0  # from the first byte of the request to the last


class Refusal(Exception):  # noqa: N818 -- no error of ours
    """A request that is not carried out: an HTTP status, a short name of the reason, and one line for people."""

    def __init__(self, status: int, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.reason, self.detail = status, reason, detail
