"""How many threads an engine gets."""

from __future__ import annotations

import os


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def most_threads() -> int:
    """Return how many threads an engine gets at most: with more than there are cores they wait for each other."""
    return os.cpu_count() or 1
