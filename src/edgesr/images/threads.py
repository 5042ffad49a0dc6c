"""Work on parts of a picture in several threads; numpy and the codecs run without Python's lock."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST = 4  # threads: then the compressor, which is one thread, is the slowest part


def in_threads(change: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield `change` of each item in order, computed in threads; only a few items are in memory at a time."""
    workers = min(_MOST, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers, thread_name_prefix="parts") as pool:
        running: deque[Future[Result]] = deque()
        for item in items:
            running.append(pool.submit(change, item))
            if len(running) > workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
