"""Peak memory of a process. On Linux getrusage alone is not enough, because a new process inherits the peak of its parent."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

POLL, SPARING = 0.01, 0.25  # seconds between two polls: at first, and at most


def peak_rss_mb(pid: int | None = None) -> float | None:
    """Return the peak resident memory of the process `pid`, or of this one, in MB (10^6 bytes); None where it is unknown."""
    try:
        lines = Path(f"/proc/{pid or 'self'}/status").read_text().splitlines()
        (peak,) = (line for line in lines if line.startswith("VmHWM:"))
    except (OSError, ValueError):  # not Linux, or the process is no more
        return _usage("RUSAGE_SELF") if pid is None else None
    return round(int(peak.split()[1]) * 1024 / 1e6, 1)


class Watch:
    """Peak memory of a program and the processes it starts, polled while it runs.

    A peak after the last poll is missed, unless it exceeds the peak of this process: then the system reports it exactly. Polls become
    rarer the longer the program runs, because they take a little of its time.
    """

    def __init__(self) -> None:
        self._seen: float | None = None

    @contextlib.contextmanager
    def over(self, pid: int) -> Iterator[None]:
        """Poll the process `pid`, which must already run its own program, during the block."""
        done = threading.Event()

        def look() -> None:
            pause = POLL
            while True:
                for each in (pid, *_descendants(pid)):
                    self._seen = _larger(self._seen, peak_rss_mb(each))
                if done.wait(pause):
                    return
                pause = min(1.1 * pause, SPARING)

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def peak_rss_mb(self) -> float | None:
        """Return the peak in MB; None where it is unknown, as for a program that ended at once."""
        children, own = _usage("RUSAGE_CHILDREN"), peak_rss_mb()
        certain = children if children is not None and own is not None and children > own else None
        return _larger(self._seen, certain)


def _larger(first: float | None, second: float | None) -> float | None:
    return max((each for each in (first, second) if each is not None), default=None)


def _descendants(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):  # not Linux, or it is no more
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                yield child
                yield from _descendants(child)


def _usage(whose: str) -> float | None:
    try:
        import resource  # Unix only
    except ImportError:
        return None
    peak = resource.getrusage(getattr(resource, whose)).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)  # macOS counts bytes, the others KiB
