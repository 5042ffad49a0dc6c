"""The memory figures of docs/performance.md, as Markdown tables: `python benchmarks/memory.py [--threads 2] [--sides 10000 20000]`.

Every line is a process of its own, `edgesr upscale` from file to file; peak RSS is of the whole process, interpreter and
libraries included. `--windows 256 384 512 768` compares sizes of the window instead, by turns, `--repeat` times, in
processor time, which other programs disturb less.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from speed import EDGESR, photo, run_with_peak

WINDOW = """
import sys
from edgesr import cli
from edgesr.upscaling import memory
memory.WINDOW_PIXELS = int(sys.argv.pop(1)) ** 2
sys.exit(cli.main(sys.argv[1:]))
"""


def sizes(folder: Path, sides: list[int], formats: list[str], options: list[str]) -> None:
    shapes = [(4000, 3000), *((side, side) for side in sides)]
    print("| output | format | seconds | processor seconds | peak RSS |\n|---|---|---|---|---|")
    for width, height in shapes:
        lr = photo(folder / f"{width}.jpg", width // 4, height // 4)
        for extension in formats:
            target = folder / f"out.{extension}"
            command = [*EDGESR, "upscale", str(lr), "-o", str(target), "--overwrite", "--quiet", *options]
            seconds, processor, peak = run_with_peak(command)
            print(f"| {width}x{height} | {extension.upper()} | {seconds:.0f} | {processor:.0f} | {peak:.0f} MB |", flush=True)


def windows(folder: Path, sides: list[int], repeat: int, options: list[str]) -> None:
    pictures = [photo(folder / "a.jpg", 1000, 750), photo(folder / "b.jpg", 2500, 1000)]
    print("| LR | window | seconds of processor time | of 512's | peak RSS |\n|---|---|---|---|---|")
    for lr, name in zip(pictures, ("1000x750", "2500x1000"), strict=True):
        command = ["upscale", str(lr), "-o", str(folder / "out.jpg"), "--overwrite", "--quiet", *options]
        runs: dict[int, list[tuple[float, float, float]]] = {side: [] for side in sides}
        for _ in range(repeat):
            for side in sides:
                runs[side].append(run_with_peak([sys.executable, "-c", WINDOW, str(side), *command]))
        for side in sides:
            seconds = statistics.median(run[1] for run in runs[side])
            ratio = statistics.median(
                run[1] / usual[1] for run, usual in zip(runs[side], runs.get(512, runs[side]), strict=True)
            )
            peak = max(run[2] for run in runs[side])
            print(f"| {name} | {side}x{side} | {seconds:.1f} | {ratio:.2f} | {peak:.0f} MB |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sides", type=int, nargs="*", default=[10_000, 20_000], metavar="PX", help="of square outputs")
    parser.add_argument("--formats", nargs="+", default=["jpg", "png", "tif"], metavar="EXTENSION")
    parser.add_argument("--windows", type=int, nargs="+", metavar="LR_PX")
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    options = ["--threads", str(arguments.threads)]
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.windows:
            windows(Path(scratch), arguments.windows, arguments.repeat, options)
        else:
            sizes(Path(scratch), arguments.sides, arguments.formats, options)


if __name__ == "__main__":
    main()
