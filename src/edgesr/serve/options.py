"""Query options of the API: unknown and repeated ones are refused, so that a misspelt one does not go unnoticed."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from edgesr.serve.limits import Refusal


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
