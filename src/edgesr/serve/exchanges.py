"""What was requested and answered, for the access log and for `/metrics` (Prometheus's text format 0.0.4)."""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from starlette.types import ASGIApp, Message, Receive, Scope, Send

STATES = ("waiting", "running", "done", "failed")  # of jobs
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_JOB = re.compile(r"^/v1/jobs/[^/]+")
_PATH_CHARACTERS = 200  # of a path in the log


@dataclass
class Exchange:
    """A request and its response."""

    method: str
    path: str  # without the query, and with {id} for a job's id, since whoever knows it can fetch the result
    status: int = 500  # if no response was sent
    size: int = 0  # bytes of the response's body
    seconds: float = 0.0  # from the headers of the request to the end of the response


class Observed:
    """Calls `listeners` with each exchange at its end."""

    def __init__(self, app: ASGIApp, listeners: Collection[Callable[[Exchange], None]]) -> None:
        self._app, self._listeners = app, listeners

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and measure it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange, start = Exchange(scope["method"], _JOB.sub("/v1/jobs/{id}", scope["path"])), time.monotonic()

        async def measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
            elif message["type"] == "http.response.body":
                exchange.size += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, measured)
        finally:
            exchange.seconds = time.monotonic() - start
            for listener in self._listeners:
                listener(exchange)


def write_log(exchange: Exchange) -> None:
    """Write a line of JSON to standard output; it has neither the query nor anything of the image."""
    record = {
        "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        "method": exchange.method,
        "path": exchange.path[:_PATH_CHARACTERS],
        "status": exchange.status,
        "bytes": exchange.size,
        "ms": round(1000 * exchange.seconds, 1),
    }
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


class Metrics:
    """Counters since the start. `paths` are counted by name, all others as "page", so that clients cannot add series."""

    def __init__(self, paths: Collection[str]) -> None:
        self._paths = frozenset(paths)
        self._requests: Counter[tuple[str, int]] = Counter()  # by path and status
        self._seconds: defaultdict[str, float] = defaultdict(float)  # by path
        self.pixels = 0  # of results

    def add(self, exchange: Exchange) -> None:
        """Count an exchange."""
        path = exchange.path if exchange.path in self._paths else "page"
        self._requests[path, exchange.status] += 1
        self._seconds[path] += exchange.seconds

    def text(self, pending: int, restarts: int, jobs: Mapping[str, int]) -> str:
        """Return all metrics; `pending` images are waiting or running, `restarts` worker processes were replaced; `jobs` by state."""
        counts: Counter[str] = Counter()
        for (path, _), count in self._requests.items():
            counts[path] += count
        by_status = [f'{{path="{path}",status="{status}"}} {n}' for (path, status), n in sorted(self._requests.items())]
        times = [
            line
            for path, count in sorted(counts.items())
            for line in (f'_sum{{path="{path}"}} {self._seconds[path]:.6f}', f'_count{{path="{path}"}} {count}')
        ]
        families = (
            ("edgesr_requests_total", "counter", "Requests answered.", by_status),
            ("edgesr_request_seconds", "summary", "Seconds from a request's headers to the end of its response.", times),
            ("edgesr_images_pending", "gauge", "Images waiting or running.", [f" {pending}"]),
            ("edgesr_pixels_total", "counter", "Pixels of results.", [f" {self.pixels}"]),
            ("edgesr_worker_restarts_total", "counter", "Worker processes that ended and were replaced.", [f" {restarts}"]),
            ("edgesr_jobs", "gauge", "Jobs by state.", [f'{{state="{state}"}} {jobs.get(state, 0)}' for state in STATES]),
        )
        lines = []
        for name, kind, help_, samples in families:
            lines += [f"# HELP {name} {help_}", f"# TYPE {name} {kind}", *(f"{name}{sample}" for sample in samples)]
        return "\n".join(lines) + "\n"
