"""Clients that hold connections without using them: silent, slow, and more of them than there are files to open."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import time
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from pictures import photograph
from visits import as_file, serving

pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits of open files as POSIX has them")
POST = b"POST /v1/upscale HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"


def connected(address, count, sent=b""):
    place = urlsplit(address)
    opened = [socket.create_connection((place.hostname, place.port), timeout=60) for _ in range(count)]
    for one in opened:
        one.sendall(sent)
    return opened


def is_open(process, connection):
    """Whether the server still holds its end of a connection."""
    port = connection.getsockname()[1]
    return any(one.raddr and one.raddr.port == port for one in psutil.Process(process.pid).net_connections())


def test_connections_that_ask_nothing_or_take_no_answer_are_closed() -> None:
    large = as_file(photograph(320, 320), "BMP")
    with serving("--threads", "1") as (address, process):
        head = b"POST /v1/upscale?format=bmp&scale=8 HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(large)
        (deaf,) = connected(address, 1, head + large)
        (silent,) = connected(address, 1)
        (half,) = connected(address, 1, b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
        (idle,) = connected(address, 1, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        (dripping,) = connected(address, 1, b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
        start = time.monotonic()
        left = {"deaf": deaf, "silent": silent, "half": half, "idle": idle, "dripping": dripping}
        while left:
            assert time.monotonic() - start < 45, f"still open: {', '.join(left)}"
            time.sleep(0.3)
            with contextlib.suppress(OSError):
                dripping.sendall(b"X-A: b\r\n")
            left = {name: connection for name, connection in left.items() if is_open(process, connection)}
        assert httpx.get(f"{address}/health").status_code == 200


def test_more_silent_connections_than_files_keep_nobody_out(small) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, before[1]))  # what the server inherits
    try:
        with serving("--threads", "1") as (address, process):
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            silent = connected(address, 140)
            for _ in range(2):
                start = time.monotonic()
                assert httpx.post(f"{address}/v1/upscale", content=as_file(small), timeout=30).status_code == 200
                assert time.monotonic() - start < 10
                time.sleep(2)
            for one in silent:
                one.close()
            process.terminate()
            told = process.stderr.read().splitlines()
        assert len(told) <= 3, told[:10]
        assert not any("Traceback" in line for line in told)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_stalled_uploads_keep_nobody_out(small) -> None:
    with serving("--threads", "1") as (address, _):
        httpx.post(f"{address}/v1/upscale", content=as_file(small), timeout=30)
        stalled = connected(address, 64, POST + bytes(900))
        time.sleep(1.5)
        start = time.monotonic()
        assert httpx.post(f"{address}/v1/upscale", content=as_file(small), timeout=60).status_code == 200
        assert time.monotonic() - start < 10
        for one in stalled:  # they are sent away long before the time for an upload is over
            assert one.recv(1000).startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - start < 20
        for one in stalled:
            one.close()


def test_half_read_uploads_hold_little_memory(small) -> None:
    with serving("--threads", "1", "--max-megabytes", "16") as (address, process):
        httpx.post(f"{address}/v1/upscale", content=as_file(small), timeout=30)
        server = psutil.Process(process.pid)
        before = server.memory_info().rss
        head = POST.replace(b"1000000", b"16000000")
        held, most = [], 0
        for _ in range(32):  # each sends nearly all that it promised
            held += connected(address, 1, head)
            with contextlib.suppress(OSError):  # sent away meanwhile
                held[-1].sendall(bytes(15_000_000))
            most = max(most, server.memory_info().rss - before)
        for one in held:
            one.close()
    assert most < 150 * 2**20


def test_the_queue_is_asked_before_the_body(small) -> None:
    with serving("--threads", "1", "--queue", "1") as (address, _):
        large = as_file(photograph(400, 400))
        head = b"POST /v1/upscale?scale=8 HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(large)
        (busy,) = connected(address, 1, head + large)
        while httpx.get(f"{address}/health").json()["pending"] == 0:
            time.sleep(0.02)
        (second,) = connected(address, 1, POST)
        second.settimeout(2)
        assert second.recv(100).startswith(b"HTTP/1.1 429 ")
        busy.close()
        second.close()


def test_a_slow_but_steady_upload_is_served() -> None:
    picture = as_file(photograph(100, 100), "BMP")
    with serving("--threads", "1") as (address, _):

        def slowly():
            step = len(picture) // 10 + 1
            for at in range(0, len(picture), step):
                time.sleep(0.4)
                yield picture[at : at + step]

        assert httpx.post(f"{address}/v1/upscale", content=slowly(), timeout=60).status_code == 200
