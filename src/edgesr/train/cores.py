"""The CPU cores available to a process, and the number of single-threaded training processes for them."""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch


def cores() -> list[int]:
    """Return one logical CPU of every physical core that this process may use, as far as the system reports it.

    A container's limit on CPU time limits their number.
    """
    if not hasattr(os, "sched_getaffinity"):
        return list(range(torch.cpu.get_capabilities()["num_physical_cores"]))
    kept: dict[str, int] = {}
    for cpu in sorted(os.sched_getaffinity(0)):
        try:
            siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text(encoding="ascii")
        except OSError:
            siblings = str(cpu)
        kept.setdefault(siblings, cpu)
    return list(kept.values())[: _quota()]


def largest_share(batch: int, most: int) -> int:
    """Return the largest number of processes, at most `most`, that divides the batch evenly."""
    return max(count for count in range(1, most + 1) if batch % count == 0)


def _quota() -> int | None:
    """The number of CPUs whose time a container may use; None if it is not limited."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else max(1, math.floor(int(quota) / int(period)))
    except (OSError, ValueError):
        return None
