"""`edgesr bench`: how fast a model is on this machine, and how much memory it takes."""

from __future__ import annotations

import argparse
import json

from edgesr.commands.console import size, whole


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Define the verb's arguments."""
    verb = verbs.add_parser(
        "bench",
        help="measure the speed and memory of a model on this machine",
        description="Upscales a synthetic picture in memory, 4 times, and reports the time of the whole call (tiles,\n"
        "noise, network, rounding) in milliseconds and the peak memory of the process in MB.",
        epilog="example:\n  edgesr bench --size 640x480 --threads 2",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("--model", default="tiny", help="see `edgesr models` (default: %(default)s)")
    verb.add_argument("--engine", default="auto", help="what runs the network (default: %(default)s)")
    verb.add_argument("--size", type=size, default="128x128", metavar="WxH", help="of the input, px (default: %(default)s)")
    verb.add_argument("--threads", type=whole(1), metavar="N", help="CPU threads (default: the engine's choice)")
    verb.add_argument(
        "--repeat", type=whole(1), default=5, metavar="N", help="timed calls, after a warm-up (default: %(default)s)"
    )
    verb.add_argument("--json", action="store_true", help="print a JSON document instead of lines")
    return verb


def run(arguments: argparse.Namespace) -> int:
    """Measure, then print the figures."""
    from edgesr.bench import bench  # noqa: PLC0415 (so that --help stays fast)

    report = bench(
        arguments.model,
        engine=arguments.engine,
        size=arguments.size,
        threads=arguments.threads,
        repeat=arguments.repeat,
    )
    if arguments.json:
        print(json.dumps(report, indent=2))
        return 0
    times, memory = report["milliseconds"], report["peak_rss_mb"]
    print(f"model {report['model']}, engine {report['engine']}")
    print(f"{report['size']} px, {report['scale']}x: median {times['median']:.1f} ms, best {times['min']:.1f} ms")
    print(f"{report['gflops']:.1f} GFLOPs, {report['gflops_per_second']:.1f} GFLOP/s")
    print("peak memory unknown" if memory is None else f"peak memory {memory:.0f} MB")
    print(", ".join(f"{key} {value}" for key, value in report["machine"].items()))
    return 0
