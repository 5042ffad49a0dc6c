"""Keep the imaging libraries' warnings off the user's screen, without losing another thread's warning filters."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# Without a handler Python prints tifffile's log to stderr; a program that configures logging still receives it.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_lock = threading.Lock()
_inside = 0
_saved: warnings.catch_warnings | None = None


@contextmanager
def quiet() -> Iterator[None]:
    """Ignore warnings inside the block, in any number of threads at once.

    `warnings.catch_warnings` saves and restores one global list: two threads that overlap can restore in the wrong
    order and leave the program silenced for good. Here the first one in saves it and the last one out restores it.
    """
    global _inside, _saved  # noqa: PLW0603 -- the state that is shared is the interpreter's own
    with _lock:
        if _inside == 0:
            _saved = warnings.catch_warnings()
            _saved.__enter__()
            warnings.simplefilter("ignore")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0 and _saved is not None:
                _saved.__exit__(None, None, None)
