"""`edgesr checkpoint`: carries a training's checkpoint between machines in trips of a few small files."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgesr.commands.console import int_range, say
from edgesr.errors import needs_extra

EXAMPLES = """\
examples:
  edgesr checkpoint pack runs/small/checkpoint trips                      all of it, to resume from elsewhere
  edgesr checkpoint pack runs/small/checkpoint trips --only ema --half    what a release needs, an eighth of it
  edgesr checkpoint unpack home/trip-* runs/small/checkpoint              together again
"""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Define the verb's arguments."""
    verb = verbs.add_parser(
        "checkpoint",
        help="carry a checkpoint between machines in small parcels",
        description="Cuts a checkpoint into trips, folders of at most 8 files of at most 15 MB, and puts them together again.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = verb.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    pack = actions.add_parser(
        "pack", help="cut a checkpoint into trips", description="Cuts a checkpoint into OUT/trip-00, OUT/trip-01 and so on."
    )
    pack.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="folder that `edgesr train` wrote")
    pack.add_argument("out", type=Path, metavar="OUT", help="folder for the trips; it holds none yet")
    pack.add_argument("--only", choices=["ema"], help="the averaged weights alone: for a release, or to start the next stage")
    pack.add_argument(
        "--half", action="store_true", help="store weights as bfloat16: fine for a release, not for resuming bit for bit"
    )
    pack.add_argument(
        "--trip-mb", type=int_range(1, 105), default=60, metavar="MB", help="size of a trip (default: %(default)s)"
    )
    unpack = actions.add_parser(
        "unpack",
        help="put a checkpoint together from its trips",
        description="Puts a checkpoint together from all its trips, in any order, after checking every byte.",
    )
    unpack.add_argument("trips", type=Path, nargs="+", metavar="TRIP_DIR", help="folder of one trip, with its trip.json")
    unpack.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="folder to write; an earlier step is replaced")
    unpack.add_argument(
        "--overwrite", action="store_true", help="replace a later step, another run, or a fuller checkpoint too"
    )
    for action in (pack, unpack):
        action.allow_abbrev = False
        # Where it was given before ACTION, it must not be set back.
        action.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks of unexpected errors"
        )
    return verb


def run(arguments: argparse.Namespace) -> int:
    """Pack or unpack; raises UsageError if torch and safetensors are not installed."""
    with needs_extra("torch", "carrying checkpoints"):
        from edgesr.train import parcels
    if arguments.action == "pack":
        trips = parcels.pack(
            arguments.checkpoint,
            arguments.out,
            only_ema=arguments.only == "ema",
            half=arguments.half,
            trip_mb=arguments.trip_mb,
        )
        for trip in trips:
            sizes = [path.stat().st_size for path in trip.iterdir()]
            say(f"{trip}: {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB")
        return 0
    state = parcels.unpack(arguments.trips, arguments.checkpoint, overwrite=arguments.overwrite)
    say(f"{arguments.checkpoint}: {state.get('preset')} {state.get('stage')}, step {state.get('step')}")
    return 0
