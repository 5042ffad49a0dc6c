"""Work on parts of a picture in other threads; numpy, the codecs and the engines run without Python's lock."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Generic, TypeVar

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


class Ahead(Generic[Item]):
    """Iterate over items that a thread of `pool` computes, each while the one before is in use.

    So two items are in memory at a time. Whatever the computation raises is raised by the iteration. `close` ends it early. `seconds`
    is the time that the computation took.
    """

    def __init__(self, items: Iterable[Item], pool: Executor) -> None:
        self.seconds = 0.0
        self._items = iter(items)
        self._results: queue.SimpleQueue[Item | _Raised] = queue.SimpleQueue()
        self._wanted = threading.Semaphore(1)
        self._closed = threading.Event()
        pool.submit(self._compute)

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        result = self._results.get()
        if isinstance(result, _Raised):
            self._results.put(result)  # an iterator that has ended stays so
            raise result.error
        self._wanted.release()
        return result

    def close(self) -> None:
        """Compute nothing further; what is being computed is finished first."""
        self._closed.set()
        self._wanted.release()

    def _compute(self) -> None:
        while True:
            self._wanted.acquire()
            start = time.perf_counter()
            try:
                if self._closed.is_set():
                    raise StopIteration
                self._results.put(next(self._items))
            except BaseException as error:  # for the thread that waits for a result
                self._results.put(_Raised(error))
                return
            finally:
                self.seconds += time.perf_counter() - start


class _Raised:
    """What a computation has raised; StopIteration at its end."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
