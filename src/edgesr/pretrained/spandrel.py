"""An architecture for spandrel, the model loader of ComfyUI, chaiNNer and others: with it they load edgesr's .safetensors files.

import edgesr.pretrained.spandrel
edgesr.pretrained.spandrel.register()
model = spandrel.ModelLoader().load_from_file("checkpoints/tiny/000.safetensors")  # lr (B, 3, h, w) -> hr (B, 3, 4h, 4w)
"""

from __future__ import annotations

from spandrel import MAIN_REGISTRY, Architecture, ArchSupport, ImageModelDescriptor, SizeRequirements
from torch import Tensor

from edgesr.model import checkpoint
from edgesr.model.at_mean import AtMean
from edgesr.model.edge import EdgeSR, build
from edgesr.model.quantised import dequantise
from edgesr.presets import PRESETS, SCALE

ID = "EdgeSDSR"
_AVERAGED = ("ema.edge.", "net.edge.")  # the names in a checkpoint's file; a checkpoint of several files is for edgesr alone
_MARKS = ("encoder.stem.weight", "unet.conv_out.weight", "decoder.conv_out.weight")


class EdgeSDSRArch(Architecture[AtMean]):
    """The networks of `edgesr.presets`, by the shapes of their weights; the noise is at its mean."""

    def __init__(self) -> None:
        super().__init__(id=ID, name="Edge-SD-SR", detect=_is_ours)

    def load(self, state_dict: dict[str, Tensor]) -> ImageModelDescriptor[AtMean]:
        """Build the network of a file. Raises ValueError if no preset has its shapes."""
        weights = _edge(dequantise(state_dict))
        network = _network(weights)
        model = AtMean(network)
        return ImageModelDescriptor(
            model,
            {f"model.{name}": tensor for name, tensor in weights.items()},
            architecture=self,
            purpose="SR",
            tags=[network.preset.name],
            supports_half=False,
            supports_bfloat16=True,
            scale=SCALE,
            input_channels=3,
            output_channels=3,
            size_requirements=SizeRequirements(multiple_of=network.preset.multiple),
        )


def register() -> None:
    """Add the architecture to spandrel's registry; a second call does nothing."""
    MAIN_REGISTRY.add(ArchSupport.from_architecture(EdgeSDSRArch()), ignore_duplicates=True)


def _is_ours(state_dict: dict[str, Tensor]) -> bool:
    names = {name.removesuffix(".int8") for name in state_dict}
    return any(all(prefix + mark in names for mark in _MARKS) for prefix in _AVERAGED)


def _edge(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return checkpoint.part(checkpoint.averaged(tensors), "edge.")


def _network(weights: dict[str, Tensor]) -> EdgeSR:
    shapes = {name: tensor.shape for name, tensor in weights.items()}
    channels = weights["unet.conv_out.weight"].shape[0]
    for preset in PRESETS.values():
        model = build(preset.with_latent_channels(channels))
        if {name: tensor.shape for name, tensor in model.state_dict().items()} == shapes:
            return model
    raise ValueError(f"Edge-SD-SR: not the weights of one of the models {', '.join(PRESETS)} of this version of edgesr")
