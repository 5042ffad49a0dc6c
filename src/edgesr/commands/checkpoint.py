"""`edgesr checkpoint`: splits a checkpoint into size-limited parts, and joins them."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgesr.commands.console import int_range, say
from edgesr.errors import needs_extra

EXAMPLES = """\
examples:
  edgesr checkpoint pack runs/small/checkpoint parts                      everything, to resume elsewhere
  edgesr checkpoint pack runs/small/checkpoint parts --only ema --half    the weights alone, an eighth of the size
  edgesr checkpoint unpack home/part-* runs/small/checkpoint              join them
"""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Define the verb's arguments."""
    verb = verbs.add_parser(
        "checkpoint",
        help="split a checkpoint into size-limited parts, and join them",
        description="Splits a checkpoint into parts, folders of at most 8 files of at most 15 MB, and joins them again.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = verb.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    pack = actions.add_parser(
        "pack", help="split a checkpoint into parts", description="Splits a checkpoint into OUT/part-00, OUT/part-01 and so on."
    )
    pack.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="folder that `edgesr train` wrote")
    pack.add_argument("out", type=Path, metavar="OUT", help="folder for the parts; it must hold none")
    pack.add_argument("--only", choices=["ema"], help="the averaged weights alone: for a release, or to start the next stage")
    precision = pack.add_mutually_exclusive_group()
    precision.add_argument(
        "--half", action="store_true", help="store weights as bfloat16: enough for a release, not for an exact resume"
    )
    precision.add_argument("--int8", action="store_true", help="store weights in 8 bits, with a scale for every 64 of them")
    pack.add_argument(
        "--part-mb", "--trip-mb", type=int_range(1, 105), default=60, metavar="MB", help="size of a part (default: %(default)s)"
    )
    unpack = actions.add_parser(
        "unpack",
        help="join the parts of a checkpoint",
        description="Joins all parts of a checkpoint, in any order, after checking every byte.",
    )
    unpack.add_argument("parts", type=Path, nargs="+", metavar="PART_DIR", help="folder of one part, with its part.json")
    unpack.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="folder to write; an earlier step is replaced")
    unpack.add_argument(
        "--overwrite", action="store_true", help="also replace a later step, another run, or a more complete checkpoint"
    )
    for action in (pack, unpack):
        # Where it was given before ACTION, it must not be set back.
        action.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks of unexpected errors"
        )
    return verb


def run(arguments: argparse.Namespace) -> int:
    """Pack or unpack; raises UsageError if torch and safetensors are not installed."""
    with needs_extra("torch", "splitting checkpoints"):
        from edgesr.train import split
    if arguments.action == "pack":
        parts = split.pack(
            arguments.checkpoint,
            arguments.out,
            only_ema=arguments.only == "ema",
            half=arguments.half,
            int8=arguments.int8,
            part_mb=arguments.part_mb,
        )
        for part in parts:
            sizes = [path.stat().st_size for path in part.iterdir()]
            say(f"{part}: {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB")
        return 0
    state = split.unpack(arguments.parts, arguments.checkpoint, overwrite=arguments.overwrite)
    say(f"{arguments.checkpoint}: {state.get('preset')} {state.get('stage')}, step {state.get('step')}")
    return 0
