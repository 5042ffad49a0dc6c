"""Compile an export for a phone's NPU and measure it on a real phone, hosted by Qualcomm AI Hub.

`python tools/qualcomm_ai_hub.py EXPORT_DIR [--device "Samsung Galaxy S24"] [--out compiled]`, where `edgesr export tiny
--format onnx -o EXPORT_DIR` made the folder. Needs `pip install 'edgesr[qualcomm]'` and an account: `qai-hub configure --api_token TOKEN`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path


def main() -> int:
    """Compile, profile and print milliseconds; every failure prints one line and exits with code 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", type=Path, help="folder with an ONNX export of one tile size")
    parser.add_argument(
        "--device", default="Samsung Galaxy S24", help="as `qai-hub list-devices` names it (default: %(default)s)"
    )
    parser.add_argument("--runtime", choices=["qnn_dlc", "qnn_context_binary", "tflite", "onnx"], default="qnn_dlc")
    parser.add_argument("--out", type=Path, default=Path("compiled"), help="file for the compiled model, without suffix")
    arguments = parser.parse_args()
    try:
        import qai_hub
    except ModuleNotFoundError as error:
        return fail(f"this needs the package '{error.name}': pip install 'edgesr[qualcomm]'")
    try:
        record = json.loads((arguments.export / "export.json").read_text())
        (model,) = arguments.export.glob("*.onnx")
    except (OSError, ValueError):
        return fail(
            f"{arguments.export}: contains no ONNX export; make one with `edgesr export tiny --format onnx -o {arguments.export}`"
        )
    if not record.get("size"):
        return fail(f"{arguments.export}: takes tiles of any size, but an NPU needs a fixed one; export it with --size 128x128")
    # An int8 file contains its quantisation; the NPU computes fp32 and fp16 files in half precision.
    try:
        device = qai_hub.Device(arguments.device)
        compiled = qai_hub.submit_compile_job(str(model), device=device, options=f"--target_runtime {arguments.runtime}")
        target = compiled.get_target_model()
        if target is None:
            return fail(f"the compilation failed: {compiled.url}")
        profile = qai_hub.submit_profile_job(target, device=device).download_profile()
        file = target.download(str(arguments.out))
    except Exception as error:  # the client's errors share no base class
        reason = " ".join(re.sub("[┌┐└┘─|│]", " ", str(error)).split())[:200]  # some messages are drawn in a frame
        return fail(f"Qualcomm AI Hub: {reason} (without an account: sign up there, then qai-hub configure --api_token TOKEN)")
    summary = profile["execution_summary"]
    units: dict[str, int] = {}
    for layer in profile.get("execution_detail", []):
        units[layer["compute_unit"]] = units.get(layer["compute_unit"], 0) + 1
    print(f"{record['model']} {record['precision']}, tile {record['size']}, on {arguments.device}: {file}")
    print(
        f"{summary['estimated_inference_time'] / 1000:.2f} ms a tile, peak memory {summary['estimated_inference_peak_memory'] / 1e6:.0f} MB"
    )
    print("layers on " + ", ".join(f"{unit}: {count}" for unit, count in sorted(units.items())))
    return 0


def fail(message: str) -> int:
    """Print the reason for the failure; return the exit code 2."""
    print(f"qualcomm_ai_hub: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
