"""PSNR-Y, SSIM-Y, SQD, EPD and sharpness of a shipped model against bicubic: `python benchmarks/quality.py SUITE_DIR... [--model tiny]`.

SQD and EPD, perceptual distances (lower is better), need the extra `evaluate`; SQD also needs SqueezeNet's weights in the folder of
`--weights`. `benchmarks/judge.py` shows them as shares of bicubic's.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from edgesr import Upscaler
from edgesr.errors import UsageError
from edgesr.evaluate.metrics import psnr_y, sharpness, ssim_y
from edgesr.evaluate.suites import load_suite
from edgesr.evaluate.unavailable import Unavailable


def bicubic(lr: np.ndarray) -> np.ndarray:
    height, width = lr.shape[:2]
    return np.asarray(Image.fromarray(lr).resize((4 * width, 4 * height), Image.Resampling.BICUBIC))


def measures(weights: Path | None) -> dict[str, tuple[str, Callable[[np.ndarray, np.ndarray], float]]]:
    """Head of the column -> format and metric."""
    columns: dict[str, tuple[str, Callable[[np.ndarray, np.ndarray], float]]] = {
        "PSNR-Y, dB": (".2f", psnr_y),
        "SSIM-Y": (".3f", ssim_y),
    }
    try:
        from edgesr.evaluate.sqd import SQD

        columns["SQD"] = (".3f", SQD(weights))
    except (ImportError, Unavailable) as error:
        print(f"SQD is left out: {error}")
    try:
        from edgesr.evaluate.epd import EPD

        columns["EPD"] = (".3f", EPD())
    except (ImportError, UsageError):
        print("EPD is left out: it wants pip install 'edgesr[evaluate]'")
    return columns | {"sharpness": (".2f", sharpness)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="+", type=Path, help="folders with HR/ and LR/")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--weights", type=Path, metavar="DIR", help="folder with SqueezeNet's weights, for SQD")
    arguments = parser.parse_args()
    systems = {"bicubic": bicubic, arguments.model: Upscaler(arguments.model)}
    columns = measures(arguments.weights)
    print("|".join(["", " suite ", " system ", *(f" {name} " for name in columns), " better than bicubic ", ""]))
    print("|---" * (3 + len(columns)) + "|")
    for suite in arguments.suites:
        pairs = [pair for pair in load_suite(suite) if pair.hr is not None]
        scores = {}
        for name, system in systems.items():
            outputs = [system(pair.lr) for pair in pairs]
            rows = [[metric(out, p.hr) for _, metric in columns.values()] for out, p in zip(outputs, pairs, strict=True)]
            scores[name] = np.array(rows)
            wins = int((scores[name][:, 0] > scores["bicubic"][:, 0]).sum())
            means = zip(columns.values(), scores[name].mean(axis=0), strict=True)
            cells = [suite.name, name, *(format(mean, form) for (form, _), mean in means), f"{wins} of {len(pairs)}"]
            print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
