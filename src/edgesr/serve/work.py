"""The queue of images: bounded, in front of a few threads or processes; a job can be cancelled between two tiles."""

from __future__ import annotations

import asyncio
import queue
import secrets
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edgesr.errors import EdgesrError
from edgesr.serve.limits import Limits, Refusal
from edgesr.serve.processes import WorkerProcess
from edgesr.serve.runner import Options, Outcome, Runner
from edgesr.upscaling.engines.threads import available_cores


class Work:
    """Upscales images, `limits.jobs` at a time, or in `workers` processes with one at a time each. `run` raises Refusal.

    Results are files in a temporary folder, so that they take no memory while clients fetch them.
    """

    def __init__(self, limits: Limits, model: str, threads: int | None, precision: str = "auto", workers: int = 0) -> None:
        self.limits = limits
        self._folder = _temporary_folder()
        self._processes: list[WorkerProcess] = []
        if workers:
            threads = threads or max(1, available_cores() // workers)
            self._processes = [WorkerProcess(limits, model, threads, precision) for _ in range(workers)]
            try:
                for process in self._processes:
                    self.engine, self.precision = process.wait()
            except EOFError:
                raise EdgesrError(
                    "a worker process ended while it loaded the network: is there memory for --workers?"
                ) from None
            runners: list[Runner | WorkerProcess] = [*self._processes]
        else:
            runner = Runner(limits, model, threads, precision)
            self.engine, self.precision = runner.engine, runner.precision
            runners = [runner] * limits.jobs
        self._idle: queue.SimpleQueue[Runner | WorkerProcess] = queue.SimpleQueue()
        for one in runners:
            self._idle.put(one)
        self._pool = ThreadPoolExecutor(len(runners), thread_name_prefix="upscale")
        self.pending = 0  # waiting or running

    @property
    def workers(self) -> int:
        """How many processes upscale; 0: the server's own does."""
        return len(self._processes)

    @property
    def restarts(self) -> int:
        """How many worker processes died and were replaced."""
        return sum(process.restarts for process in self._processes)

    async def run(self, data: bytes, options: Options) -> Outcome:
        """Upscale the image in `data` into a file, which the caller removes. Raises Refusal, also for a full queue or a timeout."""
        self.check_queue()
        self.pending += 1
        stop = threading.Event()
        loop = asyncio.get_running_loop()
        target = self._folder_path() / secrets.token_hex(16)
        job = self._pool.submit(self._perform, data, options, target, time.monotonic() + self.limits.seconds, stop)
        job.add_done_callback(lambda _: loop.call_soon_threadsafe(self._done))
        try:
            return await asyncio.wrap_future(job)
        except BaseException:
            stop.set()  # for a client that disconnected; no effect on a finished job
            job.add_done_callback(lambda _: target.unlink(missing_ok=True))
            raise

    def check_queue(self) -> None:
        """Raise Refusal if the queue is full."""
        if self.pending >= self.limits.queue:
            raise Refusal(429, "queue_full", f"{self.pending} images are waiting: try again later")

    def close(self) -> None:
        """Wait for running jobs, then end the processes and remove all results."""
        self._pool.shutdown(wait=True)
        for process in self._processes:
            process.close()
        self._folder.cleanup()

    def _done(self) -> None:
        self.pending -= 1

    def _folder_path(self) -> Path:
        folder = Path(self._folder.name)
        folder.mkdir(mode=0o700, exist_ok=True)  # systems remove what lies in a temporary folder for days
        return folder

    def _perform(self, data: bytes, options: Options, target: Path, deadline: float, stop: threading.Event) -> Outcome:
        def checkpoint(_: float) -> None:
            if stop.is_set():
                raise Refusal(503, "gone", "the client disconnected")
            if time.monotonic() > deadline:
                raise Refusal(
                    503, "timeout", f"not finished within {self.limits.seconds:g} s: send a smaller image, or try again later"
                )

        checkpoint(0.0)
        runner = self._idle.get()
        try:
            return runner.run(data, options, target, checkpoint)
        finally:
            self._idle.put(runner)


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="edgesr-serve-", ignore_cleanup_errors=True)
    except OSError:
        raise EdgesrError("there is no folder for temporary files: name one that can be written to with TMPDIR") from None
