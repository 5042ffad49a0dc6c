"""One process of a training that `launch` started: its task comes as a line of JSON, and it ends when the launcher does (ours)."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

from edgesr.errors import EdgesrError, UsageError


def main() -> None:
    """Train; where it breaks off, write why to the task's report."""
    signal.signal(signal.SIGTERM, _interrupt)
    task = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_launcher, daemon=True).start()
    try:
        if task["cpu"] is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {task["cpu"]})
        from edgesr.train.launch import Training  # torch takes seconds, in which a signal may come

        Training(**task["training"]).run(spent=time.time() - task["began"])
    except BaseException as error:
        Path(task["report"]).write_text(json.dumps(_report(error)), encoding="utf-8")
        if os.environ.get("EDGESR_DEBUG", "") not in ("", "0"):
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # at once: the interpreter's own end waits for the others, who wait for this one


def _report(error: BaseException) -> dict[str, Any]:
    """What the launcher says, and whether the error is one that is meant to be read."""
    known = isinstance(error, EdgesrError)
    message = str(error)
    if isinstance(error, MemoryError):
        known, message = True, "not enough memory"
    elif not known:
        text = " ".join(message.split())[:300]
        message = f"unexpected {type(error).__name__}: {text}; please report it with what --debug shows"
    return {"message": message, "known": known, "usage": isinstance(error, UsageError), "time": time.time()}


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(number)


def _end_with_the_launcher() -> None:
    while os.read(0, 1):  # not by sys.stdin, whose lock would be held when the interpreter ends
        pass
    os._exit(1)  # the launcher is gone, be it killed


if __name__ == "__main__":
    main()
