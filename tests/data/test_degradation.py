"""The blind degradation: its laws, its noise against closed forms, its resizing against OpenCV."""

from __future__ import annotations

import dataclasses
from collections import Counter

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from edgesr.data.degradation import add_noise, degrade
from edgesr.data.plan import DegradationConfig, LastRoundConfig, RoundConfig, draw_plans
from edgesr.errors import UsageError

HARMLESS_ROUND = RoundConfig(
    blur_probability=0,
    resize_weights=(0, 0, 1),
    gaussian_probability=1,
    gaussian_sigma=(0, 0),
    jpeg_quality=(100, 100),
)
HARMLESS = DegradationConfig(first=HARMLESS_ROUND, second=HARMLESS_ROUND, final_sinc_probability=0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def photos() -> torch.Tensor:
    """Eight crops, (8, 3, 96, 96)."""
    pixels = torch.from_numpy(data.astronaut()).permute(2, 0, 1) / 255
    return torch.stack([pixels[:, 96 * i : 96 * i + 96, 128 * j : 128 * j + 96] for i in range(4) for j in range(1, 3)])


@pytest.mark.parametrize("scale", [2, 4])
def test_lr_has_its_size_range_and_eight_bits(photos, scale):
    lr = degrade(photos, scale=scale, generator=seeded())
    assert lr.shape == (8, 3, 96 // scale, 96 // scale)
    assert lr.dtype == torch.float32
    assert lr.min() >= 0
    assert lr.max() <= 1
    assert torch.equal(lr, (lr * 255).round() / 255)


def test_batches_that_groups_do_not_divide_and_oblong_crops_keep_their_shape(photos):
    assert degrade(photos[:5, :, :, :80], scale=4, generator=seeded()).shape == (5, 3, 24, 20)


def test_the_seed_decides_everything(photos):
    before = torch.random.get_rng_state()
    first, again = (degrade(photos, scale=4, generator=seeded(3)) for _ in range(2))
    other = degrade(photos, scale=4, generator=seeded(4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_one_generator_goes_on_to_new_degradations(photos):
    generator = seeded()
    assert not torch.equal(*(degrade(photos, scale=4, generator=generator) for _ in range(2)))


def test_mixed_precision_training_does_not_change_the_data(photos):
    plain = degrade(photos, scale=4, generator=seeded())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = degrade(photos, scale=4, generator=seeded())
    assert torch.equal(plain, mixed)


def test_colour_and_borders_stay(photos):
    lr = torch.stack([degrade(photos, scale=4, generator=seeded(seed)) for seed in range(8)]).mean(0)
    expected = torch.nn.functional.avg_pool2d(photos, 4)
    drift = (lr - expected).mean(dim=(0, 2, 3))
    assert drift.abs().max() < 0.02
    for edge in (
        (lr - expected)[..., 0, :],
        (lr - expected)[..., -1, :],
        (lr - expected)[..., 0],
        (lr - expected)[..., -1],
    ):
        assert abs(edge.mean().item()) < 0.03


def test_without_faults_it_is_opencvs_resize():
    grey = np.ascontiguousarray(data.camera()[100:228, 200:328])  # grey, since JPEG halves the chroma at any quality
    hr = torch.from_numpy(grey)[None, None].expand(1, 3, -1, -1) / 255
    references = {
        mode: cv2.resize(grey.astype(np.float32), (32, 32), interpolation=mode)
        for mode in (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC)
    }
    seen = Counter()
    for seed in range(12):
        lr = degrade(hr, scale=4, generator=seeded(seed), config=HARMLESS)[0, 0].numpy() * 255
        errors = {mode: np.abs(lr - np.clip(r, 0, 255)).mean() for mode, r in references.items()}
        nearest = min(errors, key=errors.get)
        assert errors[nearest] < 1  # grey levels of 255
        seen[nearest] += 1
    assert set(seen) == set(references)


@pytest.mark.parametrize("grey", [False, True])
def test_gaussian_noise_has_its_sigma_and_its_colour(grey):
    flat = torch.full((2, 3, 200, 200), 0.5)
    strength = torch.tensor([5 / 255, 20 / 255])
    kind = {"gaussian": torch.tensor([True, True]), "grey": torch.tensor([grey, grey])}
    noise = add_noise(flat, strength=strength, generator=seeded(), **kind) - flat
    for sample, sigma in zip(noise, strength.tolist(), strict=True):
        assert sample.std().item() == pytest.approx(sigma, rel=0.02)
        assert abs(sample.mean().item()) < sigma / 50
        correlation = np.corrcoef(sample.flatten(1).numpy())[0, 1]
        assert correlation == pytest.approx(1 if grey else 0, abs=0.02)


def test_poisson_noise_is_shot_noise():
    levels = torch.tensor([0.1, 0.4, 0.8])
    flat = levels[:, None, None, None].expand(3, 3, 200, 200)
    strength = torch.tensor([0.5, 1.0, 1.5])
    neither = torch.zeros(3, dtype=torch.bool)
    noise = add_noise(flat, gaussian=neither, grey=neither, strength=strength, generator=seeded()) - flat
    expected = strength * (levels / 256).sqrt()
    np.testing.assert_allclose(noise.flatten(1).std(1), expected, rtol=0.02)
    np.testing.assert_allclose(noise.flatten(1).mean(1), 0, atol=1e-3)


def test_parameters_are_drawn_with_their_probabilities_and_within_their_ranges():
    config = DegradationConfig(group=1)
    plans = draw_plans(4000, config, seeded())
    for drawn, ranges in (([p.first for p in plans], config.first), ([p.second for p in plans], config.second)):
        low, high = ranges.resize_range
        factors = np.array([r.factor for r in drawn])
        assert low <= factors.min() < low + 0.02
        assert high - 0.02 < factors.max() <= high
        shares = [np.mean(factors > 1), np.mean(factors < 1), np.mean(factors == 1)]
        np.testing.assert_allclose(shares, ranges.resize_weights, atol=0.03)
        quality = torch.cat([r.quality for r in drawn])
        assert (quality.min(), quality.max()) == ranges.jpeg_quality
        gaussian = torch.cat([r.gaussian for r in drawn])
        strength = torch.cat([r.strength for r in drawn])
        assert gaussian.float().mean().item() == pytest.approx(ranges.gaussian_probability, abs=0.03)
        assert strength[gaussian].max() * 255 <= ranges.gaussian_sigma[1] * 1.0001
        assert strength[~gaussian].max() <= ranges.poisson_scale[1]
        assert torch.cat([r.grey for r in drawn]).float().mean().item() == pytest.approx(ranges.grey_probability, abs=0.03)
    jpeg_last = np.mean([p.jpeg_last for p in plans])
    assert jpeg_last == pytest.approx(0.5, abs=0.03)


def test_kernels_sum_to_one_and_are_left_out_as_often_as_asked():
    plans = draw_plans(4000, DegradationConfig(), seeded())
    for kernels, probability in (
        (torch.cat([p.second.kernels for p in plans]), 0.8),
        (torch.cat([p.final_kernels for p in plans]), 0.8),
    ):
        np.testing.assert_allclose(kernels.sum(dim=(1, 2)), 1, atol=1e-5)
        others = kernels.clone()
        others[:, 10, 10] = 0
        blurred = others.abs().amax(dim=(1, 2)) > 0
        assert blurred.float().mean().item() == pytest.approx(probability, abs=0.03)


def test_first_round_blurs_as_wide_as_its_sigma_allows():
    config = DegradationConfig(first=RoundConfig(kernel_weights=(1, 0, 0, 0, 0, 0), sinc_probability=0))
    kernels = torch.cat([p.first.kernels for p in draw_plans(2000, config, seeded())])
    full = kernels[kernels[:, 10, 0] > 0]  # those of 21 px, which do not cut the bell
    spread = (full * (torch.arange(21.0) - 10) ** 2).sum(dim=(1, 2)).sqrt()
    assert spread.max().item() == pytest.approx(3.0, abs=0.1)


ROUNDS = {
    "noise": {"gaussian_sigma": (20.0, 20.0), "grey_probability": 1.0},  # JPEG halves the resolution of the colours
    "blur": {"blur_probability": 1.0, "sinc_probability": 0.0, "sigma": (3.0, 3.0)},
    "jpeg": {"jpeg_quality": (30, 30)},
    "resize": {"resize_weights": (0, 1, 0), "resize_range": (0.3, 0.3)},
}


@pytest.mark.parametrize("fault", ROUNDS)
@pytest.mark.parametrize("name", ["first", "second"])
def test_each_round_does_what_its_ranges_say(photos, name, fault):
    """The one fault alone, in the one round: noise of its sigma, less contrast between neighbours, blocks of 8 px."""
    config = dataclasses.replace(HARMLESS, **{name: dataclasses.replace(HARMLESS_ROUND, **ROUNDS[fault])})
    clean, faulty = (degrade(photos, scale=4, generator=seeded(), config=each) for each in (HARMLESS, config))
    assert not torch.equal(clean, faulty)
    if fault == "noise" and name == "second":
        inside = (clean > 0.3) & (clean < 0.7)
        assert (faulty - clean)[inside].std() * 255 == pytest.approx(20, rel=0.1)
    elif fault in ("blur", "resize"):
        assert faulty.diff(dim=-1).abs().mean() < 0.95 * clean.diff(dim=-1).abs().mean()
    else:
        assert (faulty - clean).square().mean().sqrt() * 255 > 1


@pytest.mark.parametrize(("side", "message"), [(98, "multiples of the scale 4"), (40, "too small")])
def test_crops_of_a_wrong_size_are_refused(side, message):
    with pytest.raises(UsageError, match=message):
        degrade(torch.zeros(1, 3, side, side), scale=4, generator=seeded())


def test_lightly_degraded_crops_are_pillows_reduction_or_close_to_it(photos):
    """Half of them are exactly what users' clean thumbnails are; the others carry faint noise and one JPEG."""
    config = DegradationConfig(light_probability=1, group=1)
    lr = degrade(photos, scale=4, generator=seeded(1), config=config)
    errors = []
    for small, photo in zip(lr, photos, strict=True):
        picture = Image.fromarray((photo * 255).round().byte().permute(1, 2, 0).numpy())
        want = np.asarray(picture.resize((24, 24), Image.Resampling.BICUBIC)).astype(float)
        errors.append(np.abs(small.permute(1, 2, 0).numpy() * 255 - want).max())
    clean = [error for error in errors if error <= 1.01]  # Pillow rounds twice
    assert 1 <= len(clean) < len(errors)
    assert np.median(errors) < 40


def test_the_share_of_light_groups_is_the_one_asked_for():
    plans = draw_plans(4000, DegradationConfig(light_probability=0.25, group=1), seeded())
    assert sum(plan.light for plan in plans) / 4000 == pytest.approx(0.25, abs=0.03)
    assert not any(plan.light for plan in draw_plans(400, DegradationConfig(), seeded()))


def last_round(**fields) -> DegradationConfig:
    """Nothing but the last round, on all samples."""
    none = {"blur_probability": 0.0, "noise_probability": 0.0, "impulse_probability": 0.0, "jpeg_probability": 0.0}
    return dataclasses.replace(HARMLESS, last=LastRoundConfig(probability=1.0, **(none | fields)))


def grey(side: int = 384) -> torch.Tensor:
    return torch.full((4, 3, side, side), 0.5)


def test_the_last_round_alone_with_nothing_in_it_changes_nothing(photos):
    assert torch.equal(*(degrade(photos, scale=4, generator=seeded(), config=config) for config in (HARMLESS, last_round())))


def test_the_last_rounds_noise_is_of_single_pixels_or_in_the_colours_alone():
    noise = {"noise_probability": 1.0, "noise_sigma": (8.0, 8.0)}
    pixels = degrade(grey(), scale=4, generator=seeded(), config=last_round(**noise, colour_probability=0.0)) - 128 / 255
    assert pixels.std() * 255 == pytest.approx(8, rel=0.05)
    neighbours = (pixels[..., 1:] * pixels[..., :-1]).mean() / pixels.var()
    assert abs(neighbours) < 0.05, "no resize has smoothed it"
    specks = degrade(grey(), scale=4, generator=seeded(), config=last_round(**noise, colour_probability=1.0)) - 128 / 255
    luma = (specks * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)
    assert luma.std() * 255 < 0.5
    assert specks.std() * 255 > 4
    assert (specks[..., 1:] * specks[..., :-1]).mean() / specks.var() > 0.3, "specks are larger than a pixel"


def test_the_last_rounds_blur_is_as_wide_as_asked_for():
    edge = grey()
    edge[..., 192:] = 1.0
    config = last_round(blur_probability=1.0, sigma=(2.0, 2.0))
    profile = degrade(edge, scale=4, generator=seeded(), config=config)[0, 0, 48].diff().clamp_min(0)
    x = torch.arange(len(profile)) + 0.5
    mean = (profile * x).sum() / profile.sum()
    assert ((profile * (x - mean).square()).sum() / profile.sum()).sqrt() == pytest.approx(2.0, abs=0.3)


def test_impulses_are_black_or_white_and_as_many_as_asked_for():
    config = last_round(impulse_probability=1.0, impulse_share=(0.02, 0.02))
    lr = degrade(grey(), scale=4, generator=seeded(), config=config)
    hit = (lr - 128 / 255).abs().amax(1) > 0.1
    assert hit.float().mean() == pytest.approx(0.02, abs=0.004)
    assert set(lr[:, 0][hit].tolist()) == {0.0, 1.0}


def test_the_share_of_samples_with_a_last_round_is_the_one_asked_for(photos):
    config = dataclasses.replace(DegradationConfig(), last=LastRoundConfig(probability=0.3, blur_probability=1.0))
    plans = draw_plans(4000, config, seeded())
    blurred = torch.cat([plan.last.kernels.amax(dim=(1, 2)) < 1 for plan in plans])
    assert blurred.float().mean() == pytest.approx(0.3, abs=0.03)
    without = draw_plans(4000, DegradationConfig(), seeded())
    assert all(plan.last is None for plan in without)
    assert torch.equal(plans[7].first.kernels, without[7].first.kernels), "what was drawn before stays as it was"
