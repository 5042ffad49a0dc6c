"""`edgesr train`: runs one training stage from its recipe."""

from __future__ import annotations

import argparse
import os

from edgesr.commands.console import int_range
from edgesr.errors import needs_extra


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Define the verb's arguments."""
    verb = verbs.add_parser(
        "train",
        help="run one training stage from a recipe (needs the extra: pip install 'edgesr[train]')",
        description="Runs one training stage: reads a TOML recipe, writes checkpoints to a folder, stops when done\n"
        "or after --minutes, and continues with --resume.",
        epilog="example:\n  edgesr train recipes/tiny/0-autoencoder.toml --out runs/tiny/0-autoencoder --set optimizer.steps=5000",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("recipe", metavar="RECIPE.toml", help="the stage, its data and its length")
    verb.add_argument("--out", required=True, metavar="DIR", help="folder for checkpoints and logs")
    verb.add_argument("--resume", action="store_true", help="continue from the last checkpoint in DIR")
    verb.add_argument("--minutes", type=float, metavar="M", help="save and stop after M minutes")
    verb.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    verb.add_argument(
        "--processes",
        type=_processes,
        metavar="N",
        help="CPU processes of one thread each that share every batch: a number, or auto for one per core (default: auto)",
    )
    verb.add_argument(
        "--set",
        action="extend",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="change fields of the recipe for this run",
    )
    return verb


def run(arguments: argparse.Namespace) -> int:
    """Train; raises UsageError if torch and its companions are not installed."""
    with needs_extra("train", "training"):
        from edgesr.train.launch import Training, launch
    if arguments.debug:
        os.environ["EDGESR_DEBUG"] = "1"  # for the processes that are started
    training = Training(arguments.recipe, arguments.out, arguments.resume, arguments.minutes, arguments.device, arguments.set)
    launch(training, arguments.processes)
    return 0


def _processes(text: str) -> int | None:
    return None if text == "auto" else int_range(1, 1024)(text)
