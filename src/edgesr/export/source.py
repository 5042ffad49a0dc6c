"""The weights of an export: a released ONNX file read back into torch, a checkpoint, or random weights for a benchmark."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import NamedTuple

import torch

from edgesr.errors import UsageError
from edgesr.model import EdgeSR, build
from edgesr.model.loading import described, load_averaged, read_back
from edgesr.presets import PRESETS, difference_path, get_preset, weights_path
from edgesr.upscaling import forms


class Source(NamedTuple):
    """A network to export."""

    name: str  # of the preset; also the name of the files
    model: EdgeSR
    metadata: dict[str, str]  # for the exported file


def load(model: str, *, fidelity: float = 0.0, random: bool = False) -> Source:
    """Load `model`: the name of a preset, a checkpoint folder, or a released ONNX file.

    `fidelity` from 0 to 1 interpolates between the two forms of a released preset. `random` creates random weights, to measure
    speed. Raises UsageError for an unknown model, or one without weights; EdgesrError for a file that is damaged or not edgesr's.
    """
    if random:
        network = _random(model)
        return Source(model, network, {**described(network), "weights": "random"})
    if fidelity and model not in PRESETS:
        raise UsageError(f"fidelity {fidelity:g}: only released models have two forms; omit it")
    if model in PRESETS:
        return _released(model, fidelity)
    path = Path(model)
    if path.is_dir():
        network, metadata = load_averaged(path)
        return Source(network.preset.name, network, metadata)
    if path.is_file():
        return _read(path.read_bytes(), path)
    raise UsageError(
        f"unknown model '{model}': choose one of {', '.join(PRESETS)}, a checkpoint folder, or an ONNX file of edgesr"
    )


def _read(data: bytes, path: Path) -> Source:
    network, metadata = read_back(data, path)
    return Source(network.preset.name, network, metadata)


def _released(name: str, fidelity: float) -> Source:
    source = weights_path(name)
    if not source.is_file():
        raise UsageError(
            f"the model '{name}' has no released weights yet; name a checkpoint folder, or use --random to measure speed"
        )
    with resources.as_file(source) as path:
        if not fidelity:
            return _read(path.read_bytes(), path)
        difference = difference_path(name)
        if not difference.is_file():
            raise UsageError(f"fidelity {fidelity:g}: the model '{name}' has one form only; omit fidelity")
        with resources.as_file(difference) as beside:
            found = _read(forms.interpolate(path, beside, fidelity), path)
    return found._replace(metadata=found.metadata | {"fidelity": f"{fidelity:g}"})


@torch.no_grad()
def _random(name: str) -> EdgeSR:
    """Random weights in every layer: a new network has convolutions of zeros, which a converter would remove."""
    model = build(get_preset(name))
    generator = torch.Generator().manual_seed(0)
    for key, parameter in model.named_parameters():
        if parameter.dim() > 1:
            gain = 0.1 if key.endswith("conv2.weight") else 0.7
            parameter.copy_(gain / parameter[0].numel() ** 0.5 * torch.randn(parameter.shape, generator=generator))
    return model
