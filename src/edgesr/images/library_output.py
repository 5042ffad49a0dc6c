"""Keep the imaging libraries' warnings off the user's screen, without losing another thread's warning filters."""

from __future__ import annotations

import ctypes
import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from PIL import Image

# Without a handler Python prints their log to stderr; a program that configures logging still receives it.
for _library in ("tifffile", "PIL"):
    logging.getLogger(_library).addHandler(logging.NullHandler())

# libtiff prints to file descriptor 2 whatever it finds wrong with a file, in addition to the error that Pillow raises.
# Its handlers belong to the process, so they are taken away once, not around each picture, where threads would overlap.
with suppress(AttributeError, OSError):  # Pillow for Windows has libtiff inside, out of reach
    _libtiff = ctypes.CDLL(Image.core.__file__)  # whose symbols are found through the extension that links to it
    for _set_handler in (_libtiff.TIFFSetErrorHandler, _libtiff.TIFFSetWarningHandler):
        _set_handler.argtypes, _set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
        _set_handler(None)

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
