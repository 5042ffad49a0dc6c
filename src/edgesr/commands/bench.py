"""`edgesr bench`: measure the speed and memory of models, engines and other upscalers on this machine."""

from __future__ import annotations

import argparse
import json
from typing import Any

from edgesr.commands.console import int_range, say, size

EXAMPLES = """\
examples:
  edgesr bench --size 640x480 --threads 2           the default engine, on an image of this size
  edgesr bench --engine all --threads 1 2           all installed engines, with one and two threads
  edgesr bench --engine all --precision all         all engines, in all precisions that this processor has
  edgesr bench --engine all --precision all --choose   also make the fastest the default (--engine auto --precision auto)
  edgesr bench --against realesrgan-x4plus          against another upscaler ('.[peers]'; systems as in edgesr evaluate)
"""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Define the verb's arguments."""
    verb = verbs.add_parser(
        "bench",
        help="measure the speed and memory of models and engines on this machine",
        description="Upscales a synthetic image 4x and reports the time of the whole call (tiling, noise, network,\n"
        "rounding) in milliseconds, the peak memory of the process in MB, and the speed as a share of the GFLOP/s\n"
        "that a plain convolution reaches with the same threads. The systems are timed in alternation.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("--model", default="tiny", help="model, listed by `edgesr models` (default: %(default)s)")
    verb.add_argument(
        "--engine", nargs="+", default=["auto"], help="runtimes of the network, or 'all' installed ones (default: auto)"
    )
    verb.add_argument(
        "--precision",
        nargs="+",
        default=["auto"],
        metavar="P",
        help="fp32, bf16, int8, or 'all' that are possible here (default: auto)",
    )
    verb.add_argument("--size", type=size, default="128x128", metavar="WxH", help="input size in px (default: %(default)s)")
    verb.add_argument(
        "--threads",
        type=int_range(1),
        nargs="+",
        default=[None],
        metavar="N",
        help="CPU threads, one or more values (default: all cores)",
    )
    verb.add_argument(
        "--repeat", type=int_range(1), default=5, metavar="N", help="timed rounds after one warm-up (default: %(default)s)"
    )
    verb.add_argument("--against", nargs="+", default=[], metavar="SYSTEM", help="other upscalers to measure")
    verb.add_argument("--choose", action="store_true", help="store the fastest engine and precision as the default ('auto')")
    verb.add_argument("--json", action="store_true", help="print a JSON document instead of a table")
    return verb


def run(arguments: argparse.Namespace) -> int:
    """Measure, then print the figures."""
    from edgesr.evaluate.bench import bench, fastest
    from edgesr.upscaling import engines

    report = bench(
        arguments.model,
        engines=arguments.engine,
        precisions=arguments.precision,
        size=arguments.size,
        threads=arguments.threads,
        repeat=arguments.repeat,
        against=arguments.against,
    )
    if arguments.choose:
        best, precision = fastest(report)
        compared = len(arguments.precision) > 1 or "all" in arguments.precision
        path = engines.choose(best, precision if compared else "auto")
        say(f"--engine auto now selects {best}{f' in {precision}' if compared else ''} ({path})")
    print(json.dumps(report, indent=2) if arguments.json else _table(report))
    return 0


def _table(report: dict[str, Any]) -> str:
    head = ["system", "threads", "median ms", "best ms", "times the first", "peak MB", "GFLOP/s", "of the limit"]
    rows = [head, *(_row(each) for each in report["systems"])]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    limits = [
        f"{value} GFLOP/s on {count} thread{'s' * (count != '1')}"
        for count, value in report["limit_gflops_per_second"].items()
        if value is not None
    ]
    notes = [
        f"{report['size']} px, {report['scale']}x; timed in alternation",
        *(f"{each['system']}: {each['description']}" for each in report["systems"]),
        "limit, a plain 3x3 convolution of 64 channels: " + (", ".join(limits) or "not measured (needs torch)"),
        ", ".join(f"{key} {value}" for key, value in report["machine"].items()),
    ]
    return "\n".join([*lines, "", *dict.fromkeys(notes)])


def _row(each: dict[str, Any]) -> list[str]:
    times, memory, speed, share = (each[key] for key in ("milliseconds", "peak_rss_mb", "gflops_per_second", "share_of_limit"))
    return [
        each["system"],
        str(each["threads"]),
        f"{times['median']:.1f}",
        f"{times['min']:.1f}",
        f"{each['times_the_first']:.2f}",
        "?" if memory is None else f"{memory:.0f}",
        "?" if speed is None else f"{speed:.1f}",
        "?" if share is None else f"{share:.0%}",
    ]
