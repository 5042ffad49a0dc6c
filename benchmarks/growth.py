"""Time and memory of `edgesr upscale` over the size of the result and over the length of a batch, as a plot and a table.

`python benchmarks/growth.py docs/growth.png [--threads 1]`. Every point is a process of its own, JPEG to JPEG. The time is processor
time, which other programs disturb less than wall-clock time; peak RSS is of the whole process.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
from speed import EDGESR, photo, run_with_peak

matplotlib.use("Agg")
from matplotlib import pyplot

MEGAPIXELS = (0.1, 0.4, 1.6, 6.4, 25.0, 100.0)  # of the result
PICTURES = (1, 4, 16, 64)
SIDE = 128  # LR px, of the pictures of a batch


def over_size(folder: Path, sizes: list[float], options: list[str]) -> np.ndarray:
    """Rows of megapixels, seconds and MB."""
    rows = []
    for megapixels in sizes:
        side = round((megapixels * 1e6 / 16) ** 0.5)
        lr = photo(folder / f"{side}.jpg", side, side)
        command = [*EDGESR, "upscale", str(lr), "-o", str(folder / "out.jpg"), "--overwrite", "--quiet", *options]
        rows.append((16 * side**2 / 1e6, *run_with_peak(command)[1:]))
        print(f"| {rows[-1][0]:.1f} megapixels | {rows[-1][1]:.1f} s | {rows[-1][2]:.0f} MB |", flush=True)
    return np.array(rows)


def over_length(folder: Path, options: list[str]) -> np.ndarray:
    """Rows of pictures, seconds and MB."""
    rows = []
    for count in PICTURES:
        source = folder / f"batch-{count}"
        source.mkdir()
        for number in range(count):
            photo(source / f"{number}.jpg", SIDE, SIDE, seed=number)
        command = [*EDGESR, "upscale", str(source), "-o", str(folder / f"out-{count}"), "--quiet", *options]
        rows.append((count, *run_with_peak(command)[1:]))
        print(f"| {count} pictures of {SIDE}x{SIDE} px | {rows[-1][1]:.1f} s | {rows[-1][2]:.0f} MB |", flush=True)
    return np.array(rows)


def plot(tables: dict[str, np.ndarray], target: Path) -> None:
    """Plot each table's time and memory on linear axes."""
    figure, axes = pyplot.subplots(2, 2, figsize=(9, 6), layout="constrained")
    for row, (label, table) in zip(axes, tables.items(), strict=True):
        for axis, column, unit in zip(row, (1, 2), ("processor time, s", "peak RSS, MB"), strict=True):
            axis.plot(table[:, 0], table[:, column], "o-")
            axis.set(xlabel=label, ylabel=unit, ylim=(0, 1.1 * table[:, column].max()))
            axis.grid(alpha=0.3)
    figure.savefig(target, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plot", type=Path, help="PNG to write")
    parser.add_argument("--megapixels", type=float, nargs="+", default=MEGAPIXELS, metavar="N", help="of the results")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", default="fp32")
    arguments = parser.parse_args()
    options = ["--threads", str(arguments.threads), "--precision", arguments.precision]
    print("| result | processor time | peak RSS |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        tables = {"megapixels of the result": over_size(Path(scratch), arguments.megapixels, options)}
        tables["pictures of a batch"] = over_length(Path(scratch), options)
    plot(tables, arguments.plot)


if __name__ == "__main__":
    main()
