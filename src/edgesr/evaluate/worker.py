"""One system of the benchmark in a process of its own: `python -m edgesr.evaluate.worker SYSTEM THREADS FOLDER`, driven by
`workers`; FOLDER is for temporary files.

So its memory is measured separately, and a crash or hang does not affect the others. One JSON line in for each picture, {"lr", "suite",
"picture", "out"}, and one out: {"seconds", "peak_rss_mb"}, or {"error"}; before the first picture {} or {"error"}.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from PIL import Image

from edgesr.atomic import atomic_write
from edgesr.data.files import read_rgb
from edgesr.errors import EdgesrError
from edgesr.evaluate.systems import Loaded, Place, parse
from edgesr.evaluate.unavailable import brief

PR_SET_PDEATHSIG = 1  # of prctl.h
WARM_UP = 32  # LR px a side; the first call includes initialisation, which is not timed


def main() -> None:
    """Load the system, then answer until standard input ends."""
    _wake_when_orphaned()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # output of libraries must not mix with the answers
    spec, threads, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    _keep_to(threads)
    # What it starts puts its files there too.
    os.environ.update(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), folder))
    tempfile.tempdir = None
    try:
        _serve(answers, spec, threads)
    finally:
        if sys.platform == "linux" and os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGCONT)  # what it started was suspended with it
        shutil.rmtree(folder, ignore_errors=True)  # nobody else does if the benchmark was killed


def _serve(answers: TextIO, spec: str, threads: int) -> None:
    try:
        system = parse(spec).system.load(threads)
    except Exception as error:  # what a library raises for its own files can be anything
        _answer(answers, {"error": _reason(error)})
        return
    _answer(answers, {})
    for number, line in enumerate(sys.stdin):
        try:
            result = _upscale(system, json.loads(line), warm_up=number == 0)
        except Exception as error:
            result = {"error": _reason(error)}
        _answer(answers, result)


def _wake_when_orphaned() -> None:
    """Ask Linux to resume this process when the benchmark is killed: it is suspended between pictures, and must see that and end."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGCONT)


def _keep_to(threads: int) -> None:
    """Pin this process and its children to so many cores, however many threads they start."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def _upscale(system: Loaded, task: dict[str, Any], *, warm_up: bool) -> dict[str, Any]:
    """Make one picture and write it as PNG; returns seconds, without files, and the memory so far."""
    lr, place = read_rgb(Path(task["lr"])), Place(task["suite"], task["picture"])
    if warm_up:
        _warm_up(system, lr, place)
    start = time.perf_counter()
    out = system(lr, place)
    seconds = time.perf_counter() - start
    peak = system.peak_rss_mb()
    with atomic_write(Path(task["out"]), overwrite=True) as stream:
        Image.fromarray(out).save(stream, "PNG", compress_level=3)
    return {"seconds": seconds, "peak_rss_mb": peak}


def _warm_up(system: Loaded, lr: np.ndarray, place: Place) -> None:
    """Run once on a part of the picture, or on all of it if the system refuses one so small."""
    try:
        system(np.ascontiguousarray(lr[:WARM_UP, :WARM_UP]), place)
    except Exception:  # an error will show again on the picture itself
        system(lr, place)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, EdgesrError) else brief(error)


def _answer(answers: TextIO, message: dict[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
