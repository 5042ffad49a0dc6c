"""docs/performance.png from what `edgesr bench --json` printed: `python benchmarks/performance_plot.py FILE.json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

PLOT = Path(__file__).parent.parent / "docs" / "performance.png"


def main() -> None:
    report = json.loads(Path(sys.argv[1]).read_text())
    rows = report["systems"][::-1]
    figure, (time, share) = plt.subplots(1, 2, figsize=(10, 0.4 * len(rows) + 1.2), sharey=True, layout="constrained")
    names = [f"{row['system'].rpartition('/')[2]}, {row['threads']} thread{'s' * (row['threads'] > 1)}" for row in rows]
    colours = ["tab:blue" if row["system"].startswith("edgesr:") else "tab:grey" for row in rows]
    bars = time.barh(names, [row["milliseconds"]["median"] for row in rows], color=colours)
    time.bar_label(bars, fmt="%.0f", padding=3)
    time.set(xscale="log", title=f"{report['size']} px, median ms (logarithmic)")
    time.margins(x=0.15)
    bars = share.barh(names, [100 * (row["share_of_limit"] or 0) for row in rows], color=colours)
    share.bar_label(bars, fmt="%.0f %%", padding=3)
    share.set(title="GFLOP/s, of a plain 3x3 convolution's")
    share.margins(x=0.15)
    figure.savefig(PLOT, dpi=100)


if __name__ == "__main__":
    main()
