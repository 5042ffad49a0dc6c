"""The JPEG round trip against Pillow's (libjpeg)."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from edgesr.data.jpeg import jpeg

PHOTO = data.astronaut()[:192, 128:336]


def pillow(pixels: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(buffer))


def ours(pixels: np.ndarray, quality: int) -> np.ndarray:
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 255
    result = jpeg(tensor, torch.tensor([float(quality)]))[0].permute(1, 2, 0) * 255
    return result.round().byte().numpy()


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b.astype(float)) ** 2))


@pytest.mark.parametrize("quality", [10, 30, 49, 50, 75, 95])
def test_a_photo_comes_back_as_from_libjpeg(quality):
    reference, result = pillow(PHOTO, quality), ours(PHOTO, quality)
    assert psnr(result, reference) > 42
    assert psnr(result, PHOTO) == pytest.approx(psnr(reference, PHOTO), abs=0.1)


def test_sides_that_are_no_multiple_of_a_block_come_back_as_from_libjpeg():
    odd = PHOTO[:77, :93]
    assert ours(odd, 60).shape == odd.shape
    assert psnr(ours(odd, 60), pillow(odd, 60)) > 38


def test_each_sample_has_its_own_quality():
    batch = torch.from_numpy(PHOTO.copy()).permute(2, 0, 1)[None].repeat(2, 1, 1, 1) / 255
    together = jpeg(batch, torch.tensor([30.0, 95.0]))
    for index, quality in enumerate((30.0, 95.0)):
        alone = jpeg(batch[:1], torch.tensor([quality]))
        torch.testing.assert_close(together[index], alone[0], atol=1e-6, rtol=0)
