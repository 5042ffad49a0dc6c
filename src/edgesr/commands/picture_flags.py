"""The arguments that `edgesr upscale`, `edgesr batch` and `edgesr video` share: size, model, files and engine."""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

from edgesr.commands.console import PRECISION_HELP, int_range, share


class Groups(NamedTuple):
    """The groups of arguments, to which a verb adds its own."""

    size: argparse._ArgumentGroup
    files: argparse._ArgumentGroup
    machine: argparse._ArgumentGroup


def add(verb: argparse.ArgumentParser) -> Groups:
    """Define the arguments."""
    sizes = add_size(verb)
    sizes.add_argument(
        "--sharpness",
        type=share,
        metavar="S",
        help="sharpen the result: an unsharp mask of 2 px on its luma, 0 (off) to 1 (default: 0.4, less with --fidelity, 0 with 1)",
    )
    return Groups(sizes, _add_files(verb), add_machine(verb))


def add_size(verb: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Define the arguments of size and model."""
    result = verb.add_argument_group("size and model")
    result.add_argument(
        "-s", "--scale", type=float, metavar="S", help="output px per input px, 1 to 8, such as 2 or 2.5 (default: 4)"
    )
    result.add_argument(
        "--width",
        type=int_range(1),
        metavar="W",
        help="width of the result in px, also below the input's; with --height: the maximum",
    )
    result.add_argument(
        "--height", type=int_range(1), metavar="H", help="height of the result in px; with --width: the maximum"
    )
    result.add_argument("--model", default="tiny", help="model, listed by `edgesr models` (default: %(default)s)")
    result.add_argument(
        "--weights",
        metavar="FILE",
        help="your own weights: an ONNX file of this model, a folder of `edgesr models --download`, or a checkpoint folder (engine torch)",
    )
    result.add_argument(
        "--steps",
        type=int_range(1),
        default=1,
        metavar="N",
        help="diffusion steps; more than 1 needs a checkpoint folder as --weights (default: %(default)s)",
    )
    result.add_argument(
        "--fidelity",
        type=float,
        default=0.0,
        metavar="F",
        help="0 for crisp (default) to 1 for faithful to the input; for models with two forms, see `edgesr models`",
    )
    result.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="seed of the noise (default: 0); with `tiny` another one changes a pixel by 0.2 of 255 levels on average",
    )
    return result


def _add_files(verb: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    files = verb.add_argument_group("files")
    files.add_argument("--format", metavar="F", help="output format, such as png, jpg, webp or tiff (default: the input's)")
    files.add_argument(
        "--quality",
        type=int_range(1, 100),
        metavar="Q",
        help="quality of lossy formats, 1 to 100 (default: JPEG 95, WebP 90, AVIF 85, HEIC 90, JPEG XL 90)",
    )
    files.add_argument(
        "--max-pixels", type=int_range(1), metavar="N", help="refuse larger inputs, in pixels (default: 134217728)"
    )
    files.add_argument(
        "--accept-damaged", action="store_true", help="upscale what can be decoded of damaged or truncated images, with a note"
    )
    files.add_argument(
        "--strip-metadata",
        action="store_true",
        help="remove EXIF, XMP and text (location, author, camera) from the results",
    )
    return files


def add_machine(verb: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Define the arguments of the machine."""
    machine = verb.add_argument_group("machine")
    machine.add_argument(
        "--engine", default="auto", help="runtime of the network; the first message names it (default: %(default)s)"
    )
    machine.add_argument("--precision", default="auto", metavar="P", help=PRECISION_HELP)
    machine.add_argument(
        "--tile",
        default="auto",
        metavar="PX",
        help="tile size in input px: smaller tiles use less memory; or 'blended': 128 px with an overlap of 32 (default: auto)",
    )
    machine.add_argument(
        "--memory",
        type=int_range(250),
        metavar="MB",
        help="memory to take at most, roughly: less makes smaller tiles, more makes larger and faster ones (default: about 500 MB "
        "for photographs, less where less is free)",
    )
    return machine


def add_messages(verb: argparse.ArgumentParser) -> None:
    """Define the arguments of what is printed."""
    messages = verb.add_argument_group("messages")
    messages.add_argument("--json", action="store_true", help="print a JSON report to standard output at the end")
    messages.add_argument("--quiet", action="store_true", help="print errors only")


def check_size(arguments: argparse.Namespace) -> None:
    """Raise UsageError for a scale that no picture could have; unlike a width, it does not depend on the picture."""
    from edgesr.upscaling.size import target_size

    if arguments.scale is not None:
        target_size(1, 1, arguments.scale, arguments.width, arguments.height)


def suffix(arguments: argparse.Namespace) -> str:
    """Return the suffix of the results' names; it is chosen before an image is opened, so it may name one side only."""
    if arguments.width and arguments.height:
        return f"_{arguments.width}x{arguments.height}"
    if arguments.width:
        return f"_{arguments.width}w"
    if arguments.height:
        return f"_{arguments.height}h"
    return f"_{arguments.scale or 4:g}x"


def of_upscaler(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of `Upscaler`, without threads."""
    return {
        name: getattr(arguments, name)
        for name in ("model", "fidelity", "engine", "precision", "tile", "memory", "seed", "weights", "steps")
    }


def of_pictures(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of `upscaling.file.Options` that both verbs have."""
    names = ("scale", "width", "height", "sharpness", "quality", "max_pixels", "accept_damaged", "strip_metadata")
    return {name: getattr(arguments, name) for name in names}
