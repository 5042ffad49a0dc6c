"""The table of docs/performance.md over presets, engines and precisions, one thread, beside other upscalers, in one run.

    python benchmarks/presets.py --against realesrgan-x4plus General_x4_v3=ncnn:PEERS/RealESRGAN_General_x4_v3

128x128 LR px. `tiny` has its released weights; presets without released weights get random ones, whose speed is the same: in float32,
and in 8 bits where their convolutions are 3x3, as the released int8 file. The ratios are to the medians of the `--against` systems.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from speed import photo

from edgesr.evaluate.bench import bench
from edgesr.export import quantize, source
from edgesr.export.int8 import int8_for_cpus
from edgesr.export.onnx import to_onnx
from edgesr.export.package import TILE
from edgesr.presets import SCALE
from edgesr.upscaling.engines import installed

TILES = 1  # to calibrate on; more would change the results, and not the speed
AGAINST = ["realesrgan-x4plus"]


def random_files(name: str, folder: Path) -> dict[str, Path]:
    """Write the preset with random weights, by precision."""
    found = source.load(name, random=True)
    any_size = found.model.preset.halo is not None  # else it runs tiles of a fixed size
    full = to_onnx(found.model, None if any_size else TILE, found.metadata)
    for number in range(TILES):
        photo(folder / f"{number}.jpg", *(SCALE * side for side in TILE), seed=number)
    tiles = quantize.photographs(folder, found.model.preset, TILE, TILES)
    files = {"fp32": full, "int8": int8_for_cpus(full, tiles, found.metadata, narrow=False)}
    paths = {precision: folder / f"{name}-{precision}.onnx" for precision in files}
    for precision, path in paths.items():
        path.write_bytes(files[precision])
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--random", nargs="*", default=["small", "paper"], metavar="PRESET", help="(default: %(default)s)")
    parser.add_argument(
        "--against", nargs="+", default=AGAINST, metavar="SYSTEM", help="as in edgesr bench (default: %(default)s)"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    engines = [engine for engine in ("onnxruntime", "openvino") if engine in installed()]
    with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
        ours = {}
        for name in arguments.random:
            for precision, path in random_files(name, Path(folder)).items():
                for engine in engines if precision == "fp32" else engines[:1]:  # openvino is not exact in 8 bits without VNNI
                    ours[f"edgesr:{name}@{engine}:weights={path}"] = (f"`{name}`, random weights", engine, precision)
        report = bench(
            "tiny",
            engines=engines,
            precisions=["all"],
            threads=[arguments.threads],
            repeat=arguments.repeat,
            against=[*ours, *arguments.against],
        )
    systems = report["systems"]
    peers = dict(zip([text.partition("=")[0] for text in arguments.against], systems[-len(arguments.against) :], strict=True))
    print(", ".join(f"{key} {value}" for key, value in report["machine"].items()))
    heads = ["system", "engine", "precision", "median, ms", "peak RSS, MB", *(f"{name} takes" for name in peers)]
    print(f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", sep="\n")
    for each in systems:
        ratios = [f"{_median(peer) / _median(each):.3g} times" for peer in peers.values()]
        figures = [f"{_median(each):.0f}", f"{each['peak_rss_mb']:.0f}"]
        print(f"| {' | '.join([*ours.get(each['system'], described(each['system'])), *figures, *ratios])} |")


def _median(system: dict[str, Any]) -> float:
    median: float = system["milliseconds"]["median"]
    return median


def described(system: str) -> tuple[str, str, str]:
    """The name, the engine and the precision of a released preset's system, or of another upscaler."""
    if not system.startswith("edgesr:"):
        return system.rpartition("/")[2], "ncnn", "fp32"
    model, _, rest = system.removeprefix("edgesr:").partition("@")
    engine, _, precision = rest.partition(":precision=")
    return f"`{model}`", engine, precision or "fp32"


if __name__ == "__main__":
    main()
