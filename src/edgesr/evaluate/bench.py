"""Measure speed and memory of models, engines and peers on this machine.

Each runs in its own process with the given number of threads. All take turns, so that other load on the machine affects them equally:
ratios are more reliable than times. Between turns a process is suspended, since the idle threads of many runtimes spin.
"""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edgesr import presets
from edgesr.errors import EdgesrError, UsageError
from edgesr.upscaling.engines import available_cores, installed, precisions_of, select

TIMEOUT = 600.0  # seconds a picture
Report = dict[str, Any]


@dataclass
class _Contestant:
    name: str  # of the system, as `edgesr evaluate` writes it
    threads: int
    gflops: float | None  # for a picture of the measured size, without the overlap of tiles
    description: str
    seconds: list[float] = field(default_factory=list)
    peak_rss_mb: float | None = None


def bench(
    model: str = "tiny",
    *,
    engines: Sequence[str] = ("auto",),
    precisions: Sequence[str] = ("auto",),
    size: tuple[int, int] = (128, 128),
    threads: Sequence[int | None] = (None,),
    repeat: int = 5,
    against: Sequence[str] = (),
) -> Report:
    """Time `repeat` rounds of 4x calls on a synthetic RGB picture of `size` (width, height) LR px, after one warm-up round.

    Every engine in every one of `precisions` that it has here, and every system of `against` (as in `edgesr evaluate`), is measured on
    each number of `threads` (None: every core). Returns the machine, the limit on each number of threads (GFLOP/s of a plain
    convolution; None without torch), and for each system milliseconds (min, median), the peak memory of its process in MB, GFLOP/s at
    the median, their share of the limit, and how many times the first system's time it took. The first one's figures also stand at the
    top. Raises UsageError for an unknown or missing engine, precision or system, EdgesrError when one fails.
    """
    from edgesr.evaluate.workers import Worker, resume, suspend

    counts = [count or available_cores() for count in threads]
    ours = [_name(model, engine, precision) for engine, precision in _variants(model, engines, precisions)]
    names = [*ours, *against]
    contestants = [_contestant(name, count, size) for count in counts for name in names]
    with tempfile.TemporaryDirectory(prefix="edgesr-bench-") as scratch, contextlib.ExitStack() as stack:
        lr, out = Path(scratch, "lr.png"), Path(scratch, "out.png")
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).save(lr)
        workers = [Worker(each.name, each.threads, TIMEOUT) for each in contestants]
        for worker in workers:
            stack.callback(worker.close)
        limits = {count: stack.enter_context(_limit(count)) for count in counts}
        reached: dict[int, list[float]] = {count: [] for count in counts}
        for turn in range(repeat + 1):
            for contestant, worker in zip(contestants, workers, strict=True):
                try:
                    made = worker.upscale(lr, "bench", lr.name, out)
                except EdgesrError as error:
                    raise EdgesrError(f"{contestant.name}: {error}") from None
                contestant.peak_rss_mb = made["peak_rss_mb"]
                if turn:  # the first is the warm-up
                    contestant.seconds.append(made["seconds"])
            for count, process in limits.items():
                if process is not None:
                    resume(process)
                    reached[count].append(_ask(process))
                    suspend(process)
    limit = {count: max(found) if found else None for count, found in reached.items()}
    systems = [_figures(each, contestants[0], limit[each.threads]) for each in contestants]
    return {
        "model": model,
        "engine": names[0].partition("@")[2].partition(":")[0],
        "precision": names[0].partition(":precision=")[2] or "fp32",
        **systems[0],
        "size": f"{size[0]}x{size[1]}",
        "scale": presets.SCALE,
        "limit_gflops_per_second": {str(count): value and round(value, 1) for count, value in limit.items()},
        "systems": systems,
        "machine": machine(),
    }


def fastest(report: Report) -> tuple[str, str]:
    """Return the engine and the precision of this package's that had the best median, of all thread counts."""
    ours = [each for each in report["systems"] if each["system"].startswith("edgesr:")]
    best: str = min(ours, key=lambda each: each["milliseconds"]["median"])["system"].partition("@")[2]
    engine, _, precision = best.partition(":precision=")
    return engine, precision or "fp32"


def machine() -> dict[str, Any]:
    """Describe the machine of the measurement."""
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "onnxruntime": version("onnxruntime"),
    }


def cpu_name() -> str:
    """Return the processor's model name, or the architecture where the system does not state it."""
    if sys.platform == "darwin":
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith(("model name", "Model", "Hardware")):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _variants(model: str, engines: Sequence[str], precisions: Sequence[str]) -> list[tuple[str, str]]:
    """Engines and precisions to measure, each pair once; "all" leaves out what cannot run here."""
    int8 = presets.int8_path(model, fidelity=False).is_file()
    names = [engine for name in engines for engine in (installed() if name == "all" else [name])]
    if "all" in precisions:
        pairs = [(engine, precision) for engine in names for precision in precisions_of(engine, int8=int8)]
    else:
        pairs = [select(engine, precision, int8=int8) for engine in names for precision in precisions]
    return list(dict.fromkeys(pairs))


def _name(model: str, engine: str, precision: str) -> str:
    return f"edgesr:{model}@{engine}" + (f":precision={precision}" if precision != "fp32" else "")


def _contestant(name: str, threads: int, size: tuple[int, int]) -> _Contestant:
    from edgesr.evaluate.systems import parse
    from edgesr.evaluate.unavailable import Unavailable

    named = parse(name)
    try:
        facts = named.system.facts()
    except Unavailable as error:
        raise UsageError(f"{name}: {error}") from None
    if not facts.timed:
        raise UsageError(f"{name}: precomputed results cannot be timed")
    gflops = facts.gflops and facts.gflops * size[0] * size[1] / 128**2
    return _Contestant(named.spec, threads, gflops, facts.description)


def _figures(each: _Contestant, first: _Contestant, limit: float | None) -> Report:
    median = statistics.median(each.seconds)
    speed = each.gflops and each.gflops / median
    return {
        "system": each.name,
        "description": each.description,
        "threads": each.threads,
        "milliseconds": {"min": round(min(each.seconds) * 1e3, 2), "median": round(median * 1e3, 2)},
        "times_the_first": round(median / statistics.median(first.seconds), 3),
        "peak_rss_mb": each.peak_rss_mb,
        "gflops": each.gflops and round(each.gflops, 3),
        "gflops_per_second": speed and round(speed, 2),
        "share_of_limit": round(speed / limit, 3) if speed and limit else None,
    }


@contextlib.contextmanager
def _limit(threads: int) -> Iterator[subprocess.Popen[str] | None]:
    """The process of `edgesr.evaluate.ceiling`; None without torch."""
    if find_spec("torch") is None:
        yield None
        return
    command = [sys.executable, "-m", "edgesr.evaluate.ceiling", str(threads)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    from edgesr.evaluate.workers import resume

    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, start_new_session=True, **pipes) as process:
        try:
            yield process  # it ends when leaving the block closes its input
        finally:
            resume(process)


def _ask(process: subprocess.Popen[str]) -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return float(process.stdout.readline())
