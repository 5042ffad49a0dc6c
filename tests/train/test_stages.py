"""What each stage promises: the same t and eps for teacher and student, what is the target, and how stages follow one another."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from photographs import make_folder, write_recipe
from small_networks import TINY, crops, draws, networks, stage_of

from edgesr.errors import UsageError
from edgesr.model import checkpoint, diffusion
from edgesr.model.edge import LatentDiffusion
from edgesr.train import run
from edgesr.train.losses import LossConfig
from edgesr.train.networks import ModelConfig, Networks
from edgesr.train.processes import Processes
from edgesr.train.recipe import Recipe
from edgesr.train.stages import stage_class
from edgesr.train.step import Batch, StepRandom


@pytest.fixture
def batch():
    return crops()


def test_teacher_and_student_see_the_same_times_and_noise(batch, monkeypatch):
    """Caught where they meet the networks: z_t less what the LR and the HR put into it is sigma_t s eps, with one t and one eps."""
    nets, seen = networks(), {}
    denoise, condition = LatentDiffusion.denoise, LatentDiffusion.condition

    def spy_condition(self, lr, eps):
        seen.setdefault("eps", []).append(eps)
        return condition(self, lr, eps)

    def spy_denoise(self, z_t, t, given):
        seen.setdefault(id(self), []).append((z_t, t, given))
        return denoise(self, z_t, t, given)

    monkeypatch.setattr(LatentDiffusion, "condition", spy_condition)
    monkeypatch.setattr(LatentDiffusion, "denoise", spy_denoise)
    stage_of("student-x4", terminal_start=0.25).loss(nets, batch, 0.0, draws())
    [(z_student, t_student, student)], [(z_teacher, t_teacher, teacher)] = seen[id(nets.edge)], seen[id(nets.teacher)]
    assert torch.equal(t_student, t_teacher)
    assert len(t_student.unique()) > 1
    assert torch.equal(*seen["eps"])
    z_h = nets.hr_encoder(batch.hr)
    alpha, sigma = diffusion.alpha_sigma(t_student, z_h)
    for z_t, given in ((z_student, student), (z_teacher, teacher)):
        eps = ((z_t - alpha * z_h) / sigma - given.mu) / given.log_s.exp()
        assert torch.allclose(eps, seen["eps"][0], atol=1e-3)


def test_the_students_target_is_the_teachers_z0(batch):
    """A student that is the teacher, but for its LR, has no loss when both get an LR that says the same."""
    nets = networks()
    with torch.no_grad():
        for encoder in (nets.edge.encoder, nets.teacher.encoder):  # blind encoders: mu and s are those of the biases
            encoder.head.weight.zero_()
            encoder.head.bias.fill_(0.3)
    stage = stage_of("student-x4", terminal_start=0.5, log_s_reg=0.0)
    before = stage.loss(nets, batch, 0.0, draws()).total
    stage.prepare(nets)
    after = stage.loss(nets, batch, 0.0, draws()).total
    assert before > 1e-5
    assert after < 1e-12


def test_the_truth_as_target_wants_no_teacher(batch):
    stage = stage_of("student-x4", target="truth", log_s_reg=0.0, latent=1.0, terminal_start=1.0)
    assert not stage.has_teacher
    nets = networks(with_teacher=False)
    error = stage.loss(nets, batch, 1.0, draws()).total.detach()
    condition = nets.edge.condition(batch.lr, draws_after_times(nets, batch))
    want = (nets.edge.one_step(condition) - nets.hr_encoder(batch.hr)).square().mean().detach()  # at T, v is minus z_h
    assert float(error) == pytest.approx(float(want), rel=1e-5)


def draws_after_times(nets, batch):
    """The eps of a step whose times were drawn first."""
    again = draws()
    again.times(LossConfig().terminal_start)
    return again.normal(nets.hr_encoder(batch.hr))


def test_the_weighting_z0_is_the_error_of_z0(batch):
    nets = networks()
    stage = stage_of("teacher-x2", weighting="z0", log_s_reg=0.0, latent=1.0, terminal_start=0.25, terminal_end=0.25)
    got = float(stage.loss(nets, batch, 0.0, draws()).total.detach())
    again, z_h = draws(), nets.hr_encoder(batch.hr)
    t = again.times(0.25).t
    given = nets.teacher.condition(batch.lr_x2, again.normal(z_h))
    z_t = diffusion.diffuse(z_h, given.noise, t)
    z0 = diffusion.z0_from_v(z_t, nets.teacher.denoise(z_t, t, given), t)
    assert got == pytest.approx(float((z0 - z_h).square().mean().detach()), rel=1e-4)


class OneOfTwo(Processes):
    """A process that takes its rows of the batch."""

    def __init__(self, rank):
        super().__init__()
        self.rank, self.world = rank, 2


def test_two_processes_of_which_one_has_no_row_at_the_end_are_one(batch):
    """The mean of their gradients is that of the whole batch, in every weight that trains."""
    stage = stage_of("end-to-end", terminal_start=0.25, terminal_end=0.25, latent=1.0)  # one row of four
    gradients = []
    for processes in (Processes(), OneOfTwo(0), OneOfTwo(1)):
        nets = networks(with_teacher=False)
        drawn = StepRandom(torch.Generator().manual_seed(1), 4, processes)
        loss = stage.loss(nets, Batch(*(processes.rows(part) for part in batch)), 0.0, drawn)
        assert loss.total.isfinite()
        loss.total.backward()
        gradients.append({name: p.grad for name, p in nets.edge.named_parameters()})
    whole, first, second = gradients
    for name, gradient in whole.items():
        assert torch.allclose((first[name] + second[name]) / 2, gradient, rtol=1e-3, atol=1e-6), name


def test_timesteps_move_towards_the_end_as_training_goes_on():
    config = LossConfig(terminal_start=0.25, terminal_end=1.0)
    drawn = [
        StepRandom(torch.Generator().manual_seed(0), 64).times(config.terminal_share(progress)).t for progress in (0, 0.5, 1)
    ]
    shares = [float((t == 1).float().mean()) for t in drawn]
    assert shares == [pytest.approx(share, abs=0.02) for share in (0.25, 0.625, 1.0)]


@pytest.mark.parametrize(
    ("config", "reads_mu", "reads_eps"),
    [
        (ModelConfig(), True, True),
        (ModelConfig(variance="one"), True, True),
        (ModelConfig(variance="zero"), True, False),
        (ModelConfig(conditioning="standard"), False, True),
    ],
)
def test_the_noise_is_what_the_variant_says(batch, config, reads_mu, reads_eps):
    model = networks(config, with_teacher=False).edge
    eps = torch.randn(4, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    given = model.condition(batch.lr, eps)
    s = {"learned": given.log_s.exp(), "one": 1.0, "zero": 0.0}[config.variance]
    want = eps if config.conditioning == "standard" else given.mu + s * eps
    assert torch.allclose(given.noise, want)
    other = model.condition(1 - batch.lr, eps).noise
    assert torch.equal(other, given.noise) is not reads_mu
    assert torch.equal(model.condition(batch.lr, -eps).noise, given.noise) is not reads_eps
    assert not torch.equal(model.one_step(given), model.one_step(model.condition(1 - batch.lr, eps))), "the LR must count"


def test_without_the_skip_the_decoder_sees_the_latent_alone(batch):
    nets = networks(ModelConfig(lr_skip=False), with_teacher=False)
    z0 = torch.randn(4, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    a, b = (nets.edge.decoder(z0, nets.edge.encoder(lr)[2], lr) for lr in (batch.lr, 1 - batch.lr))
    assert torch.equal(a, b)


def test_a_frozen_encoder_is_not_among_what_trains():
    nets = networks()
    for name in ("student-x4", "end-to-end"):
        for kind, trains in (("joint", True), ("frozen", False)):
            stage = stage_class(name)(Recipe(stage=name, model=ModelConfig(lr_encoder=kind)), torch.device("cpu"))
            assert (nets.edge.encoder in stage.trained(nets)) is trains


def test_scale_distillation_without_a_trained_teacher_is_refused(tmp_path):
    folder = make_folder(tmp_path)
    nets = Networks(TINY, 0)
    tensors = {f"net.{k}": v for k, v in nets.state_dict().items()}
    checkpoint.save(folder / "stage-0", tensors, {"preset": "tiny", "stage": "autoencoder", "step": 1, "seconds": 0.0})
    for init in (folder / "stage-0", ""):
        with pytest.raises(UsageError, match="teacher-x2"):
            run.train(write_recipe(folder, "student-x4", init), tmp_path / "out")


def test_the_checkpoint_of_another_preset_is_refused(tmp_path):
    folder = make_folder(tmp_path)
    checkpoint.save(folder / "other", {}, {"preset": "small", "stage": "autoencoder", "step": 1, "seconds": 0.0})
    with pytest.raises(UsageError, match="'small'"):
        run.train(write_recipe(folder, "decoder", folder / "other"), tmp_path / "out")


def test_equivariance_sees_what_does_not_move_with_the_picture(batch):
    """Bicubic moves with it; a pattern of the latent's grid, 2 LR px, stays where it is."""
    nets = Networks(TINY, 0)
    stage = stage_of("end-to-end", equivariance=1.0, terminal_start=1.0)

    def figures():
        seeds = [StepRandom(torch.Generator().manual_seed(seed), 4) for seed in range(4)]
        return [float(stage.loss(nets, batch, 0.0, each).scalars["equivariance"]) for each in seeds]

    assert max(figures()) < 1e-5
    with torch.no_grad():
        decoder = nets.edge.decoder
        decoder.conv_out.bias += 0.1  # everywhere the same
        assert max(figures()) < 1e-5
        decoder.upsample.bias.view(-1, 4)[:, 0] += 1.0  # one of four positions
        decoder.conv_out.weight[:] = 1e-3
    assert max(figures()) > 1e-3


def test_equivariance_costs_and_draws_nothing_where_its_weight_is_zero(batch):
    nets = networks()
    without, with_it = (stage_of("end-to-end", equivariance=weight).loss(nets, batch, 0.5, draws()) for weight in (0.0, 0.5))
    assert "equivariance" not in without.scalars
    assert float(without.scalars["pixel"]) == float(with_it.scalars["pixel"])
    assert float((with_it.total - without.total).detach()) == pytest.approx(
        0.5 * float(with_it.scalars["equivariance"]), rel=1e-3
    )


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("teacher-x2", "lattice", 2.0),
        ("student-x4", "perceptual", 0.4),
        ("decoder", "terminal_start", 0.5),
        ("decoder", "equivariance", 1.0),
        ("autoencoder", "log_s_reg", 1e-3),
        ("end-to-end", "mu_prior", 0.2),
        ("end-to-end", "target", "truth"),
    ],
)
def test_a_field_of_the_loss_that_a_stage_does_not_read_is_refused(name, field, value):
    with pytest.raises(UsageError, match=rf"the stage '{name}' does not read 'loss\.{field}'"):
        stage_of(name, **{field: value})
