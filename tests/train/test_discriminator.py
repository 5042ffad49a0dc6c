"""The discriminators' networks: what they answer, and what the PatchGAN cannot see."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F
from skimage import data

from edgesr.train.discriminator import Discriminator, HighPassPatch


@pytest.fixture(scope="module")
def photo():
    """Two 64 px crops of a photograph, (2, 3, 64, 64), without its darkest and brightest values."""
    photo = torch.from_numpy(data.chelsea().copy()).permute(2, 0, 1) / 255
    return 0.2 + 0.6 * torch.stack([photo[:, 60:124, x : x + 64] for x in (100, 200)])


@pytest.fixture(scope="module")
def patch():
    torch.manual_seed(0)
    return HighPassPatch(8).eval()


@pytest.mark.parametrize("size", [(48, 48), (33, 50)])
def test_the_unet_gives_one_logit_a_pixel(size):
    assert Discriminator(4)(torch.rand(2, 3, *size)).shape == (2, 1, *size)


def test_the_patch_discriminator_gives_one_logit_for_eight_pixels_a_side(patch, photo):
    assert patch(photo, F.avg_pool2d(photo, 4)).shape == (2, 1, 8, 8)


@pytest.mark.parametrize("autocast", [False, True])
def test_the_patch_discriminator_sees_no_brightness_and_no_colour(patch, photo, autocast):
    """Its answer is the same, so no gradient of its moves them: another brightness, a cast, and any change of colours at equal luma."""
    lr = F.avg_pool2d(photo, 4)
    generator = torch.Generator().manual_seed(0)
    red, blue = 0.2 * torch.rand(2, 2, 1, 64, 64, generator=generator) - 0.1
    chroma = torch.cat([red, -(0.299 * red + 0.114 * blue) / 0.587, blue], dim=1)
    others = {
        "brightness": photo + 0.1,
        "cast": photo + torch.tensor([0.15, -0.1, 0.05])[:, None, None],
        "chroma": photo + chroma,
        "detail": photo + 0.1 * torch.rand(2, 1, 64, 64, generator=generator),
    }
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        before = patch(photo, lr).float()
        moved = {name: float((patch(other, lr).float() - before).abs().max()) for name, other in others.items()}
    assert moved["detail"] > 0.1 * float(before.std())
    assert max(moved[name] for name in ("brightness", "cast", "chroma")) < (0.1 if autocast else 1e-3) * moved["detail"]


def test_the_gradient_of_the_patch_discriminator_has_no_mean_and_no_colour(patch, photo):
    out = photo.clone().requires_grad_()
    patch(out, F.avg_pool2d(photo, 4)).sum().backward()
    grey = out.grad / torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    assert float(grey.abs().max()) > 0
    assert torch.allclose(grey, grey[:, :1].expand_as(grey), rtol=1e-3, atol=1e-5)
    assert float(out.grad.sum().abs()) < 1e-4 * float(out.grad.abs().sum())


def test_the_patch_discriminator_knows_the_lr(patch, photo):
    lr = F.avg_pool2d(photo, 4)
    assert not torch.allclose(patch(photo, lr), patch(photo, 1 - lr), atol=1e-3)


def test_a_shift_leaves_out_the_first_rows_and_columns_of_picture_and_condition(patch, photo):
    seen = []
    hook = patch.first.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    try:
        for shift in ((0, 0), (3, 2)):
            patch(photo, F.avg_pool2d(photo, 4), shift)
    finally:
        hook.remove()
    (detail, known), (shifted_detail, shifted_known) = (planes.unbind(dim=1) for planes in seen)
    assert torch.equal(shifted_known, known[..., 3:, 2:])
    inner = slice(4, None)  # beyond the border's part in the local mean
    assert torch.allclose(shifted_detail[..., inner, inner], detail[..., 7:, 6:], atol=1e-6)


def test_the_unet_answers_a_moved_picture_with_moved_logits():
    """By its coarsest stride; the inner part, which no border reaches."""
    torch.manual_seed(0)
    unet, wide = Discriminator(4).eval(), torch.rand(1, 3, 208, 208)
    with torch.no_grad():
        here, there = unet(wide[..., :200, :200]), unet(wide[..., 8:, 8:])
    inner = slice(80, 112)
    assert torch.allclose(there[..., inner, inner], here[..., 88:120, 88:120], atol=1e-5)
    assert here[..., inner, inner].std() > 1e-4
