"""The figures of docs/deployment.md about processes: `python benchmarks/serve_load.py [--seconds 15] [--clients 8]`.

Clients that wait for each answer before they send the next picture load servers on this machine, by turns: one process, one worker, two,
two with a short queue, and two while one worker after the other is killed (SIGKILL). A client sends a picture again that was refused with
429, as its Retry-After asks; every other answer than 200 counts as lost, and so does one whose bytes differ from the first answer.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import numpy as np
import psutil
from PIL import Image

SETUPS = {
    "one process": [],
    "`--workers 1`": ["--workers", "1"],
    "`--workers 2`": ["--workers", "2"],
    "`--workers 2 --queue 4`": ["--workers", "2", "--queue", "4"],
}
KILLED = "`--workers 2`, killed"


@dataclass
class Tally:
    """What the clients of one run saw."""

    seconds: list[float] = field(default_factory=list)  # of each picture, waiting after a refusal included
    refused: int = 0
    lost: int = 0
    kills: int = 0


@contextmanager
def server(words: list[str]) -> Iterator[tuple[str, psutil.Process]]:
    command = [sys.executable, "-m", "edgesr", "serve", "--port", "0", "--threads", "1", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        address = next(line for line in process.stderr if "http://" in line).split()[1]
        yield address, psutil.Process(process.pid)
        process.terminate()
        process.communicate(timeout=120)


def picture(side: int) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (side // 4, side // 4, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def workers(process: psutil.Process) -> list[psutil.Process]:
    return [child for child in process.children() if "spawn_main" in " ".join(child.cmdline())]


async def load(address: str, process: psutil.Process, arguments: argparse.Namespace, kill: bool) -> Tally:
    tally, expected = Tally(), set()
    body, until = picture(arguments.side), time.monotonic() + arguments.seconds
    async with httpx.AsyncClient(base_url=address, timeout=120) as client:
        for _ in range(4):  # every worker has its network
            await client.post("/v1/upscale", content=body)

        async def visit() -> None:
            while time.monotonic() < until:
                start = time.monotonic()
                answer = await client.post("/v1/upscale", content=body)
                while answer.status_code == 429:
                    tally.refused += 1
                    await asyncio.sleep(int(answer.headers["Retry-After"]))
                    answer = await client.post("/v1/upscale", content=body)
                expected.add(hashlib.sha256(answer.content).hexdigest())
                tally.lost += answer.status_code != 200 or len(expected) > 1
                tally.seconds.append(time.monotonic() - start)

        async def end_workers() -> None:
            while kill and time.monotonic() < until - 1:
                await asyncio.sleep(arguments.every)
                random.choice(workers(process)).kill()
                tally.kills += 1

        await asyncio.gather(end_workers(), *(visit() for _ in range(arguments.clients)))
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=15, help="of each run (default: %(default)s)")
    parser.add_argument("--side", type=int, default=128, help="px of the pictures (default: %(default)s)")
    parser.add_argument("--every", type=float, default=3, help="seconds between two kills (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=2)
    arguments = parser.parse_args()
    runs: dict[str, list[tuple[float, Tally, float]]] = {name: [] for name in (*SETUPS, KILLED)}
    for _ in range(arguments.repeat):
        for name, results in runs.items():
            with server(SETUPS.get(name, ["--workers", "2"])) as (address, process):
                before, start = sum(process.cpu_times()[:2]), time.monotonic()
                tally = asyncio.run(load(address, process, arguments, kill=name == KILLED))
                seconds = time.monotonic() - start
                results.append(
                    (len(tally.seconds) / seconds, tally, (sum(process.cpu_times()[:2]) - before) / len(tally.seconds))
                )
    print(
        f"{arguments.clients} clients, {arguments.side}x{arguments.side} JPEG to 4x JPEG, {arguments.repeat} x {arguments.seconds:g} s\n"
    )
    print("| server | pictures/s | of one process | p50 | p95 | refused | kills | lost | CPU of the server's own process |")
    print("|---|---|---|---|---|---|---|---|---|")
    base = statistics.mean(rate for rate, _, _ in next(iter(runs.values())))
    for name, results in runs.items():
        rate = statistics.mean(rate for rate, _, _ in results)
        times = sorted(second for _, tally, _ in results for second in tally.seconds)
        refused, kills, lost = (sum(getattr(tally, key) for _, tally, _ in results) for key in ("refused", "kills", "lost"))
        own = statistics.mean(own for _, _, own in results)
        p50, p95 = times[len(times) // 2], times[int(0.95 * len(times))]
        print(
            f"| {name} | {rate:.1f} | {rate / base:.2f} | {p50:.2f} s | {p95:.2f} s | {refused} | {kills} | {lost} | {1000 * own:.0f} ms |"
        )


if __name__ == "__main__":
    main()
