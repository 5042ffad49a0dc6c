"""The table of docs/reliability.md about the server's memory: `python benchmarks/serve_soak.py [--seconds 120]`.

Eight clients send a mixture to a server of one worker: small pictures, photographs of 1 to 40 megapixels that are reduced, pictures
that state more pixels than they may, a PNG of a few kB that decodes to 40 megapixels, damaged files, and files that are no picture. The
memory (RSS) of all processes is compared with the bound that the limits give.
"""

from __future__ import annotations

import argparse
import io
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import psutil
from PIL import Image

MEGABYTES, QUEUE, PIXELS = 32, 8, 40_000_000
PROCESS, WINDOW, COPIES = 200, 300, 3  # MB of a process; MB of a window of tiles; copies of the decoded picture
BOUND = 2 * PROCESS + (4 + QUEUE) * MEGABYTES + WINDOW + COPIES * 3 * PIXELS / 1e6  # MB, for RGB of 8 bits


def encoded(image: Image.Image, format: str) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format)
    return stream.getvalue()


def mixture() -> dict[str, tuple[str, bytes]]:
    """Name: query and body."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    files = {
        f"{side * side / 1e6:.0f} MP": ("?width=800", encoded(noise.resize((side, side)), "JPEG"))
        for side in (1000, 3000, 6300)
    }
    small = encoded(noise, "PNG")
    return files | {
        "64x64": ("", small),
        "bomb, 40 MP": ("?width=800", encoded(Image.new("RGB", (6300, 6300)), "PNG")),
        "bomb, 49 MP": ("?width=800", encoded(Image.new("L", (7000, 7000)), "PNG")),
        "damaged": ("", small[:-200]),
        "no picture": ("", bytes(1000)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--clients", type=int, default=8)
    arguments = parser.parse_args()
    limits = ["--max-megabytes", str(MEGABYTES), "--queue", str(QUEUE), "--max-pixels", str(PIXELS)]
    command = [sys.executable, "-m", "edgesr", "serve", "--port", "0", "--threads", "1", "--workers", "1", *limits]
    files, answers, times, memory = mixture(), Counter(), [], []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        address = next(line for line in process.stderr if "http://" in line).split()[1]
        server, ended = psutil.Process(process.pid), threading.Event()

        def sample() -> None:
            while not ended.wait(0.1):
                memory.append(sum(one.memory_info().rss for one in (server, *server.children())) / 1e6)

        def visit(seed: int) -> None:
            choose, until = random.Random(seed), time.monotonic() + arguments.seconds
            while time.monotonic() < until:
                name = choose.choice(list(files))
                query, body = files[name]
                start = time.monotonic()
                answer = httpx.post(f"{address}/v1/upscale{query}", content=body, timeout=180)
                times.append(time.monotonic() - start)
                answers[name, answer.status_code] += 1

        sampler = threading.Thread(target=sample)
        sampler.start()
        with ThreadPoolExecutor(arguments.clients) as pool:
            list(pool.map(visit, range(arguments.clients)))
        ended.set()
        sampler.join()
        process.terminate()
    times.sort()
    tenth = max(1, len(memory) // 10)
    early, late = max(memory[tenth : 2 * tenth]), max(memory[-tenth:])
    print(f"| {len(times)} requests, {arguments.clients} clients, {arguments.seconds:g} s | |\n|---|---|")
    for name in files:
        seen = ", ".join(f"{count} x {status}" for (each, status), count in sorted(answers.items()) if each == name)
        print(f"| {name} ({len(files[name][1]) / 1e3:.0f} kB) | {seen} |")
    print(f"| p50, p95 | {times[len(times) // 2]:.2f} s, {times[int(0.95 * len(times))]:.2f} s |")
    print(f"| greatest RSS in the second tenth of the time; in the last | {early:.0f} MB; {late:.0f} MB |")
    print(f"| greatest RSS; bound by the formula | {max(memory):.0f} MB; {BOUND:.0f} MB |")


if __name__ == "__main__":
    main()
