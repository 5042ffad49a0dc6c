"""Query options of the API: unknown and repeated ones are refused, so that a misspelt one does not go unnoticed."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated

from fastapi import Query

from edgesr.serve.limits import Refusal
from edgesr.serve.runner import Options
from edgesr.serve.schema import Format


def asked(  # noqa: PLR0917 -- called by name
    scale: Annotated[float | None, Query(ge=1, le=8, description="output px per input px (default 4)")] = None,
    width: Annotated[int | None, Query(ge=1, le=2**20, description="width of the result in px, instead of scale")] = None,
    height: Annotated[
        int | None,
        Query(ge=1, le=2**20, description="height of the result in px; with width: the largest size within both"),
    ] = None,
    fidelity: Annotated[float, Query(ge=0, le=1, description="0 for crisp to 1 for faithful to the input")] = 0.0,
    format: Annotated[Format | None, Query(description="output format (default: the input's)")] = None,
    quality: Annotated[int | None, Query(ge=1, le=100, description="quality of lossy formats")] = None,
    strip_metadata: Annotated[bool, Query(description="remove EXIF, XMP and text")] = False,
    sharpness: Annotated[
        float | None, Query(ge=0, le=1, description="sharpen the result, 0 (off) to 1 (default: 0.4, less with fidelity)")
    ] = None,
) -> Options:
    """Return the options in the query of a request that upscales."""
    chosen = None if format is None else str(format.value).upper()
    return Options(scale, width, height, fidelity, chosen, quality, strip_metadata, sharpness)


def check_options(given: Sequence[str], known: Sequence[str]) -> None:
    """Check the names of the query options of a request. Raises Refusal, which names the nearest of `known`."""
    for name in given:
        if name not in known:
            raise Refusal(422, "bad_option", f"unknown option {_shown(name)}; {_hint(name, known)}")
        if given.count(name) > 1:
            raise Refusal(422, "bad_option", f"option {name} is given {given.count(name)} times: give it once")


def _shown(name: str) -> str:
    return repr(name[:80])


def _hint(name: str, known: Sequence[str]) -> str:
    if not known:
        return "this endpoint has none"
    near = get_close_matches(name.lower(), known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"the options are {', '.join(known)}"
