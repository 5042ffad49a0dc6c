"""How fast a model is on this machine, and how much memory the process needed for it (ours)."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from edgesr import images, presets
from edgesr.runtime import available_cores
from edgesr.upscaler import Upscaler


def bench(
    model: str = "tiny",
    *,
    engine: str = "auto",
    size: tuple[int, int] = (128, 128),
    threads: int | None = None,
    repeat: int = 5,
) -> dict[str, Any]:
    """Time `repeat` calls, at 4x, on a synthetic RGB picture of `size` (width, height) LR px, after one to warm up.

    Returns milliseconds (min, median), the peak memory of this process in MB (None where the system does not tell), the
    network's GFLOPs for a picture of this size without the overlap of tiles, and that figure per second at the median.
    Raises what `Upscaler` raises.
    """
    width, height = size
    threads = threads or available_cores()
    upscaler = Upscaler(model, engine=engine, threads=threads)
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    picture = images.Picture(pixels, "PNG")
    upscaler.upscale_picture(picture)
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        upscaler.upscale_picture(picture)
        seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds)
    gflops = presets.get_preset(model).gflops.total * width * height / 128**2
    return {
        "model": upscaler.model,
        "engine": upscaler.engine,
        "size": f"{width}x{height}",
        "scale": presets.SCALE,
        "threads": threads,
        "milliseconds": {"min": round(min(seconds) * 1e3, 2), "median": round(median * 1e3, 2)},
        "peak_rss_mb": peak_rss_mb(),
        "gflops": round(gflops, 3),
        "gflops_per_second": round(gflops / median, 2),
        "machine": {
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "system": platform.platform(),
            "python": platform.python_version(),
            "onnxruntime": version("onnxruntime"),
        },
    }


def peak_rss_mb() -> float | None:
    """Return the most memory this process has held so far, MB (10^6 bytes); None on Windows, which has no getrusage."""
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415 (Unix only)

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)  # macOS counts bytes, the others KiB


def cpu_name() -> str:
    """Return the processor's name as its maker prints it, or the architecture where the system does not tell."""
    if sys.platform == "darwin":
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith(("model name", "Model", "Hardware")):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
