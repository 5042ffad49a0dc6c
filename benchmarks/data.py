"""Throughput of training data, and the share of a step's time that is spent waiting for it: `python benchmarks/data.py FOLDER`.

Crops from the image bank, decoded before, against crops of which each decodes its file anew; then, for every stage of a preset, the
time that a block of batches takes to make against the time of its steps, on a CPU and from random weights. Two minutes on two cores.

`python benchmarks/data.py FOLDER --stream` packs the photographs into shards instead, measures how fast one core turns shards into crops,
and computes from these times how long a GPU would wait for 16 such processes: a simulation, since it needs neither GPU nor 16 cores.
"""

from __future__ import annotations

import argparse
import tarfile
import tempfile
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import torch

from edgesr.data.bank import CropConfig, ImageBank
from edgesr.data.files import picture_paths, read_rgb
from edgesr.data.mixture import Mixture
from edgesr.data.seeds import step_generator
from edgesr.data.stream import MIXED, Crops, Shard, read_crops
from edgesr.evaluate.bench import cpu_name
from edgesr.presets import get_preset
from edgesr.train.batches import Batches
from edgesr.train.loop import Loop
from edgesr.train.networks import Networks
from edgesr.train.recipe import load_recipe
from edgesr.train.stages import stage_class

ROOT = Path(__file__).parent.parent
CPU = torch.device("cpu")


class Undecoded(ImageBank):
    """A bank that decodes the photograph for every crop."""

    def __init__(self, bank: ImageBank, folder: Path) -> None:
        super().__init__(torch.empty(0, dtype=torch.uint8), bank.photos)
        self.folder = folder

    def image(self, index: int) -> torch.Tensor:
        """Photograph `index` as (height, width, 3) uint8, from its file."""
        return torch.from_numpy(read_rgb(self.folder / self.photos[index].name).copy())


def seconds(fn: Callable[[], object]) -> float:
    began = time.perf_counter()
    fn()
    return time.perf_counter() - began


def crops_a_second(bank: ImageBank, count: int, size: int) -> float:
    bank.crops(2, size, step_generator(0, "warm", 0))
    return count / seconds(lambda: bank.crops(count, size, step_generator(0, "crops", 0)))


def block_and_step(path: Path, bank: ImageBank, steps: int, overrides: list[str]) -> tuple[float, float]:
    """Seconds that the batches of one step took to make, as a share of their block, and the seconds of the step itself."""
    recipe = load_recipe(path, overrides)
    stage = stage_class(recipe.stage)(recipe, CPU)
    nets = Networks(get_preset(recipe.preset), recipe.seed, recipe.model, with_teacher=stage.has_teacher)
    loop = Loop(recipe, stage, nets.to(CPU, memory_format=torch.channels_last))
    batches = Batches(Mixture(bank, recipe.data.crop), recipe.data, recipe.seed, lr_x2=stage.has_teacher)
    block = seconds(lambda: batches(0)) / recipe.data.block
    loop.update(batches(0))  # chooses kernels, makes the optimizer's moments
    taking = [seconds(lambda i=i: batches(i)) for i in range(1, steps + 1)]
    stepping = [seconds(lambda i=i: loop.update(batches(i))) for i in range(1, steps + 1)]
    return block + sum(taking) / steps, (sum(stepping) - sum(taking)) / steps


def shard_times(folder: Path, size: int, photographs: int, per_shard: int) -> list[float]:
    """Seconds of processor time that one core takes to turn each shard of the photographs into crops."""
    paths = picture_paths(folder)[:photographs]
    times: list[float] = []
    with tempfile.TemporaryDirectory() as scratch:
        for start in range(0, len(paths) - per_shard + 1, per_shard):
            url = f"{scratch}/{start}.tar"
            with tarfile.open(url, "w") as shard:
                for path in paths[start : start + per_shard]:
                    shard.add(path, path.name)
            some = Shard(url, per_shard), Crops(size, CropConfig(), 0), step_generator(0, "shard", start)
            began = time.process_time()  # whatever else this machine does
            read_crops(*some)
            times.append(time.process_time() - began)
    return times


def waiting(times: list[float], per_shard: int, *, workers: int, rate: float, groups: int = 200) -> float:
    """The share of its time that a GPU which takes `rate` crops a second waits after the first group, by the rules of `Stream`.

    Shards go to the workers by turns; a worker is at most `ahead` shards ahead of the GPU, which takes MIXED shards at a time.
    """
    ahead = -(-2 * MIXED // workers)
    each = list(islice(cycle(times), groups * MIXED))
    done, taken, free, waited, first = [0.0] * len(each), [0.0] * len(each), 0.0, 0.0, 0.0
    for group in range(groups):
        own = range(group * MIXED, (group + 1) * MIXED)
        for i in own:
            before = done[i - workers] if i >= workers else 0.0
            room = taken[i - workers * ahead] if i >= workers * ahead else 0.0
            done[i] = max(before, room) + each[i]
        begun = max(free, *(done[i] for i in own))
        if group:
            waited += begun - free
        else:
            first = begun
        for i in own:
            taken[i] = begun
        free = begun + MIXED * per_shard / rate
    return waited / (free - first)


def stream(arguments: argparse.Namespace) -> None:
    """Measure and simulate what streaming from shards gives."""
    torch.set_num_threads(1)
    per_shard = 20
    times = shard_times(arguments.folder, arguments.size, arguments.photographs, per_shard)
    sides = [read_rgb(path).shape for path in picture_paths(arguments.folder)[:20]]
    pixels = sum(height * width for height, width, _ in sides) / len(sides) / 1e6
    per_core = per_shard * len(times) / sum(times)
    print(f"one core: {per_core:.0f} new crops/s from shards, photographs of {pixels:.2f} megapixels on average\n")
    print("| crops/s that a GPU takes | uses of a crop | new crops/s | processes that suffice | 16 processes: GPU waits |")
    print("|---|---|---|---|---|")
    for uses in (1, 8):
        rate = 1500 / uses
        share = waiting(times, per_shard, workers=16, rate=rate)
        print(f"| 1500 | {uses} | {rate:.0f} | {rate / per_core:.1f} | {share:.1%} (simulated) |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="photographs")
    parser.add_argument("--recipes", type=Path, default=ROOT / "recipes" / "tiny", help="a folder with one recipe a stage")
    parser.add_argument("--size", type=int, default=192, help="HR px a side of a crop (default: %(default)s)")
    parser.add_argument("--crops", type=int, default=200, help="crops to time (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=6, help="steps to time a stage (default: %(default)s)")
    parser.add_argument("--photographs", type=int, default=200, help="photographs to take at most (default: %(default)s)")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="change fields of the recipes")
    parser.add_argument("--stream", action="store_true", help="measure shards instead")
    arguments = parser.parse_args()
    print(f"{cpu_name()}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    if arguments.stream:
        stream(arguments)
        return
    with tempfile.TemporaryDirectory() as cache:
        bank = ImageBank.load(arguments.folder, cache=Path(cache), limit=arguments.photographs)
        warm = crops_a_second(bank, arguments.crops, arguments.size)
        cold = crops_a_second(Undecoded(bank, arguments.folder), max(1, arguments.crops // 10), arguments.size)
        print("| crops | a second |\n|---|---|")
        print(f"| from the image bank | {warm:.0f} |\n| each decoding its file anew | {cold:.0f} |")
        print(f"| ratio | {warm / cold:.0f} |\n")
        print("| stage | data, s a step | step, s | waiting |\n|---|---|---|---|")
        for path in sorted(arguments.recipes.glob("*.toml")):
            data, step = block_and_step(path, bank, arguments.steps, arguments.set)
            print(f"| {path.stem} | {data:.3f} | {step:.3f} | {data / (data + step):.1%} |", flush=True)


if __name__ == "__main__":
    main()
