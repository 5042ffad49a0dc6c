"""Where the weights of an export come from: a released ONNX file read back into torch, a checkpoint, or chance for a benchmark."""

from __future__ import annotations

import dataclasses
import json
import re
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch
from torch import Tensor

from edgesr.errors import EdgesrError, UsageError, one_line
from edgesr.model import EdgeSR, build, checkpoint
from edgesr.model.conditioning import Variant
from edgesr.presets import PRESETS, difference_path, get_preset, weights_path
from edgesr.upscaling import forms


class Source(NamedTuple):
    """A network to export."""

    name: str  # of the preset; files are called by it
    model: EdgeSR
    metadata: dict[str, str]  # what a file can say of itself


def load(model: str, *, fidelity: float = 0.0, random: bool = False) -> Source:
    """Load `model`: the name of a preset, a checkpoint folder, or an ONNX file of a release.

    `fidelity` from 0 to 1 lies between the two forms of a released preset. `random` takes weights of chance, of their usual size,
    where speed alone counts. Raises UsageError for an unknown model, or one without weights; EdgesrError for a file that is
    damaged or of another program.
    """
    if random:
        network = _random(model)
        return Source(model, network, {**_described(network), "weights": "random"})
    if fidelity and model not in PRESETS:
        raise UsageError(f"fidelity {fidelity:g}: only released models have two forms; leave it out")
    if model in PRESETS:
        return _released(model, fidelity)
    path = Path(model)
    if path.is_dir():
        network, metadata = load_averaged(path)
        return Source(network.preset.name, network, metadata)
    if path.is_file():
        return read_back(path.read_bytes(), path)
    raise UsageError(
        f"unknown model '{model}': choose one of {', '.join(PRESETS)}, a checkpoint folder, or an ONNX file of edgesr"
    )


def load_averaged(folder: Path) -> tuple[EdgeSR, dict[str, str]]:
    """Return the averaged network of a checkpoint folder, and what a released file says of it.

    Raises UsageError when the folder holds no checkpoint, or one that is damaged.
    """
    tensors, state = checkpoint.load(folder)
    preset = get_preset(state["preset"])
    preset = preset.with_latent_channels(state.get("latent_channels", preset.latent_channels))
    model = build(preset, variant=Variant(**state.get("variant", {})))
    checkpoint.load_into(model, checkpoint.averaged(tensors), "edge.", folder)
    return model, {**_described(model), "stage": state["stage"], "steps": str(state["step"]), "licence": "Apache-2.0"}


def _described(model: EdgeSR) -> dict[str, str]:
    """What a file needs to say for its weights to be used and read back: of tiles in LR px, and of the network's form."""
    preset = model.preset
    return {
        "preset": preset.name,
        "latent_channels": str(preset.latent_channels),
        "multiple": str(preset.multiple),
        "halo": "unbounded" if preset.halo is None else str(preset.halo),
        "variant": json.dumps(dataclasses.asdict(model.variant)),
    }


def _released(name: str, fidelity: float) -> Source:
    source = weights_path(name)
    if not source.is_file():
        raise UsageError(
            f"the model '{name}' has no released weights yet; give a checkpoint folder, or --random to measure speed"
        )
    with resources.as_file(source) as path:
        if not fidelity:
            return read_back(path.read_bytes(), path)
        difference = difference_path(name)
        if not difference.is_file():
            raise UsageError(f"fidelity {fidelity:g}: the model '{name}' has one form only; leave fidelity out")
        with resources.as_file(difference) as beside:
            found = read_back(forms.interpolate(path, beside, fidelity), path)
    return found._replace(metadata=found.metadata | {"fidelity": f"{fidelity:g}"})


@torch.no_grad()
def _random(name: str) -> EdgeSR:
    """Every layer at work: a fresh network is bicubic, with convolutions of zeros that a converter would leave out."""
    model = build(get_preset(name))
    generator = torch.Generator().manual_seed(0)
    for key, parameter in model.named_parameters():
        if parameter.dim() > 1:
            gain = 0.1 if key.endswith("conv2.weight") else 0.7
            parameter.copy_(gain / parameter[0].numel() ** 0.5 * torch.randn(parameter.shape, generator=generator))
    return model


def read_back(data: bytes, path: Path) -> Source:
    """Load the bytes of an ONNX file that this package wrote into the network it came from, folded as it is there.

    Raises EdgesrError, which names `path`, when the file is damaged, of another program, or of another version's graph.
    """
    try:
        proto = onnx.load_model_from_string(data)
        metadata = {item.key: item.value for item in proto.metadata_props}
        weights = {
            tensor.name: torch.from_numpy(np.array(onnx.numpy_helper.to_array(tensor))) for tensor in proto.graph.initializer
        }
    except Exception as error:  # the parser's errors share no base class but this one
        raise EdgesrError(
            f"{path}: cannot be read as a model file; reinstall edgesr, or export it again ({one_line(error)})"
        ) from None
    name = metadata.get("preset", "")
    if name not in PRESETS:
        raise EdgesrError(
            f"{path}: is no model file of edgesr: it names no preset; take one that `python -m edgesr.export` wrote"
        )
    try:
        preset = PRESETS[name].with_latent_channels(int(metadata.get("latent_channels", PRESETS[name].latent_channels)))
        model = build(preset, variant=Variant(**json.loads(metadata.get("variant", "{}")))).fold()
        model.load_state_dict(_named(model, weights, negated=all(node.op_type != "Neg" for node in proto.graph.node)))
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = re.sub(r"\s+", " ", str(error))[:200]
        raise EdgesrError(f"{path}: its weights are not those of this version's '{name}'; export it again ({reason})") from None
    return Source(name, model, metadata)


def _named(model: EdgeSR, weights: dict[str, Tensor], *, negated: bool) -> dict[str, Tensor]:
    """The state of the folded `model`; release 0.1's files keep the stem under another name, and a sign in a node of its own."""
    found = dict(weights)
    found.setdefault("encoder.stem.weight", weights.get("pixel_shuffle", torch.empty(0)))
    if not negated:
        for name in ("unet.conv_out.weight", "unet.conv_out.bias"):
            found[name] = -weights[name]
    # The exporter leaves out biases that are zero.
    return {
        name: found[name].float() if name in found or not name.endswith(".bias") else torch.zeros_like(tensor)
        for name, tensor in model.state_dict().items()
    }
