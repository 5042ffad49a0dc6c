"""Stopping by signals: they unwind the stack; where a library does not come back for that, the process ends (ours)."""

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
    """Let SIGTERM and SIGHUP unwind the stack as Ctrl-C does, so that no half-written file stays behind.

    The signal's number is the argument of the KeyboardInterrupt. A signal that is ignored, as `nohup` makes SIGHUP, stays so.
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
    """End the process a while after a signal that the block did not react to: it waits for a library that does not return.

    Python runs its handlers between two of its own steps only. `clean` is called before.
    """
    if threading.current_thread() is not threading.main_thread() or os.name != "posix":
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)  # gets each signal's number at once
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
