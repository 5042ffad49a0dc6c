"""`edgesr data`: looks at training data, carries it between machines, and has teachers make targets of it."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import TYPE_CHECKING

from edgesr.commands.console import complain, int_range, say
from edgesr.commands.teach import add_teach, run_teach
from edgesr.errors import InputError, UsageError, needs_extra, one_line

if TYPE_CHECKING:
    from edgesr.data.shards import Manifest

EXAMPLES = """\
examples:
  edgesr data sheet photos -o sheet.png                 what training sees of the photographs
  edgesr data pack photos shards                        shards/photos-1-of-3.tar and so on, 60 MB at most
  edgesr data unpack shards/*.tar photos                the same pictures again
  edgesr data teach photos --teacher realesrgan-x4plus -o targets   what a larger upscaler makes of crops, to train towards
  edgesr data degrade photos suite --seed 1             a test suite for `edgesr evaluate`
"""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Define the verb's arguments."""
    verb = verbs.add_parser(
        "data",
        help="inspect, pack or degrade training data, or make a teacher's targets",
        description="Shows crops as training sees them, packs pictures, makes blind suites and a teacher's targets.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = verb.add_subparsers(title="actions", metavar="ACTION", required=True)
    pairs = ((_add_sheet, sheet), (_add_pack, pack), (_add_unpack, unpack), (_add_degrade, degrade), (add_teach, run_teach))
    for add_action, action in pairs:
        parser = add_action(actions)
        parser.set_defaults(action=action)
        # Where it was given before ACTION, it must not be set back.
        parser.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks of unexpected errors"
        )
    return verb


def _add_sheet(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    parser = actions.add_parser(
        "sheet",
        help="a contact sheet of crops and their degraded versions (needs the extra: pip install 'edgesr[train]')",
        description="Draws HR crops and, beside each, LR versions as training sees them, with what was drawn below.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="pictures; subfolders are ignored")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="SHEET.png", help="picture to write")
    parser.add_argument("--overwrite", action="store_true", help="replace a picture that is already there")
    parser.add_argument("--rows", type=int_range(1, 100), default=4, metavar="N", help="HR crops (default: %(default)s)")
    parser.add_argument("--columns", type=int_range(1, 20), default=3, metavar="N", help="LR of each (default: %(default)s)")
    parser.add_argument("--seed", type=int_range(0), default=0, metavar="N", help="seed of the draw (default: %(default)s)")
    parser.add_argument("--recipe", type=Path, metavar="RECIPE.toml", help="take the table [data] of a training recipe")
    parser.add_argument(
        "--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help="change fields of the recipe, as for `train`"
    )
    return parser


def _add_pack(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    parser = actions.add_parser(
        "pack",
        help="pack a folder of pictures into files of limited size",
        description="Packs the picture files of FOLDER, unchanged, into OUT/FOLDER-1-of-N.tar and so on.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="pictures; subfolders are ignored")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the shards: a new or an empty one")
    parser.add_argument(
        "--shard-mb",
        type=int_range(1, 100_000),
        default=60,
        metavar="MB",
        help="greatest size of a shard (default: %(default)s)",
    )
    return parser


def _add_unpack(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    parser = actions.add_parser(
        "unpack",
        help="unpack shards, all at once or one by one",
        description="Unpacks shards into a folder after checking every byte, and lists the missing ones.",
    )
    parser.add_argument("shards", type=Path, nargs="+", metavar="SHARD", help="files that `edgesr data pack` wrote")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the pictures; made if it is missing")
    return parser


def _add_degrade(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    parser = actions.add_parser(
        "degrade",
        help="make a blind test suite from photographs (needs the extra: pip install 'edgesr[torch]')",
        description="Writes OUT/HR, the photographs cut to multiples of 4 px, and OUT/LR, degraded blindly and 4 times smaller.",
    )
    parser.add_argument("folder", type=Path, metavar="HR_DIR", help="photographs; subfolders are ignored")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the suite: a new or an empty one")
    parser.add_argument(
        "--seed", type=int_range(0), default=0, metavar="N", help="seed of the degradation (default: %(default)s)"
    )
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Do the action."""
    code: int = arguments.action(arguments)
    return code


def sheet(arguments: argparse.Namespace) -> int:
    """Draw a contact sheet; raises UsageError if torch is not installed, or for what the recipe or the folder lacks."""
    _check_sheet(arguments)
    with needs_extra("train", "drawing contact sheets"):
        import torch

        from edgesr.atomic import write_whole
        from edgesr.data.bank import ImageBank
        from edgesr.data.sheet import contact_sheet
        from edgesr.train.recipe import DataConfig, load_recipe

    config = load_recipe(arguments.recipe, arguments.set).data if arguments.recipe else DataConfig()
    generator = torch.Generator().manual_seed(arguments.seed)
    hr = ImageBank.load(arguments.folder, cache=None).crops(arguments.rows, config.hr_size, generator, config.crop)
    picture = io.BytesIO()
    contact_sheet(hr, arguments.columns, generator, config.degradation).save(picture, "PNG", optimize=True)
    try:
        write_whole(arguments.output, picture.getvalue())
    except OSError as error:
        raise InputError(f"{arguments.output}: cannot be written: {one_line(error)}") from error
    return 0


def _check_sheet(arguments: argparse.Namespace) -> None:
    """Raise UsageError, before any work, for what cannot be drawn or written."""
    output: Path = arguments.output
    if arguments.set and not arguments.recipe:
        raise UsageError("--set changes fields of a recipe: name it with --recipe")
    if output.suffix.lower() != ".png":
        raise UsageError(f"{output}: a sheet is a PNG file; give it a name that ends in .png")
    if not output.parent.is_dir():
        raise UsageError(f"{output}: the folder {output.parent} does not exist; create it first")
    if output.is_dir() or (output.exists() and not arguments.overwrite):
        raise UsageError(f"{output}: exists already; name another file, or replace it with --overwrite")


def pack(arguments: argparse.Namespace) -> int:
    """Pack a folder, then say what is in which shard and what was left out."""
    from edgesr.data import shards

    packed = shards.pack(arguments.folder, arguments.out, arguments.shard_mb * 1_000_000)
    for path in packed.shards:
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    print(f"{packed.pictures} pictures in {len(packed.shards)} shards")
    if packed.left_out:
        say(f"skipped {len(packed.left_out)} unreadable files: {', '.join(packed.left_out)}")
    return 0


def unpack(arguments: argparse.Namespace) -> int:
    """Unpack shards, a bad one no hindrance to the others; say what is there and what is missing. 1 if one was bad, else 0."""
    from edgesr.data import shards

    unpacked = [_unpacked(shard, arguments.out) for shard in arguments.shards]
    manifests = [manifest for manifest in unpacked if manifest is not None]
    # Shards of one set tell the same of it.
    for pictures, manifest in {manifest.pictures: manifest for manifest in manifests}.items():
        there = shards.present(manifest, arguments.out)
        print(f"{arguments.out}: {len(there)} of {len(pictures)} pictures")
        missing = sorted({entry.shard for entry in pictures if entry.name not in there})
        if missing:
            print(f"missing shards: {', '.join(map(str, missing))} of {manifest.of}")
    return 0 if len(manifests) == len(unpacked) else 1


def _unpacked(shard: Path, out: Path) -> Manifest | None:
    """Unpack one shard; if it is bad, say so."""
    from edgesr.data import shards

    try:
        return shards.unpack(shard, out)
    except InputError as error:
        complain(str(error))
        return None


def degrade(arguments: argparse.Namespace) -> int:
    """Make a blind suite; 1 if a photograph could not be used, else 0. Raises UsageError if torch is not installed."""
    with needs_extra("torch", "degrading"):
        from edgesr.data.blind_suite import make_suite

    from tqdm import tqdm

    made = make_suite(arguments.folder, arguments.out, arguments.seed)
    results = [problem for _, problem in tqdm(made, disable=None, leave=False, unit="picture")]
    for problem in filter(None, results):
        complain(str(problem))
    print(f"{arguments.out}: {results.count(None)} of {len(results)} pictures")
    return 0 if results.count(None) == len(results) else 1
