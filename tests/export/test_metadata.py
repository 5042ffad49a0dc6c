"""What an exported file says of itself is enough to use it and to read it back, also where its network is no preset's default."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnxruntime
import pytest
from pictures import difference, photograph

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from edgesr import Upscaler
from edgesr.export.onnx import export_onnx
from edgesr.model import build, checkpoint
from edgesr.model.edge import Variant
from edgesr.model.loading import load_averaged, read_back
from edgesr.presets import get_preset

VARIANT = Variant(lr_skip=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint of `tiny` on an autoencoder of 4 channels, the decoder without LR skip."""
    folder = tmp_path_factory.mktemp("trained") / "checkpoint"
    model = build(get_preset("tiny").with_latent_channels(4), variant=VARIANT)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05, generator=generator)
    state = {"preset": "tiny", "stage": "end-to-end", "step": 7, "variant": dataclasses.asdict(VARIANT), "latent_channels": 4}
    checkpoint.save(folder, {f"ema.edge.{name}": tensor for name, tensor in model.state_dict().items()}, state)
    return folder


def test_another_latent_and_decoder_are_rebuilt_from_checkpoint_and_file(trained, tmp_path):
    model, metadata = load_averaged(trained)
    assert (model.preset.latent_channels, model.variant) == (4, VARIANT)
    export_onnx(model, tmp_path / "tiny.onnx", metadata)
    again, _ = read_back((tmp_path / "tiny.onnx").read_bytes(), "tiny.onnx")
    assert (again.preset.latent_channels, again.variant) == (4, VARIANT)
    lr, eps = torch.rand(1, 3, 16, 24), torch.randn(1, 4, 8, 12)
    with torch.no_grad():
        torch.testing.assert_close(again(lr, eps), model(lr, eps), atol=1e-5, rtol=1e-5)

    said = onnxruntime.InferenceSession(tmp_path / "tiny.onnx").get_modelmeta().custom_metadata_map
    assert {name: said[name] for name in ("preset", "latent_channels", "halo", "multiple")} == {
        "preset": "tiny",
        "latent_channels": "4",
        "halo": "56",
        "multiple": "4",
    }
    picture = photograph(40, 52)
    exported, folder = (Upscaler(weights=weights, threads=1)(picture) for weights in (tmp_path / "tiny.onnx", trained))
    assert difference(exported, folder) <= 1
    assert np.ptp(exported) > 50
