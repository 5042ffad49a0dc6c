"""Training throughput in crops a second, as a Markdown table: `python benchmarks/training.py [--processes 2]`.

Steps of the last stage, from random weights and on random crops, without the time for data, which `python benchmarks/data.py` measures.
Features are those of whole crops or of a window. Each line is measured in one process and in one a core, all of one thread. On a
machine that does other work as well, the crops a second of processor time are those to compare.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import torch

from edgesr.evaluate.bench import cpu_name
from edgesr.presets import SCALE, get_preset
from edgesr.train.batches import Batch
from edgesr.train.cores import cores
from edgesr.train.loop import Loop
from edgesr.train.networks import Networks
from edgesr.train.precision import choose_precision, cpu_abilities
from edgesr.train.processes import join_processes
from edgesr.train.recipe import load_recipe
from edgesr.train.stages import stage_class

ROOT = Path(__file__).parent.parent
CPU = torch.device("cpu")
CRISP, PAPER = ROOT / "recipes" / "released" / "tiny-7-texture.toml", ROOT / "recipes" / "paper" / "4-end-to-end.toml"
ALONE = ("init=", "data.targets=[]", "compile=false")  # from random weights, on crops that are given
# What is measured -> its recipe and what is changed of it.
LINES = {
    "`tiny`, 192 px, features of whole crops": (CRISP, ("preset=tiny", "data.hr_size=192", "loss.perceptual_window=0")),
    "`tiny`, 192 px, features of a 96 px window": (CRISP, ("preset=tiny", "data.hr_size=192", "loss.perceptual_window=96")),
    "`small`, 192 px, features of whole crops": (CRISP, ("preset=small", "data.hr_size=192", "loss.perceptual_window=0")),
    "`small`, 192 px, features of a 96 px window": (CRISP, ("preset=small", "data.hr_size=192", "loss.perceptual_window=96")),
    "`paper`, 256 px, features of whole crops": (PAPER, ("data.batch=8", "data.hr_size=256", "loss.perceptual_window=0")),
    "`paper`, 256 px, features of a 96 px window": (PAPER, ("data.batch=8", "data.hr_size=256", "loss.perceptual_window=96")),
}
SHOWN_ABILITIES = ("avx2", "avx512_f", "avx512_bf16", "amx_bf16")


def steps(recipe_path: Path, overrides: list[str], seconds: float) -> dict[str, float]:
    """Take steps in this process, with the others where there are some; crops of all, and the seconds of this one."""
    torch.set_num_threads(1)
    recipe, processes = load_recipe(recipe_path, overrides), join_processes("cpu")
    stage = stage_class(recipe.stage)(recipe, CPU)
    nets = Networks(get_preset(recipe.preset), recipe.seed, recipe.model).to(CPU, memory_format=torch.channels_last)
    loop = Loop(recipe, stage, nets, processes)
    own, side = recipe.data.batch // processes.world, recipe.data.hr_size
    hr, lr = (torch.rand(own, 3, length, length) for length in (side, side // SCALE))
    batch = Batch(hr, lr, *[torch.empty(own, 3, 0, 0)] * 2)

    def step() -> None:
        loop.update(batch)
        loop.step += 1

    step()  # chooses kernels, makes the optimizer's moments
    count, began, used = 0, time.perf_counter(), time.process_time()
    while count < 2 or not processes.any(time.perf_counter() - began > seconds, CPU):
        step()
        count += 1
    return {
        "crops": count * recipe.data.batch,
        "seconds": time.perf_counter() - began,
        "processor": (time.process_time() - used) * processes.world,
    }


def measured(path: Path, overrides: list[str], processes: int, seconds: float) -> dict[str, float]:
    """The same in `processes` of their own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, __file__, "--line", str(path), "--seconds", str(seconds), "--set", *overrides]
    started = []
    for rank in range(processes):
        environment = {
            **os.environ,
            **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
            **dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(processes)),
            **dict.fromkeys(("RANK", "LOCAL_RANK"), str(rank)),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
        started.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    answers = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise SystemExit(f"{path.name} in {processes} processes failed")
    answer: dict[str, float] = json.loads(answers[0])
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, help="processes of the second measurement of each line (default: one a core)")
    parser.add_argument(
        "--seconds", type=float, default=20, help="of each measurement, and two steps at least (default: %(default)s)"
    )
    parser.add_argument("--only", default="", help="lines that hold this, for example 'tiny'")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="change fields of the recipes")
    parser.add_argument("--line", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.line:
        print(json.dumps(steps(arguments.line, arguments.set, arguments.seconds)))
        return
    most = arguments.processes or len(cores())
    abilities = [name for name in SHOWN_ABILITIES if cpu_abilities().get(name)]
    precision = choose_precision("auto", CPU)
    print(f"{cpu_name()}, {len(cores())} cores, {', '.join(abilities)}: {precision.precision}, torch {torch.__version__}\n")
    print("| steps of the stage end-to-end | batch | processes | crops a second | crops a second of processor time |")
    print("|---|---|---|---|---|")
    for name, (path, changes) in LINES.items():
        if arguments.only not in name:
            continue
        overrides = [*ALONE, *changes, *arguments.set]
        batch = load_recipe(path, overrides).data.batch
        for processes in sorted({1, most}):
            taken = measured(path, overrides, processes, arguments.seconds)
            rates = (taken["crops"] / taken[seconds] for seconds in ("seconds", "processor"))
            print(f"| {name} | {batch} | {processes} | {' | '.join(f'{rate:.3g}' for rate in rates)} |", flush=True)


if __name__ == "__main__":
    main()
