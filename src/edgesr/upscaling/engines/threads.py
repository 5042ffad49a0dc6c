"""How many threads an engine gets."""

from __future__ import annotations

import os


def available_cores() -> int:
    """Return the number of cores that this process may use: with more threads they would wait for each other."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
