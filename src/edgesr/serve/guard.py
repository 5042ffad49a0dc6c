"""Who may ask: requests that name this server, by an address or an allowed name, and come from no page of another site (ours).

A page of another site that has its own name lead here (DNS rebinding) still sends that name as `Host`; an address, or
`localhost`, cannot be made to lead elsewhere. Whatever a browser sends on behalf of a page tells the page's site as `Origin`.
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
    """Refuses with 403 what a page of another site makes a browser send.

    Beside addresses and localhost the names `host`, which it listens on, and `names` are answered; pages under one of `names`
    are its own too, whatever a proxy in between makes of `Host`.
    """

    def __init__(self, app: ASGIApp, host: str = "localhost", names: Collection[str] = ()) -> None:
        self._app = app
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
            detail = "this server does not answer to that name: use its address, or start it with --allow-host NAME"
            return JSONResponse({"reason": "foreign_host", "detail": detail}, 403)
        if origin is not None and not self._is_from_here(origin.lower(), host):
            detail = "this server does not work for pages of other sites: send the request from its own page, or without Origin"
            return JSONResponse({"reason": "foreign_origin", "detail": detail}, 403)
        return None

    def _is_own(self, host: str) -> bool:
        name = _name(host)
        return name is not None and (name in self._names or _is_address(name))

    def _is_from_here(self, origin: str, host: str) -> bool:
        scheme, _, place = origin.partition("://")
        return scheme in ("http", "https") and (place == host or _name(place) in self._pages)


def _name(authority: str) -> str | None:
    """Return a host's name or address without its port; None for what is no host."""
    match = _AUTHORITY.fullmatch(authority)
    return match[1].strip("[]") if match else None


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
