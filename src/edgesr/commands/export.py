"""`edgesr export`: write a model for another runtime, and compare it with the torch network."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgesr.commands.console import size
from edgesr.errors import UsageError, needs_extra

EXAMPLES = """\
examples:
  edgesr export tiny --format onnx -o tiny-onnx                             for tiles of 128x128 px
  edgesr export tiny --format onnx -o any --size dynamic                    for images of any size
  edgesr export tiny --format litert -o tiny-android --precision fp16       for Android
  edgesr export tiny --format onnx -o tiny-npu --precision int8 --calibrate PHOTOS
  edgesr export tiny --format ncnn -o tiny-ncnn --single-input              for Upscayl and realesrgan-ncnn-vulkan
  edgesr export runs/small/4-end-to-end/checkpoint --format coreml -o small-ios

Formats: onnx, openvino, litert, coreml, executorch, ncnn. The folder also gets a README.md with names, shapes, ranges and example code.
"""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Define the verb's arguments."""
    verb = verbs.add_parser(
        "export",
        help="write a model for another runtime: ONNX, OpenVINO, LiteRT, Core ML, ExecuTorch, ncnn",
        description="Writes a model for another runtime into a folder, runs it and compares the output with that of the torch network.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument(
        "model", metavar="MODEL", help="model listed by `edgesr models`, checkpoint folder, or released ONNX file"
    )
    verb.add_argument("--format", required=True, metavar="F", help="onnx, openvino, litert, coreml, executorch or ncnn")
    verb.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="output folder, new or empty")
    verb.add_argument("--precision", choices=["fp32", "fp16", "int8"], default="fp32", help="(default: %(default)s)")
    verb.add_argument("--size", metavar="WxH", help="tile size in px, or dynamic for any size (default: 128x128)")
    verb.add_argument(
        "--single-input",
        action="store_true",
        help="one input of any size, the noise at its mean, for programs that run other upscalers (formats onnx and ncnn)",
    )
    verb.add_argument("--calibrate", type=Path, metavar="DIR", help="folder of photographs to calibrate int8 with")
    verb.add_argument(
        "--fidelity", type=float, default=0.0, metavar="F", help="0 for crisp (default) to 1 for faithful to the input"
    )
    verb.add_argument(
        "--random", action="store_true", help="random weights, to measure the speed of a preset without released weights"
    )
    verb.add_argument("--overwrite", action="store_true", help="replace an existing export")
    return verb


def run(arguments: argparse.Namespace) -> int:
    """Export; print the size of the files and their parity with torch."""
    if arguments.single_input and arguments.size not in (None, "dynamic"):
        raise UsageError(f"--size {arguments.size}: a file with --single-input takes any size; omit --size")
    tile = None if arguments.size == "dynamic" else _size(arguments.size or "128x128")
    if not 0 <= arguments.fidelity <= 1:
        raise UsageError(f"fidelity {arguments.fidelity:g}: give a number from 0 (crisp) to 1 (true to the input)")
    with needs_extra("export", "exporting models"):
        from edgesr.export import package
    with needs_extra(package.FORMATS.get(arguments.format, ("", ""))[1], f"the format '{arguments.format}'"):
        package.load_format(arguments.format)
    done = package.export(
        arguments.model,
        arguments.format,
        arguments.output,
        precision=arguments.precision,
        size=tile,
        fidelity=arguments.fidelity,
        calibrate=arguments.calibrate,
        random=arguments.random,
        single=arguments.single_input,
        overwrite=arguments.overwrite,
    )
    print(
        f"{arguments.output}: {arguments.format} {arguments.precision}, {sum(done.files.values()) / 1e6:.1f} MB, {done.summary}"
    )
    return 0


def _size(text: str) -> tuple[int, int]:
    try:
        return size(text)
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"argument --size: {error}, or dynamic") from None
