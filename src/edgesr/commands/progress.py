"""A progress bar whose clock and remaining time tick every second, also while nothing is finished."""

from __future__ import annotations

import threading
from typing import Any, TextIO

from tqdm import tqdm

FORM = "{desc} {percentage:3.0f}% |{bar}| {elapsed}, {left} left"
TICK_SECONDS = 1.0


class TickingBar(tqdm):
    """tqdm's bar, redrawn every second by a thread; the remaining time counts down from what the last step has told."""

    def __init__(self, total: int, file: TextIO) -> None:
        self._told: tuple[float, float] | None = None  # seconds since the start, fraction done: at the last step
        super().__init__(total=total, file=file, leave=False, miniters=0, dynamic_ncols=True, bar_format=FORM)
        self._closed = threading.Event()
        self._ticking = threading.Thread(target=self._tick, daemon=True)
        self._ticking.start()

    def update(self, n: float | None = 1) -> bool | None:
        """Count `n` more."""
        shown = super().update(n)
        if self.total and self.n:
            self._told = self.format_dict["elapsed"], self.n / self.total
        return shown

    @property
    def format_dict(self) -> dict[str, Any]:
        """What the bar shows, `left` among it."""
        shown = super().format_dict
        left = "?"
        if self._told is not None:
            elapsed, done = self._told
            left = self.format_interval(max(0.0, elapsed / done - shown["elapsed"]))
        return {**shown, "left": left}

    def close(self) -> None:
        """Stop the clock and remove the bar."""
        if hasattr(self, "_closed"):
            self._closed.set()
            self._ticking.join()
        super().close()

    def _tick(self) -> None:
        while not self._closed.wait(TICK_SECONDS):
            self.refresh()
