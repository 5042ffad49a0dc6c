"""The architecture for spandrel, with real spandrel, on the weights that are in the repository."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

try:
    import spandrel
except Exception as error:  # its torchvision may not fit the torch that is here
    pytest.skip(f"spandrel does not import here: {error}", allow_module_level=True)

from safetensors.torch import load_file, save_file

from edgesr.model.at_mean import AtMean
from edgesr.model.loading import load_averaged
from edgesr.pretrained.spandrel import register
from edgesr.upscaling.upscaler import Upscaler

CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"


@pytest.fixture(autouse=True)
def _registered() -> None:
    register()
    register()  # as two plug-ins of a program might


def load(path: Path) -> spandrel.ImageModelDescriptor:
    descriptor = spandrel.ModelLoader(device="cpu").load_from_file(path)
    assert isinstance(descriptor, spandrel.ImageModelDescriptor)
    return descriptor.eval()


@pytest.mark.parametrize("name", ["tiny", "tiny-fidelity"])
def test_released_weights_load_and_give_what_the_model_gives(name: str) -> None:
    descriptor = load(CHECKPOINTS / name / "000.safetensors")
    assert (descriptor.architecture.name, descriptor.scale, descriptor.tags) == ("Edge-SD-SR", 4, ["tiny"])
    lr = torch.rand(1, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = AtMean(load_averaged(CHECKPOINTS / name)[0].eval())(lr)
        assert torch.equal(descriptor(lr), expected)


def test_any_size_and_close_to_the_package_s_own_result() -> None:
    pixels = (np.kron(np.random.default_rng(0).random((5, 6, 3)), np.ones((7, 7, 1))) * 255).astype(np.uint8)  # 35x42 px
    lr = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        hr = load(CHECKPOINTS / "tiny" / "000.safetensors")(lr)
    assert hr.shape == (1, 3, 140, 168)
    ours = Upscaler(engine="onnxruntime", precision="fp32", threads=1)(pixels)
    difference = hr[0].permute(1, 2, 0).numpy() * 255 - ours
    assert np.abs(difference).mean() < 1  # the noise is at its mean


def test_other_files_are_left_to_others_and_a_foreign_shape_is_told(tmp_path: Path) -> None:
    save_file({"body.0.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(spandrel.UnsupportedModelError):
        load(tmp_path / "other.safetensors")
    tensors = load_file(CHECKPOINTS / "tiny" / "000.safetensors")
    tensors["ema.edge.decoder.conv_out.bias"] = torch.zeros(3)
    save_file(tensors, tmp_path / "changed.safetensors")
    with pytest.raises(ValueError, match="not the weights of one of the models tiny, small, paper"):
        load(tmp_path / "changed.safetensors")
