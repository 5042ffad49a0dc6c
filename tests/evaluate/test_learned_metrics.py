"""LPIPS, DISTS, FID and KID by the libraries that bring them, on networks with random weights: that they load from a folder, and
that a result is nearer to itself than to noise. Whether the figures are the published ones, the published weights decide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from edgesr.evaluate import distributions, weight_files
from edgesr.evaluate.registry import METRICS

torch = pytest.importorskip("torch")
models = pytest.importorskip("torchvision.models", exc_type=ImportError)
pytest.importorskip("torchmetrics")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Weights of random networks, under the names by which the real ones are known."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    for name, network in ((weight_files.ALEXNET, models.alexnet), (weight_files.VGG16, models.vgg16)):
        with torch.device("meta"):
            shapes = {key: value.shape for key, value in network().state_dict().items()}
        torch.save({key: _random(key, shape) for key, shape in shapes.items()}, folder / name)
    return folder


def _random(key: str, shape: torch.Size) -> torch.Tensor:
    """Weights that keep the size of what passes; those of the classifier, which no metric uses, take no room on disk."""
    if not key.startswith("features") or len(shape) == 1:
        return torch.zeros(1).expand(shape)
    return torch.randn(shape) * (2 / shape[1:].numel()) ** 0.5


@pytest.fixture(autouse=True)
def _any_checksum(monkeypatch) -> None:
    monkeypatch.setattr(weight_files, "find", lambda folder, name: folder / name)


def noisy(hr: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, hr.shape)
    return np.clip(hr + noise, 0, 255).round().astype(np.uint8)


@pytest.mark.parametrize("name", ["lpips", "lpips_vgg", "dists"])
def test_a_picture_is_at_no_distance_from_itself_and_noise_takes_it_away(name, folder):
    hr = data.chelsea()[100:196, 100:196]
    score = METRICS[name].picture(folder)
    distances = [score(noisy(hr, sigma), hr, hr) for sigma in (0, 10, 40)]
    assert distances[0] == pytest.approx(0, abs=1e-5)
    assert distances[0] < distances[1] < distances[2]


@pytest.mark.parametrize(("name", "features"), [("fid", 64), ("kid", 2048)])  # FID of 2048 features takes minutes
def test_pictures_are_at_no_distance_from_themselves_and_noise_takes_them_away(name, features, folder, tmp_path, monkeypatch):
    _inception(folder / weight_files.INCEPTION, monkeypatch)
    monkeypatch.setattr(distributions, "FEATURES", features)
    monkeypatch.setattr(distributions, "MINIMUM", 4)  # enough for a distance, if not for one that means something
    distributions._inception.cache_clear()
    paths: dict[int, list[Path]] = {}
    for sigma in (0, 10, 40):
        for number in range(distributions.MINIMUM):
            path = tmp_path / f"{sigma}-{number}.png"
            Image.fromarray(noisy(data.chelsea()[30 * number :][:96, :96], sigma)).save(path)
            paths.setdefault(sigma, []).append(path)
    score = METRICS[name].suite(folder)
    distances = [score(results, paths[0]) for results in paths.values()]
    assert distances[0] < distances[1] < distances[2]
    # KID has no bias: of equal sets it may fall below 0.
    assert distances[0] == pytest.approx(0, abs=0.01 * distances[2]) or (name, distances[0] < 0) == ("kid", True)
    with pytest.raises(ValueError, match="needs 4 pictures or more; 3 were scored"):
        score(paths[0][:3], paths[0][:3])


def _inception(path: Path, monkeypatch) -> None:
    """Save a random Inception, made by the library's own code, where it would find the real one."""
    extractor = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    with monkeypatch.context() as building:
        building.setattr(extractor, "load_state_dict_from_url", lambda *_, **__: None)
        building.setattr(extractor.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        network = extractor.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    torch.manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)  # keeps the size of what passes
    torch.save(network.state_dict(), path)
