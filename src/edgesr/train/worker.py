"""A worker process started by `launch`: it reads its task as one line of JSON, and exits when the launcher does."""

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
    """Train; on failure write the reason to the task's report."""
    signal.signal(signal.SIGTERM, _interrupt)
    task = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_launcher, daemon=True).start()
    try:
        if task["cpu"] is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {task["cpu"]})
        from edgesr.train.launch import Training  # importing torch takes seconds, during which a signal may arrive

        Training(**task["training"]).run(spent=time.time() - task["began"])
    except BaseException as error:
        Path(task["report"]).write_text(json.dumps(_report(error)), encoding="utf-8")
        if os.environ.get("EDGESR_DEBUG", "") not in ("", "0"):
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # immediate: a normal exit would wait for the other processes, which wait for this one


def _report(error: BaseException) -> dict[str, Any]:
    """The report for the launcher: the message, and whether the error is one meant for users."""
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
    while os.read(0, 1):  # not sys.stdin, whose lock would still be held at interpreter exit
        pass
    os._exit(1)  # the launcher has exited or was killed


if __name__ == "__main__":
    main()
