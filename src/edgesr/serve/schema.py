"""The bodies of requests and responses, as OpenAPI describes them."""

from __future__ import annotations

from enum import Enum
from typing import Any

from edgesr.images import formats

_WRITABLE = [name for name in formats.WRITTEN if formats.missing_extra(name) is None]
Format = Enum("Format", {name: name.lower() for name in _WRITABLE}, type=str)  # type: ignore[misc]
READABLE = ", ".join(each.title for name, each in formats.FORMATS.items() if formats.missing_extra(name) is None)
_REFUSALS = {
    401: "the token is missing or wrong",
    403: "the request is for another host, or comes from a page of another site",
    404: "there is no such job",
    408: "the upload timed out",
    409: "the job has not ended",
    413: "the file, the image or its result is too large",
    415: "unsupported image format",
    422: "invalid option, damaged image, or a form without exactly one file",
    429: "the queue is full, or there are too many jobs; retry after `Retry-After` seconds",
    500: "a defect, or the process that upscales died with this image",
    503: "timeout, out of memory or disk space, too many requests, or shutting down",
}
UPSCALING = (401, 403, 408, 413, 415, 422, 429, 500, 503)
_FILE = {"type": "string", "format": "binary"}
BODIES = {
    "application/octet-stream": {"schema": {**_FILE, "description": "the file itself; also as image/*, such as image/jpeg"}},
    "application/x-www-form-urlencoded": {
        "schema": {**_FILE, "description": "the file itself, not encoded: the type that curl --data-binary states by default"}
    },
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "description": "a form with one file, in a field of any name, as curl -F file=@photo.jpg sends it",
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": _FILE,
        }
    },
}


def in_shell(command: str) -> str:
    """Return a command as a block of Markdown, which descriptions are written in."""
    return f"\n\n```sh\n{command}\n```"


def responses() -> dict[int | str, dict[str, Any]]:
    """Return the responses whose body is a result, as OpenAPI describes them."""
    pictures = {formats.FORMATS[name].mime: {"schema": _FILE} for name in _WRITABLE}
    return {200: {"description": "the result", "content": pictures}, **refusals(*UPSCALING)}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the responses of these statuses, all of which are JSON."""
    refusal = {
        "type": "object",
        "required": ["reason", "detail"],
        "properties": {"reason": {"type": "string"}, "detail": {"type": "string"}},
    }
    content = {"application/json": {"schema": refusal}}
    return {status: {"description": _REFUSALS[status], "content": content} for status in statuses}
