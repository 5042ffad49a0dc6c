"""A worker process that upscales for the server: if it dies, by a crash or for lack of memory, it is replaced and the image tried again.

The server and a worker talk over a pipe. The server sends (data, options, target), or None to stop the image at work; the worker sends
the fraction done after each tile, then an Outcome or an exception. A worker ends when its server does, as the pipe is closed then.
"""

from __future__ import annotations

import atexit
import logging
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from edgesr.serve import memory
from edgesr.serve.limits import Limits, Refusal
from edgesr.serve.runner import Options, Outcome, Runner

_INTERVAL = 0.2  # seconds between two looks at whether the request still wants its result
_PATIENCE = 5.0  # seconds that an image may go on after it was stopped, for instance while its file is decoded
_TRIES = 3  # of an image
_STARTS = 5
log = logging.getLogger(__name__)


class WorkerProcess:
    """Has the interface of Runner, and does the work in another process; for one image at a time."""

    def __init__(self, limits: Limits, model: str, threads: int | None, precision: str = "auto") -> None:
        self._settings = limits, model, threads, precision
        self._loaded: tuple[str, str] | None  # engine and precision, once the process is ready
        self._used: bool  # whether the process has had an image
        self.restarts = 0
        self._start()
        atexit.register(self._end)  # before multiprocessing waits for the process, should the server never have started

    def wait(self) -> tuple[str, str]:
        """Wait until the network is loaded; returns engine and precision. Raises EdgesrError, as Upscaler does."""
        if self._loaded is None:
            answer = self._connection.recv()
            if isinstance(answer, BaseException):
                raise answer
            self._loaded = answer
        return self._loaded

    def run(self, data: bytes, options: Options, target: Path, checkpoint: Callable[[float], None]) -> Outcome:
        """See Runner.run; the image is tried again if the process dies meanwhile. Raises Refusal also if it dies each time."""
        for _ in range(_TRIES):
            self._make_ready()
            used, self._used = self._used, True
            try:
                return self._attempt(data, options, target, checkpoint)
            except Refusal as refusal:
                if refusal.reason != "memory":
                    raise
                self._restart("ran out of its memory")  # some that was freed may be in pieces
                target.unlink(missing_ok=True)
                if not used:
                    raise
            except (EOFError, OSError):
                self._end()
                target.unlink(missing_ok=True)
        raise Refusal(500, "crashed", f"the process that upscales ended unexpectedly, {_TRIES} times with this image")

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join(_PATIENCE)
        self._end()
        atexit.unregister(self._end)

    def _start(self) -> None:
        context = get_context("spawn")
        self._connection, far = context.Pipe()
        self._process = context.Process(target=_serve, args=(far, *self._settings), name="edgesr-worker", daemon=True)
        self._process.start()
        far.close()
        self._loaded, self._used = None, False

    def _make_ready(self) -> None:
        """Replace the process if it is dead, also if it dies while it loads the network."""
        for _ in range(_STARTS):
            if not self._process.is_alive():
                self._restart()
            with suppress(EOFError, OSError):
                self.wait()
                return
            self._end()
        raise Refusal(503, "restarting", "the process that upscales cannot be started: try again later")

    def _restart(self, reason: str = "") -> None:
        self._end()
        log.warning("a worker process %s and is started anew", reason or f"ended (exit code {self._process.exitcode})")
        self.restarts += 1
        self._connection.close()
        self._start()

    def _end(self) -> None:
        self._process.kill()
        self._process.join()

    def _attempt(self, data: bytes, options: Options, target: Path, checkpoint: Callable[[float], None]) -> Outcome:
        self._connection.send((data, options, target))
        done = 0.0
        while True:
            if self._connection.poll(_INTERVAL):
                message = self._connection.recv()
                if isinstance(message, Outcome):
                    return message
                if isinstance(message, BaseException):
                    raise message
                done = message
            try:
                checkpoint(done)
            except Refusal:
                self._stop()
                raise

    def _stop(self) -> None:
        """Stop the image at work; a process that does not stop in time is replaced."""
        with suppress(EOFError, OSError):
            self._connection.send(None)
            until = time.monotonic() + _PATIENCE
            while self._connection.poll(max(0.0, until - time.monotonic())):
                if not isinstance(self._connection.recv(), float):
                    return
        self._restart()


class _Stopped(Exception):  # noqa: N818 -- not an error
    """The server no longer wants the result."""


def _serve(connection: Connection, limits: Limits, model: str, threads: int | None, precision: str) -> None:
    """Upscale what comes over `connection` until it is closed; runs in the worker process."""
    for one in (signal.SIGINT, signal.SIGTERM):  # sent to all processes of a terminal or service; the server ends its workers
        signal.signal(one, signal.SIG_IGN)
    try:
        runner = Runner(limits, model, threads, precision)
        if limits.process_memory is not None:
            memory.hold(limits.process_memory)
    except Exception as error:
        connection.send(error)
        return
    connection.send((runner.engine, runner.precision))

    def checkpoint(done: float) -> None:
        connection.send(done)
        if connection.poll():
            connection.recv()
            raise _Stopped

    with suppress(EOFError, OSError):  # the server has closed the pipe, or is gone
        while True:
            task = connection.recv()
            if task is not None:  # else it was to stop an image that was done meanwhile
                connection.send(_answer(runner, task, checkpoint))


def _answer(
    runner: Runner, task: tuple[bytes, Options, Path], checkpoint: Callable[[float], None]
) -> Outcome | _Stopped | Refusal | RuntimeError:
    try:
        data, options, target = task
        return runner.run(data, options, target, checkpoint)
    except (_Stopped, Refusal) as error:
        return error
    except Exception as error:  # a defect
        log.exception("an image failed")
        return RuntimeError(str(error))
