"""The scheduling of the process's threads, which an encoder must not change."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def kept() -> Iterator[None]:
    """Give all threads of this process the scheduling that the calling one had before the block.

    Where it may, as root, SVT-AV1 puts its threads and the one that opens it under real-time scheduling, at the highest priority;
    threads and processes started later inherit that. On a small machine nothing else would run until the video is done.
    """
    if sys.platform != "linux":
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        for thread in Path("/proc/self/task").iterdir():
            with suppress(OSError):  # it has ended
                if os.sched_getscheduler(int(thread.name)) != policy:
                    os.sched_setscheduler(int(thread.name), policy, parameters)
