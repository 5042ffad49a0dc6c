"""`edgesr serve --max-memory`: the formula, a start that refuses what it cannot keep, requests that would break it, the system's limit."""

from __future__ import annotations

import re
import subprocess
import sys

import httpx
import numpy as np
import psutil
import pytest
from command_line import ENVIRONMENT, error_of
from pictures import photograph
from PIL import Image
from visits import as_file, serving

from edgesr.errors import UsageError
from edgesr.serve import memory
from edgesr.serve.limits import Limits, Refusal
from edgesr.serve.runner import Options, check

on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="by Linux alone are processes held to their share")


@pytest.fixture(scope="module")
def served():
    with serving("--max-memory", "1000", "--threads", "1") as (address, process):
        yield address, process


def workers_of(process):
    children = psutil.Process(process.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


@pytest.mark.parametrize(("limit", "workers", "queue", "file", "pixels"), [
    (1000, 1, 16, None, None), (2600, 1, 6, 32, 40_000_000), (4000, 3, 16, None, None), (64_000, 8, 64, 100, None),
])  # fmt: skip
def test_the_parts_add_up_to_the_promise(limit, workers, queue, file, pixels) -> None:
    found = memory.shares(limit, workers, queue, file, pixels)
    bodies = (queue + workers + 8) * found.megabytes * 2**20 / 1e6
    assert 150 + bodies + (workers + 1) * found.process == pytest.approx(limit)
    assert 150 + memory.window_share(found.process) + memory.image_share(found.process) == pytest.approx(found.process)
    assert found.megabytes == (file or min(32, int(limit / 4 / (queue + workers + 8) / 1.048576)))
    assert 13 * found.pixels / 1e6 <= memory.image_share(found.process)


@pytest.mark.parametrize("given", [(1, 16, None, None), (4, 16, None, None), (1, 16, 32, 40_000_000), (1, 1, 1, None)])
def test_the_number_that_a_refusal_names_suffices_and_one_less_does_not(given) -> None:
    with pytest.raises(UsageError) as error:
        memory.shares(1, *given)
    enough = int(re.search(r"at least (\d+) MB", str(error.value))[1])
    memory.shares(enough, *given)
    with pytest.raises(UsageError):
        memory.shares(enough - 1, *given)


def test_what_cannot_be_kept_is_refused_at_the_start() -> None:
    assert "at least" in error_of("serve", "--port", "0", "--max-memory", "300")
    assert "--max-pixels" in error_of("serve", "--port", "0", "--max-memory", "1000", "--max-pixels", "40000000")
    assert "--workers" in error_of("serve", "--port", "0", "--max-memory", "4000", "--jobs", "2")


def test_an_image_that_needs_too_much_is_refused_and_told_the_way_out(served) -> None:
    address, _ = served
    data = as_file(photograph(300, 300))
    answer = httpx.post(f"{address}/v1/upscale?format=webp", content=data, timeout=60)
    assert (answer.status_code, answer.json()["reason"]) == (413, "too_much_memory")
    assert "png" in answer.json()["detail"]
    assert httpx.post(f"{address}/v1/jobs?format=webp", content=data, timeout=60).status_code == 413
    assert httpx.post(f"{address}/v1/upscale?format=webp&scale=1", content=data, timeout=60).status_code == 200


def test_sixteen_bits_count_more_than_eight() -> None:
    limits = Limits(process_memory=300.0)  # 50 MB for the image
    check(as_file(np.zeros((1500, 1600), np.uint8)), Options(scale=1), limits)
    with pytest.raises(Refusal) as refusal:
        check(as_file(np.zeros((1500, 1600), np.uint16)), Options(scale=1), limits)
    assert (refusal.value.status, refusal.value.reason) == (413, "too_much_memory")


@on_linux
def test_a_worker_without_memory_is_replaced_and_its_image_done(served) -> None:
    import resource

    address, process = served
    small, large = as_file(photograph(64, 64)), as_file(np.asarray(Image.new("RGB", (1500, 1000))))
    assert httpx.post(f"{address}/v1/upscale", content=small, timeout=60).status_code == 200
    (worker,) = workers_of(process)
    resource.prlimit(worker.pid, resource.RLIMIT_DATA, (2**20, 2**20))  # as if what it has freed lay in pieces
    answer = httpx.post(f"{address}/v1/upscale?width=100", content=large, timeout=60)
    assert answer.status_code == 200
    assert worker.pid not in [one.pid for one in workers_of(process)]


@on_linux
def test_the_system_refuses_what_exceeds_the_share() -> None:
    program = """
import numpy as np, psutil
from edgesr.serve import memory
memory.hold(400)
held = []
try:
    while True:
        held.append(np.ones(2_500_000))
except MemoryError:
    print(len(held) * 20, psutil.Process().memory_info().rss / 1e6)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=60
    )
    taken, resident = map(float, done.stdout.split())
    assert taken > 200
    assert resident < 400


@on_linux
def test_the_processes_of_a_server_are_held_to_their_share(served) -> None:
    import resource

    _, process = served
    share = memory.shares(1000, 1, 16, None, None).process
    for worker in workers_of(process):
        assert resource.prlimit(worker.pid, resource.RLIMIT_DATA)[0] < (share + 200) * 1e6


@on_linux
def test_a_network_too_large_for_the_share_is_named() -> None:
    program = "from edgesr.serve import memory; memory.hold(160)"
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60)
    assert "raise --max-memory" in done.stderr
