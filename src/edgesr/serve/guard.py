"""Protection from other sites: only requests for this server's address or an allowed name, and not from pages of other sites.

A site that points its own name at this server (DNS rebinding) still sends that name as `Host`; IP addresses and `localhost` cannot
be redirected. Requests that a browser sends for a page have the page's site as `Origin`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_AUTHORITY = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(:\d+)?")


class OwnRequestsOnly:
    """Responds with 403 to requests that pages of other sites send.

    Allowed are IP addresses, localhost, `host`, on which the server listens, and `names`. Pages under one of `names` are its own
    too, even if a proxy changes `Host`. Pages of `origins`, in lower case, may send requests as well.
    """

    def __init__(
        self, app: ASGIApp, host: str = "localhost", names: Collection[str] = (), origins: Collection[str] = ()
    ) -> None:
        self._app = app
        self._origins = frozenset(origins)
        self._pages = {name.lower() for name in names}
        self._names = {"localhost", host.lower(), *self._pages}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request or pass it on."""
        if scope["type"] == "http":
            refusal = self._refusal(Headers(scope=scope))
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, headers: Headers) -> JSONResponse | None:
        host, origin = headers.get("host", "").lower(), headers.get("origin")
        if not self._is_own(host):
            detail = "unknown host name: use the server's IP address, or start it with --allow-host NAME"
            return JSONResponse({"reason": "foreign_host", "detail": detail}, 403)
        if origin is not None and origin not in self._origins and not self._is_from_here(origin.lower(), host):
            detail = (
                "requests from pages of other sites are refused: send the request from the server's own page, or without Origin, "
                "or start the server with --cors ORIGIN"
            )
            return JSONResponse({"reason": "foreign_origin", "detail": detail}, 403)
        return None

    def _is_own(self, host: str) -> bool:
        name = _name(host)
        return name is not None and (name in self._names or _is_address(name))

    def _is_from_here(self, origin: str, host: str) -> bool:
        scheme, _, place = origin.partition("://")
        return scheme in ("http", "https") and (place == host or _name(place) in self._pages)


def _name(authority: str) -> str | None:
    """Return a host's name or address without its port; None if it is invalid."""
    match = _AUTHORITY.fullmatch(authority)
    return match[1].strip("[]") if match else None


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
