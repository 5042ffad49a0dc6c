"""The server's connections: those that ask nothing, or do not take their answer, are closed; so are the oldest of too many (ours).

uvicorn has a deadline for the time between two requests alone, and none that slow bytes do not put off.
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
    """uvicorn's server, with deadlines; `stopping` is called when the application is to take no more requests."""

    def __init__(self, config: uvicorn.Config, *, idle_seconds: float, stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._stopping = stopping
        self._watch = Watch(idle_seconds, most_connections())
        self._told = False

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin to stop."""
        self._stopping()
        super().handle_exit(sig, frame)

    async def startup(self, sockets: Any = None) -> None:
        """Begin to serve."""
        asyncio.get_running_loop().set_exception_handler(self._tell_once)
        self._watching = asyncio.ensure_future(self._look_again_and_again())  # until all is over: it ends the last ones, too
        await super().startup(sockets)

    async def _look_again_and_again(self) -> None:
        while True:
            self._watch.look(self.server_state.connections, time.monotonic())
            await asyncio.sleep(_INTERVAL)

    def _tell_once(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log that no more files can be opened once; asyncio would, with a traceback, for every client that waits."""
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in _EXHAUSTED):
            loop.default_exception_handler(context)
        elif not self._told:
            self._told = True
            log.warning("too many connections: %s; raise the limit of open files (ulimit -n)", error.strerror)


class Watch:
    """Tells for how long nothing has happened on a connection, and closes it in time."""

    def __init__(self, idle_seconds: float, most: int) -> None:
        self._idle_seconds, self._most = idle_seconds, most
        self._seen: dict[Any, tuple[tuple[object, ...], float]] = {}  # connection -> its state, and since when

    def look(self, connections: Iterable[Any], now: float) -> None:
        """Close connections that have neither asked nor fetched anything for so long, and the oldest of too many such."""
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
    """Return how many connections may be open: half of the files that this process may have open, so that it can go on opening its own."""
    try:
        import resource  # not on Windows, which has no such limit
    except ImportError:
        return 1000
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 1000 if soft == resource.RLIM_INFINITY else min(1000, max(8, soft // 2))


def _state(connection: Any) -> tuple[object, ...]:
    """Say whether a request is being read or worked on, which request, and how much of its answer has not been fetched."""
    cycle = connection.cycle
    unsent = connection.transport.get_write_buffer_size()
    return (cycle is not None and not cycle.response_complete and not unsent, id(cycle), unsent)
