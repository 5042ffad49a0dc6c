"""Run one training stage from its recipe to its output folder: the setup is here, the loop in `loop`."""

from __future__ import annotations

import ctypes
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import torch

from edgesr.data.bank import ImageBank
from edgesr.data.mixture import FolderConfig, Mixture
from edgesr.data.seeds import step_generator
from edgesr.data.stream import Crops, Stream, find_shards, is_shards
from edgesr.errors import EdgesrError, UsageError, one_line
from edgesr.model import checkpoint
from edgesr.presets import SCALE, get_preset
from edgesr.train.batches import Batches, degraded
from edgesr.train.identity import check_init
from edgesr.train.loop import Loop
from edgesr.train.networks import Networks
from edgesr.train.precision import choose_precision
from edgesr.train.processes import Processes, join_processes
from edgesr.train.recipe import DataConfig, Recipe, load_recipe
from edgesr.train.stages import Stage, stage_class
from edgesr.train.step import Batch

logger = logging.getLogger("edgesr.train")


def train(
    recipe_path: Path,
    out: Path,
    *,
    resume: bool = False,
    minutes: float | None = None,
    device: str = "auto",
    overrides: list[str] | None = None,
) -> dict[str, float]:
    """Run one stage; write checkpoints, log, scalars and sample grids to `out`; return the final metrics on held-out pictures.

    With `resume` it continues from `out`'s checkpoint. After `minutes` the run stops with a checkpoint. With the schedule "time" the
    run is then complete; a resumed run counts the time already spent as done and has `minutes` left.
    Raises UsageError for an invalid recipe, missing data, a checkpoint of another preset, or an `out` that already holds a run;
    DivergedError if the loss is not finite (the last good checkpoint is kept); EdgesrError if the latent path of a finished run
    contributes nothing.
    """
    if minutes is not None and not minutes > 0:
        raise UsageError(f"--minutes {minutes:g}: give more than 0")
    deadline = math.inf if minutes is None else time.monotonic() + 60 * minutes
    recipe = load_recipe(recipe_path, overrides)
    if recipe.optimizer.schedule == "time" and minutes is None:
        raise UsageError("recipe: with optimizer.schedule = 'time' the run ends by the clock: set its length with --minutes")
    processes = join_processes(device)
    _keep_freed_memory()
    if checkpoint.exists(out / "checkpoint") and not resume:
        raise UsageError(f"{out}: already holds a run; add --resume to continue it, or choose another folder")
    if resume and not checkpoint.exists(out / "checkpoint"):
        raise UsageError(f"{out}: no checkpoint to resume from; start without --resume")
    where = processes.device or device_called(device)
    if where.type == "cuda":
        torch.backends.cudnn.benchmark = True  # the shapes of a run are fixed
        torch.set_float32_matmul_precision("high")
    choose_precision(recipe.precision, where)  # before the photographs are decoded
    stage = stage_class(recipe.stage)(recipe, where)
    _check_sizes(recipe, processes)
    with _logging_to(out) if processes.main else nullcontext():
        return _run(recipe, stage, where, processes, out=out, deadline=deadline, resume=resume)


def _run(
    recipe: Recipe, stage: Stage, where: torch.device, processes: Processes, *, out: Path, deadline: float, resume: bool
) -> dict[str, float]:
    """Load the data and the networks, train, and check the result."""
    with processes.main_first():
        training, held_out = _pictures(recipe)
    streams = _streams(recipe, processes, where)
    loop = _begin(recipe, stage, where, processes, out / "checkpoint" if resume else None)
    end = f"of {recipe.optimizer.steps}" if recipe.optimizer.schedule == "steps" else "by the clock"
    logger.info("%s: %d photographs, step %d %s", _title(loop), len(training.photographs), loop.step, end)
    on_gpu = where.type == "cuda"
    batches = Batches(
        training.to(where) if on_gpu else training,
        recipe.data,
        recipe.seed,
        lr_x2=stage.has_teacher,
        processes=processes,
        streams=streams,
        ahead=on_gpu,
    )
    figures = loop.run(batches, _validation_batch(held_out, recipe, lr_x2=stage.has_teacher), out, deadline)
    dead = processes.main and not figures["latent_db"] >= recipe.log.least_latent_db  # NaN fails too
    if loop.finished and dead:
        raise EdgesrError(
            f"the latent path carries {figures['latent_db']:.2f} dB, less than {recipe.log.least_latent_db:g}: "
            "this stage has failed (its checkpoint is kept)"
        )
    return figures


def _begin(recipe: Recipe, stage: Stage, where: torch.device, processes: Processes, resumed: Path | None) -> Loop:
    """A loop whose networks are new, from the previous stage, or from this run's own checkpoint."""
    nets = Networks(get_preset(recipe.preset), recipe.seed, recipe.model, with_teacher=stage.has_teacher)
    if resumed is None and recipe.init:
        init = Path(recipe.init)
        tensors, state = checkpoint.load(init)
        check_init(state, recipe, nets, init)
        nets.load(checkpoint.averaged(tensors), init, needs_teacher=stage.starts_from_teacher)
    elif resumed is None and stage.starts_from_teacher:
        raise UsageError("recipe: the field 'init' must name a checkpoint of the stage 'teacher-x2'")
    if resumed is None:
        stage.prepare(nets)
    loop = Loop(recipe, stage, nets.to(where, memory_format=torch.channels_last), processes)  # type: ignore[call-overload]
    if resumed is not None:
        loop.restore(resumed)
    return loop


def _title(loop: Loop) -> str:
    recipe, (precision, reason), world = loop.recipe, loop.precision, loop.processes.world
    processes = f"{world} processes" if world > 1 else "one process"
    return f"{recipe.preset} {recipe.stage} on {loop.device}, {processes}, {precision} ({reason})"


def _check_sizes(recipe: Recipe, processes: Processes) -> None:
    if recipe.data.hr_size % (unit := SCALE * get_preset(recipe.preset).multiple):
        raise UsageError(f"recipe: the field 'data.hr_size' must be a multiple of {unit}, not {recipe.data.hr_size}")
    if recipe.loss.equivariance and recipe.data.hr_size < 2 * unit:
        raise UsageError(
            f"recipe: with 'loss.equivariance' the field 'data.hr_size' must be {2 * unit} or more, not {recipe.data.hr_size}"
        )
    if recipe.data.targets and not stage_class(recipe.stage).makes_pictures:
        raise UsageError(
            f"recipe: the stage '{recipe.stage}' compares no pictures, so it does not use 'data.targets'; remove it"
        )
    for name in ("truth", "sharpen"):
        if getattr(recipe.loss, name) and not recipe.data.targets:
            raise UsageError(f"recipe: 'loss.{name}' needs a teacher's targets: name them in 'data.targets', or remove it")
    if recipe.loss.perceptual_window > recipe.data.hr_size:
        raise UsageError(
            f"recipe: the field 'loss.perceptual_window' must be at most data.hr_size, {recipe.data.hr_size}, "
            f"not {recipe.loss.perceptual_window}"
        )
    if recipe.data.batch % processes.world:
        raise UsageError(f"recipe: the field 'data.batch' must be a multiple of the {processes.world} processes")
    rows = recipe.data.batch // processes.world
    if rows % recipe.optimizer.accumulate:
        raise UsageError(
            f"recipe: the field 'optimizer.accumulate' must divide the {rows} rows of a batch that a process takes"
        )


def _pictures(recipe: Recipe) -> tuple[Mixture, ImageBank]:
    """The pictures for training, and the photographs for validation."""
    if not recipe.data.folder:
        raise UsageError("recipe: the field 'data.folder' (the photographs) is missing: --set data.folder=PHOTOS")
    data, cache = recipe.data, Path(recipe.data.cache)
    bank = ImageBank.load(Path(data.folder), cache=cache)
    try:
        photographs, held_out = bank.split(data.held_out)
    except UsageError as error:
        raise UsageError(f"{data.folder}: {error}") from None
    plain, streamed = _divided(data)
    rest = 1 - sum(folder.share for folder in streamed)  # of the crops, which the shares of the others divide
    folders = [replace(folder, share=min(1.0, folder.share / rest)) for folder in plain] if rest > 1e-9 else []
    return Mixture.load(photographs, data.crop, folders, cache=cache), held_out


def _divided(data: DataConfig) -> tuple[list[FolderConfig], list[FolderConfig]]:
    """The folders that are decoded before training, and the shards that are streamed."""
    if sum(folder.share for folder in data.folders) > 1 + 1e-9:
        raise UsageError("recipe: the shares of 'data.folders' add up to more than 1")
    return [each for each in data.folders if not is_shards(each.path)], [each for each in data.folders if is_shards(each.path)]


def _streams(recipe: Recipe, processes: Processes, where: torch.device) -> list[tuple[Stream, float]]:
    """The shards of the recipe that this process reads, each with its share of the crops."""
    data, found = recipe.data, []
    for folder in _divided(data)[1]:
        crop = data.crop if folder.downscale else replace(data.crop, downscale_probability=0.0)
        stream = Stream(
            find_shards(folder.path),
            Crops(data.hr_size, crop, recipe.seed),
            rank=processes.rank,
            world=processes.world,
            workers=data.workers,
            device=where if where.type == "cuda" else "cpu",
        )
        found.append((stream, folder.share))
    return found


def _validation_batch(bank: ImageBank, recipe: Recipe, *, lr_x2: bool) -> Batch:
    generator = step_generator(0, "validation", 0)
    hr = bank.crops(recipe.log.crops, recipe.data.hr_size, generator, recipe.data.crop)
    return degraded(hr, generator, recipe.data.degradation, lr_x2=lr_x2)


def device_called(name: str) -> torch.device:
    """Return the device; "auto" is a GPU if there is one. Raises UsageError if the device cannot be used."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # torch built without this device type
        raise UsageError(f"--device {name}: cannot be used: {str(error).splitlines()[0]}") from None


def _keep_freed_memory() -> None:
    """Tell glibc not to return freed memory to the system: allocating the pages again takes a fifth of a step on a CPU."""
    mmap_max, trim_threshold = -4, -1  # M_MMAP_MAX and M_TRIM_THRESHOLD of malloc.h
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)
    except (OSError, TypeError, AttributeError):  # another C library
        return


@contextmanager
def _logging_to(out: Path) -> Iterator[None]:
    """Log this package's messages to standard error and to a file in `out`, which is created."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        handlers = (logging.StreamHandler(), logging.FileHandler(out / "log.txt", encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{out}: cannot write there: {one_line(error)}") from None
    package = logging.getLogger("edgesr")
    level, propagate = package.level, package.propagate
    package.setLevel(logging.INFO)
    package.propagate = False
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        package.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            package.removeHandler(handler)
            handler.close()
        package.setLevel(level)
        package.propagate = propagate
