"""Start, monitor and stop a training on a CPU as several single-threaded processes, one per core."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgesr.errors import EdgesrError, UsageError
from edgesr.train.cores import cores, largest_share
from edgesr.train.processes import launched
from edgesr.train.recipe import load_recipe
from edgesr.train.run import device_called, train

LOOK_SECONDS = 0.1  # between two checks of the processes
GRACE_SECONDS = 10.0  # for the processes to exit by themselves, and again after SIGTERM


@dataclass(frozen=True)
class Training:
    """The arguments of `train`, as plain values."""

    recipe: str
    out: str
    resume: bool
    minutes: float | None
    device: str
    overrides: list[str]

    def run(self, spent: float = 0.0) -> None:
        """Train in this process; `spent` is the part of `minutes` already used, in seconds."""
        minutes = self.minutes
        if minutes is not None and minutes > 0:
            minutes = max(minutes - spent / 60, 1e-9)
        train(
            Path(self.recipe),
            Path(self.out),
            resume=self.resume,
            minutes=minutes,
            device=self.device,
            overrides=self.overrides,
        )


def launch(training: Training, processes: int | None = None) -> None:
    """Run a training in `processes` worker processes, or in this process if that is 1; None: one per core on a CPU, else 1.

    Raises UsageError if that many processes cannot share the work, and whatever `train` raises. If one of several processes fails, the
    others are stopped, and EdgesrError or UsageError is raised with the message of the first that failed. An interrupt stops all of them.
    """
    began = time.time()
    count = _count(training, processes)
    if count == 1:
        training.run()
        return
    with tempfile.TemporaryDirectory(prefix="edgesr-") as folder, _Crew(training, began, count, Path(folder)) as crew:
        crew.wait()


def _count(training: Training, wanted: int | None) -> int:
    """The number of processes to start."""
    if launched() > 1 and wanted is not None:
        raise UsageError(f"--processes {wanted}: a launcher has already started {launched()}; omit it")
    if launched() > 1 or wanted == 1:
        return 1
    if device_called(training.device).type != "cpu":
        if wanted is not None:
            raise UsageError(f"--processes {wanted}: is for a CPU; for several GPUs start `accelerate launch -m edgesr train`")
        return 1
    batch = load_recipe(Path(training.recipe), training.overrides).data.batch
    if wanted is None:
        return largest_share(batch, len(cores())) if importlib.util.find_spec("accelerate") else 1
    if batch % wanted:
        raise UsageError(f"recipe: the field 'data.batch' must be a multiple of the {wanted} processes, not {batch}")
    return wanted


@dataclass(frozen=True)
class _Process:
    rank: int
    running: subprocess.Popen[str]
    report: Path  # where it writes why it failed
    stderr: Path  # used by all but the first, whose stderr is this process's


class _Crew:
    """The processes of a training; leaving the context stops those that are still running."""

    def __init__(self, training: Training, began: float, count: int, folder: Path) -> None:
        from torch.distributed import TCPStore  # not in every build of torch

        # The rendezvous store. If a worker opened it, another program could take the port first.
        self._store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        environment = {
            "GLOO_SOCKET_IFNAME": "lo0" if sys.platform == "darwin" else "lo",  # local communication only
            **os.environ,
            **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
            **dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(count)),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(self._store.port),
            "TORCHELASTIC_USE_AGENT_STORE": "True",  # the store is already open
            "TORCHELASTIC_RESTART_COUNT": "0",
        }
        available = cores()
        places = available if count == len(available) else [None] * count  # for fewer the system chooses
        self._processes: list[_Process] = []
        self._ended: set[int] = set()  # ranks of processes stopped by this class
        try:
            for rank, cpu in enumerate(places):
                task = {"training": asdict(training), "began": began, "cpu": cpu, "report": str(folder / f"{rank}.json")}
                self._start(rank, task, environment, folder)
        except BaseException:
            self._end()
            raise

    def _start(self, rank: int, task: dict[str, Any], environment: dict[str, str], folder: Path) -> None:
        stderr = folder / f"{rank}.txt"
        with stderr.open("wb") as errors, _interrupts_ignored():  # Ctrl-C reaches the workers too, but this process handles it
            running = subprocess.Popen(
                [sys.executable, "-m", "edgesr.train.worker"],
                stdin=subprocess.PIPE,  # closes when this process exits for any reason
                stdout=None if rank == 0 else subprocess.DEVNULL,
                stderr=None if rank == 0 else errors,
                env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                text=True,
                encoding="utf-8",
            )
        self._processes.append(_Process(rank, running, Path(task["report"]), stderr))
        assert running.stdin is not None
        with contextlib.suppress(OSError):  # it has already exited; its exit code is reported
            running.stdin.write(json.dumps(task) + "\n")
            running.stdin.flush()

    def __enter__(self) -> _Crew:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def wait(self) -> None:
        """Wait until all have finished or one fails; raises the error of the one that failed."""
        while not self._failed() and self._alive():
            time.sleep(LOOK_SECONDS)
        if not self._failed():
            return
        self._let_end(GRACE_SECONDS)  # most notice it themselves, and the first may still be writing its report
        self._end()
        raise self._failure()

    def _alive(self) -> list[_Process]:
        return [process for process in self._processes if process.running.poll() is None]

    def _failed(self) -> list[_Process]:
        return [process for process in self._processes if process.running.poll()]

    def _let_end(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._alive() and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)

    def _end(self) -> None:
        """Stop the running processes: by SIGTERM, which lets them clean up, and finally by SIGKILL."""
        for process in self._alive():
            self._ended.add(process.rank)
            process.running.terminate()
        self._let_end(GRACE_SECONDS)
        for process in self._processes:
            if process.running.poll() is None:
                process.running.kill()
            process.running.wait()
            assert process.running.stdin is not None
            with contextlib.suppress(OSError):
                process.running.stdin.close()

    def _failure(self) -> EdgesrError:
        """The error of the process that failed first; the others mostly report that they lost the connection to it."""
        failed = [process for process in self._failed() if process.rank not in self._ended]
        reports = {process.rank: report for process in failed if (report := _report(process))}
        if silent := [process for process in failed if process.rank not in reports]:
            return EdgesrError(_exit_reason(silent[0], len(self._processes)))
        if known := [report for report in reports.values() if report["known"]]:
            return (UsageError if known[0]["usage"] else EdgesrError)(known[0]["message"])
        rank, report = min(reports.items(), key=lambda one: one[1]["time"])
        return EdgesrError(f"process {rank + 1} of {len(self._processes)}: {report['message']}")


def _report(process: _Process) -> dict[str, Any] | None:
    """The report that a process wrote about its failure, if any."""
    try:
        report: dict[str, Any] = json.loads(process.report.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return report


def _exit_reason(process: _Process, count: int) -> str:
    """A description of a process that exited without a report."""
    code = process.running.returncode
    how = f"signal {-code}, {signal.strsignal(-code)}" if code < 0 else f"code {code}"
    last = process.stderr.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    return f"process {process.rank + 1} of {count} ended ({how})" + (f": {last[0][:200]}" if last else "")


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited by processes started meanwhile
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
