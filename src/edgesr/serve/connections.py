"""Timeouts of connections: idle ones and those that do not read their response are closed, also the oldest if there are too many.

uvicorn only has a timeout between two requests, and slow clients can extend it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

import uvicorn

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_INTERVAL = 0.1  # seconds
log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """uvicorn's server with timeouts; `stopping` is called when the shutdown begins."""

    def __init__(self, config: uvicorn.Config, *, idle_seconds: float, stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._stopping = stopping
        self._watch = Watch(idle_seconds, most_connections())
        self._logged = False

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Start the shutdown."""
        self._stopping()
        super().handle_exit(sig, frame)

    async def startup(self, sockets: Any = None) -> None:
        """Start serving."""
        asyncio.get_running_loop().set_exception_handler(self._log_once)
        self._watching = asyncio.ensure_future(self._watch_connections())  # also during the shutdown, for the last connections
        await super().startup(sockets)

    async def _watch_connections(self) -> None:
        while True:
            self._watch.look(self.server_state.connections, time.monotonic())
            await asyncio.sleep(_INTERVAL)

    def _log_once(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log once that no more files can be opened; asyncio would log a traceback for every waiting client."""
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in _EXHAUSTED):
            loop.default_exception_handler(context)
        elif not self._logged:
            self._logged = True
            log.warning("too many connections: %s; raise the limit of open files (ulimit -n)", error.strerror)


class Watch:
    """Tracks how long each connection has been idle, and closes it after a timeout."""

    def __init__(self, idle_seconds: float, most: int) -> None:
        self._idle_seconds, self._most = idle_seconds, most
        self._seen: dict[Any, tuple[tuple[object, ...], float]] = {}  # connection: its state, and the time of the last change

    def look(self, connections: Iterable[Any], now: float) -> None:
        """Close connections that have been idle for too long, and the oldest idle ones if there are too many."""
        seen = {}
        for connection in connections:
            state = _state(connection)
            before = self._seen.get(connection)
            seen[connection] = before if before is not None and before[0] == state else (state, now)
        self._seen = seen
        idle = sorted((since, index) for index, (state, since) in enumerate(seen.values()) if not state[0])
        excess = len(seen) - self._most
        every = list(seen)
        for place, (since, index) in enumerate(idle):
            if place < excess or now - since > self._idle_seconds:
                every[index].transport.abort()


def most_connections() -> int:
    """Return the maximum number of connections: half of the process's limit of open files, as it needs files of its own."""
    try:
        import resource  # not on Windows
    except ImportError:
        return 1000
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 1000 if soft == resource.RLIM_INFINITY else min(1000, max(8, soft // 2))


def _state(connection: Any) -> tuple[object, ...]:
    """Return whether a request is in progress, which one, and how many bytes of its response are unsent."""
    cycle = connection.cycle
    unsent = connection.transport.get_write_buffer_size()
    return (cycle is not None and not cycle.response_complete and not unsent, id(cycle), unsent)
