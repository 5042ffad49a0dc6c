"""The two conditionings: what their noise is, and what the UNet is told."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

torch = pytest.importorskip("torch")

from edgesr.model import diffusion
from edgesr.model.conditioning import Variant, conditioning
from edgesr.model.edge import LatentDiffusion
from edgesr.presets import get_preset
from edgesr.train.networks import ModelConfig


@pytest.fixture
def draws():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 4, 6, 6, generator=generator, dtype=torch.float64) for _ in range(4)]


@pytest.mark.parametrize(("variance", "s"), [("learned", None), ("one", 1.0), ("zero", 0.0)])
def test_bidirectional_noise_is_the_lrs_gaussian_and_the_unet_sees_z_t_alone(draws, variance, s):
    z_t, mu, log_s, eps = draws
    ours = conditioning(Variant(variance=variance))
    scale = log_s.exp() if s is None else s
    torch.testing.assert_close(ours.noise(mu, log_s, eps), mu + scale * eps)
    assert ours.unet_channels(4) == 4
    assert ours.unet_input(z_t, mu) is z_t


def test_standard_conditioning_is_the_same_process_with_plain_noise_and_a_concatenated_input(draws):
    z_h, mu, log_s, eps = draws
    standard = conditioning(Variant(conditioning="standard"))
    n = standard.noise(mu, log_s, eps)
    assert torch.equal(n, eps)
    seen = []

    def network(x, t):
        seen.append(x)
        return diffusion.v_target(z_h, n, t)

    z0 = diffusion.ddim(lambda z_t, t: network(standard.unet_input(z_t, mu), t), n, 3)
    torch.testing.assert_close(z0, z_h)
    assert all(torch.equal(x[:, 4:], mu) and x.shape[1] == standard.unet_channels(4) == 8 for x in seen)


@pytest.mark.parametrize("kind", ["bidirectional", "standard"])
def test_a_network_follows_its_variant(kind):
    """The LR picture reaches the UNet by the noise alone, or beside it."""
    torch.manual_seed(0)
    model = LatentDiffusion(get_preset("tiny"), Variant(conditioning=kind))
    given = model.condition(torch.rand(1, 3, 16, 16), torch.randn(1, 16, 8, 8))
    other = given._replace(mu=given.mu + 1)
    t = torch.ones(1)
    same = torch.equal(model.denoise(given.noise, t, given), model.denoise(given.noise, t, other))
    assert same == (kind == "bidirectional")


def test_a_recipes_variant_has_every_switch():
    """A switch that the recipe has and the network does not get would be an ablation of nothing."""
    other = {"conditioning": "standard", "variance": "zero", "lr_skip": False, "smoothing": False}
    assert set(other) == {field.name for field in dataclasses.fields(Variant)}
    for count in range(len(other) + 1):
        for names in itertools.combinations(other, count):
            switches = {name: other[name] for name in names}
            assert ModelConfig(**switches).variant == Variant(**switches)
