"""`edgesr checkpoint`: split a checkpoint into size-limited parts, and join them again on another machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgesr.commands.console import int_range, say
from edgesr.errors import needs_extra

EXAMPLES = """\
examples:
  edgesr checkpoint pack runs/small/checkpoint trips                      everything, to resume on another machine
  edgesr checkpoint pack runs/small/checkpoint trips --only ema --half    averaged weights only, an eighth of the size
  edgesr checkpoint unpack home/trip-* runs/small/checkpoint              joins the parts
"""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Define the verb's arguments."""
    verb = verbs.add_parser(
        "checkpoint",
        help="split a checkpoint into small parts, and join them again",
        description='Splits a checkpoint into parts ("trips"), folders of at most 8 files of at most 15 MB, and joins them again.',
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = verb.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    pack = actions.add_parser(
        "pack", help="split a checkpoint into trips", description="Splits a checkpoint into OUT/trip-00, OUT/trip-01 and so on."
    )
    pack.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="folder that `edgesr train` wrote")
    pack.add_argument("out", type=Path, metavar="OUT", help="output folder, without earlier trips")
    pack.add_argument("--only", choices=["ema"], help="only the averaged weights: for a release, or to start the next stage")
    pack.add_argument(
        "--half", action="store_true", help="store weights as bfloat16: enough for a release, not for an exact resume"
    )
    pack.add_argument(
        "--trip-mb", type=int_range(1, 105), default=60, metavar="MB", help="maximum size of a trip (default: %(default)s)"
    )
    unpack = actions.add_parser(
        "unpack",
        help="join the trips of a checkpoint",
        description="Joins all trips of a checkpoint, given in any order, after verifying their checksums.",
    )
    unpack.add_argument("trips", type=Path, nargs="+", metavar="TRIP_DIR", help="folder of one trip, with its trip.json")
    unpack.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT", help="output folder; an earlier step of the same run is replaced"
    )
    unpack.add_argument(
        "--overwrite", action="store_true", help="also replace a later step, another run, or a more complete checkpoint"
    )
    for action in (pack, unpack):
        action.allow_abbrev = False
        # SUPPRESS: the default must not reset a --debug that was given before ACTION.
        action.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks of unexpected errors"
        )
    return verb


def run(arguments: argparse.Namespace) -> int:
    """Pack or unpack; raises UsageError if torch and safetensors are not installed."""
    with needs_extra("torch", "splitting checkpoints"):
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
