"""Responses whose body is a result's file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from fastapi.responses import StreamingResponse

_PIECE = 2**18  # bytes


def once(file: Path, kind: str, headers: Mapping[str, str]) -> StreamingResponse:
    """Return the response with the content of `file`, of the media type `kind`; the file exists until it is sent, whatever happens."""
    stream = file.open("rb")
    size = file.stat().st_size
    with suppress(PermissionError):  # Windows removes no open files; there it is removed when the server ends
        file.unlink()
    return StreamingResponse(_pieces(stream), media_type=kind, headers={**headers, "Content-Length": str(size)})


async def _pieces(stream: BinaryIO) -> AsyncIterator[bytes]:
    with stream:
        while piece := await asyncio.to_thread(stream.read, _PIECE):
            yield piece
