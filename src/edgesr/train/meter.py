"""The contents of a log line: means of the scalars, the share of time spent waiting for data, and the speed since the last line."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor


class Meter:
    """Counts steps, their scalars and their time since the last `restart`."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Start a new line."""
        self.began, self.waited, self.steps = time.monotonic(), 0.0, 0
        self.sums: dict[str, float | Tensor] = {}
        self.counts: dict[str, int] = {}

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time inside as waiting."""
        began = time.monotonic()
        yield
        self.waited += time.monotonic() - began

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Exclude the time inside, which belongs to no step."""
        began = time.monotonic()
        yield
        self.began += time.monotonic() - began

    def add(self, scalars: dict[str, float] | dict[str, Tensor]) -> None:
        """Count one step; a scalar may be missing from some steps, or be a GPU tensor, which is not synchronised."""
        self.steps += 1
        for name, value in scalars.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1

    def seconds(self) -> float:
        """Return the seconds since the last line, without the pauses."""
        return time.monotonic() - self.began

    def means(self) -> dict[str, float]:
        """Return the mean of each scalar over the steps that had it, and the share of time spent waiting."""
        return {name: float(total) / self.counts[name] for name, total in self.sums.items()} | {
            "waiting": self.waited / self.seconds()
        }

    def line(self) -> str:
        """Return the means, the share of waiting and the seconds per step."""
        means = self.means()
        waiting = means.pop("waiting")
        terms = "  ".join(f"{name} {mean:.4f}" for name, mean in means.items())
        return f"{terms}  waiting {waiting:.0%}  {self.seconds() / self.steps:.2f} s/step"
