"""SQD against its definition, on weights of chance in both of its files; on the real ones where they are, against known figures."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from PIL import Image, ImageFilter
from skimage import data

torch = pytest.importorskip("torch")

import torch.nn.functional as F

from edgesr import Upscaler
from edgesr.evaluate import weight_files
from edgesr.evaluate.sqd import SQD
from edgesr.evaluate.suites import load_suite
from edgesr.evaluate.systems import Place, parse
from edgesr.evaluate.unavailable import Unavailable

SHARED = Path(os.environ.get("EDGESR_SHARED", Path(__file__).parents[3] / "shared"))
CAFFE_MEAN = torch.tensor([104.0, 117.0, 123.0])  # BGR
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])  # RGB
# Layer of the archive -> its place in torchvision's SqueezeNet 1.1, and the shape of its kernel.
LAYERS = {"conv1": ("features.0", (64, 3, 3, 3))}
for fire, place, width, squeezed, expanded in (
    (2, 3, 64, 16, 64),
    (3, 4, 128, 16, 64),
    (4, 6, 128, 32, 128),
    (5, 7, 256, 32, 128),
    (6, 9, 256, 48, 192),
    (7, 10, 384, 48, 192),
):
    LAYERS[f"fire{fire}.squeeze1x1"] = (f"features.{place}.squeeze", (squeezed, width, 1, 1))
    LAYERS[f"fire{fire}.expand1x1"] = (f"features.{place}.expand1x1", (expanded, squeezed, 1, 1))
    LAYERS[f"fire{fire}.expand3x3"] = (f"features.{place}.expand3x3", (expanded, squeezed, 3, 3))


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    """Random weights that keep the size of what passes, in the archive's layout."""
    generator = torch.Generator().manual_seed(0)
    made = {}
    for name, (_, shape) in LAYERS.items():
        made[f"{name}.weight"] = torch.randn(shape, generator=generator) * (2 / np.prod(shape[1:])) ** 0.5
        made[f"{name}.bias"] = 0.1 * torch.randn(shape[0], generator=generator)
    return made


@pytest.fixture(scope="module")
def archive(tensors, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    np.savez(folder / weight_files.SQUEEZENET_ARCHIVE, **{name: tensor.numpy() for name, tensor in tensors.items()})
    return folder


@pytest.fixture(scope="module")
def random_sqd(archive) -> SQD:
    return SQD(archive)


@pytest.fixture(scope="module")
def real_sqd() -> SQD:
    if not (SHARED / "weights" / weight_files.SQUEEZENET_ARCHIVE).is_file():
        pytest.skip(f"{weight_files.SQUEEZENET_ARCHIVE} is not in {SHARED / 'weights'}")
    return SQD(SHARED / "weights")


@pytest.fixture(params=["random_sqd", "real_sqd"])
def sqd(request) -> SQD:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return data.chelsea()[60:187, 100:251]  # odd sides: pooling rounds up


def noisy(photo: np.ndarray, sigma: float) -> np.ndarray:
    return np.clip(photo + sigma * np.random.default_rng(0).normal(size=photo.shape), 0, 255).astype(np.uint8)


def torchvision_state(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same network as torchvision keeps it: conv1 takes (rgb - mean) / std in place of 255 bgr - Caffe's mean."""
    state = {
        f"{LAYERS[name.rpartition('.')[0]][0]}.{name.rpartition('.')[2]}": tensor.clone() for name, tensor in tensors.items()
    }
    kernel = tensors["conv1.weight"].flip(1)
    state["features.0.weight"] = 255 * kernel * STD[:, None, None]
    state["features.0.bias"] = tensors["conv1.bias"] + kernel.sum((2, 3)) @ (255 * MEAN - CAFFE_MEAN.flip(0))
    state["classifier.1.weight"] = torch.zeros(1000, 512, 1, 1)  # which nothing uses
    return state


def definition(tensors: dict[str, torch.Tensor], out: np.ndarray, hr: np.ndarray) -> float:
    def conv(x, name, **options):
        return F.conv2d(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"], **options).relu()

    def levels(pixels):
        x = torch.from_numpy(pixels[..., ::-1].copy()).permute(2, 0, 1)[None].float() - CAFFE_MEAN[:, None, None]
        x = conv(x, "conv1", stride=2)
        yield x
        for number in range(2, 8):
            if number in (2, 4, 6):
                x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            x = conv(x, f"fire{number}.squeeze1x1")
            x = torch.cat([conv(x, f"fire{number}.expand1x1"), conv(x, f"fire{number}.expand3x3", padding=1)], 1)
            if number in (3, 5, 7):
                yield x

    unit = [[level / level.norm(dim=1, keepdim=True) for level in levels(pixels)] for pixels in (out, hr)]
    return float(torch.stack([(a - b).square().sum(1).mean() for a, b in zip(*unit, strict=True)]).mean())


def test_it_is_the_distance_of_four_levels_of_unit_features(random_sqd, tensors, photo):
    out = noisy(photo, 12)
    assert random_sqd(out, photo) == pytest.approx(definition(tensors, out, photo), rel=1e-4)


def test_both_files_give_one_distance_where_they_hold_one_network(random_sqd, tensors, photo, tmp_path, monkeypatch):
    torch.save(torchvision_state(tensors), tmp_path / weight_files.SQUEEZENET)
    (tmp_path / weight_files.SQUEEZENET_ARCHIVE).write_bytes(b"not read: torchvision's file goes first")
    monkeypatch.setattr(weight_files, "find", lambda folder, name: folder / name)  # any checksum
    from_torchvision = SQD(tmp_path)
    for out in (noisy(photo, 12), photo[::-1].copy()):
        assert from_torchvision(out, photo) == pytest.approx(random_sqd(out, photo), rel=1e-3)


def test_torchs_cache_is_looked_into_without_a_folder(random_sqd, tensors, photo, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    torch.save(torchvision_state(tensors), tmp_path / "checkpoints" / weight_files.SQUEEZENET)
    out = noisy(photo, 12)
    assert SQD(None)(out, photo) == pytest.approx(random_sqd(out, photo), rel=1e-3)


def test_a_picture_is_at_no_distance_from_itself_and_farther_the_more_blur_or_noise_it_has(sqd, photo):
    blurred = [np.asarray(Image.fromarray(photo).filter(ImageFilter.GaussianBlur(sigma))) for sigma in (0.7, 1.5, 3)]
    for pictures in ([photo, *blurred], [noisy(photo, sigma) for sigma in (0, 5, 20)]):
        distances = [sqd(picture, photo) for picture in pictures]
        assert distances[0] == 0
        assert distances == sorted(distances)
        assert len(set(distances)) == len(distances)


def test_other_sizes_are_refused(random_sqd):
    with pytest.raises(ValueError, match="sizes"):
        random_sqd(np.zeros((32, 32, 3), np.uint8), np.zeros((32, 36, 3), np.uint8))


def bicubic(lr: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(lr).resize((4 * lr.shape[1], 4 * lr.shape[0]), Image.Resampling.BICUBIC))


def share_of_bicubic(sqd: SQD, system, pairs) -> float:
    """Mean distance of a system on a suite over that of bicubic interpolation."""
    of_system, base = ([sqd(upscale(pair.lr), pair.hr) for pair in pairs] for upscale in (system, bicubic))
    return float(np.mean(of_system) / np.mean(base))


def blind_pairs() -> list:
    if not (suite := SHARED / "eval" / "Set14-blind").is_dir():
        pytest.skip(f"{suite} is not here")
    return list(load_suite(suite))


def test_the_released_model_is_nearer_than_bicubic(real_sqd):
    upscaler = Upscaler("tiny", engine="onnxruntime", threads=1)
    assert share_of_bicubic(real_sqd, upscaler, blind_pairs()) < 1


def test_a_peer_has_its_known_share_of_bicubics_distance(real_sqd):
    pytest.importorskip("ncnn")
    if not (peer := SHARED / "peers" / "RealESRGAN_General_x4_v3.param").is_file():
        pytest.skip(f"{peer} is not here")
    general = parse(f"ncnn:{peer}").system.load(1)
    share = share_of_bicubic(real_sqd, lambda lr: general(lr, Place("Set14-blind", "")), blind_pairs())
    assert share == pytest.approx(0.763, abs=0.002)


def reason(folder: Path | None) -> str:
    with pytest.raises(Unavailable) as caught:
        SQD(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_weights_are_named_in_one_line(tmp_path, monkeypatch):
    assert reason(tmp_path).endswith("weights not found: squeezenet1_1-b8a52dc0.pth or squeezenet1_1_features.npz")

    def no_network(*_, **__):
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", no_network)
    told = reason(None)
    assert "squeezenet1_1-b8a52dc0.pth cannot be loaded" in told
    assert told.endswith("give a folder that has them: --weights DIR")


def test_a_damaged_archive_is_named_in_one_line(archive, tmp_path):
    whole = (archive / weight_files.SQUEEZENET_ARCHIVE).read_bytes()
    for damaged in (b"", b"nonsense\n" * 9, whole[: len(whole) // 2], whole[:-30]):
        (tmp_path / weight_files.SQUEEZENET_ARCHIVE).write_bytes(damaged)
        assert f"{weight_files.SQUEEZENET_ARCHIVE}: cannot be read" in reason(tmp_path)


@pytest.mark.parametrize("name", ["fire3.expand3x3", "fire7.squeeze1x1"])
def test_another_network_in_the_archive_is_named_in_one_line(tensors, tmp_path, name):
    kept = {key: tensor.numpy() for key, tensor in tensors.items()}
    for wrong in ({**kept, f"{name}.weight": kept[f"{name}.weight"][:5]}, {k: v for k, v in kept.items() if name not in k}):
        np.savez(tmp_path / weight_files.SQUEEZENET_ARCHIVE, **wrong)
        assert f"is not SqueezeNet 1.1 ({name} is missing or has another shape)" in reason(tmp_path)


def test_a_damaged_file_of_torchvision_is_named_in_one_line(archive, tensors, tmp_path, monkeypatch):
    (tmp_path / weight_files.SQUEEZENET_ARCHIVE).write_bytes((archive / weight_files.SQUEEZENET_ARCHIVE).read_bytes())
    (tmp_path / weight_files.SQUEEZENET).write_bytes(b"half a download")
    assert "its SHA-256 starts with" in reason(tmp_path)  # and the archive does not take its place in silence
    monkeypatch.setattr(weight_files, "find", lambda folder, name: folder / name)
    assert f"the weights {weight_files.SQUEEZENET} cannot be loaded" in reason(tmp_path)
    state = torchvision_state(tensors)
    del state["features.7.expand1x1.bias"]
    torch.save(state, tmp_path / weight_files.SQUEEZENET)
    assert "is not SqueezeNet 1.1 (features.7.expand1x1 is missing or has another shape)" in reason(tmp_path)
