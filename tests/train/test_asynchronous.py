"""On a GPU no step may wait for a number, and none may spoil the weights; proved without one: the device "meta" has no numbers to
give, so that asking for one is an error, and so is to mix its tensors with the processor's."""

from __future__ import annotations

import contextlib
import itertools
import json

import pytest

torch = pytest.importorskip("torch")

from photographs import make_folder, write_recipe

from edgesr.data import degradation
from edgesr.data.bank import ImageBank
from edgesr.data.mixture import FolderConfig, Mixture
from edgesr.errors import DivergedError
from edgesr.model import checkpoint
from edgesr.presets import get_preset
from edgesr.train import adversary, loop, run, stages
from edgesr.train import step as step_module
from edgesr.train.adversary import AdversarialConfig
from edgesr.train.batches import Batches, _turned, _turned_together
from edgesr.train.losses import LossConfig
from edgesr.train.networks import Networks
from edgesr.train.recipe import DataConfig, OptimizerConfig, Recipe
from edgesr.train.step import Batch, StepRandom

META = torch.device("meta")


@pytest.fixture
def queued(monkeypatch):
    """Every device is taken for one whose work is queued."""
    for module in (adversary, loop):
        monkeypatch.setattr(module, "is_asynchronous", lambda device: True)


@pytest.fixture
def meta(monkeypatch, queued):
    """What "meta" lacks beside numbers: generators, autocast and a fused optimizer."""
    adamw, adam = torch.optim.AdamW, torch.optim.Adam
    for module in (step_module, degradation):
        monkeypatch.setattr(module, "device_generator", lambda device, seeds: None)
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device="cpu": False)
    monkeypatch.setattr(torch, "autocast", lambda *arguments, **options: contextlib.nullcontext())
    monkeypatch.setattr(torch.optim, "AdamW", lambda parameters, fused, **options: adamw(parameters, **options))
    monkeypatch.setattr(torch.optim, "Adam", lambda parameters, fused, **options: adam(parameters, **options))
    for optimizer in (adamw, adam):
        monkeypatch.setattr(optimizer, "step", lambda self: None)  # the fused ones are torch's own affair


@pytest.mark.parametrize("stage", ["autoencoder", "teacher-x2", "student-x4", "decoder", "end-to-end"])
@pytest.mark.parametrize("network", ["unet", "highpass-patch"])
def test_a_step_asks_the_device_for_nothing_and_mixes_no_devices(meta, stage, network):
    both = AdversarialConfig(weight=0.1, start=0.0, width=4, network=network, kind="relativistic")
    every = {
        "psnr": 0.1,
        "lattice": 1.0,
        "colour": 0.1,
        "artifacts": 1.0,
        "equivariance": 0.5,
        "terminal_start": 0.5,
        "terminal_end": 0.5,
        "adversarial": both,
    }
    terms = LossConfig(**{name: value for name, value in every.items() if name in stages.stage_class(stage).reads})
    recipe = Recipe(stage, data=DataConfig(batch=4), optimizer=OptimizerConfig(steps=8), loss=terms)
    made = stages.stage_class(stage)(recipe, META)
    nets = Networks(get_preset("tiny"), 0, with_teacher=made.has_teacher)
    training = loop.Loop(recipe, made, nets.to(META, memory_format=torch.channels_last))
    batch = Batch(*(torch.empty(4, 3, side, side, device=META) for side in (64, 16, 32, 0)))
    for _ in range(2):
        figures = training.update(batch)
        training.step += 1
    assert {"loss", "gradient"} <= figures.keys()
    assert all(value.device == META and value.dim() == 0 for value in figures.values())
    with pytest.raises(RuntimeError, match="meta"):  # the proof works: this is what a wait looks like there
        float(figures["loss"])


def test_batches_are_made_where_the_pictures_lie(meta, tmp_path):
    bank = ImageBank.load(make_folder(tmp_path) / "photographs", cache=None)
    mixture = Mixture(bank, others=[(bank, FolderConfig(share=0.5))]).to("meta")
    config = DataConfig(hr_size=96, batch=4, uses=2, block=4)
    for part in Batches(mixture, config, 0, lr_x2=True)(0):
        assert part.device == META


def test_turning_all_of_a_turn_at_once_is_turning_one_after_the_other():
    images = torch.randint(256, (9, 3, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        chosen, turns = torch.randint(9, (16,), generator=generator), torch.randint(8, (16,), generator=generator)
        assert torch.equal(_turned_together(images, chosen, turns), _turned(images, chosen, turns))


def test_the_noise_of_a_seed_is_on_the_processor_what_it_always_was():
    drawn = StepRandom(torch.Generator().manual_seed(3), 4).normal(torch.empty(4, 2, 5, 5))
    assert torch.equal(drawn, torch.randn(4, 2, 5, 5, generator=torch.Generator().manual_seed(3)))


class Spoilt(stages.Autoencoder):
    """The loss of the step numbered `at`, of a hundred, is no number."""

    at = 4

    def loss(self, nets, batch, progress, draws):
        loss = super().loss(nets, batch, progress, draws)
        return loss._replace(total=loss.total * (float("nan") if progress * 100 == self.at else 1.0))


def test_a_loss_that_is_not_finite_changes_nothing_and_is_told_at_the_next_line(queued, tmp_path, monkeypatch):
    monkeypatch.setitem(stages.STAGES, "autoencoder", Spoilt)
    recipe = write_recipe(make_folder(tmp_path), "autoencoder")
    settings = ["optimizer.steps=100", "log.every=6", "log.checkpoint=3", "log.validate=99"]
    with pytest.raises(DivergedError, match="step 4: the loss is nan"):
        run.train(recipe, tmp_path / "out", overrides=settings)
    tensors, state = checkpoint.load(tmp_path / "out" / "checkpoint")
    assert state["step"] == 3
    assert all(tensor.isfinite().all() for tensor in tensors.values())


def test_the_update_of_such_a_step_is_left_out_and_the_next_is_not(queued, tmp_path, monkeypatch):
    monkeypatch.setitem(stages.STAGES, "autoencoder", Spoilt)
    recipe = Recipe("autoencoder", data=DataConfig(batch=2), optimizer=OptimizerConfig(steps=100, warmup=1))
    training = loop.Loop(recipe, Spoilt(recipe, torch.device("cpu")), Networks(get_preset("tiny"), 0))
    generator = torch.Generator().manual_seed(0)
    batch = Batch(*(torch.rand(2, 3, side, side, generator=generator) for side in (64, 16, 32, 0)))

    def weights():
        moments = [state["exp_avg"] for state in training.optimizer.state.values()]
        return [tensor.detach().clone() for tensor in (*training.parameters, *moments)]

    for step in range(6):
        training.step, before = step, weights()
        training.update(batch)
        same = [torch.equal(a, b) for a, b in zip(before, weights(), strict=False)]
        assert all(same) is (step == Spoilt.at)
    with pytest.raises(DivergedError, match="step 4"):
        training._check_faults()


def test_a_discriminator_s_step_that_is_not_finite_is_left_out_and_told_when_asked(queued):
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    shown = adversary.Shown(pictures, 1 - pictures, pictures[..., ::4, ::4])
    critic = adversary.Adversary(AdversarialConfig(weight=0.1, width=4, learning_rate=1e-3), 0, torch.device("cpu"))
    for step, factor in enumerate((1.0, float("nan"), 1.0)):
        before = [parameter.clone() for parameter in critic.net.parameters()]
        critic.update(shown._replace(out=factor * pictures), step)
        moved = [not torch.equal(a, b) for a, b in zip(before, critic.net.parameters(), strict=True)]
        assert any(moved) is (step != 1)
        assert all(parameter.isfinite().all() for parameter in critic.net.parameters())
    with pytest.raises(DivergedError, match=r"step 1: the discriminator's loss is nan.*loss\.adversarial\.learning_rate"):
        critic.check_faults()


def test_a_run_by_the_clock_ends_its_decay_when_its_minutes_are_up(tmp_path):
    folder = make_folder(tmp_path)
    recipe, out = write_recipe(folder, "autoencoder"), tmp_path / "out"
    settings = ["optimizer.schedule=time", "optimizer.steps=1", "optimizer.decay=1", "optimizer.warmup=1", "log.validate=10000"]
    run.train(recipe, out, minutes=0.15, overrides=settings)
    rates = [line["learning_rate"] for line in scalars(out) if "learning_rate" in line]
    assert len(rates) > 3, "too slow a machine for this test"
    assert all(a > b for a, b in itertools.pairwise(rates))
    assert rates[-1] < 0.25 * rates[0]
    _, state = checkpoint.load(out / "checkpoint")
    assert state["step"] > 1
    run.train(recipe, out, minutes=0.05, resume=True, overrides=settings)
    again = [line["learning_rate"] for line in scalars(out) if "learning_rate" in line][len(rates) :]
    assert all(rate < rates[0] for rate in again), "resumed, it has its share of the time behind it"


def scalars(out):
    return [json.loads(line) for line in (out / "scalars.jsonl").read_text().splitlines()]


def test_a_run_by_the_clock_wants_its_minutes(tmp_path):
    with pytest.raises(Exception, match="--minutes"):
        run.train(write_recipe(make_folder(tmp_path), "autoencoder"), tmp_path / "out", overrides=["optimizer.schedule=time"])


def test_the_rate_by_the_clock_holds_and_decays_like_that_by_steps():
    config = OptimizerConfig(learning_rate=1.0, warmup=1, decay=0.5, steps=100)
    for step in range(1, 101):
        assert loop.learning_rate(config, step, step / 100) == pytest.approx(loop.learning_rate(config, step))
