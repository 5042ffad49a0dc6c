"""Ray: connect to a cluster or start one on this machine, and let a pool of actors work through the units of a plan."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesr.batch.plan import Work
from edgesr.batch.worker import Task, Worker
from edgesr.errors import EdgesrError, UsageError, needs_extra, one_line
from edgesr.upscaling.engines.threads import available_cores

if TYPE_CHECKING:
    import pyarrow

OBJECT_STORE_BYTES = 2**28  # of a cluster on this machine: only names and reports pass through it
CALLS = 2  # of a worker at the same time: one reads or writes a file while the network works for the other
_PATIENCE_SECONDS = 10.0
_STARTS = 3  # attempts
_WAVE, _WAVE_A_WORKER = 2048, 128  # units
_QUEUED = 2  # units that wait at each worker, for each call


@dataclass(frozen=True)
class Resources:
    """What one worker takes of the cluster."""

    cpus: float
    gpus: float


def check(address: str | None, resources: Resources) -> None:
    """Raise UsageError if Ray is not installed, nobody listens at `address`, or this machine, for None, is too small for a worker."""
    # They hold unless the user has set them: no statistics are sent, and Ray's log stays in its files.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_DISABLE_FAILURE_SIGNAL_HANDLER", "1")  # else SIGTERM prints a stack
    with needs_extra("ray", "edgesr batch"):
        import ray
        import ray.data  # noqa: F401
    if address is None:
        if resources.cpus > available_cores():
            raise UsageError(f"--cpus-per-worker {resources.cpus:g}: this machine has {available_cores()} cores")
        return
    known = os.environ.get("RAY_ADDRESS", "") if address == "auto" else address
    host, _, port = known.removeprefix("ray://").rpartition(":")
    if not (host and port.isdecimal()):  # auto, to a cluster that is found on this machine
        return
    try:  # Ray itself would wait for minutes
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_SECONDS).close()
    except OSError as error:
        raise UsageError(f"--address {address}: cannot connect to a cluster there: {one_line(error)}") from error


@contextmanager
def connected(address: str | None, resources: Resources) -> Iterator[None]:
    """Connect to the cluster at `address`; None: start one on this machine, and end it afterwards. Call `check` first.

    Raises UsageError if it cannot be reached, or has no GPU where one is needed.
    """
    import ray

    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    common: dict[str, Any] = {"log_to_driver": False, "configure_logging": False, "logging_level": logging.CRITICAL}
    if address is None:
        common |= {"address": "local", "num_cpus": available_cores(), "include_dashboard": False}
        common["object_store_memory"] = OBJECT_STORE_BYTES
    else:
        common["address"] = address
    on_sigterm = signal.getsignal(signal.SIGTERM)  # which Ray replaces
    try:
        with _without_native_log():
            _patiently(lambda: ray.init(**common), attempts=1 if address else _STARTS)
        signal.signal(signal.SIGTERM, on_sigterm)
    except Exception as error:  # ConnectionError, ValueError, RuntimeError...
        failed = f"--address {address}: cannot connect to a cluster there" if address else "Ray does not start on this machine"
        raise UsageError(f"{failed}: {one_line(error)}") from error
    with _own_output():
        try:
            if resources.gpus and not ray.cluster_resources().get("GPU"):
                raise UsageError(f"--gpus-per-worker {resources.gpus:g}: there is no GPU in this cluster")
            yield
        finally:
            ray.shutdown()  # which prints what was held back


def _patiently(start: Callable[[], object], attempts: int) -> None:
    """Call `start` until it succeeds, at most so often: Ray gives its processes 30 s, too few on a busy machine."""
    import ray

    try:
        start()
    except Exception:
        ray.shutdown()  # ends the processes of this attempt
        if attempts == 1:
            raise
        _patiently(start, attempts - 1)


@contextmanager
def _own_output() -> Iterator[None]:
    """Keep from standard output what Ray prints there of each worker that ends, whatever its log is set to."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        yield


@contextmanager
def _without_native_log() -> Iterator[None]:
    """Send what is written to file descriptor 2 nowhere: Ray's C++ part says there that its log is off."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def room(resources: Resources) -> int:
    """Return how many workers the cluster has room for now, at least 1."""
    import ray

    have = ray.cluster_resources()
    wanted = (("CPU", resources.cpus), ("GPU", resources.gpus))
    return max(1, min(int(have.get(name, 0) // each) for name, each in wanted if each))


def results(units: Iterator[list[Work]], task: Task, resources: Resources, workers: int) -> Iterator[list[dict[str, Any]]]:
    """Let `workers` actors do all units; yield the report of each as it is done, the columns `worker.REPORT` of its pictures.

    A worker that dies is replaced and its units are repeated. Raises EdgesrError if no worker can be started, or the ledger cannot be
    written.
    """
    context = _data().DataContext.get_current()
    context.enable_progress_bars = False
    context.log_internal_stack_trace = False
    numbered = enumerate(units)
    # In waves, since Ray keeps a few kB of each block in the driver until the end.
    while blocks := [block(number, unit) for number, unit in islice(numbered, max(_WAVE, _WAVE_A_WORKER * workers))]:
        yield from _done(blocks, task, resources, workers)


def _done(blocks: list[pyarrow.Table], task: Task, resources: Resources, workers: int) -> Iterator[list[dict[str, Any]]]:
    data = _data()
    dataset = data.from_blocks(blocks).map_batches(
        Worker,
        fn_constructor_args=(task,),
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=resources.cpus,
        num_gpus=resources.gpus or None,
        compute=data.ActorPoolStrategy(
            size=min(workers, len(blocks)),
            max_concurrent_calls_per_actor=CALLS,
            enable_true_multi_threading=True,
            max_tasks_in_flight_per_actor=CALLS * _QUEUED,
        ),
    )
    blocks.clear()
    reports = iter(dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0))
    while True:
        try:
            report = next(reports)
        except StopIteration:
            return
        except Exception as error:
            raise _cause(error) from error
        yield report.to_pylist()


def _data() -> Any:
    import ray.data

    return ray.data


def block(number: int, unit: list[Work]) -> pyarrow.Table:
    """Return a unit as Ray Data takes it: a block of one row."""
    import pyarrow as pa

    return pa.table({"unit": [number], "pictures": [json.dumps(unit)]})


def _cause(error: BaseException) -> EdgesrError:
    """Return the error of the worker that an error of Ray is about, else one that tells of Ray's."""
    seen: BaseException | None = error
    while seen is not None:
        for inner in (seen, getattr(seen, "cause", None)):
            if isinstance(inner, EdgesrError):
                return type(inner)(str(inner))
        seen = seen.__cause__ or seen.__context__
    return EdgesrError(f"the cluster stopped: {one_line(error)}; run the same command again to go on")
