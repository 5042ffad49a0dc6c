"""Laws of the diffusion process."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from edgesr.model import diffusion

SHAPE = (4, 16, 8, 8)


@pytest.fixture
def draws():
    generator = torch.Generator().manual_seed(0)
    z_h, mu, eps = (torch.randn(SHAPE, generator=generator, dtype=torch.float64) for _ in range(3))
    log_s = torch.rand(SHAPE, generator=generator, dtype=torch.float64) - 1.5
    return z_h, mu, log_s, eps


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_at_the_last_time_z_is_the_conditioned_noise_alone(draws, dtype):
    z_h, mu, log_s, eps = (x.to(dtype) for x in draws)
    n = diffusion.conditioned_noise(mu, log_s, eps)
    assert torch.equal(diffusion.diffuse(1e6 * z_h, n, diffusion.T), n)


def test_at_time_zero_z_is_the_latent(draws):
    z_h, mu, log_s, eps = draws
    assert torch.equal(diffusion.diffuse(z_h, diffusion.conditioned_noise(mu, log_s, eps), 0.0), z_h)


@pytest.mark.parametrize("t", [0.0, 1e-3, 0.25, 0.5, 0.999, 1.0])
def test_v_z0_and_n_invert_each_other(draws, t):
    z_h, mu, log_s, eps = draws
    n = diffusion.conditioned_noise(mu, log_s, eps)
    z_t, v = diffusion.diffuse(z_h, n, t), diffusion.v_target(z_h, n, t)
    torch.testing.assert_close(diffusion.z0_from_v(z_t, v, t), z_h)
    torch.testing.assert_close(diffusion.n_from_v(z_t, v, t), n)


def test_the_schedule_preserves_variance_and_ends_at_zero_signal():
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    alpha, sigma = diffusion.alpha_sigma(t, t)
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones_like(alpha))
    assert alpha.flatten()[-1] == 0.0
    assert (alpha.flatten().diff() < 0).all()


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 50])
def test_ddim_with_the_true_v_returns_the_latent(draws, steps):
    z_h, mu, log_s, eps = draws
    n = diffusion.conditioned_noise(mu, log_s, eps)
    seen = []

    def true_v(z_t, t):
        seen.append(t[0].item())
        torch.testing.assert_close(z_t, diffusion.diffuse(z_h, n, t))  # it walks along the forward process
        return diffusion.v_target(z_h, n, t)

    torch.testing.assert_close(diffusion.ddim(true_v, n, steps), z_h)
    assert len(seen) == steps
    assert seen[0] == diffusion.T


def test_one_step_is_ddim_with_one_step(draws):
    _, mu, log_s, eps = draws
    n = diffusion.conditioned_noise(mu, log_s, eps)

    def network(z_t, t):
        return torch.sin(z_t) * t[:, None, None, None]

    torch.testing.assert_close(diffusion.one_step(network, n), diffusion.ddim(network, n, 1))


def test_ddim_refuses_no_steps(draws):
    with pytest.raises(ValueError, match="at least 1"):
        diffusion.ddim(lambda z_t, t: z_t, draws[0], 0)


@pytest.mark.parametrize("t", [0.2, 0.7, 1.0])
def test_mean_and_variance_of_z_match_the_closed_form(t):
    """z_t ~ N(alpha z_h + sigma mu, sigma^2 s^2): the LR sets mean and variance."""
    count = 200_000
    z_h, mu, s = 0.8, -1.3, 0.4
    eps = torch.randn(count, 1, 1, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    n = diffusion.conditioned_noise(torch.full_like(eps, mu), torch.full_like(eps, math.log(s)), eps)
    z_t = diffusion.diffuse(torch.full_like(eps, z_h), n, t)
    alpha, sigma = math.cos(math.pi * t / 2), math.sin(math.pi * t / 2)
    error = sigma * s / math.sqrt(count)  # standard error of the mean
    assert z_t.mean().item() == pytest.approx(alpha * z_h + sigma * mu, abs=5 * error)
    assert z_t.std().item() == pytest.approx(sigma * s, abs=5 * error)


def test_times_of_a_batch_are_each_their_own(draws):
    z_h, mu, log_s, eps = draws
    n = diffusion.conditioned_noise(mu, log_s, eps)
    t = torch.tensor([0.0, 0.3, 0.6, 1.0], dtype=torch.float64)
    together = diffusion.diffuse(z_h, n, t)
    for i in range(4):
        torch.testing.assert_close(together[i], diffusion.diffuse(z_h[i : i + 1], n[i : i + 1], t[i].item())[0])


def test_everything_stays_on_the_device_of_the_latent():
    """On torch's device without memory, which no other device's tensors mix with."""
    n, seen = torch.empty(SHAPE, device="meta", dtype=torch.bfloat16), []

    def denoise(z_t, t):
        seen.append(t)
        return z_t

    for z0 in (diffusion.one_step(denoise, n), diffusion.ddim(denoise, n, 2)):
        assert (z0.device.type, z0.dtype) == ("meta", torch.bfloat16)
    assert {(t.device.type, t.dtype, t.shape) for t in seen} == {("meta", torch.bfloat16, (4,))}
    assert {part.device.type for part in diffusion.alpha_sigma(0.5, n)} == {"meta"}
