"""Recipes: TOML files parsed strictly into frozen dataclasses; an unknown field is an error that suggests the closest valid one."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import sys
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from edgesr.data.bank import CropConfig
from edgesr.data.degradation import DegradationConfig
from edgesr.data.fields import bounded, check_bounds
from edgesr.data.mixture import FolderConfig
from edgesr.errors import UsageError, one_line
from edgesr.train.losses import LossConfig
from edgesr.train.networks import ModelConfig
from edgesr.train.precision import Precision

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Config = TypeVar("Config")

RENAMED = {"loss.spread": "log_s_reg", "loss.guess": "mu_prior"}  # old field name -> current one


@dataclass(frozen=True)
class TargetsConfig:
    """A teacher's targets: a folder made by `edgesr data teach`, or a teacher that runs during training."""

    folder: str = ""
    # Share of the crops; the remaining crops have the ground truth as target.
    share: float = bounded(1.0, "more than 0 and at most 1")
    # Instead of a folder, a name or a file as for `edgesr data teach`: for GPUs, where it costs less than the student's step.
    teacher: str = ""


@dataclass(frozen=True)
class DataConfig:
    """Source and number of the crops."""

    folder: str = ""  # photographs; required for training, not for reading a recipe's ranges
    folders: tuple[FolderConfig, ...] = ()  # folders of other pictures, or shards, each with its share of the crops
    workers: int = bounded(4, "0 or more")  # processes that decode shards, for each of the training's; 0: none of their own
    cache: str = "runs/bank"  # folder for the decoded pictures
    held_out: int = bounded(24, "1 or more")  # photographs excluded from training, for validation
    hr_size: int = bounded(192, "1 or more")  # HR px a side of a training crop
    batch: int = bounded(16, "1 or more")  # crops per step
    # How often a degraded crop is used, each time in another orientation and batch; degradation is expensive on a CPU.
    uses: int = bounded(8, "1 or more")
    block: int = bounded(64, "1 or more")  # steps whose crops are made together, so that the uses of one crop are spread out
    targets: tuple[TargetsConfig, ...] = ()  # of teachers of texture; their pairs replace crops drawn during training
    crop: CropConfig = field(default_factory=CropConfig)
    degradation: DegradationConfig = field(default_factory=DegradationConfig)


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW; the learning rate has a linear warm-up, is constant, and falls to zero by half a cosine over the last `decay` of the run."""

    steps: int = bounded(10_000, "1 or more")
    schedule: Literal["steps", "time"] = "steps"  # the run ends after `steps`, or after `--minutes` regardless of the steps
    learning_rate: float = bounded(5e-4, "more than 0")
    warmup: int = bounded(200, "0 or more")  # steps
    decay: float = bounded(0.5, "0 to 1")  # share of the run; 1 is a plain cosine
    beta2: float = bounded(0.99, "0 to less than 1")
    weight_decay: float = bounded(0.0, "0 or more")
    clip: float = bounded(1.0, "more than 0")  # maximum norm of the gradient
    ema: float = bounded(0.999, "0 to less than 1")  # decay per step of the averaged weights
    # Take each process's rows of a batch in so many parts, one after the other: less memory for the same step.
    accumulate: int = bounded(1, "1 or more")


@dataclass(frozen=True)
class LogConfig:
    """Logging intervals, in steps, and limits that stop a run."""

    every: int = bounded(50, "1 or more")  # one line of losses
    validate: int = bounded(500, "1 or more")  # metrics and a sample grid of held-out photographs
    crops: int = bounded(48, "1 or more")  # held-out crops that the metrics are averaged over
    checkpoint: int = bounded(250, "1 or more")
    # A finished run with a smaller latent_db fails (docs/method.md, pitfalls).
    least_latent_db: float = bounded(0.2, "any", infinity=-math.inf)
    # Levels of 255, for the means of 16 px cells of held-out crops; a run that exceeds it stops.
    greatest_colour_shift: float = bounded(8.0, "more than 0", infinity=math.inf)
    # Levels of 255, root mean square, for patterns with the period of the network's grids; likewise.
    greatest_lattice: float = bounded(4.0, "more than 0", infinity=math.inf)
    greatest_accuracy: float = bounded(0.95, "0 to 1")  # warn above this discriminator accuracy over accuracy_steps
    accuracy_steps: int = bounded(1000, "1 or more")


@dataclass(frozen=True)
class Recipe:
    """One stage of training."""

    stage: str  # autoencoder, teacher-x2, student-x4, decoder or end-to-end
    preset: str = "tiny"
    init: str = ""  # checkpoint folder of the previous stage
    seed: int = 0
    precision: Precision = (
        "auto"  # bfloat16 where the hardware has it: CUDA from Ampere on, CPUs with AVX512_BF16 or AMX; else float32
    )
    compile: bool = False  # torch.compile the networks; useful on a GPU
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    log: LogConfig = field(default_factory=LogConfig)


def load_recipe(path: Path, overrides: list[str] | None = None) -> Recipe:
    """Read a recipe; `overrides` are "key.sub=value" strings with TOML values (bare words are strings).

    Raises UsageError if the file is missing or not TOML, for an unknown field (the message suggests the closest valid one), a wrong
    type, or a value out of range, such as a share above 1.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot read the recipe: {one_line(error)}") from None
    except (ValueError, RecursionError) as error:  # also for thousands of digits and of brackets
        raise UsageError(f"{path}: not a TOML file: {one_line(error)}") from None
    for override in overrides or []:
        _override(table, override)
    recipe = from_table(Recipe, table)
    _check_values(recipe)
    return recipe


def from_table(kind: type[Config], table: dict[str, Any], where: str = "") -> Config:
    """Build the dataclass `kind` from nested tables; raises UsageError naming the field."""
    hints = _hints(kind)  # type: ignore[arg-type]  # mypy takes a class for not hashable
    names = [f.name for f in dataclasses.fields(kind)]  # type: ignore[arg-type]
    table = {RENAMED.get(f"{where}{key}", key): value for key, value in table.items()}
    for key in table:
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1)
            hint = f"did you mean '{where}{near[0]}'?" if near else f"known are {', '.join(names)}"
            raise UsageError(f"recipe: unknown field '{where}{key}': {hint}")
    values = {key: _convert(hints[key], value, f"{where}{key}") for key, value in table.items()}
    missing = [
        f.name
        for f in dataclasses.fields(kind)  # type: ignore[arg-type]
        if f.name not in values and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise UsageError(f"recipe: the field '{where}{missing[0]}' is missing")
    return kind(**values)


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, wanted = typing.get_origin(hint), getattr(hint, "__name__", str(hint))
    if dataclasses.is_dataclass(hint):
        if isinstance(value, dict):
            return from_table(hint, value, f"{where}.")  # type: ignore[arg-type]
        wanted = "a table"
    elif origin is tuple:
        kinds = typing.get_args(hint)
        wanted = f"a list of {kinds[0].__name__}, " + ("any number" if kinds[-1] is Ellipsis else str(len(kinds))) + " of them"
        if isinstance(value, list):
            kinds = kinds[:1] * len(value) if kinds[-1] is Ellipsis else kinds
            if len(kinds) == len(value):
                return tuple(_convert(kind, v, where) for kind, v in zip(kinds, value, strict=True))
    elif origin is Literal:
        if value in typing.get_args(hint):
            return value
        wanted = " or ".join(map(repr, typing.get_args(hint)))
    elif hint is float and type(value) is int:
        return float(value)
    elif type(value) is hint:
        return value
    raise UsageError(f"recipe: the field '{where}' must be {wanted}, not {value!r}")


def _check_values(recipe: Recipe) -> None:
    check_bounds(recipe)
    for targets in recipe.data.targets:
        if bool(targets.folder) is bool(targets.teacher):
            raise UsageError("recipe: each of 'data.targets' names either a 'folder' or a 'teacher'")
    if sum(targets.share for targets in recipe.data.targets) > 1 + 1e-9:
        raise UsageError("recipe: the shares of 'data.targets' add up to more than 1")


def _override(table: dict[str, Any], text: str) -> None:
    key, sign, raw = text.partition("=")
    if not sign:
        raise UsageError(f"--set {text}: write it as key=value, for example optimizer.steps=1000")
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except (ValueError, RecursionError):
        value = raw
    *parents, last = key.strip().split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise UsageError(f"--set {text}: '{parent}' is a field, not a table")
    table[last] = value
