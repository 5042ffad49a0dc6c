"""Which network a file of tensors belongs to, by their names and shapes alone, for programs that are given nothing else."""

from __future__ import annotations

from torch import Tensor

from edgesr.model import checkpoint
from edgesr.model.conditioning import Variant
from edgesr.model.edge import EdgeSR, build
from edgesr.model.quantised import dequantise
from edgesr.presets import PRESETS

_AVERAGED = ("ema.edge.", "net.edge.")  # the names in a checkpoint's file; a checkpoint of several files is for edgesr alone
_MARKS = ("encoder.stem.weight", "unet.conv_out.weight", "decoder.conv_out.weight")


def is_ours(tensors: dict[str, Tensor]) -> bool:
    """Whether these are the tensors of a checkpoint of edgesr."""
    names = {name.removesuffix(".int8") for name in tensors}
    return any(all(prefix + mark in names for mark in _MARKS) for prefix in _AVERAGED)


def network_of(tensors: dict[str, Tensor]) -> tuple[EdgeSR, dict[str, Tensor]]:
    """Return the network that a checkpoint's tensors fit, not yet loaded, and its weights. Raises ValueError if no preset fits."""
    weights = checkpoint.part(checkpoint.averaged(dequantise(tensors)), "edge.")
    shapes = {name: tensor.shape for name, tensor in weights.items()}
    channels = weights["unet.conv_out.weight"].shape[0]
    variant = Variant(smoothing=any(".smoothing." in name for name in weights))
    for preset in PRESETS.values():
        network = build(preset.with_latent_channels(channels), variant=variant)
        if {name: tensor.shape for name, tensor in network.state_dict().items()} == shapes:
            return network, weights
    raise ValueError(f"Edge-SD-SR: not the weights of one of the models {', '.join(PRESETS)} of this version of edgesr")
