"""The training stages: which networks are trained, and with which loss (docs/method.md; paper section 3). Each is a small class with
the loss in one method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from edgesr.errors import UsageError
from edgesr.model import checkpoint, diffusion
from edgesr.model.edge import Condition, EdgeSR, LatentDiffusion
from edgesr.model.encoder import HREncoder
from edgesr.presets import SCALE
from edgesr.train.adversary import Shown, joined
from edgesr.train.losses import LATENT_FIELDS, LossConfig, PictureLoss, log_s_regulariser, v_error
from edgesr.train.networks import Networks
from edgesr.train.processes import Processes
from edgesr.train.recipe import Recipe
from edgesr.train.step import Batch, StepRandom

EQUIVARIANCE_BORDER = 8  # LR px

Scalars = dict[str, Tensor]


class Loss(NamedTuple):
    """The loss of one batch."""

    total: Tensor  # scalar, to be minimised
    scalars: Scalars  # its terms, for the log
    shown: Shown | None = None  # input of the adversary, if active: pictures made from the first B' of the batch


def mean_of(parts: Sequence[Loss]) -> Loss:
    """The loss of a batch from those of its parts, which have equally many rows: means, and all that the adversary is shown."""
    if len(parts) == 1:
        return parts[0]
    total, shown = torch.stack([part.total for part in parts]).mean(), [part.shown for part in parts if part.shown is not None]
    scalars = {name: torch.stack([part.scalars[name].float() for part in parts]).mean() for name in parts[0].scalars}
    return Loss(total, scalars, joined(shown) if shown else None)


class Stage:
    """Base class of the training stages."""

    name: str
    makes_pictures = False  # whether its loss looks at pixels
    reads: frozenset[str]  # the fields of LossConfig that its loss depends on

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        """Raise UsageError if the recipe sets a field of the loss that this stage does not read."""
        default = LossConfig()
        for name in (field.name for field in fields(LossConfig) if field.name not in self.reads):
            if getattr(recipe.loss, name) != getattr(default, name):
                raise UsageError(
                    f"recipe: the stage '{self.name}' does not read 'loss.{name}': leave it out, or choose another stage"
                )
        self.recipe, self.config = recipe, recipe.loss

    @property
    def has_teacher(self) -> bool:
        """Whether the networks include an x2 teacher, and the batches its less degraded LR."""
        return False

    @property
    def starts_from_teacher(self) -> bool:
        """Whether the checkpoint that it starts from must hold a trained teacher."""
        return False

    def prepare(self, nets: Networks) -> None:
        """Modify the loaded networks once, at the start of the stage."""

    def trained(self, nets: Networks) -> list[nn.Module]:
        """Return the modules that are trained; the others are frozen."""
        raise NotImplementedError

    def loss(self, nets: Networks, batch: Batch, progress: float, random: StepRandom) -> Loss:
        """Return the loss of a batch; progress is the share of the steps done, in [0, 1]."""
        raise NotImplementedError

    def after_step(self, loss: Loss, step: int, processes: Processes) -> dict[str, Any]:
        """Train any auxiliary network (the discriminator) on this step's output; return its metrics."""
        return {}

    def check_faults(self) -> None:
        """Raise DivergedError if it diverged in an earlier step and could not report it then."""

    def state_dict(self) -> dict[str, Tensor]:
        """The tensors of the auxiliary network and its optimizer, for a checkpoint."""
        return {}

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """Restore them from the tensors of a checkpoint."""

    def latent(self, nets: Networks, batch: Batch, random: StepRandom) -> tuple[Tensor, Condition]:
        """Return this stage's z0_hat (B, C, h, w) and the condition from the LR, for validation."""
        condition = nets.edge.condition(batch.lr, random.normal(latent_like(nets, batch)))
        return nets.edge.one_step(condition), condition

    def decode(self, nets: Networks, batch: Batch, z0: Tensor) -> Tensor:
        """D(z0, lr) with the LR features of E_L at x4, (B, 3, H, W)."""
        return nets.edge.decoder(z0, nets.edge.encoder(batch.lr)[2], batch.lr)

    def _student(self, nets: Networks) -> list[nn.Module]:
        """The UNet, and E_L unless the recipe freezes it."""
        joint = self.recipe.model.lr_encoder == "joint"
        return [nets.edge.unet, nets.edge.encoder] if joint else [nets.edge.unet]


class PictureStage(Stage):
    """A stage whose loss compares pictures; it owns the adversary, if there is one."""

    makes_pictures = True

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        super().__init__(recipe, device)
        self.pictures = PictureLoss(recipe.loss, recipe.seed, device)

    def after_step(self, loss: Loss, step: int, processes: Processes) -> dict[str, Any]:
        """One step of the discriminator, if it is active."""
        adversary = self.pictures.adversary
        return {} if adversary is None or loss.shown is None else adversary.update(loss.shown, step, processes)

    def check_faults(self) -> None:
        """Raise DivergedError if a step of the discriminator was skipped."""
        if self.pictures.adversary is not None:
            self.pictures.adversary.check_faults()

    def state_dict(self) -> dict[str, Tensor]:
        """The adversary's tensors."""
        adversary = self.pictures.adversary
        return {} if adversary is None else {f"adversary.{name}": tensor for name, tensor in adversary.state_dict().items()}

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """Restore the adversary from the tensors of a checkpoint; without any it starts from scratch."""
        if self.pictures.adversary is not None:
            self.pictures.adversary.load_state_dict(checkpoint.part(tensors, "adversary."))


class Autoencoder(PictureStage):
    """Stage 0: E_H and D, with the LR features that D receives, trained on pixels; z_h learns the information the LR lacks.

    E_L's mean is trained to predict z_h at the same time (ours): this initialises E_L, and is the only training of a frozen E_L. An
    E_H of Stable Diffusion's stays frozen.
    """

    name = "autoencoder"
    reads = PictureLoss.fields | {"mu_prior", "latent_noise"}

    def trained(self, nets: Networks) -> list[nn.Module]:
        """E_H if it is ours, D and E_L; the UNet gets no gradient here."""
        own = [nets.hr_encoder] if nets.owns_hr_encoder else []
        return [*own, nets.edge.decoder, nets.edge.encoder]

    def loss(self, nets: Networks, batch: Batch, progress: float, random: StepRandom) -> Loss:
        """Pixel terms of D(z_h + noise, lr), and the squared error of mu as a prediction of z_h."""
        z_h = nets.hr_encoder(batch.hr)
        if nets.owns_hr_encoder and isinstance(nets.hr_encoder, HREncoder):
            nets.hr_encoder.track_statistics(random.gather(z_h.detach().float()), momentum=0.02 / random.part.count)
        z = z_h + self.config.latent_noise * random.normal(z_h)
        mu, _, features = nets.edge.encoder(batch.lr)
        out = nets.edge.decoder(z, features, batch.lr).float()
        prior = (mu.float() - z_h.detach().float()).square().mean()
        pixels, scalars, shown = self.pictures(out, batch, progress, random)
        scalars |= {"std_z_h": z_h.detach().std(), "mu_prior": prior}
        return Loss(pixels + self.config.mu_prior * prior, _detached(scalars), shown)

    def latent(self, nets: Networks, batch: Batch, random: StepRandom) -> tuple[Tensor, Condition]:
        """z_h itself."""
        z_h = nets.hr_encoder(batch.hr)
        return z_h, nets.edge.condition(batch.lr, random.normal(z_h))


class TeacherX2(Stage):
    """Stage 1: the UNet and an E_L for x2, trained on v of the ground truth, from the less degraded LR of the same crop.

    Timesteps move towards T during training (the paper's dedicated schedule; its shape is ours).
    """

    name = "teacher-x2"
    reads = LATENT_FIELDS

    @property
    def has_teacher(self) -> bool:
        """The teacher is the network that is trained."""
        return True

    def trained(self, nets: Networks) -> list[nn.Module]:
        """The teacher; E_H, D and the E_L of x4 are frozen."""
        return [_teacher(nets)]

    def loss(self, nets: Networks, batch: Batch, progress: float, random: StepRandom) -> Loss:
        """Weighted squared error of v_hat."""
        z_h = _frozen_latent(nets, batch)
        t = random.times(self.config.terminal_share(progress)).t
        step = _diffusion_step(_teacher(nets), batch.lr_x2, z_h, t, random.normal(z_h))
        return _latent_loss(self.config, v_error(self.config, step.v, step.condition.noise, z_h, t), step)

    def latent(self, nets: Networks, batch: Batch, random: StepRandom) -> tuple[Tensor, Condition]:
        """The teacher's one-step z0_hat."""
        teacher = _teacher(nets)
        condition = teacher.condition(batch.lr_x2, random.normal(latent_like(nets, batch)))
        return teacher.one_step(condition), condition


class StudentX4(Stage):
    """Stage 2: scale distillation (YONOS-SR, arXiv 2401.17258): the teacher's z0_hat at the same t and eps is the target.

    With `loss.target = "truth"` there is no teacher, and the target is the ground truth's v (the ablation: direct x4).
    """

    name = "student-x4"
    reads = LATENT_FIELDS | {"target"}

    @property
    def has_teacher(self) -> bool:
        """Unless the target is the ground truth."""
        return self.config.target == "teacher"

    @property
    def starts_from_teacher(self) -> bool:
        """The teacher must have been trained."""
        return self.has_teacher

    def prepare(self, nets: Networks) -> None:
        """Initialise the student's UNet with the teacher's."""
        if nets.teacher is not None:
            nets.edge.unet.load_state_dict(nets.teacher.unet.state_dict())

    def trained(self, nets: Networks) -> list[nn.Module]:
        """The UNet and, unless frozen, E_L at x4; the teacher, E_H and D are frozen."""
        return self._student(nets)

    def loss(self, nets: Networks, batch: Batch, progress: float, random: StepRandom) -> Loss:
        """Squared error of z0_hat against the teacher's."""
        z_h = _frozen_latent(nets, batch)
        t = random.times(self.config.terminal_share(progress)).t
        eps = random.normal(z_h)
        step = _diffusion_step(nets.edge, batch.lr, z_h, t, eps)
        if self.config.target == "truth":
            return _latent_loss(self.config, v_error(self.config, step.v, step.condition.noise, z_h, t), step)
        with torch.no_grad():
            taught = _diffusion_step(_teacher(nets), batch.lr_x2, z_h, t, eps)
            target = diffusion.z0_from_v(taught.z_t, taught.v, t)
        error = (diffusion.z0_from_v(step.z_t, step.v, t) - target).square().mean()
        return _latent_loss(self.config, error, step)


class Decoder(PictureStage):
    """Stage 3: D alone, on the frozen UNet's one-step output, with pixel and feature losses and, at the end, an adversary."""

    name = "decoder"
    reads = PictureLoss.fields

    def trained(self, nets: Networks) -> list[nn.Module]:
        """D."""
        return [nets.edge.decoder]

    def loss(self, nets: Networks, batch: Batch, progress: float, random: StepRandom) -> Loss:
        """Pixel terms of D(z0_hat, lr)."""
        with torch.no_grad():
            z0, condition = self.latent(nets, batch, random)
        out = nets.edge.decoder(z0, condition.features, batch.lr).float()
        pixels, scalars, shown = self.pictures(out, batch, progress, random)
        return Loss(pixels, _detached(scalars | _condition_scalars(condition)), shown)


class EndToEnd(PictureStage):
    """Stage 4 (ours): E_L, UNet and D together, with pixel and feature losses on the one-step result and v against the frozen E_H.

    One evaluation of the UNet serves both losses: the part of the batch at T continues to the decoder.
    """

    name = "end-to-end"
    reads = PictureLoss.fields | LATENT_FIELDS | {"equivariance"}

    def trained(self, nets: Networks) -> list[nn.Module]:
        """The whole inference network, without a frozen E_L; E_H stays frozen."""
        return [*self._student(nets), nets.edge.decoder]

    def loss(self, nets: Networks, batch: Batch, progress: float, random: StepRandom) -> Loss:
        """Pixel terms and equivariance at T, squared error of v at every t, and the regulariser of s."""
        z_h = _frozen_latent(nets, batch)
        t, terminal, weight = random.times(self.config.terminal_share(progress))
        step = _diffusion_step(nets.edge, batch.lr, z_h, t, random.normal(z_h))
        latent = _latent_loss(self.config, v_error(self.config, step.v, step.condition.noise, z_h, t), step)
        # A process without a row at T decodes one with weight 0, since the mean of an empty tensor is NaN.
        rows = max(1, terminal)
        z0 = diffusion.z0_from_v(step.z_t, step.v, t)[:rows]  # one-step result: the first rows are at T
        out = nets.edge.decoder(z0, step.condition.features[:rows], batch.lr[:rows]).float()
        pixels, scalars, shown = self.pictures(out, batch, progress, random)
        if self.config.equivariance:
            some = max(1, rows // 4)  # this evaluates the networks once more
            eps, move = random.normal(z_h)[:some], random.move(nets.edge.preset.multiple)
            scalars["equivariance"] = _moved_difference(nets.edge, batch.lr[:some], out[:some], eps, move)
            pixels = pixels + self.config.equivariance * scalars["equivariance"]
        return Loss(latent.total + weight * pixels, _detached(scalars) | latent.scalars, shown)


STAGES: dict[str, type[Stage]] = {stage.name: stage for stage in (Autoencoder, TeacherX2, StudentX4, Decoder, EndToEnd)}


def stage_class(name: str) -> type[Stage]:
    """Return the stage called `name`; raises UsageError that lists the known ones."""
    if name not in STAGES:
        raise UsageError(f"recipe: unknown stage '{name}': choose one of {', '.join(STAGES)}")
    return STAGES[name]


class _Step(NamedTuple):
    z_t: Tensor
    v: Tensor  # v_hat
    condition: Condition


def _diffusion_step(model: LatentDiffusion, lr: Tensor, z_h: Tensor, t: Tensor, eps: Tensor) -> _Step:
    """Condition on lr, diffuse z_h to t, predict v; in float32 except inside the networks."""
    noise, mu, log_s, features = model.condition(lr, eps)
    condition = Condition(noise.float(), mu.float(), log_s.float(), features)
    z_t = diffusion.diffuse(z_h, condition.noise, t)
    return _Step(z_t, model.denoise(z_t, t, condition).float(), condition)


def _moved_difference(edge: EdgeSR, lr: Tensor, out: Tensor, eps: Tensor, move: tuple[int, int]) -> Tensor:
    """L1 between out (B, 3, 4h, 4w) and the result, with other noise, for lr (B, 3, h, w) without its first rows and columns (ours).

    Only the position relative to the network's grids differs, so this detects any pattern tied to the grids, even a local one.
    """
    unit, (down, right) = edge.preset.multiple, move
    height, width = lr.shape[-2] - unit, lr.shape[-1] - unit
    moved = lr[..., down : down + height, right : right + width].contiguous(memory_format=torch.channels_last)
    condition = edge.condition(moved, eps[..., : height // 2, : width // 2])
    again = edge.decoder(edge.one_step(condition), condition.features, moved).float()
    border = min(EQUIVARIANCE_BORDER, min(height, width) // 4)  # LR px, where only one of the two has context
    rows = slice(SCALE * (down + border), SCALE * (down + height - border))
    columns = slice(SCALE * (right + border), SCALE * (right + width - border))
    inner = slice(SCALE * border, -SCALE * border)
    return (again[..., inner, inner] - out[..., rows, columns]).abs().mean()


def _latent_loss(config: LossConfig, error: Tensor, step: _Step) -> Loss:
    """The weighted error of a latent, plus the regulariser of s."""
    scalars = {"latent": error} | _condition_scalars(step.condition)
    total = config.latent * error + config.log_s_reg * log_s_regulariser(step.condition.log_s)
    return Loss(total, _detached(scalars))


def _condition_scalars(condition: Condition) -> Scalars:
    """Signs of a collapse (docs/method.md, pitfalls)."""
    return {"mean_s": condition.log_s.float().exp().mean(), "norm_mu": condition.mu.float().square().mean().sqrt()}


def _frozen_latent(nets: Networks, batch: Batch) -> Tensor:
    with torch.no_grad():
        return nets.hr_encoder(batch.hr).float()


def latent_like(nets: Networks, batch: Batch) -> Tensor:
    """An empty tensor of the latent's shape, (B, C, H/8, W/8)."""
    count, _, height, width = batch.hr.shape
    return batch.hr.new_empty(count, nets.edge.preset.latent_channels, height // 8, width // 8)


def _teacher(nets: Networks) -> LatentDiffusion:
    if nets.teacher is None:
        raise UsageError("this stage needs networks with an x2 teacher")
    return nets.teacher


def _detached(scalars: Scalars) -> Scalars:
    return {name: value.detach() for name, value in scalars.items()}
