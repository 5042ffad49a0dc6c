"""The training loop of a stage: steps, weight averages, validation, checkpoints; a resumed run is bit-identical on a CPU."""

from __future__ import annotations

import copy
import logging
import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgesr.data.seeds import step_generator
from edgesr.errors import DivergedError, UsageError
from edgesr.model import checkpoint
from edgesr.presets import SCALE
from edgesr.train.batches import Batches
from edgesr.train.faults import Faults, diverged, is_asynchronous
from edgesr.train.guards import AccuracyWatch, DriftGuard, drift_figures
from edgesr.train.identity import check_resumed, identity
from edgesr.train.journal import Journal
from edgesr.train.meter import Meter
from edgesr.train.networks import Networks
from edgesr.train.precision import choose_precision
from edgesr.train.processes import Processes
from edgesr.train.recipe import OptimizerConfig, Recipe
from edgesr.train.stages import Loss, Stage, mean_of
from edgesr.train.step import Batch, Part, StepRandom
from edgesr.train.throughput import Throughput, measured_peak, step_flops
from edgesr.train.writer import Writer

logger = logging.getLogger("edgesr.train")

GRID_ROWS = 8  # held-out crops in a sample grid


class Loop:
    """The state of a running stage: networks, their average, the optimizer, the stage, the step and the seconds spent."""

    def __init__(self, recipe: Recipe, stage: Stage, nets: Networks, processes: Processes | None = None) -> None:
        self.recipe, self.stage, self.nets = recipe, stage, nets
        self.processes = processes or Processes()
        nets.requires_grad_(False)
        for module in stage.trained(nets):
            module.requires_grad_(True)
        self.parameters = [p for p in nets.parameters() if p.requires_grad]
        self.device = self.parameters[0].device
        self.precision = choose_precision(recipe.precision, self.device)
        config = recipe.optimizer
        self._faults = Faults(self.device) if is_asynchronous(self.device) else None
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            lr=config.learning_rate,
            betas=(0.9, config.beta2),
            weight_decay=config.weight_decay,
            fused=True if self._faults else None,
        )
        self.average = nets.average_of()
        mine, theirs, means = tensors_of(nets), tensors_of(self.average), self.average.state_dict()
        self._moving = [name for name in means if mine[name] is not theirs[name]]
        self._means = [means[name] for name in self._moving]
        self.accuracy, self.drift = AccuracyWatch(recipe.log), DriftGuard(recipe.log)
        self.step, self._share = 0, 0.0
        self._earlier, self._began = 0.0, time.monotonic()
        if recipe.compile:
            teacher = [] if nets.teacher is None else [nets.teacher.encoder, nets.teacher.unet]
            for part in (nets.hr_encoder, nets.edge.encoder, nets.edge.unet, nets.edge.decoder, *teacher):
                part.compile()

    @property
    def seconds(self) -> float:
        """Time spent on this run so far, including the earlier parts of a resumed run."""
        return self._earlier + time.monotonic() - self._began

    def run(self, batches: Batches, validation: Batch, out: Path, deadline: float) -> dict[str, float]:
        """Train until the last step or the `deadline` (of time.monotonic), save, and return the final metrics."""
        journal = Journal(out, self.step) if self.processes.main else None
        with Writer(out / "checkpoint") as writer:
            self._train(batches, validation, deadline, journal, writer)
            self._check_faults()
            if journal:
                writer.save(*self.contents())
                writer.wait()  # whatever the last validation says
            figures = self.validate(validation, journal) if journal else {}
            self._judge(figures)
        return figures

    def _train(self, batches: Batches, validation: Batch, deadline: float, journal: Journal | None, writer: Writer) -> None:
        """Train until the last step or the `deadline`; only the process with a journal validates and saves."""
        log, meter, throughput = self.recipe.log, Meter(), None
        while not self._is_over(deadline):
            with meter.waiting():
                batch = batches(self.step)
            if throughput is None:
                with meter.paused():
                    throughput = self._throughput(batch)
            meter.add(self.update(batch))
            throughput.count(len(batch.hr))
            self.step += 1
            if self.step % log.every == 0 or self.step % log.checkpoint == 0:
                self._check_faults()
            if self.step % log.every == 0 and journal:
                self._report(journal, meter, throughput, deadline)
            saves, validates = self.step % log.checkpoint == 0, self.step % log.validate == 0 and not self.finished
            if saves or validates:  # a pause synchronises with the device
                with meter.paused(), throughput.paused():
                    if validates:  # before the checkpoint, so that none is written after a drift
                        self._judge(self.validate(validation, journal) if journal else {})
                    if saves and journal:
                        writer.save(*self.contents())

    def _report(self, journal: Journal, meter: Meter, throughput: Throughput, deadline: float) -> None:
        """Write the metrics of the steps since the last report, and their speed."""
        config, (rate, share) = self.recipe.optimizer, throughput.rates()
        rate *= self.processes.world
        left = (config.steps - self.step) * meter.seconds() / meter.steps / 60
        if config.schedule == "time":
            left = (deadline - time.monotonic()) / 60
        speed = {"samples_per_second": rate, "peak_share": share, "learning_rate": self._rate(), "seconds": self.seconds}
        if self.device.type == "cuda":
            speed["memory_gb"] = torch.cuda.max_memory_allocated(self.device) / 1e9
        line = f"{meter.line()}  {rate:.0f} samples/s, {share:.0%} of the peak  {left:.0f} min left"
        logger.info("step %d  %s", self.step, line)
        journal.scalars(self.step, meter.means() | speed)
        meter.restart()
        throughput.start()

    def _judge(self, figures: dict[str, float]) -> None:
        """Raise DivergedError, in every process, if the main process's validation shows a drift."""
        problem = self.drift.judge(figures, self.step) if figures and self.stage.makes_pictures else ""
        if self.processes.any(bool(problem), self.device):
            raise DivergedError(problem or f"step {self.step}: the main process reports that the run drifts")

    def update(self, batch: Batch) -> dict[str, Any]:
        """Take one optimizer step; return its metrics. If the loss or its gradient is not finite, no weight changes.

        In that case it raises DivergedError. On a GPU nothing is synchronised: the metrics are tensors, and `run` raises at the next log
        line.
        """
        config = self.recipe.optimizer
        self.optimizer.zero_grad(set_to_none=True)
        losses = []
        for index in range(config.accumulate):
            part = self._loss(batch, self.nets, Part(index, config.accumulate))
            (part.total / config.accumulate).backward()
            losses.append(part._replace(total=part.total.detach()))
        loss = mean_of(losses)
        self.processes.mean_gradients(self.parameters)
        norm = nn.utils.clip_grad_norm_(self.parameters, config.clip)
        total = self.processes.sum(loss.total) / self.processes.world
        measured = torch.stack([total.float(), norm.float(), *(v.float() for v in loss.scalars.values())])
        if self._faults is None:
            terms = measured.tolist()  # a single synchronisation
            if not math.isfinite(terms[0] + terms[1]):  # a finite loss can have a non-finite gradient
                raise diverged(self.step, terms[0], terms[1])
        else:
            terms = list(measured.unbind())
            # As with gradient scalers: the fused optimizer skips the step if this is 1.
            self.optimizer.found_inf = self._faults.add(self.step, total, norm)  # type: ignore[attr-defined]
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        self.optimizer.step()
        decay = min(config.ema, (1 + self.step) / (10 + self.step))
        values = self.nets.state_dict()  # read every time, since a module may replace its buffers
        torch._foreach_lerp_(self._means, [values[name] for name in self._moving], 1 - decay)
        figures = {"loss": terms[0], **dict(zip(loss.scalars, terms[2:], strict=True)), "gradient": terms[1]}
        with self.precision.autocast(self.device):
            figures |= self.stage.after_step(loss, self.step, self.processes)
        if self.processes.main and loss.shown is not None:
            self.accuracy.add(self.step, figures.get("d_accuracy"))
        return figures

    def _throughput(self, batch: Batch) -> Throughput:
        """The throughput meter: the peak, and a step's FLOPs, counted on a copy because counting may change the last bits."""
        part = Part(0, self.recipe.optimizer.accumulate)
        # The lambda is no detour: the forward counts too.
        flops = step_flops(lambda: self._loss(batch, copy.deepcopy(self.nets), part).total.backward())  # noqa: PLW0108
        flops *= part.count
        peak = measured_peak(self.device, self.precision.dtype)
        if self.processes.main:
            logger.info("a step takes %.3g GFLOPs; matrix products run at %.3g GFLOP/s", flops / 1e9, peak / 1e9)
        return Throughput(flops / len(batch.hr), peak, self.device)

    @property
    def progress(self) -> float:
        """The completed share of the run: of its steps, or of its time."""
        return self.step / self.recipe.optimizer.steps if self.recipe.optimizer.schedule == "steps" else self._share

    @property
    def finished(self) -> bool:
        """Whether the run is complete."""
        return self.progress >= 1

    def _loss(self, batch: Batch, nets: Networks, part: Part) -> Loss:
        """The loss of a part of this process's rows."""
        batch = Batch(*(part.rows(x).to(self.device, memory_format=torch.channels_last) for x in batch))
        generator = step_generator(self.recipe.seed, "loss", self.step)
        random = StepRandom(generator, self.recipe.data.batch, self.processes, self.device, part)
        with self.precision.autocast(self.device):
            return self.stage.loss(nets, batch, self.progress, random)

    @torch.no_grad()
    def validate(self, batch: Batch, journal: Journal) -> dict[str, float]:
        """PSNR of the averaged networks and of bicubic on held-out crops, and the contribution of the latent path.

        "latent_db" is the loss of PSNR when z0_hat is replaced by zeros; the colour shift and the lattice are in levels of 255. A sample
        grid is written to the journal.
        """
        batch = Batch(*(x.to(self.device) for x in batch))
        with self.precision.autocast(self.device):
            z0, condition = self.stage.latent(self.average, batch, StepRandom(torch.Generator().manual_seed(0), len(batch.hr)))
            full, without = (self.stage.decode(self.average, batch, z).float() for z in (z0, torch.zeros_like(z0)))
        bicubic = nn.functional.interpolate(batch.lr, scale_factor=SCALE, mode="bicubic", align_corners=False)
        psnr = _psnr(full, batch.hr)
        figures = {
            "psnr": psnr,
            "gain_db": psnr - _psnr(bicubic, batch.hr),
            "latent_db": psnr - _psnr(without, batch.hr),
            **drift_figures(full, batch.hr),
            "mean_s": float(condition.log_s.float().exp().mean()),
            "norm_mu": float(condition.mu.float().square().mean().sqrt()),
        }
        text = "  ".join(f"{k} {v:.3f}" for k, v in figures.items())
        logger.info("step %d  held out: %s  (%.0f min)", self.step, text, self.seconds / 60)
        journal.scalars(self.step, {f"held_out/{name}": value for name, value in figures.items()})
        columns = {
            "lr": nn.functional.interpolate(batch.lr, scale_factor=SCALE),
            "bicubic": bicubic,
            "ours": full,
            "hr": batch.hr,
        }
        journal.grid(self.step, {name: pictures[:GRID_ROWS].clamp(0, 1).cpu() for name, pictures in columns.items()})
        return figures

    def contents(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that a resumed run needs: tensors, not copied, and the rest."""
        average = self.average.state_dict()
        tensors = {f"net.{k}": v for k, v in self.nets.kept().items()} | {f"ema.{k}": average[k] for k in self._moving}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
        tensors |= self.stage.state_dict()
        state = {"step": self.step, "seconds": self.seconds, "reached": sorted(self.drift.reached)}
        return tensors, {**identity(self.recipe, self.nets), **state}

    def restore(self, folder: Path) -> None:
        """Restore `contents` from a checkpoint; raises UsageError if it is from another recipe's run."""
        tensors, state = checkpoint.load(folder)
        check_resumed(state, self.recipe, self.nets, folder)
        self.nets.load(checkpoint.part(tensors, "net."), folder)
        self.average.load(checkpoint.averaged(tensors), folder)
        # Earlier checkpoints do not name the encoders; their tensors identify them.
        own_encoder = any(name.startswith("net.hr_encoder.") for name in tensors)
        if checkpoint.part(tensors, "ema.").keys() != set(self._moving) or own_encoder is not self.nets.owns_hr_encoder:
            raise UsageError(
                f"{folder}: the run there trains other networks than the recipe; set model.lr_encoder and model.hr_encoder as they were"
            )
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in checkpoint.part(tensors, "optimizer.").items():
            index, key = name.split(".")
            # In the memory layout of the weights, as the optimizer creates them: mixed layouts take a slow path.
            like = self.parameters[int(index)] if tensor.dim() else tensor
            moments.setdefault(int(index), {})[key] = torch.empty_like(like).copy_(tensor)
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.stage.load_state_dict(tensors)
        self.step = state["step"]
        self.drift.reached = set(state.get("reached", []))
        self._earlier, self._began = state["seconds"], time.monotonic()

    def _is_over(self, deadline: float) -> bool:
        """Whether the run is complete or any process is out of time: all must stop after the same step and agree on the progress."""
        left, spent = max(0.0, deadline - time.monotonic()), self.seconds
        clock = torch.tensor([float(left == 0), 1.0 if left == 0 else spent / (spent + left)], dtype=torch.float64)
        if self.processes.world > 1:
            clock = self.processes.sum(clock.float().to(self.device)) / self.processes.world
        late, self._share = clock.tolist()
        return late > 0 or self.finished

    def _rate(self) -> float:
        """The learning rate of the next step."""
        config = self.recipe.optimizer
        return learning_rate(config, self.step, None if config.schedule == "steps" else self._share)

    def _check_faults(self) -> None:
        """Raise DivergedError if an update was skipped since the last check; on a CPU `update` has already raised it."""
        if self._faults is not None and (fault := self._faults.first()) is not None:
            raise diverged(*fault)
        self.stage.check_faults()


def tensors_of(nets: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, as the original objects, so that a tensor shared by two modules appears as one object."""
    return dict(nets.named_parameters()) | dict(nets.named_buffers())


def learning_rate(config: OptimizerConfig, step: int, share: float | None = None) -> float:
    """Linear warm-up, constant, half a cosine over the last `decay` of the steps, or of the time, of which `share` has passed."""
    warm = min(1.0, (step + 1) / max(1, config.warmup))
    tail = max(1.0, config.decay * config.steps)
    left = min(1.0, (config.steps - step) / tail)
    if share is not None:
        left = min(1.0, (1 - share) / config.decay) if config.decay else 1.0
    return config.learning_rate * warm * (1 - math.cos(math.pi * left)) / 2


def _psnr(out: Tensor, hr: Tensor) -> float:
    """Mean over pictures of the RGB PSNR in dB, values clamped to [0, 1]."""
    error = (out.clamp(0, 1) - hr).square().mean(dim=(1, 2, 3))
    return float((-10 * error.log10()).mean())
