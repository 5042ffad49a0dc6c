"""The loss of each stage as a closed form on small networks, and what a step of the loop does with it: each term counts with its
weight and sign, on the pictures and latents that docs/method.md names."""

from __future__ import annotations

import copy
import math

import pytest

torch = pytest.importorskip("torch")

from photographs import make_folder, write_recipe
from small_networks import crops, draws, networks, stage_of

from edgesr.model import diffusion
from edgesr.train import run
from edgesr.train.adversary import AdversarialConfig, Shown
from edgesr.train.loop import Loop
from edgesr.train.losses import LEVEL, LossConfig, PictureLoss, log_s_regulariser, psnr
from edgesr.train.processes import Processes
from edgesr.train.recipe import DataConfig, OptimizerConfig, Recipe, load_recipe
from edgesr.train.stages import latent_like, stage_class
from edgesr.train.step import Batch, StepRandom

CPU = torch.device("cpu")


@pytest.fixture
def batch():
    return crops()


@pytest.fixture(scope="module")
def nets():
    """With the mean and variance of the noise far from 0 and 1, and a decoder that heeds the latent, so that each counts."""
    nets = networks()
    with torch.no_grad():
        nets.edge.decoder.conv_out.weight.mul_(20)
        for encoder in (nets.edge.encoder, nets.teacher.encoder):
            encoder.head.bias.add_(0.3)
    return nets


def close(got, want, rel=1e-4):
    assert float(got) == pytest.approx(float(want), rel=rel)


def l1(out, wanted):
    return (out - wanted).abs().mean()


@torch.no_grad()
def test_a_step_moves_the_latents_statistics_by_a_fiftieth(nets, batch):
    nets = copy.deepcopy(nets)
    encoder, before = nets.hr_encoder, nets.hr_encoder.mean.clone()
    raw = encoder(batch.hr) * encoder.std[:, None, None] + before[:, None, None]
    stage_of("autoencoder").loss(nets, batch, 0.0, draws())
    assert torch.allclose(encoder.mean, 0.98 * before + 0.02 * raw.mean(dim=(0, 2, 3)), atol=1e-6)
    assert not torch.equal(encoder.mean, before)


def test_the_psnr_is_averaged_over_crops_and_not_their_errors():
    hr = torch.full((2, 3, 4, 4), 0.5)
    out = hr + torch.tensor([0.01, 0.2])[:, None, None, None]
    close(psnr(out, hr), (-10 * math.log10(1e-4 + LEVEL) - 10 * math.log10(0.04 + LEVEL)) / 2)


@torch.no_grad()
def test_the_autoencoder_decodes_the_noisy_latent_and_its_mu_predicts_the_clean_one(nets, batch):
    nets = copy.deepcopy(nets)
    z_h = nets.hr_encoder(batch.hr)  # before the step, which renews the encoder's statistics
    got = stage_of("autoencoder", pixel=2.0, mu_prior=0.3, latent_noise=0.7).loss(nets, batch, 0.0, draws())
    mu, _, features = nets.edge.encoder(batch.lr)
    out = nets.edge.decoder(z_h + 0.7 * draws().normal(z_h), features, batch.lr)
    close(got.total, 2 * l1(out, batch.hr) + 0.3 * (mu - z_h).square().mean())
    assert got.scalars.keys() == {"pixel", "std_z_h", "mu_prior"}
    close(got.scalars["std_z_h"], z_h.std())
    close(got.scalars["mu_prior"], (mu - z_h).square().mean())


@torch.no_grad()
def test_the_latent_stages_measure_the_error_of_v_at_every_t_and_hold_s_near_one(nets, batch):
    z_h = nets.hr_encoder(batch.hr)
    for name, model, lr in (("teacher-x2", nets.teacher, batch.lr_x2), ("student-x4", nets.edge, batch.lr)):
        more = {} if name == "teacher-x2" else {"target": "truth"}
        got = stage_of(name, latent=3.0, log_s_reg=0.2, terminal_start=0.25, terminal_end=0.25, **more).loss(
            nets, batch, 0.5, draws()
        )
        again = draws()
        t = again.times(0.25).t
        given = model.condition(lr, again.normal(z_h))
        v = model.denoise(diffusion.diffuse(z_h, given.noise, t), t, given)
        alpha, sigma = torch.cos(t * math.pi / 2).reshape(-1, 1, 1, 1), torch.sin(t * math.pi / 2).reshape(-1, 1, 1, 1)
        error = (v - (alpha * given.noise - sigma * z_h)).square().mean()
        s = given.log_s.exp()
        kl = ((s.square() - 1) / 2 - s.log()).mean()
        assert kl > 1e-3
        close(got.total, 3 * error + 0.2 * kl)
        close(got.scalars["latent"], error)
        close(got.scalars["mean_s"], s.mean())
        close(got.scalars["norm_mu"], given.mu.square().mean().sqrt())


def test_the_regulariser_draws_s_to_one_from_both_sides():
    log_s = torch.tensor([-0.5, 0.0, 0.5], requires_grad=True)
    log_s_regulariser(log_s).backward()
    below, at, above = log_s.grad.tolist()
    assert below < 0 == at < above


@torch.no_grad()
def test_the_decoder_learns_on_the_one_step_latent_and_not_on_the_encoded_truth(nets, batch):
    got = stage_of("decoder").loss(nets, batch, 0.0, draws())
    condition = nets.edge.condition(batch.lr, draws().normal(latent_like(nets, batch)))
    z0 = -nets.edge.denoise(condition.noise, torch.ones(4), condition)
    close(got.total, l1(nets.edge.decoder(z0, condition.features, batch.lr), batch.hr))
    close(got.scalars["mean_s"], condition.log_s.exp().mean())
    truth = nets.edge.decoder(nets.hr_encoder(batch.hr), condition.features, batch.lr)
    assert abs(float(got.total) - float(l1(truth, batch.hr))) > 1e-3, "the two must be apart for this to tell"


@torch.no_grad()
def test_the_last_stage_adds_the_picture_of_the_rows_at_the_end_to_the_error_of_v(nets, batch):
    got = stage_of("end-to-end", latent=0.5, log_s_reg=0.2, pixel=2.0, terminal_start=0.5, terminal_end=0.5).loss(
        nets, batch, 0.0, draws()
    )
    z_h, again = nets.hr_encoder(batch.hr), draws()
    t = again.times(0.5).t
    assert t[:2].tolist() == [1, 1]
    given = nets.edge.condition(batch.lr, again.normal(z_h))
    v = nets.edge.denoise(diffusion.diffuse(z_h, given.noise, t), t, given)
    out = nets.edge.decoder(-v[:2], given.features[:2], batch.lr[:2])
    latent = 0.5 * (v - diffusion.v_target(z_h, given.noise, t)).square().mean() + 0.2 * log_s_regulariser(given.log_s)
    close(got.total, latent + 2 * l1(out, batch.hr[:2]))
    assert {"latent", "pixel", "mean_s", "norm_mu"} <= got.scalars.keys()


@torch.no_grad()
@pytest.mark.parametrize("name", ["decoder", "end-to-end"])
def test_what_is_validated_is_one_step_from_the_lrs_noise(nets, batch, name):
    z0, condition = stage_of(name).latent(nets, batch, draws())
    again = nets.edge.condition(batch.lr, draws().normal(latent_like(nets, batch)))
    assert torch.equal(condition.noise, again.noise)
    assert torch.equal(z0, nets.edge.one_step(again))
    decoded = stage_of(name).decode(nets, batch, z0)
    assert torch.equal(decoded, nets.edge.decoder(z0, nets.edge.encoder(batch.lr)[2], batch.lr))


@torch.no_grad()
def test_the_other_stages_validate_what_they_train(nets, batch):
    z0, _ = stage_of("autoencoder").latent(nets, batch, draws())
    assert torch.equal(z0, nets.hr_encoder(batch.hr))
    z0, condition = stage_of("teacher-x2").latent(nets, batch, draws())
    again = nets.teacher.condition(batch.lr_x2, draws().normal(latent_like(nets, batch)))
    assert torch.equal(condition.mu, again.mu)
    assert torch.equal(z0, nets.teacher.one_step(again))


@torch.no_grad()
def test_each_term_of_a_picture_counts_with_its_weight(batch):
    """What a term adds to the total is its weight times its figure; a better PSNR lowers the total."""
    out = (batch.hr + 0.1 * torch.randn(batch.hr.shape, generator=torch.Generator().manual_seed(2))).clamp(0, 1)

    def total(**weights):
        terms = PictureLoss(LossConfig(pixel=1.0, **weights), 0, CPU)(out, batch, 1.0, draws())
        return float(terms.total), terms.scalars

    base, scalars = total()
    close(base, l1(out, batch.hr))
    assert scalars.keys() == {"pixel"}
    for name in ("perceptual", "lattice", "colour", "artifacts"):
        more, scalars = total(**{name: 0.7})
        assert scalars[name] > 0
        close(more - base, 0.7 * scalars[name], rel=1e-3)
    terms = PictureLoss(LossConfig(pixel=0.0), 0, CPU)(out, batch, 1.0, draws())
    assert float(terms.total) == 0
    close(terms.scalars["pixel"], base)  # for the log
    more, scalars = total(psnr=0.01)
    mse = (out - batch.hr).square().mean(dim=(1, 2, 3))
    close(scalars["psnr"], (-10 * (mse + 1e-3).log10()).mean())
    close(more - base, -0.01 * scalars["psnr"], rel=1e-3)
    assert psnr(batch.hr, batch.hr) == pytest.approx(30)


def test_the_adversary_acts_from_its_start_with_the_weight_of_that_moment(batch):
    config = AdversarialConfig(weight=0.5, start=0.4, ramp=0.2, width=8, network="highpass-patch", kind="relativistic")
    with_it = PictureLoss(LossConfig(adversarial=config), 3, CPU)
    out = batch.lr[:2].repeat_interleave(4, 2).repeat_interleave(4, 3).requires_grad_()
    before = with_it(out, batch, 0.39, draws())
    assert before.shown is None
    assert before.scalars.keys() == {"pixel"}
    for progress, weight in ((0.5, 0.25), (1.0, 0.5)):
        terms = with_it(out, batch, progress, draws())
        assert torch.equal(terms.shown.out, out)
        assert torch.equal(terms.shown.real, batch.hr[:2])
        assert torch.equal(terms.shown.lr, batch.lr[:2])
        term = with_it.adversary.generator_term(terms.shown)
        assert float(term.detach()) > 0.1
        close(terms.total.detach() - before.total.detach(), weight * term.detach(), rel=1e-3)
    assert {with_it(out, batch, 1.0, StepRandom(torch.Generator().manual_seed(seed), 4)).shown.shift for seed in range(99)} == {
        (down, right) for down in range(4) for right in range(4)
    }
    [gradient] = torch.autograd.grad(terms.total - before.total, out)
    assert gradient.abs().max() > 0


def test_the_stage_trains_its_adversary_on_what_it_showed(nets, batch):
    adversarial = AdversarialConfig(weight=0.5, start=0.0, width=8)
    stage = stage_of("decoder", adversarial=adversarial)
    before = {name: tensor.clone() for name, tensor in stage.state_dict().items()}
    loss = stage.loss(nets, batch, 0.0, draws())
    figures = stage.after_step(loss, 0, draws().processes)
    assert {"d_loss", "d_real", "d_fake", "d_accuracy"} <= figures.keys()
    assert any(not torch.equal(tensor, before[name]) for name, tensor in stage.state_dict().items() if name in before)
    assert stage.after_step(loss._replace(shown=None), 0, draws().processes) == {}


@pytest.mark.parametrize("name", ["decoder", "end-to-end"])
def test_the_stage_hands_on_what_it_shows_and_its_adversary_is_part_of_a_checkpoint(nets, batch, name):
    adversarial = AdversarialConfig(weight=0.5, start=0.0, width=8)
    stage, again = (stage_of(name, adversarial=adversarial) for _ in range(2))
    shown = stage.loss(nets, batch, 0.0, draws()).shown
    assert shown.shift == (0, 0), "only a discriminator with strides takes shifts"
    assert torch.equal(shown.lr, batch.lr[: len(shown.out)])
    stage.pictures.adversary.update(shown, 0)
    saved = {"net.edge.a": torch.zeros(1), **stage.state_dict()}
    again.load_state_dict(saved)
    assert again.state_dict().keys() == stage.state_dict().keys()
    assert all(torch.equal(tensor, saved[key]) for key, tensor in again.state_dict().items())


@torch.no_grad()
@pytest.mark.parametrize(("share", "some"), [(0.25, 1), (1.0, 2)])
def test_equivariance_compares_a_quarter_of_the_rows_without_their_first_rows_and_columns(nets, batch, share, some):
    stage = stage_of("end-to-end", equivariance=2.0, terminal_start=share, terminal_end=share)
    batch = Batch(*(torch.cat([part, part.flip(0)]) for part in batch))
    again, random = (StepRandom(torch.Generator().manual_seed(1), 8) for _ in range(2))
    got = stage.loss(nets, batch, 0.0, random)
    z_h = nets.hr_encoder(batch.hr)
    t = again.times(share).t
    given = nets.edge.condition(batch.lr, again.normal(z_h))
    v = nets.edge.denoise(diffusion.diffuse(z_h, given.noise, t), t, given)
    out = nets.edge.decoder(-v[:some], given.features[:some], batch.lr[:some])
    again.shift(8)  # of the features
    eps, (down, right) = again.normal(z_h)[:some], again.move(4)
    moved = batch.lr[:some, :, down : down + 12, right : right + 12]
    condition = nets.edge.condition(moved, eps[..., :6, :6])
    other = nets.edge.decoder(nets.edge.one_step(condition), condition.features, moved)
    inner = out[..., 4 * (down + 3) : 4 * (down + 9), 4 * (right + 3) : 4 * (right + 9)]
    close(got.scalars["equivariance"], l1(other[..., 12:-12, 12:-12], inner), rel=1e-3)


def test_the_adversary_averages_over_all_processes(nets, batch):
    class Counted(Processes):
        means = gradients = 0

        def mean(self, tensor):
            self.means += 1
            return super().mean(tensor)

        def mean_gradients(self, parameters):
            self.gradients += 1

    adversarial = AdversarialConfig(weight=0.5, start=0.0, width=8, kind="relativistic")
    stage, counted = stage_of("decoder", adversarial=adversarial), Counted()
    loss = stage.loss(nets, batch, 0.0, StepRandom(torch.Generator().manual_seed(1), 4, counted))
    assert counted.means == 2, "of the generator's loss"
    stage.after_step(loss, 0, counted)
    assert counted.means > 2
    assert counted.gradients == 1


def test_real_pictures_are_the_truth_or_the_teachers_targets(batch):
    taught = batch._replace(target=batch.hr.flip(0))
    for real, want in (("truth", batch.hr), ("target", taught.target)):
        config = AdversarialConfig(weight=0.5, start=0.0, width=8, real=real)
        terms = PictureLoss(LossConfig(adversarial=config), 0, CPU)(batch.hr, taught, 0.5, draws())
        assert torch.equal(terms.shown.real, want)
        assert isinstance(terms.shown, Shown)


def test_a_share_of_the_truth_is_mixed_into_the_targets(batch):
    taught = batch._replace(target=batch.hr.flip(0))
    assert torch.equal(taught.wanted, taught.target)
    assert torch.equal(batch.wanted, batch.hr)
    mixed = PictureLoss(LossConfig(truth=0.25), 0, CPU).wanted(taught)
    assert torch.allclose(mixed, 0.75 * taught.target + 0.25 * taught.hr)


def loop_of(nets, stage="decoder", loss=None, **optimizer):
    optimizer = OptimizerConfig(warmup=1, steps=100, **optimizer)
    recipe = Recipe(stage=stage, data=DataConfig(batch=4), optimizer=optimizer, loss=loss or LossConfig())
    return Loop(recipe, stage_class(stage)(recipe, CPU), nets)


def test_the_average_after_some_steps_is_the_sum_of_the_decayed_weights(batch):
    """By hand from the weights after each step: a' = d a + (1 - d) w, with d rising from 1/10 to the recipe's."""
    loop = loop_of(networks(with_teacher=False), learning_rate=1e-2, ema=0.3)
    name = "edge.decoder.conv_out.weight"
    want = loop.nets.state_dict()[name].clone()
    for step in range(6):
        loop.update(batch)
        loop.step += 1
        decay = min(0.3, (1 + step) / (10 + step))
        want = decay * want + (1 - decay) * loop.nets.state_dict()[name]
    got = loop.average.state_dict()[name]
    assert torch.allclose(got, want, atol=1e-6)
    assert not torch.allclose(got, loop.nets.state_dict()[name], atol=1e-4)


def test_no_gradient_is_longer_than_the_recipe_allows(batch):
    norms = {}
    for clip in (1e-3, 1e3):
        loop = loop_of(networks(with_teacher=False), clip=clip)
        figures = loop.update(batch)
        norms[clip] = float(torch.stack([p.grad.norm() for p in loop.parameters]).norm())
        assert figures["gradient"] > 1e-2, "the log tells the norm before"
    assert norms[1e-3] == pytest.approx(1e-3, rel=1e-2)
    assert norms[1e3] == pytest.approx(figures["gradient"], rel=1e-4)


@pytest.mark.parametrize(("stage", "parts"), [("decoder", 4), ("end-to-end", 2)])
def test_a_step_in_parts_is_the_step_of_the_whole_batch(batch, stage, parts):
    """Gradient, log and what the discriminator learns: each row counts once, with its own noise and time."""
    half_at_the_end = {"terminal_start": 0.5} if stage == "end-to-end" else {}
    loss = LossConfig(adversarial=AdversarialConfig(weight=0.1, start=0.0, ramp=0.0, width=8), **half_at_the_end)
    whole, divided = (loop_of(networks(with_teacher=False), stage, loss, accumulate=count) for count in (1, parts))
    figures = [loop.update(batch) for loop in (whole, divided)]
    assert "d_loss" in figures[0]
    assert figures[1] == pytest.approx(figures[0], rel=1e-3)
    for ours, theirs in zip(divided.parameters, whole.parameters, strict=True):
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-6 + 1e-3 * float(theirs.grad.abs().max()))
    ours, theirs = (loop.stage.pictures.adversary.state_dict() for loop in (divided, whole))
    # Its first step by Adam is the sign of the gradient, which rounding turns where the gradient is all but zero: hence the mean.
    assert all((ours[name] - theirs[name]).abs().mean() < 1e-6 for name in ours)


def test_no_photograph_that_is_held_out_is_trained_on(tmp_path):
    folder = make_folder(tmp_path)
    training, held_out = run._pictures(load_recipe(write_recipe(folder, "decoder")))
    ours, theirs = ({photo.offset for photo in bank.photos} for bank in (training.photographs, held_out))
    assert (len(ours), len(theirs)) == (4, 2)
    assert not ours & theirs


def test_times_are_the_same_for_the_same_seed_and_uniform_below_the_end():
    times = StepRandom(torch.Generator().manual_seed(0), 4000).times(0.5)
    assert times.terminal == 2000
    assert times.weight == pytest.approx(1)
    assert (times.t[:2000] == 1).all()
    below = times.t[2000:]
    assert below.min() >= 0
    assert below.max() < 1
    assert float(below.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(below.var()) == pytest.approx(1 / 12, rel=0.1)
    assert StepRandom(torch.Generator().manual_seed(0), 4).times(0.0).terminal == 1, "one crop at least"


def test_shifts_windows_and_moves_stay_in_their_ranges():
    random = StepRandom(torch.Generator().manual_seed(0), 4)
    assert {place for _ in range(200) for place in random.shift(4)} == {0, 1, 2, 3}
    assert {random.window(5, 7, 6) for _ in range(200)} == {(down, right) for down in range(3) for right in range(2)}
    assert {random.move(2) for _ in range(200)} == {(0, 1), (1, 0), (1, 1)}
    assert draws().move(100) == draws().move(100), "its seed decides"


def test_noise_is_drawn_for_the_whole_batch_in_the_type_asked_for():
    like = torch.empty(4, 16, 8, 8, dtype=torch.bfloat16)
    drawn = draws().normal(like)
    assert drawn.dtype == torch.bfloat16
    assert drawn.shape == like.shape
    assert float(drawn.float().std()) == pytest.approx(1, abs=0.05)
    assert Batch._fields == ("hr", "lr", "lr_x2", "target")
