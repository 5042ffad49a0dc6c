"""Compare layouts of `small` at equal cost, as in docs/ablations.md: `python benchmarks/layouts.py --data PHOTOS --painted DIR`.

Each layout trains from the same seed on the same crops with the same teacher (recipes/slice/small-2-crisp.toml, from random weights), by
default 60,000 of them. A layout is judged by the mean loss of its last fifth of steps, on crops that all layouts share. --score SUITES
--weights DIR adds SQD and EPD on the blind suites. It needs a GPU to be of use: a processor takes hours.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path

import torch

from edgesr.model.edge import build
from edgesr.presets import PRESETS, EncoderConfig, Preset, SkipDecoderConfig, UNetConfig
from edgesr.train.recipe import load_recipe
from edgesr.train.run import train
from edgesr.train.throughput import step_flops

ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / "recipes" / "slice" / "small-2-crisp.toml"
SIDE = 128  # LR px, for the cost
TERMS = ("loss", "pixel", "perceptual", "lattice", "samples_per_second")


def layouts() -> dict[str, tuple[str, Preset]]:
    """The layouts by name, each with a description."""
    small, tiny = PRESETS["small"], PRESETS["tiny"]
    return {
        "small-latent": ("most of the compute on the latent grid", small),
        "small-lr": (
            "most of it on the LR grid",
            replace(
                small,
                encoder=EncoderConfig(64, 2),
                unet=UNetConfig(widths=(64, 192), blocks=1, middle_blocks=3),
                decoder=SkipDecoderConfig(96, 1, 64, 8),
            ),
        ),
        "small-coarse": (
            "more of it on the coarsest grid",
            replace(
                small,
                encoder=EncoderConfig(96, 2),
                unet=UNetConfig(widths=(96, 320), blocks=1, middle_blocks=4),
                decoder=SkipDecoderConfig(128, 2, 48, 2),
            ),
        ),
        "tiny-latent": ("`tiny`: most of the compute on the latent grid", tiny),
        "tiny-lr": (
            "`tiny`: most of it on the LR grid",
            replace(
                tiny,
                encoder=EncoderConfig(32, 1),
                unet=UNetConfig(widths=(32, 96), blocks=1, middle_blocks=1),
                decoder=SkipDecoderConfig(48, 1, 32, 6),
            ),
        ),
    }


def gflops(preset: Preset) -> float:
    """2 x multiply-accumulates / 1e9 of one 128x128 -> 512x512 evaluation."""
    model = build(preset).eval()
    lr, eps = torch.zeros(1, 3, SIDE, SIDE), torch.zeros(1, preset.latent_channels, SIDE // 2, SIDE // 2)
    with torch.no_grad():
        return step_flops(lambda: model(lr, eps)) / 1e9


def last_fifth(run: Path) -> dict[str, float]:
    """Means of TERMS over the last fifth of a run's log lines."""
    lines = [json.loads(line) for line in (run / "scalars.jsonl").read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if "loss" in line]
    lines = lines[-max(1, len(lines) // 5) :]
    return {term: sum(line[term] for line in lines) / len(lines) for term in TERMS}


def main() -> None:
    """Train and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(layouts()), metavar="LAYOUT", help=", ".join(layouts()))
    parser.add_argument("--data", required=True, help="photographs")
    parser.add_argument("--painted", default="", help="pictures by tools/paint.py (default: none)")
    parser.add_argument("--crops", type=int, default=60_000, help="of each layout (default: %(default)s)")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "layouts")
    parser.add_argument("--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help="as for `edgesr train`")
    parser.add_argument("--score", type=Path, metavar="SUITES", help="folder of the blind suites")
    parser.add_argument("--weights", type=Path, help="folder with SqueezeNet's weights, for --score")
    given = parser.parse_args()
    os.chdir(ROOT)
    steps = given.crops // load_recipe(RECIPE, given.set).data.batch
    folders = (
        [f'data.folders=[{{path = "{given.painted}", share = 0.08, downscale = false}}]']
        if given.painted
        else ["data.folders=[]"]
    )
    common = [
        "init=",
        "compile=false",
        "optimizer.schedule=steps",
        f"optimizer.steps={steps}",
        f"log.every={max(1, steps // 40)}",
    ]
    rare = [f"log.validate={10 * steps}", f"log.checkpoint={10 * steps}", "log.least_latent_db=-inf"]
    for name in given.names:
        title, preset = layouts()[name]
        PRESETS[name] = replace(preset, name=name)
        run = given.runs / name
        if not (run / "checkpoint").exists():
            overrides = [f"preset={name}", f"data.folder={given.data}", *folders, *common, *rare, *given.set]
            train(RECIPE, run, overrides=overrides)
        row: dict[str, object] = {"layout": name, "title": title, "gflops": round(gflops(preset), 2)}
        row |= {term: round(value, 5) for term, value in last_fifth(run).items()}
        if given.score:
            from texture import score

            row |= score(run / "checkpoint", given.score, given.weights)
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
