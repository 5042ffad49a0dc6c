"""The loop: one recipe, one output folder, resumable at any checkpoint, boxed in time."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from edgesr.data.bank import ImageBank
from edgesr.data.degradation import degrade
from edgesr.errors import EdgesrError, UsageError
from edgesr.presets import SCALE, get_preset
from edgesr.train import checkpoint
from edgesr.train.batches import Batches, step_generator
from edgesr.train.recipe import OptimizerConfig, Recipe, load_recipe
from edgesr.train.stages import Networks, Stage, get_stage

logger = logging.getLogger("edgesr.train")

VALIDATION_CROPS = 48
LEAST_LATENT_DB = 0.2  # a latent path that carries less is dead weight (DESIGN section 2, traps)


def train(
    recipe_path: Path,
    out: Path,
    *,
    resume: bool = False,
    minutes: float | None = None,
    device: str = "auto",
    overrides: list[str] | None = None,
) -> dict[str, float]:
    """Run one stage; write checkpoints to `out`/checkpoint and lines to `out`/log.txt; return the last validation figures.

    With `resume` it goes on from `out`'s checkpoint. `minutes` boxes the time: the run stops after it with a checkpoint.
    Raises UsageError for a wrong recipe, missing data, a checkpoint of another preset, or an `out` that holds a run already;
    EdgesrError when the loss is not finite (the last good checkpoint stays) or the latent path of a finished run is dead.
    """
    if minutes is not None and not minutes > 0:
        raise UsageError(f"--minutes {minutes:g}: give more than 0")
    deadline = math.inf if minutes is None else time.monotonic() + 60 * minutes
    recipe = load_recipe(recipe_path, overrides)
    folder = out / "checkpoint"
    if checkpoint.exists(folder) and not resume:
        raise UsageError(f"{out}: holds a run already; add --resume to go on with it, or choose another folder")
    stage, preset, where = get_stage(recipe.stage, recipe.loss), get_preset(recipe.preset), _device(device)
    if recipe.data.hr_size % (unit := SCALE * preset.multiple):
        raise UsageError(f"recipe: the field 'data.hr_size' wants a multiple of {unit}, not {recipe.data.hr_size}")
    training, held_out = _banks(recipe)
    nets = Networks(preset, recipe.seed).to(where, memory_format=torch.channels_last)  # type: ignore[call-overload]
    run = _Run(recipe, stage, nets)
    if resume:
        run.restore(folder)
    elif recipe.init:
        tensors, _ = checkpoint.load(Path(recipe.init))
        checkpoint.load_into(nets, tensors, "ema.", Path(recipe.init))
        run.reset_average()
    _log_to(out)
    logger.info(
        "%s %s: %d photographs, step %d of %d, %s",
        recipe.preset,
        recipe.stage,
        len(training),
        run.step,
        recipe.optimizer.steps,
        where,
    )
    figures = run.loop(Batches(training, recipe.data, recipe.seed), _validation_pairs(held_out, recipe), folder, deadline)
    if run.step >= recipe.optimizer.steps and not figures["latent dB"] >= LEAST_LATENT_DB:  # not a number fails as well
        raise EdgesrError(
            f"the latent path carries {figures['latent dB']:.2f} dB, less than {LEAST_LATENT_DB}: this stage has failed"
        )
    return figures


class _Run:
    """The moving state of a run: networks, their average, the optimizer, the step and the seconds spent."""

    def __init__(self, recipe: Recipe, stage: Stage, nets: Networks) -> None:
        self.recipe, self.stage, self.nets = recipe, stage, nets
        nets.requires_grad_(False)
        for module in stage.trained(nets):
            module.requires_grad_(True)
        self.parameters = [p for p in nets.parameters() if p.requires_grad]
        config = recipe.optimizer
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=config.learning_rate, betas=(0.9, config.beta2), weight_decay=config.weight_decay
        )
        self.average = copy.deepcopy(nets).requires_grad_(False)
        self.step = 0
        self._earlier, self._began = 0.0, time.monotonic()

    @property
    def identity(self) -> dict[str, str]:
        """What a checkpoint must share with the recipe for the run to go on from it."""
        return {"preset": self.recipe.preset, "stage": self.recipe.stage}

    @property
    def seconds(self) -> float:
        """Time spent on this run so far, earlier parts of a resumed one included."""
        return self._earlier + time.monotonic() - self._began

    def loop(self, batches: Batches, validation: tuple[Tensor, Tensor], folder: Path, deadline: float) -> dict[str, float]:
        """Train until the last step or the `deadline` (of time.monotonic), save, and return the figures of the end."""
        config, log = self.recipe.optimizer, self.recipe.log
        meter = _Meter()
        while self.step < config.steps and time.monotonic() < deadline:
            with meter.waiting():
                hr, lr = batches(self.step)
            meter.add(self.update(hr, lr))
            self.step += 1
            if self.step % log.every == 0:
                left = (config.steps - self.step) * meter.seconds() / meter.steps
                logger.info("step %d  %s  %.0f min left", self.step, meter.line(), left / 60)
                meter = _Meter()
            if self.step % log.checkpoint == 0:
                self.save(folder)
            if self.step % log.validate == 0 and self.step < config.steps:
                self.validate(*validation)
        self.save(folder)
        return self.validate(*validation)

    def update(self, hr: Tensor, lr: Tensor) -> dict[str, float]:
        """One optimizer step; raises EdgesrError, and changes no weight, when the loss or its gradient is not finite."""
        config = self.recipe.optimizer
        device = self.parameters[0].device
        hr, lr = (x.to(device, memory_format=torch.channels_last) for x in (hr, lr))
        generator = step_generator(self.recipe.seed, "loss", self.step)
        with self.autocast():
            loss, scalars = self.stage.loss(self.nets, hr, lr, self.step / config.steps, generator)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, config.clip)
        if not (loss + norm).isfinite():  # a finite loss can have a gradient that is not
            raise EdgesrError(
                f"step {self.step}: the loss is {loss.item():g} and the norm of its gradient {norm.item():g}: "
                "lower optimizer.learning_rate and --resume from the last checkpoint"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config, self.step)
        self.optimizer.step()
        decay = min(config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, value in zip(self.average.state_dict().values(), self.nets.state_dict().values(), strict=True):
                mean.lerp_(value, 1 - decay)
        return {"loss": loss.item(), **{name: value.item() for name, value in scalars.items()}, "gradient": norm.item()}

    def autocast(self) -> torch.autocast:
        """Mixed precision as the recipe says."""
        return torch.autocast(self.parameters[0].device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16")

    @torch.no_grad()
    def validate(self, hr: Tensor, lr: Tensor) -> dict[str, float]:
        """PSNR of the averaged networks on held-out crops against bicubic, and the dB lost when the latent is zeros."""
        device = self.parameters[0].device
        hr, lr = hr.to(device), lr.to(device)
        with self.autocast():
            full, without = (self.stage.reconstruct(self.average, hr, lr, latent=latent).float() for latent in (True, False))
        bicubic = nn.functional.interpolate(lr, scale_factor=SCALE, mode="bicubic", align_corners=False)
        psnr = _psnr(full, hr)
        figures = {"PSNR": psnr, "gain dB": psnr - _psnr(bicubic, hr), "latent dB": psnr - _psnr(without, hr)}
        logger.info(
            "step %d  held out: %s  (%.0f min)",
            self.step,
            "  ".join(f"{k} {v:.3f}" for k, v in figures.items()),
            self.seconds / 60,
        )
        return figures

    def reset_average(self) -> None:
        """Start the average at the networks' present weights."""
        self.average.load_state_dict(self.nets.state_dict())

    def save(self, folder: Path) -> None:
        """Write everything a resumed run needs."""
        tensors = {f"net.{k}": v for k, v in self.nets.state_dict().items()} | {
            f"ema.{k}": v for k, v in self.average.state_dict().items()
        }
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
        checkpoint.save(folder, tensors, {**self.identity, "step": self.step, "seconds": self.seconds})

    def restore(self, folder: Path) -> None:
        """Take up what `save` wrote."""
        tensors, state = checkpoint.load(folder)
        for field, value in self.identity.items():
            if state.get(field) != value:
                raise UsageError(f"{folder}: the run there has {field} '{state.get(field)}', and the recipe '{value}'")
        checkpoint.load_into(self.nets, tensors, "net.", folder)
        checkpoint.load_into(self.average, tensors, "ema.", folder)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".")
                # In the memory layout of the weights, as the optimizer makes them: mixed ones take a slow path.
                like = self.parameters[int(index)] if tensor.dim() else tensor
                moments.setdefault(int(index), {})[key] = torch.empty_like(like).copy_(tensor)
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.step = state["step"]
        self._earlier, self._began = state["seconds"], time.monotonic()


class _Meter:
    """Means of the scalars between two log lines, and the share of the time spent waiting for data."""

    def __init__(self) -> None:
        self.began, self.waited, self.steps = time.monotonic(), 0.0, 0
        self.sums: dict[str, float] = {}

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time inside as waiting."""
        began = time.monotonic()
        yield
        self.waited += time.monotonic() - began

    def add(self, scalars: dict[str, float]) -> None:
        """Count one step."""
        self.steps += 1
        for name, value in scalars.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def seconds(self) -> float:
        """Return the seconds since the last line."""
        return time.monotonic() - self.began

    def line(self) -> str:
        """Return the means, the share of waiting and the seconds a step."""
        terms = "  ".join(f"{name} {total / self.steps:.4f}" for name, total in self.sums.items())
        return f"{terms}  waiting {self.waited / self.seconds():.0%}  {self.seconds() / self.steps:.2f} s/step"


def learning_rate(config: OptimizerConfig, step: int) -> float:
    """Linear warm-up, constant, half a cosine over the last `decay` of the steps."""
    warm = min(1.0, (step + 1) / max(1, config.warmup))
    tail = max(1.0, config.decay * config.steps)
    left = min(1.0, (config.steps - step) / tail)
    return config.learning_rate * warm * (1 - math.cos(math.pi * left)) / 2


def _banks(recipe: Recipe) -> tuple[ImageBank, ImageBank]:
    bank = ImageBank.load(Path(recipe.data.folder), cache=Path(recipe.data.cache))
    if len(bank) < 2:
        raise UsageError(f"{recipe.data.folder}: holds one photograph; training wants two or more, since some are held out")
    split = len(bank) - max(1, min(recipe.data.held_out, len(bank) // 2))
    return ImageBank(bank.pixels, bank.photos[:split]), ImageBank(bank.pixels, bank.photos[split:])


def _validation_pairs(bank: ImageBank, recipe: Recipe) -> tuple[Tensor, Tensor]:
    generator = step_generator(0, "validation", 0)
    hr = bank.crops(VALIDATION_CROPS, recipe.data.hr_size, generator, recipe.data.crop)
    return hr, degrade(hr, scale=SCALE, generator=generator, config=recipe.data.degradation)


def _psnr(out: Tensor, hr: Tensor) -> float:
    """Mean over pictures of the RGB PSNR in dB, values clamped to [0, 1]."""
    error = (out.clamp(0, 1) - hr).square().mean(dim=(1, 2, 3))
    return float((-10 * error.log10()).mean())


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # torch says so when it was built without
        raise UsageError(f"--device {name}: cannot be used: {str(error).splitlines()[0]}") from None


def _log_to(out: Path) -> None:
    """Log to the standard error stream and to a file in `out`, which is made."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        handlers = (logging.StreamHandler(), logging.FileHandler(out / "log.txt", encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{out}: cannot write there: {error.strerror}") from None
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        logger.addHandler(handler)
