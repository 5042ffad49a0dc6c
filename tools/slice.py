"""Run a training in one slice of a rented GPU without network, from photographs in shards to averaged weights in small files.

Run it from the source tree on that machine; no installation is needed. Each action is one call, or several share a call
(docs/training.md):

    python tools/slice.py unpack carried/*.tar --wheels carried --teacher carried/realesrgan-x4plus.param
                                                                          photographs, packages, teacher to the persistent disk
    python tools/slice.py smoke RECIPE.toml --minutes 8                   measure, print and store the plan
    python tools/slice.py train RECIPE.toml --minutes 8                   train by the plan, pack, copy the first part to OUT
    python tools/slice.py part 1                                          copy the next part to OUT, and so on

$KEEP is the persistent folder, $OUT the folder whose files are returned.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
KEEP, OUT = Path(os.environ.get("KEEP", "/var/tmp/keep")), Path(os.environ.get("OUT", "out"))
SITE, PHOTOS, PAINTED, TEACHER = (KEEP / name for name in ("site", "photos", "painted", "teacher"))
PLAN, PARTS, RUN = (KEEP / name for name in ("plan.json", "parts", "run"))
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(KEEP / "inductor"))  # so that later calls reuse the compiled code
sys.path[:0] = [str(ROOT / "src"), str(SITE)]

PART_MB = 62  # fits 8 files of 16 MiB, with room for the log and a picture
CHECKPOINT_SECONDS = 90


class Limit(NamedTuple):
    """The limits of a trial."""

    steps: int
    minutes: float  # after which it counts as failed


@dataclass(frozen=True)
class Trial:
    """The measurements of a smoke run."""

    batch: int
    compile: bool
    crops_per_second: float
    share_of_peak: float  # of the device's, 0 to 1
    memory_gb: float  # peak allocation on a GPU; 0 elsewhere
    loss: float
    start_seconds: float  # before the steps reach that rate: kernel selection, compilation
    end_seconds: float  # for the last checkpoint and validation

    def crops(self, minutes: float) -> float:
        """The number of crops in a training of this many minutes."""
        return self.crops_per_second * max(0.0, 60 * minutes - self.start_seconds)


def unpack(shards: list[Path], wheels: Path | None, painted: int, teacher: Path | None) -> None:
    """Unpack the pictures of shards on the persistent disk, install a folder of wheels, copy a teacher's two files, paint pictures."""
    from edgesr.data import shards as tars  # -- after sys.path

    manifest = None
    for shard in shards:
        manifest = tars.unpack(shard, PHOTOS)
    if manifest is not None:
        print(f"{PHOTOS}: {len(tars.present(manifest, PHOTOS))} of {len(manifest.pictures)} pictures", flush=True)
    if wheels is not None and (files := sorted(map(str, wheels.glob("*.whl")))):
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--upgrade", "--target", str(SITE)]
        subprocess.run([*pip, *files], check=True)
    if teacher is not None:
        TEACHER.mkdir(exist_ok=True)
        for ending in (".param", ".bin"):
            shutil.copy(teacher.with_suffix(ending), TEACHER)
    if painted:
        subprocess.run([sys.executable, str(ROOT / "tools" / "paint.py"), str(PAINTED), "--pictures", str(painted)], check=True)


def smoke(recipe: Path, minutes: float, settings: list[str], *, batches: list[int], compiled_too: bool, limit: Limit) -> None:
    """Measure each batch size, then the best one compiled; print all, and store and print the plan for a training of `minutes`."""
    from edgesr.data.bank import ImageBank  # -- after sys.path

    began = time.monotonic()
    photographs = len(ImageBank.load(PHOTOS, cache=KEEP / "bank"))  # decode now, outside the trials
    print(f"{photographs} photographs, decoded in {time.monotonic() - began:.0f} s", flush=True)
    trials = [trial for batch in batches if (trial := _trial(recipe, batch, False, limit, settings))]
    if trials and compiled_too:
        best = max(trials, key=lambda trial: trial.crops(minutes))
        trials += filter(None, [_trial(recipe, best.batch, True, limit, settings)])
    if not trials:
        raise SystemExit("slice: no trial came to an end, so nothing is planned")
    chosen = max(trials, key=lambda trial: trial.crops(minutes))
    planned = int(chosen.crops(minutes) / chosen.batch)
    PLAN.write_text(json.dumps({**asdict(chosen), "steps": planned, "minutes": minutes}, indent=1))
    for trial in trials:
        print(_line(trial), "<- chosen" if trial is chosen else "")
    print(
        f"plan: batch {chosen.batch}, compile {str(chosen.compile).lower()}, {planned} steps in {minutes:g} minutes, "
        f"{chosen.crops(minutes) / 1e3:.0f} thousand crops; its end takes {chosen.end_seconds:.0f} s more, and packing comes after",
        flush=True,
    )


def train(recipe: Path, minutes: float, settings: list[str]) -> int:
    """Train by the plan until the minutes are up, resuming an earlier run, and pack the result, even after a failure."""
    from edgesr.errors import EdgesrError  # -- after sys.path
    from edgesr.model import checkpoint
    from edgesr.train.run import train as run

    code, folder = 0, RUN / "checkpoint"
    try:
        run(recipe, RUN, minutes=minutes, resume=checkpoint.exists(folder), overrides=[*_planned(recipe, minutes), *settings])
    except EdgesrError as error:
        print(f"slice: {error}", file=sys.stderr, flush=True)
        code = 1
    if checkpoint.exists(folder):
        pack()
        part(0)
        OUT.mkdir(parents=True, exist_ok=True)
        grids = sorted((RUN / "samples").glob("*.png"))
        for file in (RUN / "log.txt", *grids[-1:]):
            shutil.copy(file, OUT / file.name)
    return code


def pack() -> None:
    """Pack the averaged weights of the run, in 8 bits, into parts of a few files of 15 MB."""
    from edgesr.train.split import pack as pack_  # -- after sys.path

    shutil.rmtree(PARTS, ignore_errors=True)
    parts = pack_(RUN / "checkpoint", PARTS, only_ema=True, int8=True, part_mb=PART_MB)
    print(f"{PARTS}: {len(parts)} parts, the calls to come: part 1 to part {len(parts) - 1}", flush=True)


def part(number: int) -> None:
    """Copy one part to OUT."""
    name = f"part-{number:02d}"
    if not (PARTS / name).is_dir():
        have = ", ".join(sorted(path.name for path in PARTS.glob("part-*"))) or "none"
        raise SystemExit(f"slice: no {name} was packed; there are: {have}")
    shutil.copytree(PARTS / name, OUT / name, dirs_exist_ok=True)
    print(f"{OUT / name}: {sum(file.stat().st_size for file in (OUT / name).iterdir()) / 1e6:.1f} MB", flush=True)


def _trial(recipe: Path, batch: int, compiled: bool, limit: Limit, settings: list[str]) -> Trial | None:
    """Train for some steps and read the log; None, with the reason printed, if it fails or takes too long."""
    from edgesr.train.run import train as run  # -- after sys.path

    steps, name = limit.steps, f"{batch}-{'compiled' if compiled else 'plain'}"
    out = KEEP / "smoke" / name
    shutil.rmtree(out, ignore_errors=True)
    own = [f"data.batch={batch}", f"compile={str(compiled).lower()}", f"optimizer.steps={steps}", f"log.every={steps // 4}"]
    rare = ["optimizer.schedule=steps", f"log.validate={2 * steps}", f"log.checkpoint={2 * steps}", "log.least_latent_db=-inf"]
    began = time.monotonic()
    try:
        run(recipe, out, minutes=limit.minutes, overrides=[*_places(recipe), *settings, *own, *rare])
    except Exception as error:  # out of memory, no compiler, a NaN loss: the next trial may succeed
        print(f"slice: trial {name}: {' '.join(str(error).split())[:300]}", file=sys.stderr)
        return None
    finally:
        _free()
        shutil.rmtree(out / "checkpoint", ignore_errors=True)
    lines = [line for line in _scalars(out) if "samples_per_second" in line]
    if len(lines) < 4:
        print(f"slice: trial {name}: fewer than {steps} steps in {limit.minutes:g} minutes", file=sys.stderr)
        return None
    settled = lines[2:]  # kernel selection and compilation happen in the first half
    rate = len(settled) / sum(1 / line["samples_per_second"] for line in settled)
    return Trial(
        batch=batch,
        compile=compiled,
        crops_per_second=rate,
        share_of_peak=settled[-1]["peak_share"],
        memory_gb=settled[-1].get("memory_gb", 0.0),
        loss=settled[-1]["loss"],
        start_seconds=max(0.0, settled[-1]["seconds"] - steps * batch / rate),
        end_seconds=time.monotonic() - began - settled[-1]["seconds"],
    )


def _line(trial: Trial) -> str:
    return (
        f"batch {trial.batch:4d} {'compiled' if trial.compile else 'plain':8}  {trial.crops_per_second:7.1f} crops/s  "
        f"{trial.share_of_peak:4.0%} of the peak  {trial.memory_gb:5.1f} GB  loss {trial.loss:.4f}  "
        f"start {trial.start_seconds:.0f} s  end {trial.end_seconds:.0f} s"
    )


def _planned(recipe: Path, minutes: float) -> list[str]:
    """The recipe's fields chosen by the smoke run: validation in the middle and at the end, a checkpoint every 90 s."""
    if not PLAN.is_file():
        raise SystemExit(f"slice: {PLAN} is missing; run the action 'smoke' first")
    plan = json.loads(PLAN.read_text())
    per_second = plan["crops_per_second"] / plan["batch"]
    steps = max(2, int(60 * minutes * per_second))
    return [
        *_places(recipe),
        "optimizer.schedule=time",
        f"data.batch={plan['batch']}",
        f"compile={str(plan['compile']).lower()}",
        f"log.every={max(1, min(100, steps // 20))}",
        f"log.validate={steps // 2}",
        f"log.checkpoint={max(1, int(CHECKPOINT_SECONDS * per_second))}",
    ]


def _places(recipe: Path) -> list[str]:
    from edgesr.train.recipe import load_recipe  # -- after sys.path

    recipe_ = load_recipe(recipe)
    teachers = sorted(TEACHER.glob("*.param"))  # the recipe names a teacher of a package, which is not there
    targets = [f'{{teacher = "{file}", share = {t.share}}}' for file, t in zip(teachers, recipe_.data.targets, strict=False)]
    folders = [
        f'{{path = "{PAINTED}", share = {folder.share}, downscale = {str(folder.downscale).lower()}}}'
        for folder in recipe_.data.folders
    ]
    places = [f"data.folder={PHOTOS}", f"data.cache={KEEP / 'bank'}", f"data.folders=[{', '.join(folders)}]"]
    return [*places, f"data.targets=[{', '.join(targets)}]"] if teachers else places


def _scalars(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "scalars.jsonl").read_text(encoding="utf-8").splitlines()]


def _free() -> None:
    """Release a trial's GPU memory."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def main() -> int:
    """Run one action."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    action = actions.add_parser("unpack", help="photographs and packages go to the kept disk")
    action.add_argument("shards", type=Path, nargs="+", metavar="SHARD.tar")
    action.add_argument("--paint", type=int, default=2000, metavar="N", help="pictures of text and drawings (default: 2000)")
    action.add_argument("--wheels", type=Path, metavar="DIR", help="folder of wheels to install beside them")
    action.add_argument("--teacher", type=Path, metavar="FILE.param", help="the teacher of the recipe, with its .bin beside it")
    for name, text in (("smoke", "measure and plan"), ("train", "train by the plan, pack, first part to OUT")):
        action = actions.add_parser(name, help=text)
        action.add_argument("recipe", type=Path, metavar="RECIPE.toml")
        action.add_argument("--minutes", type=float, required=True, metavar="M", help="of the training")
        action.add_argument("--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help="as for `edgesr train`")
        if name == "smoke":
            action.add_argument(
                "--batches", type=int, nargs="+", default=[64, 128], metavar="N", help="crops a step to try (default: 64 128)"
            )
            action.add_argument("--steps", type=int, default=40, metavar="N", help="of a trial, 4 or more (default: 40)")
            action.add_argument("--trial-minutes", type=float, default=2.0, metavar="M", help="at most (default: %(default)s)")
            action.add_argument("--no-compile", action="store_true", help="try no compiled networks")
    action = actions.add_parser("part", help="another part to OUT")
    action.add_argument("number", type=int, metavar="N")
    given = parser.parse_args()
    KEEP.mkdir(parents=True, exist_ok=True)
    if given.action == "unpack":
        unpack(given.shards, given.wheels, given.paint, given.teacher)
    elif given.action == "part":
        part(given.number)
    elif given.action == "smoke":
        limit, compiled_too = Limit(max(4, given.steps), given.trial_minutes), not given.no_compile
        smoke(given.recipe, given.minutes, given.set, batches=given.batches, compiled_too=compiled_too, limit=limit)
    else:
        return train(given.recipe, given.minutes, given.set)
    return 0


if __name__ == "__main__":
    sys.exit(main())
