"""The benchmark's side of `worker`: starts a system's process, sends it pictures, and handles crashes and timeouts."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Any

from edgesr.errors import EdgesrError

START_SECONDS = 600  # to import and load: disks can be slow
GIVE_UP = 3  # crashes or timeouts in a row
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")


class WorkerError(EdgesrError):
    """One picture failed; the message is the reason."""


class Worker:
    """A system's process, started with the first picture and again after a crash. Between pictures it is suspended.

    Idle threads of many runtimes spin for a while; they would slow the system whose turn it is.
    """

    def __init__(self, spec: str, threads: int, timeout: float) -> None:
        self._command = [sys.executable, "-m", "edgesr.evaluate.worker", spec, str(threads)]
        self._folder: Path | None = None  # of its temporary files, which a killed process leaves behind
        self._environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}
        self._timeout = timeout
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._stderr: IO[bytes] | None = None
        self._broken = 0  # times in a row
        self._refusal = ""  # why it is not started again

    def upscale(self, lr: Path, suite: str, picture: str, out: Path) -> dict[str, Any]:
        """Have `out` written; returns {"seconds", "peak_rss_mb"}. Raises WorkerError that says what went wrong."""
        if self._refusal:
            raise WorkerError(self._refusal)
        process = self._process or self._start()
        resume(process)
        assert process.stdin is not None
        task = {"lr": str(lr), "suite": suite, "picture": picture, "out": str(out)}
        with contextlib.suppress(OSError):  # if it has exited, reading its answer reports why
            process.stdin.write(json.dumps(task) + "\n")
            process.stdin.flush()
        result = self._answer(self._timeout, f"no result after {self._timeout:g} s (--timeout)")
        suspend(process)
        self._broken = 0
        if "error" in result:
            raise WorkerError(result["error"])
        return result

    def _start(self) -> subprocess.Popen[str]:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the process)
        self._folder = Path(tempfile.mkdtemp(prefix="edgesr-"))
        process = self._process = subprocess.Popen(
            [*self._command, str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=self._environment,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # so that what it started can be ended with it
        )
        self._answers = queue.SimpleQueue()
        threading.Thread(target=_pass_on, args=(process.stdout, self._answers), daemon=True).start()
        result = self._answer(START_SECONDS, f"did not start within {START_SECONDS} s")
        if "error" in result:
            self.close()
            self._refusal = f"cannot be loaded: {result['error']}"
            raise WorkerError(self._refusal)
        return process

    def _answer(self, seconds: float, silence: str) -> dict[str, Any]:
        """Return the next answer; ends the process after a timeout or a crash."""
        try:
            line = self._answers.get(timeout=seconds)
        except queue.Empty:
            raise self._broke(silence) from None
        if not line:
            raise self._broke(self._exit_reason())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _broke(self, how: str) -> WorkerError:
        self.close()
        self._broken += 1
        if self._broken == GIVE_UP:
            self._refusal = f"not run: {GIVE_UP} pictures in a row crashed or timed out"
        return WorkerError(how)

    def _exit_reason(self) -> str:
        assert self._process is not None
        assert self._stderr is not None
        code = self._process.wait()
        self._stderr.seek(0)
        last = self._stderr.read().decode(errors="replace").strip().splitlines()[-1:]
        how = f"signal {-code}, {signal.strsignal(-code)}" if code < 0 else f"code {code}"
        return f"crashed ({how})" + (f": {last[0][:200]}" if last else "")

    def close(self) -> None:
        """End the process and all that it started; the next picture starts it again."""
        process, self._process = self._process, None
        if process is not None:
            _end(process)
        if self._stderr is not None:
            self._stderr.close()
            self._stderr = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def suspend(process: subprocess.Popen[str]) -> None:
    """Stop a process that leads its group, and all that it started, until `resume`.

    On Linux alone, where a suspended process can be woken when this one is killed.
    """
    _signal(process, "SIGSTOP")


def resume(process: subprocess.Popen[str]) -> None:
    """Let a process go on after `suspend`."""
    _signal(process, "SIGCONT")


def _signal(process: subprocess.Popen[str], name: str) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended
            os.killpg(process.pid, getattr(signal, name))


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # all gone already
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)  # the group lives on when its first process is gone
        else:
            process.kill()
    process.wait()
    assert process.stdin is not None
    with contextlib.suppress(OSError):  # the reader of the unsent rest is gone
        process.stdin.close()


def _pass_on(lines: IO[str], answers: queue.SimpleQueue[str]) -> None:
    for line in lines:
        answers.put(line)
    answers.put("")  # the end
    lines.close()
