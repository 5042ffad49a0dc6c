"""Signals: they raise KeyboardInterrupt; if a library does not return to Python for that, the process is ended."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_GRACE = 3.0  # seconds to unwind
_STOPS = [number for name in ("SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None]


@contextlib.contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does, so that temporary files are removed.

    The argument of the exception is the signal's number. Ignored signals, such as SIGHUP under `nohup`, stay ignored.
    """

    def interrupt(number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt(number)

    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return
    handled = [number for number in _STOPS if signal.getsignal(number) != signal.SIG_IGN]
    previous = {number: signal.signal(number, interrupt) for number in handled}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def ended_by_signals(clean: Callable[[], None]) -> Iterator[None]:
    """End the process a few seconds after a signal if the block has not ended by then.

    Python runs signal handlers between bytecode instructions only, so a long call into a library delays them. `clean` is called
    before the process ends.
    """
    if threading.current_thread() is not threading.main_thread() or os.name != "posix":
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)  # receives each signal's number immediately
    unwound = threading.Event()

    def watch() -> None:
        while number := os.read(reading, 1):
            if number[0] in (signal.SIGINT, *_STOPS) and not unwound.wait(_GRACE):
                clean()
                print("edgesr: stopped", file=sys.stderr, flush=True)
                os._exit(128 + number[0])

    watcher = threading.Thread(target=watch, daemon=True, name="signals")
    watcher.start()
    try:
        yield
    finally:
        unwound.set()
        signal.set_wakeup_fd(before)
        os.close(writing)  # ends the watcher
        watcher.join()
        os.close(reading)
