"""The most memory a process has held (ours). On Linux getrusage will not do for that: a new process inherits the peak of the
one that started it."""

from __future__ import annotations

import sys
from pathlib import Path


def peak_rss_mb(pid: int | None = None) -> float | None:
    """Peak resident memory of the process `pid`, MB (10^6 bytes); of this one if None. None where it cannot be told."""
    try:
        lines = Path(f"/proc/{pid or 'self'}/status").read_text().splitlines()
        (peak,) = (line for line in lines if line.startswith("VmHWM:"))
    except (OSError, ValueError):  # not Linux, or the process is no more
        return _usage("RUSAGE_SELF") if pid is None else None
    return round(int(peak.split()[1]) * 1024 / 1e6, 1)


def peak_rss_of_children_mb() -> float | None:
    """The most that one finished child of this process, or of its children, held, MB; None where it cannot be told."""
    return _usage("RUSAGE_CHILDREN")


def _usage(whose: str) -> float | None:
    try:
        import resource  # noqa: PLC0415 (Unix only)
    except ImportError:
        return None
    peak = resource.getrusage(getattr(resource, whose)).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)  # macOS counts bytes, the others KiB
