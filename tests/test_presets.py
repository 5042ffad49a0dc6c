"""The table of presets tells the truth about the real modules, and keeps the budgets of the design."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from edgesr.presets import PRESETS, get_preset, list_models

torch = pytest.importorskip("torch")

BUDGETS = {  # name: (least parameters, most parameters, least GFLOPs, most GFLOPs)
    "tiny": (0, 2.5e6, 0, 6),
    "small": (0, 12e6, 0, 30),
    "paper": (140e6, 169e6, 110, 142),
}


@pytest.fixture(scope="module", params=PRESETS)
def measured(request):
    """Parameters and GFLOPs per part of the real modules, by torch's own counters, and the table's."""
    from torch.utils.flop_counter import FlopCounterMode

    from edgesr.model import build

    model = build(get_preset(request.param))
    lr = torch.rand(1, 3, 128, 128)
    eps = torch.randn(1, model.preset.latent_channels, 64, 64)
    with FlopCounterMode(display=False, depth=3) as counter, torch.no_grad():
        assert model(lr, eps).shape == (1, 3, 512, 512)
    flops = {str(k): sum(v.values()) / 1e9 for k, v in counter.get_flop_counts().items()}
    parts = ("encoder", "unet", "decoder")
    assert any(isinstance(module, torch.nn.GroupNorm) for module in model.modules()) is model.preset.group_norm
    return (
        request.param,
        {part: sum(p.numel() for p in getattr(model, part).parameters()) for part in parts},
        {part: flops[f"EdgeSR.{part}"] for part in parts} | {"total": flops["Global"]},
    )


def test_every_figure_of_the_table_is_what_torch_counts(measured):
    name, parameters, gflops = measured
    record = next(model for model in list_models() if model["name"] == name)
    assert record["parameters"] == parameters | {"total": sum(parameters.values())}
    assert record["gflops"] == pytest.approx(gflops, abs=0.001)


def test_presets_keep_their_budgets(measured):
    name, parameters, gflops = measured
    least_parameters, most_parameters, least_gflops, most_gflops = BUDGETS[name]
    assert least_parameters <= sum(parameters.values()) <= most_parameters
    assert least_gflops <= gflops["total"] <= most_gflops


def test_models_are_listed_where_torch_numpy_and_pillow_cannot_be_imported():
    program = (
        "import sys; sys.modules.update(torch=None, numpy=None, PIL=None, onnxruntime=None);"
        "from edgesr.cli import main; sys.exit(main(['models', '--json']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    models = json.loads(done.stdout)
    assert [model["name"] for model in models] == ["tiny", "small", "paper"]
    assert models[0]["weights"] is True
    assert set(models[0]["gflops"]) == {"encoder", "unet", "decoder", "total"}
