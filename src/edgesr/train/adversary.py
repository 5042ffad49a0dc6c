"""The adversary of stages 3 and 4: its losses and its training state (ours: the paper says only that its decoder is fine-tuned; other
work shows that the adversarial term should come last and have a small weight)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgesr.data.fields import bounded
from edgesr.errors import DivergedError, UsageError
from edgesr.model.blocks import full_precision
from edgesr.train.discriminator import Discriminator, HighPassPatch
from edgesr.train.faults import Faults, is_asynchronous
from edgesr.train.processes import Processes

Kind = Literal["hinge", "r1", "relativistic"]
NETWORKS: dict[str, type[Discriminator] | type[HighPassPatch]] = {"unet": Discriminator, "highpass-patch": HighPassPatch}


@dataclass(frozen=True)
class AdversarialConfig:
    """The adversarial term; with weight 0 there is no discriminator."""

    # Weight of the generator's term: .05 to .1 for "unet", .003 to .02 for "highpass-patch".
    weight: float = bounded(0.0, "0 or more")
    start: float = bounded(0.85, "0 to 1")  # share of the steps after which it is active: the last 15 %
    ramp: float = bounded(0.0, "0 to 1")  # share of the steps, from `start`, over which the weight rises linearly from 0
    network: Literal["unet", "highpass-patch"] = "unet"  # Real-ESRGAN's; or a PatchGAN on high-pass luma
    real: Literal["target", "truth"] = "target"  # real pictures for crops that have a teacher's target
    kind: Kind = "hinge"  # or "r1": non-saturating logistic with a gradient penalty; or "relativistic": average logistic
    # Weight of the penalty (ours: distinguishing a blurred picture from its original needs squared gradients of 10 and more).
    r1_gamma: float = bounded(0.01, "0 or more")
    # Apply the penalty every so many updates of the discriminator, with its weight multiplied by that number.
    r1_every: int = bounded(16, "1 or more")
    learning_rate: float = bounded(1e-4, "more than 0")  # of the discriminator's Adam
    # Update the discriminator every so many steps; increase it if the discriminator wins.
    update_every: int = bounded(1, "1 or more")
    width: int = bounded(32, "1 or more")  # channels after the first convolution; 64 in Real-ESRGAN

    def weight_at(self, progress: float) -> float:
        """Return the weight of the generator's term at this share of the steps."""
        begun = progress - self.start
        return self.weight * min(1.0, max(0.0, begun) / self.ramp) if self.ramp else self.weight * (begun >= 0)


class Shown(NamedTuple):
    """The adversary's input for one step."""

    out: Tensor  # (B, 3, H, W), the generator's pictures
    real: Tensor  # (B, 3, H, W), the real pictures
    lr: Tensor  # (B, 3, H/4, W/4), the LR of both
    shift: tuple[int, int] = (0, 0)  # rows and columns to crop, for a discriminator that uses shifts


def joined(parts: Sequence[Shown]) -> Shown:
    """What was shown for the parts of a batch, as for the whole; the pictures are detached."""
    out, real, lr = (
        torch.cat([field.detach() for field in fields]) for fields in zip(*(part[:3] for part in parts), strict=True)
    )
    return Shown(out, real, lr, parts[0].shift)


class AdversarialLosses(NamedTuple):
    """The losses of generator and discriminator, means over the logits of real and generated pictures, both of any shape."""

    generator: Callable[[Tensor | None, Tensor], Tensor]  # the real logits may be None unless `compares`
    discriminator: Callable[[Tensor, Tensor], Tensor]
    accuracy: Callable[[Tensor, Tensor], Tensor]  # share of correctly classified logits, each kind weighted by half
    compares: bool = False  # whether the generator's loss depends on the real pictures


def adversarial_losses(kind: Kind, mean: Callable[[Tensor], Tensor] = torch.mean) -> AdversarialLosses:
    """Return the losses called `kind`; `mean` averages over the logits of all processes.

    "hinge": mean max(0, 1 - D(real)) + mean max(0, 1 + D(fake)), and -mean D(fake) (Lim and Ye 2017, arXiv 1705.02894; as in
    Miyato et al. 2018, arXiv 1802.05957, equations 16 and 17). "r1": mean softplus(-D(real)) + mean softplus(D(fake)), and the
    non-saturating mean softplus(-D(fake)) (Goodfellow et al. 2014, arXiv 1406.2661, section 3), used with `r1_penalty`.
    "relativistic": mean softplus(-(D(real) - mean D(fake))) + mean softplus(D(fake) - mean D(real)), and the same with real and
    fake exchanged (Jolicoeur-Martineau 2018, arXiv 1807.00734, RaSGAN).
    """
    if kind == "hinge":
        return AdversarialLosses(
            lambda _, fake: -fake.mean(),
            lambda real, fake: F.relu(1 - real).mean() + F.relu(1 + fake).mean(),
            _accuracy,
        )
    if kind == "r1":
        return AdversarialLosses(
            lambda _, fake: F.softplus(-fake).mean(),
            lambda real, fake: F.softplus(-real).mean() + F.softplus(fake).mean(),
            _accuracy,
        )

    def relativistic(winner: Tensor, loser: Tensor) -> Tensor:
        return F.softplus(mean(loser) - winner).mean() + F.softplus(loser - mean(winner)).mean()

    def generator(real: Tensor | None, fake: Tensor) -> Tensor:
        if real is None:
            raise ValueError("the relativistic loss of the generator needs the logits of real pictures")
        return relativistic(fake, real)

    return AdversarialLosses(
        generator,
        relativistic,
        lambda real, fake: _accuracy(real - mean(fake), fake - mean(real)),
        compares=True,
    )


def _accuracy(real: Tensor, fake: Tensor) -> Tensor:
    return ((real > 0).float().mean() + (fake < 0).float().mean()) / 2


def r1_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor, generator: torch.Generator) -> Tensor:
    """Return the mean over all logits of the squared norm of a logit's gradient by the picture; multiply by gamma / 2.

    R1 of Mescheder et al. 2018 (arXiv 1801.04406, section 4.1) is defined for one logit per picture. Several logits are summed with
    random signs (ours), so that the products of different logits' gradients average to zero; a plain sum would not penalise a
    discriminator of pure high-pass kernels. `real` is (B, 3, H, W); the signs are drawn from `generator`, on the CPU.
    """
    real = real.detach().requires_grad_()
    with full_precision(real):
        logits = discriminator(real)
        signs = torch.randint(2, logits.shape, generator=generator).to(logits) * 2 - 1
        (gradient,) = torch.autograd.grad((signs * logits).sum(), real, create_graph=True)
        return gradient.square().sum() / logits.numel()


class Adversary:
    """A discriminator with its own Adam; its state is determined by `config`, `seed` and its inputs."""

    def __init__(self, config: AdversarialConfig, seed: int, device: torch.device) -> None:
        self.config, self.seed = config, seed
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            net = NETWORKS[config.network](config.width)
        self.net: Discriminator | HighPassPatch = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.net.eval().requires_grad_(False)
        self._faults = Faults(device) if is_asynchronous(device) else None
        # Real-ESRGAN's settings; no weight decay, which spectral normalisation would cancel.
        self.optimizer = torch.optim.Adam(
            self.net.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), fused=True if self._faults else None
        )

    def logits(self, pictures: Tensor, shown: Shown) -> Tensor:
        """Return the float32 logits of `pictures` (B', 3, H, W) in [0, 1]: one or more batches of B pictures of the LR in `shown`."""
        if isinstance(self.net, Discriminator):
            return self.net(pictures).float()
        lr = shown.lr.repeat(len(pictures) // len(shown.lr), 1, 1, 1)
        return self.net(pictures, lr, shown.shift).float()

    def generator_term(self, shown: Shown, processes: Processes | None = None) -> Tensor:
        """Return the generator's loss for the pictures in `shown`, a scalar; the discriminator is not changed.

        With several `processes`, averages within the loss are over all of them.
        """
        losses = adversarial_losses(self.config.kind, (processes or Processes()).mean)
        real = None
        if losses.compares:
            with torch.no_grad():
                real = self.logits(shown.real, shown)
        return losses.generator(real, self.logits(shown.out, shown))

    def update(self, shown: Shown, step: int, processes: Processes | None = None) -> dict[str, Any]:
        """Take one step of the discriminator on `shown`, if one is due; return its metrics.

        These are its loss, its mean logit on real and generated pictures, its accuracy (0 to 1) and, on the steps that compute it, the
        gradient penalty. With several `processes` the gradients are averaged over them. If the loss of one process or the norm of the
        gradient is not finite, no weight changes and DivergedError is raised in all of them. On a GPU nothing is synchronised: the
        metrics are tensors, and `check_faults` raises instead.
        """
        config, processes, parameters = self.config, processes or Processes(), list(self.net.parameters())
        if step % config.update_every:
            return {}
        losses = adversarial_losses(config.kind, processes.mean)
        self.net.train().requires_grad_(True)
        real, fake = self.logits(torch.cat([shown.real, shown.out.detach()]), shown).chunk(2)
        loss = losses.discriminator(real, fake)
        figures = {"d_loss": loss.detach(), "d_real": real.detach().mean(), "d_fake": fake.detach().mean()}
        figures["d_accuracy"] = losses.accuracy(real.detach(), fake.detach())
        if config.kind == "r1" and step // config.update_every % config.r1_every == 0:
            signs = torch.Generator().manual_seed((self.seed * 1_000_003 + step) % 2**63)
            penalty = r1_penalty(lambda pictures: self.logits(pictures, shown), shown.real, signs)
            loss = loss + config.r1_every * config.r1_gamma / 2 * penalty
            figures["d_gradient"] = penalty.detach()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        processes.mean_gradients(parameters)
        norm = nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        total = processes.sum(loss.detach()) / processes.world
        if self._faults is not None:
            self.optimizer.found_inf = self._faults.add(step, total, norm)  # type: ignore[attr-defined]  # 1 skips the step
        elif not math.isfinite(total + norm):  # a finite loss can have a non-finite gradient
            raise _diverged(step, float(total), float(norm))
        self.optimizer.step()
        self.net.eval().requires_grad_(False)
        if self._faults is not None:
            return dict(figures)
        return dict(zip(figures, torch.stack(list(figures.values())).tolist(), strict=True))

    def check_faults(self) -> None:
        """Raise DivergedError if an update was skipped; on a CPU `update` has already raised it."""
        if self._faults is not None and (fault := self._faults.first()) is not None:
            raise _diverged(*fault)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the whole state, including the vectors of the power iterations and Adam's moments, as a flat dict of tensors."""
        tensors = {f"net.{name}": tensor for name, tensor in self.net.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in state.items()}
        return tensors

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """Restore what `state_dict` returned; an empty dict, from a run without an adversary so far, starts from scratch.

        Raises UsageError if it belongs to another discriminator.
        """
        if not tensors:
            return
        try:
            self.net.load_state_dict({name[4:]: tensor for name, tensor in tensors.items() if name.startswith("net.")})
        except RuntimeError:
            raise UsageError(
                "recipe: the checkpoint's discriminator has another 'loss.adversarial.network' or 'width'; set them as they were"
            ) from None
        for index, parameter in enumerate(self.net.parameters()):
            prefix = f"optimizer.{index}."
            self.optimizer.state[parameter] = {
                name.removeprefix(prefix): _laid_out_as(parameter, tensor)
                for name, tensor in tensors.items()
                if name.startswith(prefix)
            }


def _diverged(step: int, loss: float, norm: float) -> DivergedError:
    return DivergedError(
        f"step {step}: the discriminator's loss is {loss:g} and the norm of its gradient {norm:g}: "
        "lower loss.adversarial.learning_rate and --resume from the last checkpoint"
    )


def _laid_out_as(parameter: Tensor, tensor: Tensor) -> Tensor:
    """Copy an optimizer's tensor: a moment into the memory layout of its parameter, the step count as it is."""
    return torch.empty_like(parameter, requires_grad=False).copy_(tensor) if tensor.dim() else tensor.clone()
