"""The table of docs/on-device.md: the loss of each precision of the ONNX file, in onnxruntime on the CPU.

`python benchmarks/precision.py SUITE_DIR --calibrate PHOTOS [--model tiny] [--limit N]`; the photographs must not be those of the suite.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from edgesr.evaluate.epd import EPD
from edgesr.evaluate.metrics import psnr_y
from edgesr.export import quantize, source
from edgesr.export.onnx import to_onnx
from edgesr.export.package import TILE
from edgesr.presets import Preset
from edgesr.upscaling.noise import noise_field


def forms(model: source.Source, photos: Path) -> dict[str, bytes]:
    full = to_onnx(model.model, None, model.metadata)
    tiles = quantize.photographs(photos, model.model.preset, TILE)
    print(f"calibrated on {len(tiles)} photographs\n")
    return {
        "fp32": full,
        "fp16 weights": quantize.half_weights(full),
        "int8": quantize.quantized(full, tiles),
        "int8 weights, 16-bit activations": quantize.quantized(full, tiles, activations="QUInt16"),
    }


def runner(data: bytes, preset: Preset) -> Callable[[np.ndarray], np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    def run(pixels: np.ndarray) -> np.ndarray:
        """(h, w, 3) uint8 -> (4h, 4w, 3) in [0, 1]."""
        height, width = pixels.shape[:2]
        pad = [(0, -side % preset.multiple) for side in (height, width)]
        lr = np.pad(pixels.transpose(2, 0, 1).astype(np.float32) / 255, [(0, 0), *pad], mode="edge")[None]
        eps = noise_field(0, preset.latent_channels, range(lr.shape[2] // 2), range(lr.shape[3] // 2))[None]
        hr = session.run(["hr"], {"lr": lr, "eps": eps})[0][0]
        return hr[:, : 4 * height, : 4 * width].transpose(1, 2, 0)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", type=Path, help="folder with HR/ and LR/")
    parser.add_argument("--calibrate", type=Path, required=True)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--limit", type=int)
    arguments = parser.parse_args()
    model = source.load(arguments.model)
    files = forms(model, arguments.calibrate)
    runners = {name: runner(data, model.model.preset) for name, data in files.items()}
    epd = EPD()
    rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in files}
    for path in sorted((arguments.suite / "LR").iterdir())[: arguments.limit]:
        lr, hr = (np.asarray(Image.open(arguments.suite / kind / path.name).convert("RGB")) for kind in ("LR", "HR"))
        want = runners["fp32"](lr)
        for name, run in runners.items():
            got = run(lr)
            square = float(np.mean((got.astype(np.float64) - want) ** 2))
            pixels = np.rint(got * 255).astype(np.uint8)
            rows[name].append((-10 * np.log10(square) if square else np.inf, psnr_y(pixels, hr), epd(pixels, hr)))
    print("| precision | file, MB | PSNR against fp32, dB: mean, worst | PSNR-Y, dB | EPD |\n|---|---|---|---|---|")
    for name, data in files.items():
        table = np.array(rows[name])
        _, faithful, seen = table.mean(axis=0)
        near = "-" if name == "fp32" else f"{table[:, 0].mean():.1f}, {table[:, 0].min():.1f}"
        print(f"| {name} | {len(data) / 1e6:.1f} | {near} | {faithful:.3f} | {seen:.4f} |")
    print(f"\n{len(table)} pictures of {arguments.suite.name}")


if __name__ == "__main__":
    main()
