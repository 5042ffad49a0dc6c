"""An architecture for spandrel, the model loader of ComfyUI, chaiNNer and others: with it they load edgesr's .safetensors files.

import edgesr.pretrained.spandrel
edgesr.pretrained.spandrel.register()
model = spandrel.ModelLoader().load_from_file("checkpoints/tiny/000.safetensors")  # lr (B, 3, h, w) -> hr (B, 3, 4h, 4w)
"""

from __future__ import annotations

from spandrel import MAIN_REGISTRY, Architecture, ArchSupport, ImageModelDescriptor, SizeRequirements
from torch import Tensor

from edgesr.model.at_mean import AtMean
from edgesr.presets import SCALE
from edgesr.pretrained.recognition import is_ours, network_of

ID = "EdgeSDSR"


class EdgeSDSRArch(Architecture[AtMean]):
    """The networks of `edgesr.presets`, by the shapes of their weights; the noise is at its mean."""

    def __init__(self) -> None:
        super().__init__(id=ID, name="Edge-SD-SR", detect=is_ours)

    def load(self, state_dict: dict[str, Tensor]) -> ImageModelDescriptor[AtMean]:
        """Build the network of a file. Raises ValueError if no preset has its shapes."""
        network, weights = network_of(state_dict)
        return ImageModelDescriptor(
            AtMean(network),
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
