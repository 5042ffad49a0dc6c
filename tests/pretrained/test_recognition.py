"""Networks recognised by their tensors alone, as programs load them that know neither folder nor recipe."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from edgesr.model.conditioning import Variant
from edgesr.model.edge import build
from edgesr.model.loading import load_averaged
from edgesr.presets import PRESETS
from edgesr.pretrained.recognition import is_ours, network_of

CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"


@pytest.mark.parametrize("name", ["tiny", "tiny-fidelity"])
def test_released_weights_are_recognised(name):
    tensors = load_file(CHECKPOINTS / name / "000.safetensors")
    assert is_ours(tensors)
    network, weights = network_of(tensors)
    network.load_state_dict(weights)
    wanted, _ = load_averaged(CHECKPOINTS / name)
    assert (network.preset, network.variant) == (wanted.preset, wanted.variant)
    for key, tensor in wanted.state_dict().items():
        assert torch.equal(network.state_dict()[key], tensor), key


@pytest.mark.parametrize("smoothing", [False, True])
def test_networks_of_today_and_of_before_are_recognised(smoothing):
    trained = build(PRESETS["tiny"], variant=Variant(smoothing=smoothing))
    network, _ = network_of({f"net.edge.{name}": tensor for name, tensor in trained.state_dict().items()})
    assert network.variant == trained.variant


def test_another_networks_tensors_are_not_ours():
    assert not is_ours({"body.0.weight": torch.zeros(1)})
