"""Weights in 8 bits: nothing is further off than the half of a code, what is small stays, and a checkpoint loads as float32."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")

from edgesr import cli
from edgesr.errors import UsageError
from edgesr.model import checkpoint
from edgesr.model.quantised import GROUP, dequantise, quantise


@pytest.mark.parametrize("shape", [(64, 64, 3, 3), (50, 130), (7, 1000, 1, 1), (128, 32, 1, 1)])
def test_a_weight_is_off_by_half_a_code_of_its_group_at_most(shape):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * torch.logspace(-6, 1, shape[0]).view(
        -1, *[1] * (len(shape) - 1)
    )
    stored = quantise({"w": weight})
    restored = dequantise(stored)["w"]
    assert restored.shape == weight.shape
    assert restored.dtype == torch.float32
    for row, there in zip(weight.flatten(1), restored.flatten(1), strict=True):
        for group, back in zip(row.split(GROUP), there.split(GROUP), strict=True):
            assert (group - back).abs().max() <= 1.02 * group.abs().max() / 254


def test_zeros_biases_and_small_tensors_come_back_exactly():
    tensors = {
        "zeros": torch.zeros(100, 100),
        "bias": torch.randn(5000),
        "small": torch.randn(8, 8),
        "step": torch.tensor(3),
        "a.scale": torch.randn(100),
    }
    back = dequantise(quantise(tensors))
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in tensors.items())


def test_a_packed_checkpoint_takes_a_quarter_and_loads_as_float32(tmp_path, capsys):
    tensors = {"net.w": torch.randn(256, 1024), "ema.w": torch.randn(256, 1024), "ema.b": torch.randn(256)}
    checkpoint.save(tmp_path / "whole", tensors, {"step": 1, "preset": "tiny", "stage": "end-to-end"})
    words = ["checkpoint", "pack", str(tmp_path / "whole"), str(tmp_path / "parts"), "--only", "ema", "--int8"]
    assert cli.main(words) == 0
    size = sum(file.stat().st_size for file in (tmp_path / "parts").rglob("*.piece"))
    assert size < 0.28 * 4 * (256 * 1024 + 256)
    assert cli.main(["checkpoint", "unpack", str(tmp_path / "parts" / "part-00"), str(tmp_path / "home")]) == 0
    back, state = checkpoint.load(tmp_path / "home")
    assert back.keys() == {"ema.w", "ema.b"}
    assert back["ema.w"].dtype == torch.float32
    assert (back["ema.w"] - tensors["ema.w"]).abs().max() < 0.03
    assert state["reduced"] == ["int8", "only ema"]
    assert cli.main([*words, "--half"]) == 2
    assert "not allowed with argument" in capsys.readouterr().err


def test_codes_without_their_scales_are_a_damaged_checkpoint(tmp_path):
    stored = quantise({"w": torch.randn(256, 256)})
    del stored["w.scale"]
    checkpoint.save(tmp_path / "damaged", stored, {})
    assert json.loads((tmp_path / "damaged" / "state.json").read_text())
    with pytest.raises(UsageError, match=r"the checkpoint is damaged: the scales of w are missing"):
        checkpoint.load(tmp_path / "damaged")
