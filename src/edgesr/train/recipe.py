"""Recipes: TOML files read into frozen dataclasses, strictly: an unknown field is an error that names the nearest right one."""

from __future__ import annotations

import dataclasses
import difflib
import math
import operator
import sys
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from edgesr.data.bank import CropConfig
from edgesr.data.degradation import DegradationConfig
from edgesr.data.rendered import RenderedConfig
from edgesr.errors import UsageError, one_line
from edgesr.train.adversary import AdversarialConfig
from edgesr.train.networks import ModelConfig
from edgesr.train.precision import Precision

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Config = TypeVar("Config")


@dataclass(frozen=True)
class TargetsConfig:
    """Targets of a teacher, made by `edgesr data teach`."""

    folder: str
    share: float = 1.0  # of the crops; what all targets leave is drawn anew and has the truth as target

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise UsageError(f"recipe: the field 'data.targets.share' wants more than 0 and at most 1, not {self.share}")


@dataclass(frozen=True)
class DataConfig:
    """Where crops come from and how many."""

    folder: str = ""  # photographs; a training needs them, and what only reads a recipe's ranges does not
    cache: str = "runs/bank"  # where they lie decoded
    held_out: int = 24  # photographs kept from training, for the figures logged on the way
    hr_size: int = 192  # HR px a side of a training crop
    batch: int = 16  # crops a step
    uses: int = 8  # times a degraded crop is used, each time turned otherwise and among others; degrading is dear on a CPU
    block: int = 64  # steps whose crops are made together, so that uses of one crop lie apart
    targets: tuple[TargetsConfig, ...] = ()  # of teachers of texture; their pairs come in place of crops drawn anew
    crop: CropConfig = field(default_factory=CropConfig)
    degradation: DegradationConfig = field(default_factory=DegradationConfig)
    rendered: RenderedConfig = field(default_factory=RenderedConfig)


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW; learning rate: linear warm-up, constant, then half a cosine down to zero over the last `decay` of the run."""

    steps: int = 10_000
    schedule: Literal["steps", "time"] = "steps"  # what ends the run: `steps`, or the clock (`--minutes`) however many they are
    learning_rate: float = 5e-4
    warmup: int = 200  # steps
    decay: float = 0.5  # share of the run; 1 is plain cosine
    beta2: float = 0.99
    weight_decay: float = 0.0
    clip: float = 1.0  # greatest norm of the gradient
    ema: float = 0.999  # decay of the averaged weights a step


@dataclass(frozen=True)
class LossConfig:
    """Weights of the terms; pixel values in [0, 1], latents of unit variance. A stage uses those that its docstring names."""

    pixel: float = 1.0  # L1 of D(one-step z0_hat, lr)
    psnr: float = 0.0  # minus the PSNR in dB of a crop, of the same; levels off at 30 dB
    perceptual: float = 0.0  # distance of features, of the same; 0 leaves the network out
    perceptual_network: str = "efficientnet-lite0"  # or vgg16, lpips-vgg, lpips-alex, where their weights can be loaded
    perceptual_window: int = (
        0  # HR px a side of the random window whose features count; 0: whole crops. 96 takes a third of the time
    )
    truth: float = 0.0  # share of the truth in what the terms above compare with, where a crop has a teacher's target
    lattice: float = 0.0  # faint patterns that repeat with the network's grids, which a perceptual term likes to grow
    colour: float = 0.0  # L1 of the means of cells of 16 px: what features do not see, a perceptual term lets drift
    artifacts: float = 0.0  # L1 weighted by how the error varies from pixel to pixel (LDL): holds an adversary back
    equivariance: float = 0.0  # L1 of what does not move with the LR picture: patterns of the latent's and the UNet's grids
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    latent: float = 0.02  # mean squared error of v, or of z0_hat against the teacher's
    weighting: Literal["v", "z0"] = "v"  # of the former over t: as it is, or times sigma_t^2, the squared error of z0_hat
    target: Literal["teacher", "truth"] = "teacher"  # of the stage student-x4: scale distillation, or without (the ablation)
    spread: float = 1e-4  # (s^2 - 1) / 2 - log s: keeps s alive; mu is left free (docs/method.md, traps)
    guess: float = 0.1  # squared error of mu as a guess of z_h, in the stage autoencoder (ours)
    latent_noise: float = 0.1  # standard deviation of the noise on z_h while the autoencoder trains (ours)
    terminal_start: float = 0.75  # share of a batch at t = T at the first step; the rest has t uniform in [0, T]
    terminal_end: float = 1.0  # the same at the last step: timesteps are biased towards T as training goes on


@dataclass(frozen=True)
class LogConfig:
    """What is written on the way, in steps."""

    every: int = 50  # a line of losses
    validate: int = 500  # figures and a sample grid of held-out photographs
    crops: int = 48  # of held-out photographs, that the figures are the means of
    checkpoint: int = 250
    least_latent_db: float = 0.2  # a finished run whose latent path carries less has failed (docs/method.md, traps)
    greatest_colour_shift: float = 8.0  # levels of 255, of the means of 16 px cells of held-out crops; past it a run stops
    greatest_lattice: float = 4.0  # levels, root mean square, of what repeats there with the network's grids; the same
    greatest_accuracy: float = 0.95  # of a discriminator over the next: more logs a warning
    accuracy_steps: int = 1000


@dataclass(frozen=True)
class Recipe:
    """One stage of training."""

    stage: str  # autoencoder, teacher-x2, student-x4, decoder or end-to-end
    preset: str = "tiny"
    init: str = ""  # checkpoint folder of the stage before
    seed: int = 0
    precision: Precision = (
        "auto"  # bfloat16 where the hardware has it: CUDA from Ampere on, CPUs with AVX512_BF16 or AMX; else float32
    )
    compile: bool = False  # torch.compile of the networks: for a GPU
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    log: LogConfig = field(default_factory=LogConfig)


def load_recipe(path: Path, overrides: list[str] | None = None) -> Recipe:
    """Read a recipe; `overrides` are "key.sub=value" strings, their values in TOML (bare words are strings).

    Raises UsageError for a file that is not there or not TOML, an unknown field (names the nearest right one), a wrong type,
    or a value that means nothing there, like a share above 1.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot read the recipe: {one_line(error)}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not a TOML file: {error}") from None
    for override in overrides or []:
        _override(table, override)
    recipe = from_table(Recipe, table)
    _check_values(recipe)
    return recipe


def from_table(kind: type[Config], table: dict[str, Any], where: str = "") -> Config:
    """Build the dataclass `kind` from nested tables; raises UsageError naming the field."""
    hints = typing.get_type_hints(kind)
    names = [f.name for f in dataclasses.fields(kind)]  # type: ignore[arg-type]
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
    raise UsageError(f"recipe: the field '{where}' wants {wanted}, not {value!r}")


_ROUND_SHARES = "blur_probability sinc_probability gaussian_probability grey_probability"
# What fields want -> whether a value is that, and the names of the fields.
BOUNDS: dict[str, tuple[Callable[[float], bool], str]] = {
    "1 or more": (
        lambda value: value >= 1,
        "data.held_out data.hr_size data.batch data.uses data.block data.degradation.group optimizer.steps "
        "log.every log.validate log.crops log.checkpoint log.accuracy_steps",
    ),
    "0 or more": (
        lambda value: value >= 0,
        "optimizer.warmup optimizer.weight_decay loss.pixel loss.psnr loss.perceptual loss.lattice loss.colour loss.artifacts "
        "loss.perceptual_window loss.equivariance "
        "loss.latent loss.spread loss.guess loss.latent_noise loss.adversarial.weight loss.adversarial.r1_gamma",
    ),
    "more than 0": (
        lambda value: value > 0,
        "optimizer.learning_rate optimizer.clip loss.adversarial.learning_rate log.greatest_colour_shift log.greatest_lattice",
    ),
    "0 to 1": (
        lambda value: 0 <= value <= 1,
        "loss.truth data.crop.downscale_probability data.rendered.probability data.degradation.light_probability "
        "data.degradation.final_sinc_probability data.degradation.last.probability "
        "optimizer.decay loss.terminal_start loss.terminal_end loss.adversarial.start "
        "loss.adversarial.ramp log.greatest_accuracy "
        + " ".join(f"data.degradation.{nth}.{share}" for nth in ("first", "second") for share in _ROUND_SHARES.split()),
    ),
    "0 to less than 1": (lambda value: 0 <= value < 1, "optimizer.ema optimizer.beta2"),
}
# The infinities that mean something: no run fails.
UNBOUNDED = {"log.least_latent_db": -math.inf, "log.greatest_colour_shift": math.inf, "log.greatest_lattice": math.inf}


def _check_values(recipe: Recipe) -> None:
    for name, value in _numbers(recipe):
        if not math.isfinite(value) and UNBOUNDED.get(name) != value:
            raise UsageError(f"recipe: the field '{name}' wants a finite number, not {value}")
    if sum(targets.share for targets in recipe.data.targets) > 1 + 1e-9:
        raise UsageError("recipe: the shares of 'data.targets' add up to more than 1")
    for wanted, (fits, names) in BOUNDS.items():
        for name in names.split():
            if not fits(value := operator.attrgetter(name)(recipe)):
                raise UsageError(f"recipe: the field '{name}' wants {wanted}, not {value}")


def _numbers(config: Any, where: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a nested dataclass, with the name of its field."""
    for part in dataclasses.fields(config):
        name, value = f"{where}{part.name}", getattr(config, part.name)
        if dataclasses.is_dataclass(value):
            yield from _numbers(value, f"{name}.")
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int | float):
                yield name, number


def _override(table: dict[str, Any], text: str) -> None:
    key, sign, raw = text.partition("=")
    if not sign:
        raise UsageError(f"--set {text}: write it as key=value, for example optimizer.steps=1000")
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        value = raw
    *parents, last = key.strip().split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise UsageError(f"--set {text}: '{parent}' is a field, not a table")
    table[last] = value
