"""The queue of images: bounded, in front of a few threads or processes; an image can be cancelled between two tiles."""

from __future__ import annotations

import asyncio
import queue
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edgesr.errors import EdgesrError
from edgesr.serve.limits import Limits, Refusal
from edgesr.serve.processes import WorkerProcess
from edgesr.serve.runner import Options, Outcome, Runner
from edgesr.upscaling.engines.threads import available_cores

Checkpoint = Callable[[float], None]  # gets the fraction done in [0, 1], and may raise Refusal


class Work:
    """Upscales images of requests, `limits.jobs` at a time, or in `workers` processes with one at a time each; beside them one of a job.

    Results are files in a temporary folder, so that they take no memory while clients fetch them.
    """

    def __init__(self, limits: Limits, model: str, threads: int | None, precision: str = "auto", workers: int = 0) -> None:
        self.limits = limits
        self.workers = workers
        self.pending = 0  # images of requests that wait or run
        self._folder = _temporary_folder()
        self._processes: list[WorkerProcess] = []

        def process() -> WorkerProcess:
            share = threads or max(1, available_cores() // workers)
            self._processes.append(WorkerProcess(limits, model, share, precision))
            return self._processes[-1]

        if workers:
            self._requests = _Lane([process() for _ in range(workers)])
            self._jobs = _Lane([process])  # starts with the first job
            try:
                for one in self._processes:
                    self.engine, self.precision = one.wait()
            except EOFError:
                raise EdgesrError("a worker process ended while it loaded the network: is there enough memory?") from None
        else:
            runner = Runner(limits, model, threads, precision)
            self.engine, self.precision = runner.engine, runner.precision
            self._requests, self._jobs = _Lane([runner] * limits.jobs), _Lane([runner])

    @property
    def restarts(self) -> int:
        """How many worker processes died and were replaced."""
        return sum(process.restarts for process in self._processes)

    def check_queue(self) -> None:
        """Raise Refusal if the queue is full."""
        if self.pending >= self.limits.queue:
            raise Refusal(429, "queue_full", f"{self.pending} images are waiting: try again later")

    async def run(self, data: bytes, options: Options) -> Outcome:
        """Upscale the image in `data` into a file, which the caller removes. Raises Refusal, also for a full queue or a timeout."""
        self.check_queue()
        self.pending += 1
        loop = asyncio.get_running_loop()
        checkpoint = _within(self.limits.seconds, time.monotonic())
        return await self._run(self._requests, lambda: data, options, checkpoint, lambda: loop.call_soon_threadsafe(self._done))

    async def run_job(self, source: Path, options: Options, progress: Checkpoint) -> Outcome:
        """Upscale the image in the file `source`, as `run`, after the jobs before it; `progress` is called with 0.0 when it begins."""
        checkpoint: Checkpoint | None = None

        def begun(done: float) -> None:
            nonlocal checkpoint
            checkpoint = checkpoint or _within(self.limits.job_seconds, time.monotonic())
            checkpoint(done)
            progress(done)

        return await self._run(self._jobs, source.read_bytes, options, begun)

    def new_file(self) -> Path:
        """Return the path of a file to be, in the temporary folder."""
        folder = Path(self._folder.name)
        folder.mkdir(mode=0o700, exist_ok=True)  # systems remove what lies in a temporary folder for days
        return folder / secrets.token_hex(16)

    def close(self) -> None:
        """Wait for running images, then end the processes and remove all results."""
        for lane in (self._requests, self._jobs):
            lane.pool.shutdown(wait=True)
        for process in self._processes:
            process.close()
        self._folder.cleanup()

    async def _run(
        self,
        lane: _Lane,
        read: Callable[[], bytes],
        options: Options,
        checkpoint: Checkpoint,
        done: Callable[[], object] = lambda: None,
    ) -> Outcome:
        stop, target = threading.Event(), self.new_file()

        def watched(fraction: float) -> None:
            if stop.is_set():
                raise Refusal(503, "gone", "the client disconnected")
            checkpoint(fraction)

        image = lane.pool.submit(lane.run, read, options, target, watched)
        image.add_done_callback(lambda _: done())
        try:
            return await asyncio.wrap_future(image)
        except BaseException:
            stop.set()  # for a client that disconnected; no effect on a finished image
            image.add_done_callback(lambda _: target.unlink(missing_ok=True))
            raise

    def _done(self) -> None:
        self.pending -= 1


class _Lane:
    """Threads that each run one image at a time, with one of `runners`, or what starts one."""

    def __init__(self, runners: Sequence[Runner | WorkerProcess | Callable[[], WorkerProcess]]) -> None:
        self.pool = ThreadPoolExecutor(len(runners), thread_name_prefix="upscale")
        self._idle: queue.SimpleQueue[Runner | WorkerProcess | Callable[[], WorkerProcess]] = queue.SimpleQueue()
        for one in runners:
            self._idle.put(one)

    def run(self, read: Callable[[], bytes], options: Options, target: Path, checkpoint: Checkpoint) -> Outcome:
        checkpoint(0.0)
        runner = self._idle.get()
        try:
            if not isinstance(runner, Runner | WorkerProcess):
                runner = runner()
            return runner.run(read(), options, target, checkpoint)
        finally:
            self._idle.put(runner)


def _within(seconds: float, start: float) -> Checkpoint:
    """Return what refuses to go on when `seconds` have passed since `start`."""

    def checkpoint(_: float) -> None:
        if time.monotonic() > start + seconds:
            raise Refusal(503, "timeout", f"not finished within {seconds:g} s: send a smaller image, or try again later")

    return checkpoint


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="edgesr-serve-", ignore_cleanup_errors=True)
    except OSError:
        raise EdgesrError("there is no folder for temporary files: name one that can be written to with TMPDIR") from None
