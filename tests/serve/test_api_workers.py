"""`edgesr serve --workers N`: the results of one process, and no request lost when a worker is killed."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import signal
import time

import httpx
import numpy as np
import psutil
import pytest
from command_line import error_of
from pictures import photograph
from visits import as_file, pixels_of, serving

from edgesr import Upscaler

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")


@pytest.fixture(scope="module")
def served():
    with serving("--workers", "2", "--threads", "1", "--queue", "8") as (address, process):
        yield address, process


def workers_of(process):
    """The processes that upscale, without multiprocessing's own helper."""
    children = psutil.Process(process.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def counters(address):
    lines = httpx.get(f"{address}/metrics").text.splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def test_results_are_those_of_one_process(served, small) -> None:
    address, process = served
    assert len(workers_of(process)) == httpx.get(f"{address}/health").json()["workers"] == 2
    before = counters(address).get("edgesr_pixels_total")
    for fidelity in (0, 1):
        answer = httpx.post(f"{address}/v1/upscale", params={"fidelity": fidelity}, content=as_file(small), timeout=60)
        assert np.array_equal(pixels_of(answer.content), Upscaler("tiny", fidelity=fidelity)(small))
    refused = httpx.post(f"{address}/v1/upscale", content=as_file(small)[:-100], timeout=60)
    assert (refused.status_code, refused.json()["reason"]) == (422, "bad_picture")
    assert counters(address)["edgesr_pixels_total"] - before == 2 * 16 * small.shape[0] * small.shape[1]  # of both workers


def test_workers_killed_at_random_lose_no_request(served) -> None:
    address, process = served
    picture, restarts = as_file(photograph(64, 64)), counters(address)["edgesr_worker_restarts_total"]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        running = [pool.submit(httpx.post, f"{address}/v1/upscale", content=picture, timeout=60) for _ in range(30)]
        for number in range(3):
            while sum(one.done() for one in running) < 6 * (number + 1):
                time.sleep(0.01)
            with contextlib.suppress(psutil.NoSuchProcess):
                workers_of(process)[number % 2].kill()
        answers = [one.result() for one in running]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert counters(address)["edgesr_worker_restarts_total"] > restarts
    assert counters(address)["edgesr_images_pending"] == 0


def test_an_image_that_ends_every_worker_is_refused_and_others_are_served(served, small) -> None:
    address, process = served
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(httpx.post, f"{address}/v1/upscale?scale=8", content=as_file(photograph(500, 500)), timeout=120)
        while not running.done():
            busy = _busiest(process, running)
            if busy is not None:
                busy.kill()
        answer = running.result()
    assert (answer.status_code, answer.json()["reason"]) == (500, "crashed")
    assert httpx.post(f"{address}/v1/upscale", content=as_file(small), timeout=60).status_code == 200


def _busiest(process, running):
    """A worker that computes, None when `running` is done."""
    start = {}
    while not running.done():
        for worker in workers_of(process):
            with contextlib.suppress(psutil.Error):
                used = sum(worker.cpu_times()[:2])
                if used - start.setdefault(worker.pid, used) > 0.3 and used > 1.5:  # loading takes less
                    return worker
        time.sleep(0.02)
    return None


def test_a_client_that_goes_away_frees_the_worker(served, small) -> None:
    address, _ = served
    with contextlib.suppress(httpx.TimeoutException):
        httpx.post(f"{address}/v1/upscale?scale=8", content=as_file(photograph(700, 700)), timeout=1.5)
    start = time.monotonic()
    while httpx.get(f"{address}/health").json()["pending"]:
        assert time.monotonic() - start < 20
        time.sleep(0.1)
    assert httpx.post(f"{address}/v1/upscale", content=as_file(small), timeout=60).status_code == 200


def test_the_end_waits_for_what_runs_even_if_all_processes_are_told_and_takes_workers_and_files_along(tmp_path) -> None:
    with (
        serving("--workers", "1", "--threads", "1", environment={"TMPDIR": str(tmp_path)}) as (address, process),
        concurrent.futures.ThreadPoolExecutor(1) as pool,
    ):
        running = pool.submit(httpx.post, f"{address}/v1/upscale", content=as_file(photograph(400, 400)), timeout=60)
        while httpx.get(f"{address}/health").json()["pending"] == 0:
            time.sleep(0.02)
        (worker,) = workers_of(process)
        for each in (worker, process):  # as systemd does
            each.send_signal(signal.SIGTERM)
        assert running.result().status_code == 200
        assert process.wait(timeout=30) == 143
        assert "anew" not in process.stderr.read()
    assert not worker.is_running()
    assert list(tmp_path.glob("edgesr-*")) == []


def test_workers_end_with_a_server_that_is_killed() -> None:
    with serving("--workers", "1", "--threads", "1") as (_, process):
        (worker,) = workers_of(process)
        process.kill()
        worker.wait(timeout=20)


def test_what_is_wrong_with_the_start_is_one_line(tmp_path) -> None:
    assert "'huge'" in error_of("serve", "--port", "0", "--workers", "2", "--model", "huge")
    assert "--jobs" in error_of("serve", "--workers", "2", "--jobs", "2")
