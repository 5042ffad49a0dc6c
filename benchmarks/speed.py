"""The figures of docs/performance.md, as a Markdown table: `python benchmarks/speed.py [--threads 2] [--model tiny]`.

Every line is a process of its own. Peak RSS is of the whole process, interpreter and libraries included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from edgesr.evaluate.bench import cpu_name

EDGESR = [sys.executable, "-m", "edgesr"]


def photo(path: Path, width: int, height: int, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    Image.fromarray((smooth + rng.normal(0, 8, smooth.shape)).clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return path


def run_with_peak(command: list[str]) -> tuple[float, float, float]:
    """Seconds, seconds of processor time, and peak RSS in MB."""
    program = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stderr=subprocess.DEVNULL);"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN); print(used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6)"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program, *command], capture_output=True, text=True, check=True)
    processor, peak = (float(figure) for figure in done.stdout.split())
    return time.perf_counter() - began, processor, peak


BATCH = """
import sys, psutil
from edgesr.commands import jobs
from edgesr.commands import running
from edgesr.upscaling.upscaler import Upscaler
planned = jobs.plan([sys.argv[1]], out=sys.argv[2], suffix="_4x", format=None, recursive=False)
upscaler = Upscaler(sys.argv[3], threads=int(sys.argv[4]))
rss = [psutil.Process().memory_info().rss / 1e6 for result in running.run(planned, upscaler, running.Settings())]
print(rss[4], rss[-1])
"""


def rss_over_a_batch(folder: Path, model: str, threads: int, count: int = 50) -> tuple[float, float]:
    """RSS in MB after the fifth and after the last of `count` pictures; of 70 sizes, the largest comes first."""
    for i in range(count):
        photo(folder / f"{i:02d}.jpg", 160 + 8 * ((7 * i + 9) % 10), 120 + 8 * ((3 * i + 6) % 7), seed=i)
    command = [sys.executable, "-c", BATCH, str(folder), str(folder / "out"), model, str(threads)]
    fifth, last = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(fifth), float(last)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    model, threads = arguments.model, arguments.threads
    print(f"{cpu_name()}, {os.cpu_count()} cores, {threads} threads, onnxruntime {onnxruntime.__version__}\n")
    print("| what | figure |\n|---|---|")
    for size, repeat in (("128x128", 20), ("512x512", 5)):
        command = [
            *EDGESR,
            "bench",
            "--model",
            model,
            "--size",
            size,
            "--threads",
            str(threads),
            "--repeat",
            str(repeat),
            "--json",
        ]
        result = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        ms = result["milliseconds"]
        print(
            f"| {size} -> x4 in memory | median {ms['median']:.0f} ms, best {ms['min']:.0f} ms, {result['gflops_per_second']:.0f} GFLOP/s |"
        )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        big = photo(folder / "big.jpg", 1000, 750)
        seconds, _, peak = run_with_peak([*EDGESR, "upscale", str(big), "--model", model, "--threads", str(threads), "--quiet"])
        print(f"| 1000x750 -> 4000x3000, JPEG to JPEG, whole process | {seconds:.1f} s, peak RSS {peak:.0f} MB |")
        (folder / "batch").mkdir()
        fifth, last = rss_over_a_batch(folder / "batch", model, threads)
        print(f"| RSS after the 5th and the 50th of 50 pictures | {fifth:.0f} MB, {last:.0f} MB ({last / fifth - 1:+.1%}) |")
    starts = []
    for _ in range(10):
        began = time.perf_counter()
        subprocess.run([*EDGESR, "--help"], capture_output=True, check=True)
        starts.append(time.perf_counter() - began)
    print(f"| `edgesr --help` | median {sorted(starts)[5]:.2f} s |")


if __name__ == "__main__":
    main()
