"""The adversary: its losses against values worked out by hand, its norms against singular values, its state bit for bit."""

from __future__ import annotations

import copy
import math
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F
from skimage import data
from torch import nn

from edgesr.errors import DivergedError, UsageError
from edgesr.train.adversary import AdversarialConfig, Adversary, Shown, adversarial_losses, joined, r1_penalty
from edgesr.train.processes import Processes

CPU = torch.device("cpu")
DISCRIMINATORS = ["unet", "highpass-patch"]
BOTH = pytest.mark.parametrize("network", DISCRIMINATORS)


def config(**fields) -> AdversarialConfig:
    return AdversarialConfig(**{"weight": 0.1, "width": 8, "learning_rate": 1e-3} | fields)


@pytest.fixture(scope="module")
def sharp():
    """Eight 48 px crops of a photograph, (8, 3, 48, 48)."""
    photo = torch.from_numpy(data.chelsea().copy()).permute(2, 0, 1) / 255
    return torch.stack([photo[:, y : y + 48, x : x + 48] for y in (30, 120) for x in (100, 150, 200, 250)])


@pytest.fixture(scope="module")
def blurred(sharp):
    return F.avg_pool2d(F.pad(sharp, (2, 2, 2, 2), mode="reflect"), 5, 1)


def shown(out, real, shift=(0, 0)):
    """Pictures with the LR of the real ones."""
    return Shown(out, real, F.avg_pool2d(real, 4), shift)


def spectral_norms(net: nn.Module) -> list[float]:
    return [
        torch.linalg.matrix_norm(module.weight.flatten(1), 2).item()
        for module in net.modules()
        if isinstance(module, nn.Conv2d) and nn.utils.parametrize.is_parametrized(module)
    ]


@pytest.mark.parametrize(("network", "count"), [("unet", 8), ("highpass-patch", 3)])  # all but the first and the last
def test_spectral_norms_are_one_and_stay_so_while_weights_move(network, count, sharp, blurred):
    adversary = Adversary(config(network=network), seed=0, device=CPU)
    for step in range(20):
        adversary.update(shown(blurred, sharp), step)
    assert spectral_norms(adversary.net) == pytest.approx([1] * count, abs=0.08)  # one iteration a step lags a little behind


def test_hinge_by_hand():
    losses = adversarial_losses("hinge")
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 1.0])
    assert losses.discriminator(real, fake) == (0 + 0.5) / 2 + (0 + 2) / 2
    assert losses.generator(None, fake) == 1


def test_logistic_by_hand():
    losses = adversarial_losses("r1")
    real, fake = torch.tensor([0.0]), torch.tensor([math.log(3)])
    assert losses.discriminator(real, fake).item() == pytest.approx(math.log(2) + math.log(4))
    assert losses.generator(None, fake).item() == pytest.approx(math.log(4 / 3))


def test_relativistic_average_by_hand():
    """Each real logit against the mean of the fake ones, 1, and each fake one against that of the real ones, 0."""
    losses = adversarial_losses("relativistic")
    real, fake = torch.tensor([1 + math.log(2), -1 - math.log(2)]), torch.tensor([0.0, 2.0])

    def softplus(x):
        return math.log(1 + math.exp(x))

    discriminator = (softplus(1 - real[0]) + softplus(1 - real[1])) / 2 + (softplus(0) + softplus(2)) / 2
    generator = (softplus(0) + softplus(-2)) / 2 + (softplus(real[0] - 1) + softplus(real[1] - 1)) / 2
    assert losses.discriminator(real, fake).item() == pytest.approx(discriminator)
    assert losses.generator(real, fake).item() == pytest.approx(generator)
    assert softplus(1 - real[0]) == pytest.approx(math.log(1.5))
    assert losses.accuracy(real, fake).item() == (1 / 2 + 0) / 2


def test_the_relativistic_losses_are_each_other_s_mirror_and_know_only_differences():
    losses, generator = adversarial_losses("relativistic"), torch.Generator().manual_seed(0)
    real, fake = torch.randn(2, 4, 1, 6, 6, generator=generator)
    assert torch.equal(losses.generator(real, fake), losses.discriminator(fake, real))
    for loss in (losses.generator, losses.discriminator, losses.accuracy):
        assert loss(real + 3, fake + 3).item() == pytest.approx(loss(real, fake).item(), rel=1e-5)
    assert losses.discriminator(real + 9, fake) < 0.01
    assert losses.generator(real + 9, fake) > 9
    assert losses.compares
    with pytest.raises(ValueError, match="real"):
        losses.generator(None, fake)


@pytest.mark.parametrize("kind", ["hinge", "r1"])
def test_accuracy_is_the_share_of_logits_on_their_side_of_zero(kind):
    accuracy = adversarial_losses(kind).accuracy
    assert accuracy(torch.tensor([1.0, 2.0, -1.0, 3.0]), torch.tensor([-1.0, -2.0])) == (3 / 4 + 1) / 2


def test_gradient_penalty_of_a_linear_discriminator_is_the_squared_norm_of_its_weights():
    weight = torch.randn(3, 6, 6, generator=torch.Generator().manual_seed(1))
    penalty = r1_penalty(lambda x: (x * weight).sum(dim=(1, 2, 3)), torch.rand(4, 3, 6, 6), torch.Generator())
    assert penalty.item() == pytest.approx(weight.square().sum().item(), rel=1e-5)


def test_gradient_penalty_of_a_convolution_is_the_squared_norm_of_its_kernel():
    """Also of a kernel of mean zero, whose logits' sum does not depend on the picture at all."""
    kernel = torch.tensor([[0.0, -1, 0], [-1, 4, -1], [0, -1, 0]]).expand(1, 3, 3, 3)
    real = torch.rand(4, 3, 96, 96)
    penalty = r1_penalty(lambda x: F.conv2d(x, kernel), real, torch.Generator().manual_seed(0))
    assert penalty.item() == pytest.approx(kernel.square().sum().item(), rel=0.03)


def test_gradient_penalty_teaches_the_discriminator_to_be_flat(sharp, blurred):
    heavy = config(kind="r1", r1_gamma=1000.0, r1_every=1)
    adversary = Adversary(heavy, seed=0, device=CPU)
    figures = [adversary.update(shown(blurred, sharp), step)["d_gradient"] for step in range(15)]
    assert figures[-1] < 0.2 * figures[0]


def test_gradient_penalty_comes_every_so_many_steps(sharp, blurred):
    adversary = Adversary(config(kind="r1", r1_every=3), seed=0, device=CPU)
    assert ["d_gradient" in adversary.update(shown(blurred[:1], sharp[:1]), step) for step in range(5)] == [
        True,
        False,
        False,
        True,
        False,
    ]


def test_its_first_step_is_as_long_as_its_learning_rate(sharp, blurred):
    """Adam divides the gradient by its size."""
    adversary = Adversary(config(network="highpass-patch", learning_rate=3e-4), seed=0, device=CPU)
    before = [parameter.detach().clone() for parameter in adversary.net.parameters()]
    adversary.update(shown(blurred, sharp), 0)
    steps = [float((a - b).abs().max()) for a, b in zip(adversary.net.parameters(), before, strict=True)]
    assert max(steps) == pytest.approx(3e-4, rel=0.02)


def gradient_of(adversary: Adversary, compute) -> list[torch.Tensor]:
    """The gradient of a scalar in the discriminator of a copy, which is in the state of training."""
    twin = copy.deepcopy(adversary)
    twin.net.train().requires_grad_(True)
    compute(twin).backward()
    return [parameter.grad for parameter in twin.net.parameters()]


@pytest.mark.parametrize(("gamma", "every"), [(0.6, 1), (0.6, 5), (3.0, 1)])
def test_the_penalty_counts_half_of_gamma_times_the_steps_that_it_stands_for(gamma, every, sharp, blurred):
    seen = shown(blurred[:2], sharp[:2])
    adversary = Adversary(config(kind="r1", r1_gamma=gamma, r1_every=every, network="highpass-patch"), seed=0, device=CPU)

    def loss(twin):
        real, fake = twin.logits(torch.cat([seen.real, seen.out]), seen).chunk(2)
        signs = torch.Generator().manual_seed(0)
        penalty = r1_penalty(lambda pictures: twin.logits(pictures, seen), seen.real, signs)
        return F.softplus(-real).mean() + F.softplus(fake).mean() + every * gamma / 2 * penalty

    want = gradient_of(adversary, loss)
    adversary.update(seen, 0)
    for parameter, gradient in zip(adversary.net.parameters(), want, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)


def test_its_figures_are_the_means_of_what_it_was_shown(sharp, blurred):
    seen = shown(blurred[:3], sharp[:3])
    adversary = Adversary(config(), seed=0, device=CPU)
    twin = copy.deepcopy(adversary)
    twin.net.train()
    real, fake = twin.logits(torch.cat([seen.real, seen.out]), seen).detach().chunk(2)
    figures = adversary.update(seen, 0)
    right = ((real > 0).float().mean() + (fake < 0).float().mean()) / 2
    loss = F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    want = {"d_loss": loss, "d_real": real.mean(), "d_fake": fake.mean(), "d_accuracy": right}
    assert figures == pytest.approx({name: float(value) for name, value in want.items()}, abs=1e-5)


def test_its_moments_decay_as_real_esrgans(sharp, blurred):
    """After one step Adam holds a tenth of the gradient and a hundredth of its square."""
    adversary = Adversary(config(network="highpass-patch"), seed=0, device=CPU)
    adversary.update(shown(blurred, sharp), 0)
    for parameter in adversary.net.parameters():
        state = adversary.optimizer.state[parameter]
        torch.testing.assert_close(state["exp_avg"], 0.1 * parameter.grad)
        torch.testing.assert_close(state["exp_avg_sq"], 0.01 * parameter.grad.square())


@BOTH
def test_it_only_trains_while_it_is_updated_and_draws_nothing_from_the_global_generator(network, sharp, blurred):
    before = torch.get_rng_state()
    adversary = Adversary(config(network=network), seed=0, device=CPU)

    def rests():
        return not adversary.net.training and not any(parameter.requires_grad for parameter in adversary.net.parameters())

    assert rests()
    adversary.update(shown(blurred[:1], sharp[:1]), 0)
    assert rests()
    assert torch.equal(torch.get_rng_state(), before)


def test_parts_of_a_batch_join_in_their_order_without_gradients(sharp, blurred):
    out = blurred.clone().requires_grad_()
    parts = [shown(out[:3], sharp[:3], (1, 2)), shown(out[3:], sharp[3:], (1, 2))]
    whole = joined(parts)
    assert torch.equal(whole.out, blurred)
    assert torch.equal(whole.real, sharp)
    assert torch.equal(whole.lr, F.avg_pool2d(sharp, 4))
    assert whole.shift == (1, 2)
    assert not whole.out.requires_grad


@pytest.mark.parametrize(  # bfloat16 takes a processor without it long: one loss is enough for the U-Net
    ("kind", "network", "autocast"),
    [(kind, network, False) for kind in ("hinge", "r1", "relativistic") for network in DISCRIMINATORS]
    + [(kind, "highpass-patch", True) for kind in ("hinge", "r1", "relativistic")]
    + [("hinge", "unet", True)],
)
def test_it_learns_to_tell_blurred_from_sharp_crops(kind, autocast, network, sharp, blurred):
    adversary = Adversary(config(kind=kind, network=network), seed=0, device=CPU)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        figures = [adversary.update(shown(blurred, sharp, (step % 4, 1)), step) for step in range(30)]
    assert figures[-1]["d_loss"] < 0.95 * figures[0]["d_loss"]
    with torch.no_grad():
        real, fake = (adversary.logits(x, shown(x, sharp)).mean(dim=(1, 2, 3)) for x in (sharp, blurred))
    assert (real > fake + 0.02).all()
    assert figures[-1]["d_accuracy"] > 0.55 > figures[0]["d_accuracy"]


@pytest.mark.parametrize("kind", ["hinge", "r1", "relativistic"])
@BOTH
def test_a_generator_that_follows_its_term_looks_more_real(kind, network, sharp, blurred):
    adversary = Adversary(config(kind=kind, network=network), seed=0, device=CPU)
    for step in range(10):
        adversary.update(shown(blurred, sharp), step)
    before = {name: tensor.clone() for name, tensor in adversary.state_dict().items()}
    out = blurred.clone().requires_grad_()
    term = adversary.generator_term(shown(out, sharp))
    term.backward()
    with torch.no_grad():
        moved = out - 0.01 * out.grad / out.grad.abs().max()
        assert adversary.logits(moved, shown(moved, sharp)).mean() > adversary.logits(out, shown(out, sharp)).mean()
        assert adversary.generator_term(shown(moved, sharp)) < term
    assert all(parameter.grad is None or not parameter.requires_grad for parameter in adversary.net.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in adversary.state_dict().items())


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"kind": "r1", "r1_every": 2}, "net.down.0.parametrizations.weight.0._u"),
        ({"kind": "relativistic", "network": "highpass-patch", "update_every": 2}, "net.middle.0.parametrizations.weight.0._u"),
    ],
)
def test_going_on_from_its_state_is_going_on_bit_for_bit(fields, name, sharp, blurred):
    through = Adversary(config(**fields), seed=3, device=CPU)
    for step in range(3):
        through.update(shown(blurred, sharp), step)
    kept = {name: tensor.detach().clone().contiguous() for name, tensor in through.state_dict().items()}
    resumed = Adversary(config(**fields), seed=3, device=CPU)
    resumed.load_state_dict(kept)
    for step in range(3, 6):
        assert resumed.update(shown(blurred, sharp), step) == through.update(shown(blurred, sharp), step)
    ends = through.state_dict(), resumed.state_dict()
    assert ends[0].keys() == ends[1].keys() >= {name, "optimizer.0.exp_avg_sq"}
    assert all(torch.equal(tensor, ends[1][key]) for key, tensor in ends[0].items())


@BOTH
def test_the_discriminator_is_updated_every_so_many_steps_and_stays_put_between(network, sharp, blurred):
    adversary = Adversary(config(network=network, kind="r1", update_every=3, r1_every=2), seed=0, device=CPU)
    updated, penalised = [], []
    for step in range(10):
        before = {name: tensor.clone() for name, tensor in adversary.state_dict().items() if name.startswith("net.")}
        figures = adversary.update(shown(blurred[:2], sharp[:2]), step)
        moved = [name for name, tensor in before.items() if not torch.equal(tensor, adversary.state_dict()[name])]
        assert bool(moved) is bool(figures)
        updated += [step] if figures else []
        penalised += [step] if "d_gradient" in figures else []
    assert updated == [0, 3, 6, 9]
    assert penalised == [0, 6]


@pytest.mark.parametrize("kind", ["hinge", "r1", "relativistic"])
def test_the_term_is_the_loss_of_the_logits(kind, sharp, blurred):
    adversary = Adversary(config(kind=kind), seed=0, device=CPU)
    real, fake = (adversary.logits(x, shown(x, sharp)) for x in (sharp, blurred))
    want = {
        "hinge": -fake.mean(),
        "r1": F.softplus(-fake).mean(),
        "relativistic": F.softplus(real.mean() - fake).mean() + F.softplus(real - fake.mean()).mean(),
    }[kind]
    assert float(adversary.generator_term(shown(blurred, sharp)).detach()) == pytest.approx(float(want.detach()), rel=1e-5)


def test_the_weight_starts_and_rises_as_the_recipe_says():
    ramped = config(weight=0.2, start=0.5, ramp=0.2)
    weights = [ramped.weight_at(progress) for progress in (0, 0.49, 0.5, 0.55, 0.6, 0.7, 1)]
    assert weights == pytest.approx([0, 0, 0, 0.05, 0.1, 0.2, 0.2])
    at_once = config(weight=0.2, start=0.5)
    assert [at_once.weight_at(progress) for progress in (0, 0.49, 0.5, 1)] == [0, 0, 0.2, 0.2]


def test_the_same_seed_gives_the_same_adversary(sharp):
    first, again, other = (Adversary(config(), seed, CPU).generator_term(shown(sharp, sharp)) for seed in (5, 5, 6))
    assert first == again != other


def test_a_run_that_had_none_starts_one():
    adversary = Adversary(config(), seed=0, device=CPU)
    before = {name: tensor.clone() for name, tensor in adversary.state_dict().items()}
    adversary.load_state_dict({})
    assert all(torch.equal(tensor, before[name]) for name, tensor in adversary.state_dict().items())


@pytest.mark.parametrize("other", [{"width": 4}, {"network": "highpass-patch"}])
def test_a_state_of_another_network_is_refused(other):
    with pytest.raises(UsageError, match=r"'loss\.adversarial\.network' or 'width'"):
        Adversary(config(), 0, CPU).load_state_dict(Adversary(config(**other), 0, CPU).state_dict())


def test_a_loss_that_is_not_finite_stops_it_with_its_weights_as_they_were(sharp, blurred):
    adversary = Adversary(config(), seed=0, device=CPU)
    before = [parameter.clone() for parameter in adversary.net.parameters()]
    with pytest.raises(DivergedError, match=r"step 7: .*loss\.adversarial\.learning_rate"):
        adversary.update(shown(blurred * math.nan, sharp), 7)
    assert all(torch.equal(a, b) for a, b in zip(before, adversary.net.parameters(), strict=True))


class Noted(Processes):
    """One process alone, whose gradients are written down."""

    def __init__(self, gradients):
        super().__init__()
        self.gradients = gradients

    def mean_gradients(self, parameters):
        self.gradients.extend(p.grad.clone() for p in parameters)


class Pair(Processes):
    """This process beside another one, with these gradients and this loss."""

    def __init__(self, gradients, loss=0.0):
        super().__init__()
        self.world, self.gradients, self.loss = 2, gradients, loss

    def mean_gradients(self, parameters):
        for parameter, gradient in zip(parameters, self.gradients, strict=True):
            parameter.grad.add_(gradient).div_(2)

    def sum(self, tensor):
        return tensor + self.loss


def test_a_loss_that_is_not_finite_in_another_process_stops_this_one_as_well(sharp, blurred):
    """Else the others would wait for it for ever, or go on with what it sent."""
    adversary = Adversary(config(), seed=0, device=CPU)
    before = [parameter.clone() for parameter in adversary.net.parameters()]
    still = [torch.zeros_like(parameter) for parameter in before]
    with pytest.raises(DivergedError, match="loss is inf"):
        adversary.update(shown(blurred, sharp), 7, Pair(still, loss=math.inf))
    assert all(torch.equal(a, b) for a, b in zip(before, adversary.net.parameters(), strict=True))


def test_a_gradient_that_is_not_finite_is_not_applied(sharp, blurred):
    """Its own loss is a number; what another process sends is none."""
    adversary = Adversary(config(), seed=0, device=CPU)
    before = [parameter.clone() for parameter in adversary.net.parameters()]
    with pytest.raises(DivergedError, match="gradient nan"):
        adversary.update(shown(blurred, sharp), 7, Pair([torch.full_like(parameter, math.nan) for parameter in before]))
    assert all(torch.equal(a, b) for a, b in zip(before, adversary.net.parameters(), strict=True))


class Halves(Processes):
    """One of two processes, each in a thread of its own, that wait for each other's numbers."""

    def __init__(self, rank, barrier, sent):
        super().__init__()
        self.rank, self.world, self.barrier, self.sent = rank, 2, barrier, sent

    def sum(self, tensor):
        self.sent[self.rank] = tensor.detach().clone()
        self.barrier.wait(60)
        total = self.sent[0] + self.sent[1]
        self.barrier.wait(60)
        return total

    def mean_gradients(self, parameters):
        for parameter in parameters:
            parameter.grad = self.sum(parameter.grad) / 2


def test_two_processes_compare_with_the_means_of_both(sharp, blurred):
    """Relativistic losses of halves of a batch have the gradients of the whole one, those through the means included."""

    def gradients(adversary, out, real, processes=None):
        out = out.clone().requires_grad_()
        adversary.generator_term(shown(out, real), processes).backward()
        adversary.update(shown(out, real), 0, processes)
        return out.grad, torch.cat([parameter.grad.flatten() for parameter in adversary.net.parameters()])

    def apart(got, want):
        return float((got - want).norm() / want.norm())

    adversaries = [Adversary(config(kind="relativistic", network="highpass-patch"), 0, CPU) for _ in range(4)]
    with torch.no_grad():
        for adversary in adversaries:
            adversary.net.last.weight.mul_(300)  # so that the means of the halves are far from each other
    barrier, sent, sides = threading.Barrier(2), {}, (slice(0, 4), slice(4, 8))
    with ThreadPoolExecutor(2) as pool:
        halves = list(
            pool.map(
                lambda rank: gradients(
                    adversaries[rank], blurred[sides[rank]], sharp[sides[rank]], Halves(rank, barrier, sent)
                ),
                range(2),
            )
        )
    whole = gradients(adversaries[2], blurred, sharp)
    for side, half in zip(sides, halves, strict=True):
        assert apart(half[0] / 2, whole[0][side]) < 1e-4
        assert apart(half[1], whole[1]) < 1e-4
    alone = gradients(adversaries[3], blurred[:4], sharp[:4])
    assert apart(alone[0] / 2, whole[0][:4]) > 1e-2, "the means of both must matter"


def test_gradients_can_be_shared_between_processes(sharp, blurred):
    """Two processes with half a batch each, which take the mean of their gradients, take the step of one with the whole."""
    whole, half = Adversary(config(), 0, CPU), Adversary(config(), 0, CPU)
    other = Adversary(config(), 0, CPU)
    gradients = []
    other.update(shown(blurred[4:], sharp[4:]), 0, Noted(gradients))
    half.update(shown(blurred[:4], sharp[:4]), 0, Pair(gradients))
    whole.update(shown(blurred, sharp), 0)
    for parameter, shared in zip(whole.net.parameters(), half.net.parameters(), strict=True):
        assert torch.allclose(parameter.grad, shared.grad, atol=1e-6)
