"""Writes the table and the plot of docs/ablations.md from docs/ablations.json: `python benchmarks/ablations_report.py`.

With `--pictures RUNS` also docs/ablations-pictures.png, from the checkpoints that benchmarks/ablations.py left in RUNS.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from ablations import RESULTS, ROOT, ROWS, chain, upscale
from PIL import Image, ImageDraw
from skimage import data

from edgesr.data.degradation import degrade
from edgesr.model.loading import load_averaged
from edgesr.presets import SCALE

mpl.use("Agg")
import matplotlib.pyplot as plt

PAGE = ROOT / "docs" / "ablations.md"
BEGIN, END = "<!-- table: benchmarks/ablations_report.py -->", "<!-- end of table -->"
COLUMNS = {
    "PSNR-Y, dB": ("BSD50-blind", "psnr_y", 2),
    "EPD": ("BSD50-blind", "epd", 3),
    "Set14-blind PSNR-Y": ("Set14-blind", "psnr_y", 2),
    "Set14-blind EPD": ("Set14-blind", "epd", 3),
    "latent path, dB": ("latent_db", None, 2),
    "mean s": ("mean_s", None, 2),
    "CPU minutes": ("cpu minutes", None, 0),
}
COMPARED = {
    "interpolation": None,
    "standard conditioning": "standard",
    "the paper's stages": "paper",
    "with end-to-end": "ours",
}
SHOWN = ((data.chelsea, 20, 100), (data.astronaut, 0, 90), (data.coffee, 60, 200))  # public domain; top and left, px
WHOLE, CROP = 64, 48  # LR px a side: of what is upscaled, and of its middle, which is shown


def values(results: dict[str, dict[str, object]], row: str, column: str) -> list[float]:
    """One figure a seed."""
    key, inner, _ = COLUMNS[column]
    found = []
    for name, result in sorted(results.items()):
        if name.rpartition("/")[0] == row and "failed" not in result:
            value = result[key]
            found.append(float(value[inner] if inner else value))
    return found


def cell(figures: list[float], digits: int, diverged: int = 0) -> str:
    """Mean and half the distance of the seeds, and how many beside them `diverged`."""
    if not figures:
        return "diverged" if diverged else "-"
    spread = (max(figures) - min(figures)) / 2
    text = f"{np.mean(figures):.{digits}f}" + (f" ± {spread:.{digits}f}" if len(figures) > 1 and digits else "")
    return text + (f" ({diverged} of {diverged + len(figures)} diverged)" if diverged else "")


def table(results: dict[str, dict[str, object]]) -> str:
    """Markdown."""
    lines = ["| | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, row in ROWS.items():
        diverged = sum(key.rpartition("/")[0] == name and "failed" in result for key, result in results.items())
        cells = [cell(values(results, name, column), COLUMNS[column][2], diverged) for column in COLUMNS]
        lines.append(f"| **{name}**: {row.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(results: dict[str, dict[str, object]], path: Path) -> None:
    """Every seed as a point: PSNR-Y and EPD on BSD50-blind, and what the latent path carries."""
    names = [name for name in ROWS if values(results, name, "EPD")]
    figure, axes = plt.subplots(1, 3, figsize=(12, 0.35 * len(names) + 1.5), sharey=True, layout="constrained")
    for axis, column in zip(axes, ("PSNR-Y, dB", "EPD", "latent path, dB"), strict=True):
        for place, name in enumerate(names):
            figures = values(results, name, column)
            axis.plot(figures, [place] * len(figures), "o", color="tab:blue", alpha=0.7)
            axis.plot([np.mean(figures)], [place], "|", color="black", markersize=14)
        axis.set_title({"EPD": "EPD (lower is better)"}.get(column, column))
        axis.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    figure.suptitle("BSD50-blind; a point a seed, the line their mean")
    figure.savefig(path, dpi=110)


def pictures(runs: Path, path: Path) -> None:
    """The paper's figure 1: a degraded example, interpolated, by standard training, and by the stages, side by side."""
    rows = []
    for load, y, x in SHOWN:
        hr = load()[y : y + SCALE * WHOLE, x : x + SCALE * WHOLE]
        tensor = torch.from_numpy(hr.copy()).permute(2, 0, 1)[None].float() / 255
        degraded = degrade(tensor, scale=SCALE, generator=torch.Generator().manual_seed(1))[0]
        lr = (degraded.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        first, last = (SCALE * edge for edge in ((WHOLE - CROP) // 2, (WHOLE + CROP) // 2))
        cells = []
        for row in COMPARED.values():
            if row is None:
                out = np.asarray(
                    Image.fromarray(lr).resize((SCALE * lr.shape[1], SCALE * lr.shape[0]), Image.Resampling.BICUBIC)
                )
            else:
                out = upscale(load_averaged(chain(ROWS[row], 0, runs)[-1] / "checkpoint")[0].eval(), lr)
            cells.append(out[first:last, first:last])
        cells.append(hr[first:last, first:last])
        rows.append(np.concatenate(cells, axis=1))
    sheet = Image.new("RGB", (rows[0].shape[1], sum(row.shape[0] for row in rows) + 20), "white")
    draw = ImageDraw.Draw(sheet)
    for place, title in enumerate([*COMPARED, "the picture itself"]):
        draw.text((place * CROP * SCALE + 4, 4), title, fill="black")
    for place, row in enumerate(rows):
        sheet.paste(Image.fromarray(row), (0, 20 + place * CROP * SCALE))
    sheet.save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, metavar="RUNS")
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text())
    text = PAGE.read_text()
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{table(results)}\n{END}{after}")
    plot(results, ROOT / "docs" / "ablations.png")
    if arguments.pictures:
        pictures(arguments.pictures, ROOT / "docs" / "ablations-pictures.png")


if __name__ == "__main__":
    main()
