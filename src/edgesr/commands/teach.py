"""`edgesr data teach`: a teacher's results as targets for training."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgesr.commands.console import int_range, say
from edgesr.errors import UsageError, needs_extra


def add_teach(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Define the action's arguments."""
    parser = actions.add_parser(
        "teach",
        help="make training targets with a larger upscaler (needs the extra: pip install 'edgesr[train]')",
        description=(
            "Draws crops of the photographs in FOLDER, degrades them as RECIPE says, and stores a teacher's result for each in OUT, for "
            "the field `data.targets` of a recipe. An interrupted run continues where it stopped."
        ),
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="photographs; subfolders are ignored")
    parser.add_argument(
        "--teacher",
        required=True,
        metavar="NAME_OR_FILE",
        help="realesrgan-x4plus, realesr-animevideov3, General_x4_v3, 4xLSDIRCompactC3; or a file: ncnn's .param, or any that spandrel "
        "loads ('edgesr[teachers]')",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for the targets")
    parser.add_argument(
        "--weights", type=Path, metavar="DIR", help="folder with the teacher's files, where no package has them"
    )
    parser.add_argument(
        "--pairs", type=int_range(1, 10_000_000), default=8192, metavar="N", help="crops (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int_range(0), default=0, metavar="N", help="seed of the draw (default: %(default)s)")
    parser.add_argument("--recipe", type=Path, metavar="RECIPE.toml", help="take the table [data] of a training recipe")
    parser.add_argument(
        "--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help="change fields of the recipe, as for `train`"
    )
    parser.add_argument(
        "--processes", type=int_range(1, 1024), metavar="N", help="processes of one thread each (default: one per core)"
    )
    parser.add_argument("--device", default="cpu", help="where the teacher runs: cpu (default) or cuda")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="(default: %(default)s)")
    return parser


def run_teach(arguments: argparse.Namespace) -> int:
    """Make the targets; raises UsageError for whatever is missing or does not fit."""
    with needs_extra("train", "making targets"):
        import torch
        from tqdm import tqdm

        from edgesr.data.targets import Source, without_path
        from edgesr.data.teaching import Lesson, teach
        from edgesr.train.recipe import DataConfig, load_recipe
        from edgesr.upscaling.engines import available_cores

    if arguments.set and not arguments.recipe:
        raise UsageError("--set changes fields of a recipe: name it with --recipe")
    data = load_recipe(arguments.recipe, arguments.set).data if arguments.recipe else DataConfig()
    try:
        torch.empty(0, device=arguments.device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"--device {arguments.device}: cannot be used: {str(error).splitlines()[0]}") from None
    processes = arguments.processes or (available_cores() if arguments.device == "cpu" else 1)
    if processes == 1 and arguments.processes:
        torch.set_num_threads(1)
    lesson = Lesson(
        teacher=arguments.teacher,
        weights=arguments.weights,
        photographs=arguments.folder,
        cache=Path(data.cache),
        held_out=data.held_out,
        folders=data.folders,
        source=Source(data.hr_size, data.crop, data.degradation, tuple(map(without_path, data.folders)), arguments.seed),
        pairs=arguments.pairs,
        out=arguments.output,
        bfloat16=arguments.precision == "bfloat16",
        device=arguments.device,
    )
    left, parts = teach(lesson, processes)
    say(f"{arguments.output}: {left} of {arguments.pairs} pairs to make, {processes} process{'es' if processes > 1 else ''}")
    with tqdm(total=left, unit="pair", disable=None, leave=False) as bar:
        for pairs in parts:
            bar.update(pairs)
    print(f"{arguments.output}: {arguments.pairs} pairs of {arguments.teacher}")
    return 0
