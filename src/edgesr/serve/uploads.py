"""Uploads: limits on duration, rate and number, so that stalled ones do not block others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.requests import ClientDisconnect, Request

from edgesr.serve import multipart
from edgesr.serve.limits import Limits, Refusal

_HEADER = 64  # bytes that every image file has, zeros among them
_SAFE_SECONDS = 1.0  # after which an upload may be cancelled as the slowest
_CURLS = "application/x-www-form-urlencoded"  # the type that curl states by default
_RAW_KINDS = ("application/octet-stream", _CURLS)


@dataclass(eq=False)
class _Upload:
    """An upload in progress."""

    start: float = field(default_factory=time.monotonic)
    received: int = 0  # bytes
    complete: bool = False  # no longer to be cancelled
    step: asyncio.Task[bytes | None] | None = None  # waits for the next bytes

    def speed(self) -> float:
        """Bytes per second so far."""
        return self.received / max(1e-3, time.monotonic() - self.start)


class Uploads:
    """Reads request bodies with timeouts; if there are too many, or too large together, the slowest is cancelled."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: set[_Upload] = set()

    async def read(self, request: Request) -> bytes:
        """Return the file in the body of a request. Raises Refusal: no image, empty, too large, too slow, or disconnected."""
        async with self.reading(request) as data:
            return data

    @asynccontextmanager
    async def reading(self, request: Request) -> AsyncIterator[bytes]:
        """Yield what `read` returns; until the block ends it counts as an upload in progress."""
        form = _check_head(request, self._limits)
        while len(self._open) >= self._limits.uploads:
            self._cancel_slowest()
        upload = _Upload()
        self._open.add(upload)
        try:
            data = await self._received(request, upload, form)
            if not data:
                raise Refusal(422, "empty", f"the {'file' if form else 'request body'} is empty: send an image file")
            if _kind(request) == _CURLS and len(data) > _HEADER and not any(byte in data for byte in b"\0\r\n"):
                detail = (
                    "the file came without its line breaks, as `curl -d` sends it: use --data-binary @FILE, or -F file=@FILE"
                )
                raise Refusal(422, "bad_picture", detail)
            upload.complete = True
            yield data
        finally:
            self._open.discard(upload)

    async def _received(self, request: Request, upload: _Upload, form: multipart.FormFile | None) -> bytes:
        limits, data = self._limits, form.data if form else bytearray()
        largest = limits.body_bytes + (multipart.OVERHEAD if form else 0)
        stream = aiter(request.stream())
        while True:
            seconds = min(limits.upload_seconds, limits.upload_grace + upload.received / limits.upload_rate)
            piece = await self._piece(stream, upload, upload.start + seconds - time.monotonic())
            if piece is None:
                if form:
                    form.check_complete()
                return bytes(data)
            upload.received += len(piece)
            if form:
                form.write(piece)
            else:
                data += piece
            if len(data) > limits.body_bytes or upload.received > largest:
                raise _too_large(limits)
            while sum(one.received for one in self._open) > limits.upload_memory:
                self._cancel_slowest()

    async def _piece(self, stream: AsyncIterator[bytes], upload: _Upload, seconds: float) -> bytes | None:
        """Return the next bytes of a body, None at its end."""
        step = upload.step = asyncio.ensure_future(_next(stream))
        try:
            await asyncio.wait([step], timeout=max(0.0, seconds))
        finally:
            in_time = step.done() and not step.cancelled() and upload in self._open
            step.cancel()
        if not in_time:
            limits = self._limits
            detail = f"the upload timed out: it may take {limits.upload_seconds:g} s, and needs {limits.upload_rate:,} bytes per second"
            raise Refusal(408, "upload_timeout", detail)
        try:
            return step.result()
        except ClientDisconnect:
            raise Refusal(400, "gone", "the client disconnected") from None

    def _cancel_slowest(self) -> None:
        """Cancel the slowest upload; raises Refusal if all have only just started."""
        settled = [one for one in self._open if one.start < time.monotonic() - _SAFE_SECONDS and not one.complete]
        if not settled:
            raise Refusal(503, "busy", "too many requests: try again later")
        slowest = min(settled, key=_Upload.speed)
        self._open.discard(slowest)
        if slowest.step is not None:
            slowest.step.cancel()


async def _next(stream: AsyncIterator[bytes]) -> bytes | None:
    """Return the next bytes of a body, None at its end."""
    return await anext(stream, None)


def _check_head(request: Request, limits: Limits) -> multipart.FormFile | None:
    """Refuse a request whose headers show that it is no image, or too large. Returns what takes the body if it is a form."""
    kind = _kind(request)
    is_form = kind == multipart.KIND
    if not (is_form or kind.startswith("image/") or kind in _RAW_KINDS):
        detail = (
            f"content type {kind[:80]}: send the image file itself, as image/*, or as the file of a form, as {multipart.KIND}"
        )
        raise Refusal(415, "not_a_picture", detail)
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > limits.body_bytes + (multipart.OVERHEAD if is_form else 0):
        raise _too_large(limits)
    return multipart.FormFile(request.headers["content-type"]) if is_form else None


def _kind(request: Request) -> str:
    """The type that a request states for its body, in lower case, without parameters."""
    return request.headers.get("content-type", "application/octet-stream").split(";")[0].strip().lower()


def _too_large(limits: Limits) -> Refusal:
    return Refusal(413, "body_too_large", f"the file is too large: the limit of this server is {limits.body_bytes:,} bytes")
