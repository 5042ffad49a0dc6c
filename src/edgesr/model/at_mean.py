"""A network with one input, for programs that know no noise (ours): the noise n is at its mean, mu."""

from __future__ import annotations

from torch import Tensor, nn

from edgesr.errors import UsageError
from edgesr.model.conditioning import Bidirectional
from edgesr.model.edge import EdgeSR


class AtMean(nn.Module):
    """A network for model files, with the noise n at its mean, mu: lr (B, 3, h, w) -> hr (B, 3, 4h, 4w).

    Sides are multiples of the preset's. Raises UsageError for a network whose noise does not depend on the picture.
    """

    def __init__(self, model: EdgeSR) -> None:
        super().__init__()
        if not isinstance(model.conditioning, Bidirectional):
            raise UsageError(
                "--single-input needs a model with bidirectional conditioning: without noise, this one has no start"
            )
        model.conditioning = Bidirectional("zero")
        self.model = model

    def forward(self, lr: Tensor) -> Tensor:
        """Map lr to hr, both in [0, 1]."""
        hr: Tensor = self.model(lr, lr)  # the noise is not used
        return hr
