"""PSNR-Y and SSIM-Y of a shipped model against bicubic: `python benchmarks/quality.py SUITE_DIR... [--model tiny]`."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from edgesr import Upscaler
from edgesr.data.suites import load_suite
from edgesr.evaluate.metrics import psnr_y, ssim_y


def bicubic(lr: np.ndarray) -> np.ndarray:
    height, width = lr.shape[:2]
    return np.asarray(Image.fromarray(lr).resize((4 * width, 4 * height), Image.Resampling.BICUBIC))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="+", type=Path, help="folders with HR/ and LR/")
    parser.add_argument("--model", default="tiny")
    arguments = parser.parse_args()
    systems = {"bicubic": bicubic, arguments.model: Upscaler(arguments.model)}
    print("| suite | system | PSNR-Y, dB | SSIM-Y | better than bicubic |\n|---|---|---|---|---|")
    for suite in arguments.suites:
        pairs = [pair for pair in load_suite(suite) if pair.hr is not None]
        scores = {}
        for name, system in systems.items():
            outputs = [system(pair.lr) for pair in pairs]
            scores[name] = np.array([(psnr_y(out, p.hr), ssim_y(out, p.hr)) for out, p in zip(outputs, pairs, strict=True)])
            wins = int((scores[name][:, 0] > scores["bicubic"][:, 0]).sum())
            psnr, ssim = scores[name].mean(axis=0)
            print(f"| {suite.name} | {name} | {psnr:.2f} | {ssim:.3f} | {wins} of {len(pairs)} |")


if __name__ == "__main__":
    main()
