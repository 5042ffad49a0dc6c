"""The table of docs/reliability.md about the server's memory: `python benchmarks/serve_soak.py [--seconds 1800] [--requests 4000]`.

Eight clients send a mixture to `edgesr serve --max-memory`, until one of the two is reached: small pictures that are upscaled in three
fidelities, photographs of 1 to 40 megapixels and pictures of 16 bits that are reduced, results whose encoder needs them whole, jobs, files
of a few kB that decode to many megapixels, damaged files, and files that are no picture. The memory (RSS) of all processes, sampled ten
times a second, is compared with the promise. Exit status 1: it was broken, or a request met a defect.
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
from contextlib import suppress
from dataclasses import dataclass, field

import httpx
import numpy as np
import psutil
from PIL import Image

from edgesr import images
from edgesr.images.picture import Picture

REDUCED = "?width=800&format=jpeg"
RESTARTS = "edgesr_worker_restarts_total "
EXPECTED = {200, 202, 413, 415, 422, 429, 503}


def encoded(image: Image.Image, format: str) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format)
    return stream.getvalue()


def sixteen_bit(noise: Image.Image, side: int, format: str) -> bytes:
    samples = np.asarray(noise.convert("RGBA").resize((side, side))).astype(np.uint16) * 257
    return images.encode(Picture(samples, format), format)


def mixture() -> dict[str, tuple[str, bytes]]:
    """Name: path with query, and body."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    small = encoded(noise, "PNG")
    photographs = {
        f"JPEG, {side * side / 1e6:.0f} MP": (f"/v1/upscale{REDUCED}", encoded(noise.resize((side, side)), "JPEG"))
        for side in (1000, 2000, 3000, 4500, 6300)
    }
    return photographs | {
        "WebP, 12 MP": (f"/v1/upscale{REDUCED}", encoded(noise.resize((3500, 3500)), "WEBP")),
        "PNG, 16 bits with alpha, 9 MP": (f"/v1/upscale{REDUCED}", sixteen_bit(noise, 3000, "PNG")),
        "TIFF, 16 bits with alpha, 9 MP": (f"/v1/upscale{REDUCED}", sixteen_bit(noise, 3000, "TIFF")),
        "BMP, 9 MP": (f"/v1/upscale{REDUCED}", encoded(noise.resize((3000, 3000)), "BMP")),
        "64x64, as it is": ("/v1/upscale", small),
        "64x64, fidelity 0.5": ("/v1/upscale?fidelity=0.5", small),
        "64x64, fidelity 1": ("/v1/upscale?fidelity=1", small),
        "300x200": ("/v1/upscale?format=jpeg", encoded(noise.resize((300, 200)), "JPEG")),
        "64x64, AVIF at scale 8": ("/v1/upscale?scale=8&format=avif", small),
        "WebP of 64 MP from 4 MP": ("/v1/upscale?format=webp", encoded(noise.resize((2000, 2000)), "JPEG")),
        "job, 64x64": ("/v1/jobs", small),
        "job, 9 MP": (f"/v1/jobs{REDUCED}", encoded(noise.resize((3000, 3000)), "JPEG")),
        "bomb, PNG of 25 MP": (f"/v1/upscale{REDUCED}", encoded(Image.new("RGB", (5000, 5000)), "PNG")),
        "bomb, PNG of 40 MP": (f"/v1/upscale{REDUCED}", encoded(Image.new("RGB", (6300, 6300)), "PNG")),
        "bomb, PNG of 49 MP": (f"/v1/upscale{REDUCED}", encoded(Image.new("L", (7000, 7000)), "PNG")),
        "bomb, WebP of 25 MP": (f"/v1/upscale{REDUCED}", encoded(Image.new("RGB", (5000, 5000)), "WEBP")),
        "bomb, GIF of 36 MP": (f"/v1/upscale{REDUCED}", encoded(Image.new("P", (6000, 6000)), "GIF")),
        "damaged": ("/v1/upscale", small[:-200]),
        "no picture": ("/v1/upscale", bytes(1000)),
    }


def resident(server: psutil.Process) -> float:
    """RSS of the server and its processes, MB; one may end meanwhile."""
    total = 0
    for one in (server, *server.children()):
        with suppress(psutil.NoSuchProcess):
            total += one.memory_info().rss
    return total / 1e6


@dataclass
class Seen:
    """What the clients met."""

    answers: Counter[tuple[str, int, str]] = field(default_factory=Counter)  # by name, status and reason
    times: list[float] = field(default_factory=list)  # seconds of a request
    memory: list[float] = field(default_factory=list)  # MB


def send(client: httpx.Client, name: str, path: str, body: bytes, seen: Seen) -> None:
    """Send a request and wait for its end, also of a job."""
    begun = time.monotonic()
    answer = client.post(path, content=body)
    seen.times.append(time.monotonic() - begun)
    seen.answers[name, answer.status_code, answer.json()["reason"] if answer.status_code >= 400 else ""] += 1
    if answer.status_code == 429:
        time.sleep(float(answer.headers["Retry-After"]))
    if answer.status_code != 202:
        return
    job = f"/v1/jobs/{answer.json()['id']}"
    while (state := client.get(job).json()["state"]) in ("waiting", "running"):
        time.sleep(0.5)
    seen.answers[f"job that is {state}, its result", client.get(f"{job}/result").status_code, ""] += 1
    client.delete(job)


def report(seen: Seen, files: dict[str, tuple[str, bytes]], promise: int) -> None:
    """Print the table."""
    names = [*files, *sorted({name for name, _, _ in seen.answers} - set(files))]
    for name in names:
        size = f" ({len(files[name][1]) / 1e3:.0f} kB)" if name in files else ""
        met = sorted(answer for answer in seen.answers.items() if answer[0][0] == name)
        print(f"| {name}{size} | {', '.join(f'{count} x {status} {reason}'.strip() for (_, status, reason), count in met)} |")
    refusals: Counter[str] = Counter()
    for (_, status, reason), count in seen.answers.items():
        if reason:
            refusals[f"{status} {reason}"] += count
    times, tenth = sorted(seen.times), max(1, len(seen.memory) // 10)
    early, late = max(seen.memory[tenth : 2 * tenth]), max(seen.memory[-tenth:])
    print(f"| refusals | {', '.join(f'{count} x {what}' for what, count in sorted(refusals.items())) or 'none'} |")
    print(f"| p50, p95, longest | {times[len(times) // 2]:.2f} s, {times[int(0.95 * len(times))]:.2f} s, {times[-1]:.2f} s |")
    print(f"| greatest RSS in the second tenth of the time; in the last | {early:.0f} MB; {late:.0f} MB |")
    print(f"| greatest RSS; promise | {max(seen.memory):.0f} MB; {promise} MB |")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--memory", type=int, default=2600, help="MB")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    limits = ["--max-memory", str(arguments.memory), "--workers", str(arguments.workers), "--threads", "1"]
    limits += ["--queue", "6", "--max-megabytes", "32", "--max-pixels", "40000000", "--timeout", "300"]
    files, seen = mixture(), Seen()
    command = [sys.executable, "-m", "edgesr", "serve", "--port", "0", *limits]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        address = next(line for line in process.stderr if "http://" in line).split()[1]
        threading.Thread(target=lambda: sys.stderr.writelines(process.stderr), daemon=True).start()
        server, ended, start = psutil.Process(process.pid), threading.Event(), time.monotonic()

        def sample() -> None:
            while not ended.wait(0.1):
                seen.memory.append(resident(server))

        def visit(seed: int) -> None:
            choose = random.Random(seed)
            with httpx.Client(base_url=address, timeout=400) as client:
                while time.monotonic() < start + arguments.seconds and len(seen.times) < arguments.requests:
                    name = choose.choice(list(files))
                    send(client, name, *files[name], seen)

        sampler = threading.Thread(target=sample)
        sampler.start()
        with ThreadPoolExecutor(arguments.clients) as pool:
            list(pool.map(visit, range(arguments.clients)))
        seconds = time.monotonic() - start
        restarts = next(line for line in httpx.get(f"{address}/metrics").text.splitlines() if line.startswith(RESTARTS))
        ended.set()
        sampler.join()
        process.terminate()
    print(f"`edgesr serve {' '.join(limits)}`\n")
    print(f"| {len(seen.times)} requests, {arguments.clients} clients, {seconds:.0f} s | |\n|---|---|")
    report(seen, files, arguments.memory)
    print(f"| worker processes replaced | {restarts.split()[1]} |")
    return int(max(seen.memory) > arguments.memory or any(status not in EXPECTED for _, status, _ in seen.answers))


if __name__ == "__main__":
    raise SystemExit(main())
