"""Throughput of training data, and the share of a step's time that is spent waiting for it: `python benchmarks/data.py FOLDER`.

Crops from the image bank, decoded before, against crops of which each decodes its file anew; then, for every stage of a preset, the
time that a block of batches takes to make against the time of its steps, on a CPU and from random weights. Two minutes on two cores.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from edgesr.data.bank import ImageBank
from edgesr.data.files import read_rgb
from edgesr.data.mixture import Mixture
from edgesr.data.seeds import step_generator
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="photographs")
    parser.add_argument("--recipes", type=Path, default=ROOT / "recipes" / "tiny", help="a folder with one recipe a stage")
    parser.add_argument("--size", type=int, default=192, help="HR px a side of a crop (default: %(default)s)")
    parser.add_argument("--crops", type=int, default=200, help="crops to time (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=6, help="steps to time a stage (default: %(default)s)")
    parser.add_argument("--photographs", type=int, default=200, help="photographs to take at most (default: %(default)s)")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="change fields of the recipes")
    arguments = parser.parse_args()
    print(f"{cpu_name()}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
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
