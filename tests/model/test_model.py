"""What the networks promise: shapes, the start from bicubic, the folded time, the receptive field that exact tiles rest on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from edgesr.model import build
from edgesr.model.decoder import RADIUS, SIGMAS, PyramidDecoder, SkipDecoder, Smoothing
from edgesr.model.diffusion import ddim
from edgesr.model.encoder import LOG_S_MIN, HREncoder, LREncoder
from edgesr.presets import PRESETS, get_preset

EDGE = ["tiny", "small"]


def open_every_path(model):
    """Positive weights everywhere: no path is closed by a zero or a ReLU, so that gradients show the whole receptive field."""
    for parameter in model.parameters():
        parameter.data = torch.full_like(parameter, 1e-3)


def narrow(preset):
    """A preset of fewer channels: how far the network looks depends on its depth alone."""
    return replace(
        preset,
        encoder=replace(preset.encoder, width=8),
        unet=replace(preset.unet, widths=tuple(8 * 2**level for level in range(len(preset.unet.widths)))),
        decoder=replace(preset.decoder, width=8, lr_width=8),
    )


@pytest.mark.parametrize("name", PRESETS)
def test_an_untrained_model_is_bicubic(name):
    photo = Image.effect_noise((48, 32), 12).convert("RGB")  # far from black and white: Pillow clips between its two passes
    lr = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None] / 255
    preset = get_preset(name)
    with torch.no_grad():
        hr = build(preset)(lr, torch.randn(1, preset.latent_channels, 16, 24))
    want = torch.from_numpy(np.array(photo.resize((192, 128), Image.Resampling.BICUBIC))).permute(2, 0, 1)[None] / 255
    inner = (..., slice(12, -12), slice(12, -12))  # borders: Pillow renormalises its kernel there, we repeat the edge
    assert (hr - want)[inner].abs().max() < 1.2 / 255  # Pillow rounds twice


@pytest.mark.parametrize("lr_skip", [True, False])
@pytest.mark.parametrize("name", ["tiny", "paper"])
def test_the_decoder_reads_the_lr_and_the_latent_and_without_the_skip_the_latent_alone(name, lr_skip):
    preset = get_preset(name)
    torch.manual_seed(0)
    kind = SkipDecoder if name == "tiny" else PyramidDecoder
    decoder = kind(preset.decoder, 16, preset.encoder.width, lr_skip=lr_skip)
    torch.nn.init.normal_(decoder.conv_out.weight, std=0.1)
    z0, features, lr = torch.randn(1, 16, 8, 8), torch.randn(1, preset.encoder.width, 8, 8), torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        hr = decoder(z0, features, lr)
        assert hr.shape == (1, 3, 64, 64)
        assert not torch.equal(decoder(-z0, features, lr), hr)
        assert torch.equal(decoder(z0, -features, lr), hr) is not lr_skip
        brighter = decoder(z0, features, lr + 0.125)
    torch.testing.assert_close(brighter, hr + 0.125 * lr_skip)  # the LR's colour is the output's


@pytest.mark.parametrize("blur", range(len(SIGMAS)))
def test_smoothing_by_a_share_of_one_is_that_gaussian_of_that_colour(blur):
    smoothing = Smoothing(4)
    side = 2 * RADIUS + 1
    point = torch.zeros(1, 3, side, side)
    point[0, 1, RADIUS, RADIUS] = 1
    smoothing.shares.bias.data[3 + blur] = 1  # of green
    with torch.no_grad():
        out = smoothing(torch.zeros(1, 4, side, side), point)
        flat = smoothing(torch.zeros(1, 4, side, side), torch.full_like(point, 0.3))
    at = torch.arange(-RADIUS, RADIUS + 1.0)
    assert not out[0, (0, 2)].any()
    assert out[0, 1].sum().item() == pytest.approx(1, abs=1e-5)
    assert (out[0, 1].sum(0) * at.square()).sum().sqrt().item() == pytest.approx(
        SIGMAS[blur], rel=0.04
    )  # the widest is cut off
    torch.testing.assert_close(out[0, 1], out[0, 1].T)
    torch.testing.assert_close(flat, torch.full_like(flat, 0.3))


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("name", EDGE)
def test_no_pixel_beyond_the_halo_counts(name, steps):
    """In several steps of the diffusion as well: the UNet then looks around so many times."""
    preset = narrow(get_preset(name))
    halo = preset.halo_of(steps)
    model = build(preset).double()
    open_every_path(model)
    side = 2 * halo + 4 * preset.multiple
    lr = torch.full((1, 3, side, side), 0.6, dtype=torch.float64, requires_grad=True)
    z, _, features = model.encoder(lr)
    for _ in range(steps):
        z = model.unet(z, torch.ones(1))
    hr = model.decoder(z, features, lr)
    first = halo + preset.multiple  # a kept part that starts and ends at multiples of the preset's
    kept = slice(4 * first, 4 * (first + preset.multiple))
    (gradient,) = torch.autograd.grad(hr[..., kept, kept].sum(), lr)
    reached = gradient.abs().sum(dim=(0, 1)).nonzero()
    reach = max(first - reached.min().item(), reached.max().item() - (first + preset.multiple - 1))
    assert reach <= halo
    assert reach > halo - preset.multiple, "the halo is larger than it must be"


def test_folding_the_time_changes_nothing():
    for name in EDGE:
        model = build(get_preset(name), seed=1).double()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.05)
        lr, eps = torch.rand(1, 3, 16, 16).double(), torch.randn(1, model.preset.latent_channels, 8, 8).double()
        with torch.no_grad():
            before = model(lr, eps)
            after = model.fold_time()(lr, eps)
        torch.testing.assert_close(after, before)
        assert not any("time" in key for key in model.state_dict())


def test_folding_the_time_of_the_paper_preset_changes_nothing():
    model = build(get_preset("paper")).eval()
    z_t, t = torch.randn(1, 16, 16, 16), torch.ones(1)
    with torch.no_grad():
        for block in model.unet.modules():
            if hasattr(block, "conv2"):
                torch.nn.init.normal_(block.conv2.weight, std=0.02)
        before = model.unet(z_t, t)
        model.unet.fold_time(t)
        torch.testing.assert_close(model.unet(z_t, t), before, atol=1e-4, rtol=1e-4)


def test_several_steps_are_ddim_on_the_time_that_the_network_is_told():
    model = build(get_preset("tiny"), seed=1)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    lr, eps = torch.rand(1, 3, 16, 16), torch.randn(1, 16, 8, 8)
    with torch.no_grad():
        condition = model.condition(lr, eps)
        want = ddim(model.unet, condition.noise, 3)
        torch.testing.assert_close(model(lr, eps, 3), model.decoder(want, condition.features, lr).clamp(0, 1))
        assert not torch.equal(model(lr, eps, 3), model(lr, eps))
        with pytest.raises(ValueError, match="folded"):
            model.fold()(lr, eps, 3)


@pytest.mark.parametrize(("scale", "stride"), [(4, 2), (2, 4)])
def test_the_lr_encoder_meets_the_latent_grid_and_bounds_log_s(scale, stride):
    encoder = LREncoder(PRESETS["tiny"].encoder, latent_channels=16, scale=scale)
    mu, log_s, features = encoder(1000 * torch.randn(2, 3, 16, 24))
    assert mu.shape == log_s.shape == (2, 16, 16 // stride, 24 // stride)
    assert features.shape[2:] == mu.shape[2:]
    assert LOG_S_MIN <= log_s.min() <= log_s.max() <= 0


def test_the_hr_encoder_settles_at_unit_variance_per_channel():
    torch.manual_seed(0)
    encoder = HREncoder(16)
    hr = torch.rand(8, 3, 64, 64)
    with torch.no_grad():
        for _ in range(200):
            encoder.track_statistics(encoder(hr), momentum=0.1)
        z = encoder(hr)
    torch.testing.assert_close(z.mean(dim=(0, 2, 3)), torch.zeros(16), atol=1e-2, rtol=0)
    torch.testing.assert_close(z.std(dim=(0, 2, 3)), torch.ones(16), atol=1e-2, rtol=0)


def test_the_same_seed_builds_the_same_weights_and_leaves_the_global_generator_alone():
    state = torch.random.get_rng_state()
    a, b, c = (build(PRESETS["tiny"], seed=seed).encoder.stem.weight for seed in (3, 3, 4))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert torch.equal(torch.random.get_rng_state(), state)
