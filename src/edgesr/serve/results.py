"""Responses whose body is a result's file."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import BinaryIO

from fastapi.responses import FileResponse, StreamingResponse

from edgesr.images import formats
from edgesr.serve.runner import Outcome

_PIECE = 2**18  # bytes


def once(outcome: Outcome) -> StreamingResponse:
    """Return the response with a result whose file goes as soon as the response has ended, whatever ends it."""
    stream = outcome.file.open("rb")
    size = str(outcome.file.stat().st_size)
    with suppress(PermissionError):  # Windows removes no open files; there it is removed when the server ends
        outcome.file.unlink()
    headers = {**_headers(outcome), "Content-Length": size}
    return StreamingResponse(_pieces(stream), media_type=_kind(outcome), headers=headers)


def kept(outcome: Outcome) -> FileResponse:
    """Return the response with a result that stays, also in part, as a client asks who continues a download."""
    return FileResponse(outcome.file, media_type=_kind(outcome), headers=_headers(outcome))


def _kind(outcome: Outcome) -> str:
    return formats.FORMATS[outcome.format].mime


def _headers(outcome: Outcome) -> dict[str, str]:
    return {
        "X-Width": str(outcome.width),
        "X-Height": str(outcome.height),
        "X-Notes": json.dumps(outcome.notes),
        "Server-Timing": f"upscale;dur={1000 * outcome.seconds:.0f}",
        "Cache-Control": "no-store",
    }


async def _pieces(stream: BinaryIO) -> AsyncIterator[bytes]:
    with stream:
        while piece := await asyncio.to_thread(stream.read, _PIECE):
            yield piece
