"""The adversary of the stages 3 and 4: its losses, and the state that it trains with (ours: the paper says only that its decoder
is fine-tuned; evidence elsewhere wants the adversarial term last, and light)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgesr.errors import DivergedError, UsageError
from edgesr.model.blocks import full_precision
from edgesr.train.discriminator import Discriminator
from edgesr.train.processes import Processes


@dataclass(frozen=True)
class AdversarialConfig:
    """The adversarial term; with weight 0 there is no discriminator."""

    weight: float = 0.0  # of the generator's term; .05 to .1 where it is used
    start: float = 0.85  # share of the steps after which it acts: on the last 15 %
    kind: Literal["hinge", "r1"] = "hinge"  # or non-saturating logistic with a gradient penalty
    r1_gamma: float = 0.01  # of the penalty (ours: telling a blur from its original wants squared gradients of 10 and more)
    r1_every: int = 16  # steps from one penalty to the next, each then that many times heavier
    learning_rate: float = 1e-4  # of the discriminator's Adam
    width: int = 32  # channels at full resolution; Real-ESRGAN has 64

    def __post_init__(self) -> None:
        for name in ("r1_every", "width"):
            if (value := getattr(self, name)) < 1:
                raise UsageError(f"recipe: the field 'loss.adversarial.{name}' wants 1 or more, not {value}")


class AdversarialLosses(NamedTuple):
    """What each side minimises, as means over logits of any shape."""

    generator: Callable[[Tensor], Tensor]  # of the logits of its pictures
    discriminator: Callable[[Tensor, Tensor], Tensor]  # of the logits of real pictures, and of the generator's


def adversarial_losses(kind: Literal["hinge", "r1"]) -> AdversarialLosses:
    """Return the pair of losses called `kind`.

    "hinge": mean max(0, 1 - D(real)) + mean max(0, 1 + D(fake)), and -mean D(fake) (Lim and Ye 2017, arXiv 1705.02894; as in
    Miyato et al. 2018, arXiv 1802.05957, equations 16 and 17). "r1": mean softplus(-D(real)) + mean softplus(D(fake)), and the
    non-saturating mean softplus(-D(fake)) (Goodfellow et al. 2014, arXiv 1406.2661, section 3); `r1_penalty` belongs to it.
    """
    if kind == "hinge":
        return AdversarialLosses(
            lambda fake: -fake.mean(),
            lambda real, fake: F.relu(1 - real).mean() + F.relu(1 + fake).mean(),
        )
    return AdversarialLosses(
        lambda fake: F.softplus(-fake).mean(),
        lambda real, fake: F.softplus(-real).mean() + F.softplus(fake).mean(),
    )


def r1_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor, generator: torch.Generator) -> Tensor:
    """Return the mean over all logits of the squared norm of a logit's gradient by the picture; multiply by gamma / 2.

    R1 of Mescheder et al. 2018 (arXiv 1801.04406, section 4.1), which is for one logit a picture. For many (ours) they are
    summed with random signs, which leaves the mean of the products of two different logits' gradients at zero: the plain sum
    would let a discriminator of pure high-pass kernels go free. `real` is (B, 3, H, W); the signs are drawn from `generator`,
    on the CPU.
    """
    real = real.detach().requires_grad_()
    with full_precision(real):
        logits = discriminator(real)
        signs = torch.randint(2, logits.shape, generator=generator).to(logits) * 2 - 1
        (gradient,) = torch.autograd.grad((signs * logits).sum(), real, create_graph=True)
        return gradient.square().sum() / logits.numel()


class Adversary:
    """A discriminator with its own Adam; everything about it follows from `config`, `seed` and the pictures it is shown."""

    def __init__(self, config: AdversarialConfig, seed: int, device: torch.device) -> None:
        self.config, self.seed = config, seed
        self.losses = adversarial_losses(config.kind)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            net = Discriminator(config.width)
        self.net: Discriminator = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.net.eval().requires_grad_(False)
        # Real-ESRGAN's; without weight decay, which spectral norms would undo.
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=config.learning_rate, betas=(0.9, 0.99))

    def generator_term(self, out: Tensor) -> Tensor:
        """Return what a generator of pictures out (B, 3, H, W) in [0, 1] minimises, a scalar; the discriminator stays put."""
        return self.losses.generator(self.net(out).float())

    def update(
        self,
        out: Tensor,
        hr: Tensor,
        step: int,
        processes: Processes | None = None,
    ) -> dict[str, float]:
        """Take one step of the discriminator on the detached out and on hr, both (B, 3, H, W) in [0, 1]; return its figures.

        They are its loss, its mean logit on both and, on the steps that have one, the gradient penalty. Where the training has
        several `processes`, the gradients are their mean. Raises DivergedError in all of them, and changes no weight, when the loss
        of one or the norm of the gradient is not finite.
        """
        config, processes, parameters = self.config, processes or Processes(), list(self.net.parameters())
        self.net.train().requires_grad_(True)
        real, fake = self.net(torch.cat([hr, out.detach()])).float().chunk(2)
        loss = self.losses.discriminator(real, fake)
        figures = {"D": loss.detach(), "D real": real.detach().mean(), "D fake": fake.detach().mean()}
        if config.kind == "r1" and step % config.r1_every == 0:
            penalty = r1_penalty(self.net, hr, torch.Generator().manual_seed((self.seed * 1_000_003 + step) % 2**63))
            loss = loss + config.r1_every * config.r1_gamma / 2 * penalty
            figures["D gradient"] = penalty.detach()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        processes.mean_gradients(parameters)
        norm = nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        total = processes.sum(loss.detach()) / processes.world
        if not math.isfinite(total + norm):  # a finite loss can have a gradient that is not
            raise DivergedError(
                f"step {step}: the discriminator's loss is {float(total):g} and the norm of its gradient {float(norm):g}: "
                "lower loss.adversarial.learning_rate and --resume from the last checkpoint"
            )
        self.optimizer.step()
        self.net.eval().requires_grad_(False)
        return dict(zip(figures, torch.stack(list(figures.values())).tolist(), strict=True))

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that moves, vectors of the power iterations and Adam's moments included, as a flat dict of tensors."""
        tensors = {f"net.{name}": tensor for name, tensor in self.net.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in state.items()}
        return tensors

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """Take up what `state_dict` returned; with an empty dict, of a run that went without so far, start from the beginning.

        Raises UsageError when it is another discriminator's.
        """
        if not tensors:
            return
        try:
            self.net.load_state_dict({name[4:]: tensor for name, tensor in tensors.items() if name.startswith("net.")})
        except RuntimeError:
            raise UsageError(
                "recipe: the checkpoint's discriminator has another 'loss.adversarial.width'; set it as it was"
            ) from None
        for index, parameter in enumerate(self.net.parameters()):
            prefix = f"optimizer.{index}."
            self.optimizer.state[parameter] = {
                name.removeprefix(prefix): _laid_out_as(parameter, tensor)
                for name, tensor in tensors.items()
                if name.startswith(prefix)
            }


def _laid_out_as(parameter: Tensor, tensor: Tensor) -> Tensor:
    """A copy of an optimizer's moment in the memory layout of its parameter; of its count of steps a plain one."""
    return torch.empty_like(parameter, requires_grad=False).copy_(tensor) if tensor.dim() else tensor.clone()
