"""Contact sheets: what stands below a picture is what was done to it."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from edgesr.data import sheet
from edgesr.data.kernels import crop_and_normalise, generalised_gaussian, quadratic_form, sinc
from edgesr.data.plan import DegradationConfig, RoundConfig, draw_plans

SIZE = 48  # px of the LR


def smooth(count: int) -> torch.Tensor:
    """Gradients, (count, 3, 4 * SIZE, 4 * SIZE)."""
    ramp = torch.linspace(0.2, 0.8, 4 * SIZE).expand(4 * SIZE, -1)
    return torch.stack([torch.stack((ramp, ramp.T, 1 - ramp)).roll(index, 0) for index in range(count)])


def test_the_plans_told_are_those_that_were_carried_out():
    config = DegradationConfig(light_probability=0.5)
    hr = smooth(24)
    plans, lr = sheet._degraded(hr, torch.Generator().manual_seed(1), config)
    clean = 0
    for crop, plan, small in zip(hr, plans, lr, strict=True):
        picture = sheet._picture(crop).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        error = np.abs(np.asarray(picture).astype(int) - np.asarray(sheet._picture(small)).astype(int)).max()
        assert (error <= 1) == (sheet.describe(plan) == ["light: one bicubic reduction"])
        clean += error <= 1
    assert 2 <= clean <= 12


def test_captions_tell_kernels_resizes_noise_and_quality():
    one = torch.ones(1)
    bell = generalised_gaussian(quadratic_form(2.5 * one, 1.2 * one, 0.3 * one, 21), one)
    full = torch.tensor([21])
    assert sheet._kernel(crop_and_normalise(bell, full)) == "blur 2.5 x 1.2"
    assert sheet._kernel(crop_and_normalise(sinc(1.1 * one, 21), full)) == "sinc"
    round_ = RoundConfig(
        blur_probability=0,
        resize_weights=(0, 0, 1),
        gaussian_probability=1,
        gaussian_sigma=(12, 12),
        grey_probability=1,
        jpeg_quality=(43, 43),
    )
    second = RoundConfig(
        blur_probability=0,
        resize_weights=(0, 1, 0),
        resize_range=(1, 1),
        gaussian_probability=0,
        poisson_scale=(0.7, 0.7),
        grey_probability=0,
        jpeg_quality=(91, 91),
    )
    config = DegradationConfig(first=round_, second=second, final_sinc_probability=0, group=1)
    for plan in draw_plans(20, config, torch.Generator().manual_seed(0)):
        last = [f"{plan.final_mode} to size", "JPEG 91"]
        assert sheet.describe(plan) == [
            "1: no blur, same size,",
            "   grey noise 12, JPEG 43",
            "2: no blur, same size,",
            "   shot noise 0.7,",
            f"   {', '.join(last if plan.jpeg_last else last[::-1])}",
        ]


def test_captions_fit_below_their_pictures():
    """In width with the default crops of 192 px, and in height into the lines left for them."""
    from PIL import ImageFont

    font = ImageFont.load_default(sheet.LETTERS)
    config = DegradationConfig(light_probability=0.2, group=1)
    for plan in draw_plans(500, config, torch.Generator().manual_seed(0)):
        lines = sheet.describe(plan)
        assert len(lines) <= sheet.LINES
        assert max(font.getlength(line) for line in lines) < 192 + sheet.GAP


def test_a_sheet_holds_the_crops_and_their_lr_pixel_for_pixel():
    hr = smooth(2)
    picture = np.asarray(sheet.contact_sheet(hr, 3, torch.Generator().manual_seed(0), DegradationConfig()))
    side, pitch = 4 * SIZE, 4 * SIZE + sheet.GAP
    _, lr = sheet._degraded(hr.repeat_interleave(3, 0), torch.Generator().manual_seed(0), DegradationConfig())
    for row in range(2):
        top = sheet.TITLE + row * (side + sheet.LINES * sheet.LINE + sheet.GAP)
        band = picture[top : top + side, sheet.GAP :]
        assert np.array_equal(band[:, :side], np.asarray(sheet._picture(hr[row])))
        for column in range(3):
            cell = band[:, (column + 1) * pitch : (column + 1) * pitch + side]
            small = np.asarray(sheet._picture(lr[3 * row + column]))
            assert np.array_equal(cell, small.repeat(4, axis=0).repeat(4, axis=1))
    assert picture.shape == (sheet.TITLE + 2 * (side + sheet.LINES * sheet.LINE + sheet.GAP), sheet.GAP + 4 * pitch, 3)
