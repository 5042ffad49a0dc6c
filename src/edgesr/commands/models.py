"""`edgesr models`: the presets, what each costs, and which weights are installed; and weights from the Hugging Face Hub."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from edgesr.commands.console import say
from edgesr.errors import InputError, UsageError

_PARTS = ("encoder", "unet", "decoder", "total")


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Define the verb's arguments."""
    verb = verbs.add_parser(
        "models",
        help="list the models and what each costs",
        description="Lists the models: parameters and FLOPs (2 x multiply-accumulates, one 128x128 -> 512x512 evaluation) of each "
        "part and in total, whether weights are installed, their version, and whether `edgesr upscale --fidelity` can choose between "
        "two forms of them.",
    )
    verb.add_argument("--json", action="store_true", help="print a JSON list instead of a table; parameters are counts")
    verb.add_argument(
        "--download",
        metavar="ID",
        help="download a model of the Hugging Face Hub, such as name/edgesr-tiny, verify its checksums, and print its folder, which "
        "`edgesr upscale --weights` takes",
    )
    verb.add_argument(
        "-o", "--output", metavar="DIR", type=Path, help="with --download: the folder (default: in the Hub's cache)"
    )
    return verb


def run(arguments: argparse.Namespace) -> int:
    """Print the table or the JSON list, or download a model."""
    if arguments.download:
        return _download(arguments.download, arguments.output)
    if arguments.output:
        raise UsageError("-o needs --download")
    from edgesr.presets import list_models

    models: list[dict[str, Any]] = list_models()
    if arguments.json:
        print(json.dumps(models, indent=2))
        return 0
    parts = "".join(f"{part:>9}" for part in _PARTS)
    wide = max(len("version"), *(len(model["version"] or "-") for model in models)) + 2
    print(f"{'':<{26 + wide}}{'parameters, millions':>36}   {'GFLOPs, 128x128 -> 512x512':>36}")
    print(f"{'model':<7}{'weights':<9}{'version':<{wide}}{'fidelity':<10}{parts}   {parts}")
    for model in models:
        millions = "".join(f"{model['parameters'][part] / 1e6:>9.2f}" for part in _PARTS)
        gflops = "".join(f"{model['gflops'][part]:>9.2f}" for part in _PARTS)
        weights, fidelity = ("yes" if model[key] else "no" for key in ("weights", "fidelity"))
        print(f"{model['name']:<7}{weights:<9}{model['version'] or '-':<{wide}}{fidelity:<10}{millions}   {gflops}")
    return 0


def _download(model: str, output: Path | None) -> int:
    from edgesr.upscaling import hub

    if output is not None and output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(f"{output}: is not an empty folder: name a new one")
    folder = hub.download(model, output)
    say(f"{model}: the model '{hub.preset_of(folder)}'; use it by --weights")
    print(folder)
    return 0
