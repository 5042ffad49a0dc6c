"""`edgesr models`: the presets, what each costs, and whether its weights are here."""

from __future__ import annotations

import argparse
import json
from typing import Any


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Define the verb's arguments."""
    verb = verbs.add_parser(
        "models",
        help="list the models and what each costs",
        description="Lists the models: parameters in millions, GFLOPs for one 128x128 -> 512x512 evaluation, and "
        "whether the weights come with this installation.",
    )
    verb.add_argument("--json", action="store_true", help="print a JSON list instead of a table; parameters are counts")
    return verb


def run(arguments: argparse.Namespace) -> int:
    """Print the table or the JSON list."""
    from edgesr.presets import list_models  # noqa: PLC0415 (so that --help stays fast)

    models: list[dict[str, Any]] = list_models()
    if arguments.json:
        print(json.dumps(models, indent=2))
        return 0
    print(f"{'model':<8} {'parameters':>12} {'GFLOPs':>8}  weights")
    for model in models:
        millions, gflops = model["parameters"]["total"] / 1e6, model["gflops"]["total"]
        print(f"{model['name']:<8} {millions:>10.1f} M {gflops:>8.1f}  {'yes' if model['weights'] else 'no'}")
    return 0
