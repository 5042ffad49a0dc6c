"""The figures of docs/web.md that concern the HTTP API: `python benchmarks/serve.py`.

Eight clients send the example pictures one after the other to a server of its own on this machine; then 200 requests show whether
its memory stays flat.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil

PICTURES = sorted((Path(__file__).parents[1] / "examples").glob("*.jpg"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "edgesr", "serve", "--port", "0", "--jobs", str(arguments.jobs)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        address = next(line for line in process.stderr if "http://" in line).split()[1]
        server = psutil.Process(process.pid)
        memory: list[float] = []
        data = itertools.cycle([path.read_bytes() for path in PICTURES])

        def one(body: bytes) -> float:
            start = time.perf_counter()
            httpx.post(f"{address}/v1/upscale", content=body, timeout=120).raise_for_status()
            memory.append(server.memory_info().rss / 1e6)
            return time.perf_counter() - start

        one(next(data))
        start = time.perf_counter()
        with ThreadPoolExecutor(arguments.clients) as pool:
            times = sorted(pool.map(one, itertools.islice(data, arguments.requests)))
        seconds = time.perf_counter() - start
        process.terminate()
    p95 = times[int(0.95 * len(times))]
    print(f"{arguments.clients} clients, {arguments.requests} the example pictures, jobs {arguments.jobs}:")
    print(f"  {arguments.requests / seconds:.1f} pictures/s, median {statistics.median(times):.2f} s, p95 {p95:.2f} s")
    tenth = len(memory) // 10
    early, late = statistics.median(memory[tenth : 2 * tenth]), statistics.median(memory[-tenth:])
    print(f"  RSS after {2 * tenth} requests {early:.0f} MB, after {len(memory)} {late:.0f} MB ({late / early - 1:+.1%})")


if __name__ == "__main__":
    main()
