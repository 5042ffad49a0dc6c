"""The figures of docs/scale.md: `python benchmarks/batch.py [PART...]`; without a part all of them.

    throughput  `edgesr batch` on one core against `edgesr upscale` on the same pictures and core, by turns
    nodes       two nodes of one core each against one
    memory      the driver's memory for 1,000, 100,000 and 1,000,000 inputs, planned but not upscaled
    recovery    from a killed worker to the next result
    kills       2,000 pictures, 1 % of them broken, on two nodes whose workers are killed at random: each exactly once?
    plan        processor time a picture, and what a million of them take on `--cores`, at `--price` dollars for an hour of a core

The pictures are noise, made here. Timings depend on the machine; the ratios are of one run.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
from PIL import Image

EDGESR = [sys.executable, "-m", "edgesr"]
NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "RAY_worker_niceness": "0"}

MEMORY = """
import sys, psutil
from itertools import islice
import ray.data
from edgesr.batch import cluster
from edgesr.batch.plan import Plan
from edgesr.batch.source import Input
start = psutil.Process().memory_info().rss
count = int(sys.argv[1])
with Plan() as plan:
    plan.add_inputs(Input(f"s3://archive/photos/{n // 1000}/{n}.jpg", f"{n // 1000}/{n}_4x.jpg", 300_000, str(n)) for n in range(count))
    plan.decide(settings="", weights=(), overwrite=False, skip_existing=False, retry_failed=False)
    planned = psutil.Process().memory_info().rss
    blocks = [cluster.block(number, unit) for number, unit in islice(enumerate(plan.units(64)), 64 * 128)]  # a wave
    print((planned - start) / 1e6, (psutil.Process().memory_info().rss - start) / 1e6, len(blocks))
"""


def make(folder: Path, count: int, side: int = 128, broken: int = 0) -> Path:
    noise = np.random.default_rng(0)
    folder.mkdir()
    for index in range(count):
        coarse = Image.fromarray(noise.integers(0, 256, (side // 4, side // 4, 3), dtype=np.uint8))
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{index:05d}.jpg", quality=90)
    for path in random.Random(0).sample(sorted(folder.iterdir()), broken):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return folder


def timed(*words: str | Path, cores: int | None = None) -> float:
    """Seconds that a command takes, on that many cores."""

    def pin() -> None:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])

    start = time.monotonic()
    done = subprocess.run([*EDGESR, *map(str, words), "--quiet"], preexec_fn=pin if cores else None, check=False)
    if done.returncode not in {0, 1}:  # 1: some pictures failed, as they should where some are broken
        raise SystemExit(f"edgesr {words[0]} ended with exit code {done.returncode}")
    return time.monotonic() - start


def ledger(dest: Path) -> list[dict]:
    return [row for file in (dest / ".edgesr/ledger").glob("*.parquet") for row in pq.read_table(file).to_pylist()]


def rate(rows: list[dict]) -> float:
    """Pictures a second between the first and the last result: without the time to start."""
    times = sorted(datetime.fromisoformat(row["finished"]).timestamp() for row in rows)
    return (len(times) - 1) / (times[-1] - times[0])


@contextmanager
def cluster_of(nodes: int) -> Iterator[str]:
    """The address of a cluster of nodes of one core each on this machine."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    try:
        for _ in range(nodes - 1):
            cluster.add_node(**NODE)
        cluster.wait_for_nodes()
        yield cluster.address
    finally:
        cluster.shutdown()


def workers() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            found += [process] if "MapWorker" in " ".join(process.cmdline()) else []
        except psutil.Error:  # noqa: PERF203 -- it has just ended
            continue
    return found


def cost(pictures: int, seconds: float, cores: int, price: float) -> tuple[float, float, float]:
    """Core-hours, hours and dollars of pictures of `seconds` of processor time each, at a price for an hour of a core."""
    core_hours = pictures * seconds / 3600
    return core_hours, core_hours / cores, core_hours * price


def throughput(work: Path, count: int) -> None:
    photos, ratios = make(work / "photos", count), []
    for turn in range(3):
        alone = timed("upscale", photos, "-o", work / f"upscale{turn}", cores=1)
        whole = timed("batch", photos, work / f"batch{turn}", cores=1)
        steady = rate(ledger(work / f"batch{turn}"))
        seconds = sum(row["seconds"] for row in ledger(work / f"batch{turn}"))
        ratios.append(steady * alone / count)
        print(
            f"  upscale {count / alone:.2f}/s; batch {count / whole:.2f}/s with start and end, {steady:.2f}/s between ({seconds:.0f} s)"
        )
    print(f"  batch, without its start, against upscale: {', '.join(f'{each:.2f}' for each in ratios)}")


def nodes(work: Path, count: int) -> None:
    photos, rates = make(work / "photos", count), []
    for number in (1, 2):
        with cluster_of(number) as address:
            dest = work / f"large{number}"
            timed("batch", photos, dest, "--address", address)
            rates.append(rate(ledger(dest)))
            print(f"  {number} node(s): {rates[-1]:.2f} pictures/s")
    print(f"  two against one: {rates[1] / rates[0]:.2f}")


def memory(_work: Path, _count: int) -> None:
    for number in (1_000, 100_000, 1_000_000):
        done = subprocess.run([sys.executable, "-c", MEMORY, str(number)], capture_output=True, text=True, check=True)
        planned, ready, units = map(float, done.stdout.split())
        print(f"  {number:>9,} inputs: +{planned:.0f} MB to plan, +{ready:.0f} MB with its {units:,.0f} units of work")


def recovery(work: Path, count: int) -> None:
    photos, dest, times = make(work / "photos", count), work / "large", []
    with cluster_of(1) as address:
        running = subprocess.Popen([*EDGESR, "batch", str(photos), str(dest), "--address", address, "--quiet"])
        for done in (count // 5, 2 * count // 5, 3 * count // 5):
            while len([*dest.glob("*.jpg")]) < done:
                time.sleep(0.05)
            present = len([*dest.glob("*.jpg")])
            workers()[0].kill()
            start = time.monotonic()
            while len([*dest.glob("*.jpg")]) <= present + 2:  # two may have been about to be written
                time.sleep(0.02)
            times.append(time.monotonic() - start)
        running.wait()
    print(f"  {', '.join(f'{each:.1f} s' for each in times)}; median {statistics.median(times):.1f} s")


def kills(work: Path, count: int) -> None:
    photos, dest = make(work / "photos", count, side=48, broken=count // 100), work / "large"
    choose, killed = random.Random(1), 0
    with cluster_of(2) as address:
        start = time.monotonic()
        running = subprocess.Popen(
            [*EDGESR, "batch", str(photos), str(dest), "--address", address, "--quiet"], stderr=subprocess.DEVNULL
        )
        while running.poll() is None:
            time.sleep(choose.uniform(5, 15))
            if any(dest.glob("*.jpg")) and (alive := workers()):
                os.kill(choose.choice(alive).pid, signal.SIGKILL)
                killed += 1
        seconds = time.monotonic() - start
    timed("upscale", photos, "-o", work / "expected")
    rows = ledger(dest)
    once = Counter(row["input"] for row in rows) == Counter(str(path) for path in photos.iterdir())
    same = {path.name: path.read_bytes() for path in dest.glob("*.jpg")} == {
        path.name: path.read_bytes() for path in (work / "expected").glob("*.jpg")
    }
    states = Counter(row["status"] for row in rows)
    print(f"  {count} pictures, {killed} workers killed, {seconds:.0f} s: {dict(states)}")
    print(f"  each in the ledger exactly once: {once}; bytes of upscale: {same}")


def plan(work: Path, count: int) -> None:
    """Processor time of `edgesr upscale`, which other programs disturb little; from two runs, so that the start does not count."""
    for side, number in ((128, count), (512, count // 4)):
        photos, spent = make(work / f"photos{side}", number, side=side), []
        few = work / f"few{side}"
        few.mkdir()
        for path in sorted(photos.iterdir())[: number // 4]:
            shutil.copy(path, few)
        for folder in (few, photos):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            timed("upscale", folder, "-o", work / f"large-{folder.name}", "--threads", "1")
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        seconds = float(f"{(spent[1] - spent[0]) / (number - number // 4):.3g}")
        core_hours, hours, dollars = cost(1_000_000, seconds, OPTIONS.cores, OPTIONS.price)
        print(
            f"  {side}x{side}: {seconds} s of processor time; a million: {core_hours:,.0f} core-hours, {hours:.1f} h on "
            f"{OPTIONS.cores} cores, ${dollars:,.0f} at ${OPTIONS.price} for an hour of a core",
            flush=True,
        )


PARTS = {
    "throughput": (throughput, 300),
    "nodes": (nodes, 300),
    "memory": (memory, 0),
    "recovery": (recovery, 300),
    "kills": (kills, 2000),
    "plan": (plan, 80),
}
OPTIONS = argparse.Namespace(cores=128, price=0.0425)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART")
    parser.add_argument("--count", type=int, help="pictures, in place of each part's own number")
    parser.add_argument("--cores", type=int, default=OPTIONS.cores, help="plan: cores of the cluster (default: %(default)s)")
    parser.add_argument(
        "--price", type=float, default=OPTIONS.price, help="plan: dollars for an hour of a core (default: %(default)s)"
    )
    arguments = parser.parse_args(namespace=OPTIONS)
    os.environ |= ENVIRONMENT
    for name in arguments.parts or PARTS:
        part, count = PARTS[name]
        print(f"{name}: (load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)", flush=True)
        work = Path(tempfile.mkdtemp(prefix="edgesr-benchmark-"))
        try:
            part(work, arguments.count or count)
        finally:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
