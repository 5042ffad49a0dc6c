"""Networks from files: the averaged weights of a checkpoint folder, or an ONNX file read back."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edgesr.errors import EdgesrError, one_line
from edgesr.model import checkpoint
from edgesr.model.conditioning import Variant
from edgesr.model.edge import EdgeSR, build
from edgesr.presets import PRESETS, get_preset

RELEASE = ("version", "mixture")  # metadata fields that the release tool adds


def load_averaged(folder: Path) -> tuple[EdgeSR, dict[str, str]]:
    """Return the averaged network of a checkpoint folder, and the metadata for its model file.

    Raises UsageError if the folder contains no checkpoint or a damaged one.
    """
    tensors, state = checkpoint.load(folder)
    preset = get_preset(state["preset"])
    preset = preset.with_latent_channels(state.get("latent_channels", preset.latent_channels))
    model = build(preset, variant=Variant.recorded(state.get("variant", {})))
    checkpoint.load_into(model, checkpoint.averaged(tensors), "edge.", folder)
    metadata = {**described(model), "stage": state["stage"], "steps": str(state["step"]), "licence": "Apache-2.0"}
    return model, metadata | {key: state[key] for key in RELEASE if key in state}


def described(model: EdgeSR) -> dict[str, str]:
    """Return the metadata needed to use a model file and to read it back: tiles in LR px, and the variant of the network."""
    preset = model.preset
    return {
        "preset": preset.name,
        "latent_channels": str(preset.latent_channels),
        "colour_space": "sRGB",
        "multiple": str(preset.multiple),
        "halo": "unbounded" if preset.halo is None else str(preset.halo),
        "variant": json.dumps(dataclasses.asdict(model.variant)),
    }


def read_back(data: bytes, name: str | Path) -> tuple[EdgeSR, dict[str, str]]:
    """Load the bytes of an ONNX file of edgesr into a folded network; return it and the file's metadata.

    Raises EdgesrError, with the file called `name`, if it is damaged, not edgesr's, or has another version's graph.
    """
    import onnx

    try:
        proto = onnx.load_model_from_string(data)
        metadata = {item.key: item.value for item in proto.metadata_props}
        weights = {
            tensor.name: torch.from_numpy(np.array(onnx.numpy_helper.to_array(tensor))) for tensor in proto.graph.initializer
        }
    except Exception as error:  # the parser's errors have no other common base class
        raise EdgesrError(
            f"{name}: cannot be read as a model file; reinstall edgesr, or export it again ({one_line(error)})"
        ) from None
    preset_name = metadata.get("preset", "")
    if preset_name not in PRESETS:
        raise EdgesrError(f"{name}: not a model file of edgesr: its metadata names no preset; give one that edgesr exported")
    try:
        preset = PRESETS[preset_name]
        preset = preset.with_latent_channels(int(metadata.get("latent_channels", preset.latent_channels)))
        model = build(preset, variant=Variant.recorded(json.loads(metadata.get("variant", "{}")))).fold()
        model.load_state_dict(_state(model, weights, negated=all(node.op_type != "Neg" for node in proto.graph.node)))
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise EdgesrError(
            f"{name}: its weights do not match '{preset_name}' of this version; export it again ({one_line(error)})"
        ) from None
    return model, metadata


def _state(model: EdgeSR, weights: dict[str, Tensor], *, negated: bool) -> dict[str, Tensor]:
    """The state of the folded `model`; files of release 0.1 name the stem differently and negate z0_hat with a node."""
    found = dict(weights)
    found.setdefault("encoder.stem.weight", weights.get("pixel_shuffle", torch.empty(0)))
    if not negated:
        for name in ("unet.conv_out.weight", "unet.conv_out.bias"):
            found[name] = -weights[name]
    # The exporter omits biases that are zero.
    return {
        name: found[name].float() if name in found or not name.endswith(".bias") else torch.zeros_like(tensor)
        for name, tensor in model.state_dict().items()
    }
