"""The ablations of docs/ablations.md: `python benchmarks/ablations.py [--seeds 0 1] [--rows ROW...] [--runs DIR]`.

Each row is a chain of stages at `tiny` scale, and every row has the same number of optimizer steps; where a stage is left out,
its steps go to the others. Stages that rows share are trained once. Finished rows are stored in docs/ablations.json, so that the
script can be interrupted and resumed; benchmarks/ablations_report.py makes the table and the plots from that file.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from edgesr.atomic import write_whole
from edgesr.errors import DivergedError
from edgesr.evaluate.epd import EPD
from edgesr.evaluate.metrics import psnr_y
from edgesr.evaluate.suites import load_suite
from edgesr.model import EdgeSR
from edgesr.model.checkpoint import exists
from edgesr.model.loading import load_averaged
from edgesr.train import run

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "ablations.json"
SUITES = ("Set14-blind", "BSD50-blind")
COUNTED_EVERY = 30  # seconds
BUDGET = 7000  # optimizer steps of every row, all its stages together
COMMON = (
    "data.hr_size=128",
    "data.batch=16",
    "data.uses=8",
    "data.folders=[]",
    "model.smoothing=false",  # has a row of its own
    "loss.adversarial.weight=0",  # half the time of a row for its last steps
    "log.least_latent_db=-inf",  # a dead latent path is a result here
    "log.every=250",
    "log.validate=1000000",
)


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table: stages in order with their steps, and what differs from the recipes in recipes/tiny."""

    title: str
    stages: dict[str, int]
    shape: tuple[str, ...] = ()  # overrides of every stage: they change the networks' shapes
    change: tuple[str, ...] = ()  # overrides from stage 1 on


PAPER = {"0-autoencoder": 1000, "1-teacher-x2": 1500, "2-student-x4": 3000, "3-decoder": 1500}
OURS = {"0-autoencoder": 1000, "1-teacher-x2": 1500, "2-student-x4": 1500, "3-decoder": 1000, "4-end-to-end": 2000}
ROWS = {
    "paper": Row("the paper's stages (0-3): bidirectional, s learned, joint E_L, scale distillation", PAPER),
    "standard": Row("standard conditioning: noise eps, concat(z_t, E_L(lr))", PAPER, shape=("model.conditioning=standard",)),
    "s-one": Row("variance conditioning off: s = 1", PAPER, change=("model.variance=one",)),
    "s-zero": Row("variance conditioning off: s = 0", PAPER, change=("model.variance=zero",)),
    "frozen": Row("E_L frozen as stage 0 left it", PAPER, change=("model.lr_encoder=frozen",)),
    "direct": Row(
        "no scale distillation: x4 against the truth",
        {"0-autoencoder": 1000, "2-student-x4": 4500, "3-decoder": 1500},
        change=("loss.target=truth",),
    ),
    "no-decoder": Row(
        "no decoder fine-tuning: D as stage 0 left it", {"0-autoencoder": 1000, "1-teacher-x2": 1500, "2-student-x4": 4500}
    ),
    "ours": Row("with the end-to-end stage", OURS),
    "ours-no-decoder": Row(
        "with end-to-end, without decoder fine-tuning",
        {"0-autoencoder": 1000, "1-teacher-x2": 1500, "2-student-x4": 1500, "4-end-to-end": 3000},
    ),
    "ours-only-end-to-end": Row("end-to-end alone after stage 0", {"0-autoencoder": 1000, "4-end-to-end": 6000}),
    "ours-smoothing": Row("with end-to-end and the LR smoothed before bicubic", OURS, shape=("model.smoothing=true",)),
    "no-skip": Row("the paper's stages, D from the latent alone (no LR skip)", PAPER, shape=("model.lr_skip=false",)),
    "ours-no-skip": Row("with end-to-end, D from the latent alone (no LR skip)", OURS, shape=("model.lr_skip=false",)),
}


def links(row: Row, seed: int) -> list[tuple[str, list[str], str]]:
    """The stages of a row in order: recipe, overrides, and a name that rows which agree so far share."""
    found, history = [], []
    for stage, steps in row.stages.items():
        change = [one for one in row.change if history and ("student" in stage or not one.startswith("loss.target="))]
        overrides = [*COMMON, f"seed={seed}", f"optimizer.steps={steps}", *row.shape, *change]
        history.append([stage, overrides])
        found.append((stage, overrides, hashlib.sha256(json.dumps(history).encode()).hexdigest()[:12]))
    return found


def chain(row: Row, seed: int, runs: Path) -> list[Path]:
    """The output folders of a row's stages, in order."""
    return [runs / name for _, _, name in links(row, seed)]


@contextlib.contextmanager
def counted(file: Path) -> Iterator[Callable[[], float]]:
    """Add the CPU seconds that this process spends inside the block to `file`, also while it runs, so that a killed run keeps its count.

    Yields a function that returns the sum.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    earlier, began, left = float(file.read_text()) if file.exists() else 0.0, time.process_time(), threading.Event()

    def spent() -> float:
        return earlier + time.process_time() - began

    def write() -> None:
        write_whole(file, str(spent()).encode())

    def keep() -> None:
        while not left.wait(COUNTED_EVERY):
            write()

    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    try:
        yield spent
    finally:
        left.set()
        thread.join()
        write()


def train_chain(row: Row, seed: int, runs: Path, device: str, data: Path) -> tuple[Path, dict[str, float], float]:
    """Train the stages that no row before has; return the last checkpoint, its held-out figures, and the seconds of all stages."""
    init, figures, seconds = "", {}, 0.0
    for stage, overrides, name in links(row, seed):
        folder = runs / name
        done = folder / "figures.json"
        if not done.exists():
            with counted(folder / "cpu-seconds.txt") as spent:
                figures = run.train(
                    ROOT / "recipes" / "tiny" / f"{stage}.toml",
                    folder,
                    resume=exists(folder / "checkpoint"),
                    device=device,
                    overrides=[*overrides, f"init={init}", f"data.folder={data}"],
                )
            done.write_text(json.dumps({"figures": figures, "cpu seconds": spent()}))
        saved = json.loads(done.read_text())
        figures, seconds, init = saved["figures"], seconds + saved["cpu seconds"], str(folder / "checkpoint")
    return Path(init), figures, seconds


@torch.no_grad()
def upscale(model: EdgeSR, lr: np.ndarray) -> np.ndarray:
    """A whole picture (h, w, 3) uint8 at once, borders repeated up to the preset's multiple."""
    height, width = lr.shape[:2]
    multiple = model.preset.multiple
    padded = np.pad(lr, ((0, -height % multiple), (0, -width % multiple), (0, 0)), mode="edge")
    tensor = torch.from_numpy(padded).permute(2, 0, 1)[None].float() / 255
    shape = (1, model.preset.latent_channels, tensor.shape[2] // 2, tensor.shape[3] // 2)
    hr = model(tensor, torch.randn(shape, generator=torch.Generator().manual_seed(0)))[0]
    return (hr.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)[: 4 * height, : 4 * width]


def score(checkpoint: Path, suites: Path) -> dict[str, dict[str, float]]:
    """PSNR-Y and EPD on the blind suites."""
    model, _ = load_averaged(checkpoint)
    epd, scores = EPD(), {}
    for name in SUITES:
        pairs = [pair for pair in load_suite(suites / name) if pair.hr is not None]
        outputs = [upscale(model.eval(), pair.lr) for pair in pairs]
        scores[name] = {
            "psnr_y": float(np.mean([psnr_y(out, p.hr) for out, p in zip(outputs, pairs, strict=True)])),
            "epd": float(np.mean([epd(out, p.hr) for out, p in zip(outputs, pairs, strict=True)])),
        }
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS), metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "ablations")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "train", help="photographs")
    parser.add_argument("--suites", type=Path, default=ROOT.parent / "shared" / "eval")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    assert all(sum(row.stages.values()) == BUDGET for row in ROWS.values())
    os.chdir(ROOT)  # the recipes' paths are relative to it
    for seed in arguments.seeds:
        for name in arguments.rows:
            results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
            if f"{name}/{seed}" in results:
                continue
            try:
                checkpoint, figures, seconds = train_chain(ROWS[name], seed, arguments.runs, arguments.device, arguments.data)
            except DivergedError as error:  # a result too; other failures, such as a full disk, are not
                result = {"failed": str(error)}
            else:
                result = {**figures, "cpu minutes": seconds / 60, **score(checkpoint, arguments.suites)}
            results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}  # another process may have added to it
            results[f"{name}/{seed}"] = result
            RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
            print(f"{name}/{seed}: {json.dumps(result)}", flush=True)


if __name__ == "__main__":
    main()
