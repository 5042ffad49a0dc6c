"""NIQE's statistics on noise whose distribution is known, and its score on pictures nearer to and farther from the model.

(Its 36 figures of a photograph agree to 1e-4 with those of scikit-video 1.1.11, whose code no longer runs.)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from skimage import data

from edgesr.evaluate.niqe import STATISTICS, Niqe, features
from edgesr.evaluate.unavailable import Unavailable


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return data.astronaut()


@pytest.fixture
def weights(tmp_path: Path, photo: np.ndarray) -> Path:
    """A model of what is natural, from one photograph."""
    natural = features(photo)
    np.savez(tmp_path / STATISTICS, mu_pris_param=natural.mean(axis=0)[None], cov_pris_param=np.cov(natural, rowvar=False))
    return tmp_path


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(np.clip(values, 0, 255).round().astype(np.uint8)[..., None], 3, axis=2)


def test_heavy_tails_have_small_shapes():
    random = np.random.default_rng(0)
    noises = [random.laplace(128, 14, (384, 384)), random.normal(128, 20, (384, 384)), random.uniform(93, 163, (384, 384))]
    shapes = [features(grey(noise))[:, 0].mean() for noise in noises]
    assert shapes == sorted(shapes)
    assert shapes[0] < 2 < shapes[2]  # 2 is Gaussian


def test_neighbours_are_alike_in_photographs_and_not_in_noise(photo):
    noise = grey(np.random.default_rng(0).normal(128, 20, (384, 384)))
    of_photo, of_noise = (features(each)[:, [3, 7, 11, 15]].mean(axis=0) for each in (photo, noise))
    assert (abs(of_noise) < 0.15).all()
    assert (of_photo > of_noise + 0.03).all()


def test_a_picture_is_nearest_to_its_own_statistics(weights, photo):
    niqe = Niqe(weights)
    assert niqe(photo) == pytest.approx(0, abs=1e-6)
    blurred = np.asarray(Image.fromarray(photo).filter(ImageFilter.GaussianBlur(3)))
    noisy = grey(photo.mean(axis=2) + np.random.default_rng(0).normal(0, 40, photo.shape[:2]))
    sharp = np.asarray(Image.fromarray(data.coffee()[:384, :384]))
    assert 0 < niqe(sharp) < min(niqe(blurred), niqe(noisy))


@pytest.mark.parametrize(
    "picture", [np.zeros((96, 96, 3), np.uint8), np.zeros((300, 300, 3), np.uint8), np.zeros((50, 999, 3), np.uint8)]
)
def test_pictures_without_enough_to_measure_are_refused(weights, picture):
    with pytest.raises(ValueError, match="needs two blocks of 96x96 px"):
        Niqe(weights)(picture)


def test_the_model_is_asked_for_by_name(tmp_path):
    for folder in (None, tmp_path):
        with pytest.raises(Unavailable, match=r"niqe_pris_params\.npz of BasicSR in the folder of --weights"):
            Niqe(folder)
    (tmp_path / STATISTICS).write_bytes(b"nonsense")
    with pytest.raises(Unavailable, match="cannot be read"):
        Niqe(tmp_path)
