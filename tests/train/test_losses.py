"""What a perceptual distance must do to be worth its name."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite_pytorch")

import torch.nn.functional as F  # noqa: E402
from skimage import data  # noqa: E402

from edgesr.train.losses import PerceptualDistance  # noqa: E402


@pytest.fixture(scope="module")
def distance():
    return PerceptualDistance()


@pytest.fixture(scope="module")
def photo():
    return torch.from_numpy(data.chelsea()[40:232, 100:292].copy()).permute(2, 0, 1)[None] / 255


def test_a_picture_is_at_distance_zero_from_itself(distance, photo):
    assert distance(photo, photo) == 0


def test_blur_is_farther_than_brightness_of_the_same_squared_error(distance, photo):
    """PSNR cannot tell them apart; the eye can."""
    blurred = F.avg_pool2d(F.pad(photo, (3, 3, 3, 3), mode="reflect"), 7, 1)
    error = (blurred - photo).square().mean().sqrt()
    shifted = photo + error  # the same squared error as a change of brightness alone
    assert distance(blurred, photo) > 3 * distance(shifted, photo)


def test_more_blur_is_farther(distance, photo):
    distances = [
        distance(F.avg_pool2d(F.pad(photo, (r, r, r, r), mode="reflect"), 2 * r + 1, 1), photo).item() for r in (1, 2, 4)
    ]
    assert distances == sorted(distances)


def test_gradients_reach_the_output_and_descend(distance, photo):
    out = F.avg_pool2d(F.pad(photo, (2, 2, 2, 2), mode="reflect"), 5, 1).requires_grad_()
    before = distance(out, photo)
    before.backward()
    with torch.no_grad():
        after = distance(out - 0.02 * out.grad / out.grad.abs().max(), photo)
    assert after < before


def test_its_weights_stay_what_they_are(distance, photo):
    before = {name: value.clone() for name, value in distance.state_dict().items()}
    distance.train()
    distance(photo.clone().requires_grad_(), photo).backward()
    assert not distance.training
    assert all(parameter.grad is None for parameter in distance.parameters())
    assert all(torch.equal(value, before[name]) for name, value in distance.state_dict().items())
