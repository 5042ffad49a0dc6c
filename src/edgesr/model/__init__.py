"""The networks in torch: the LR encoder, the UNets, the decoders, the frozen HR encoder, and their composition."""

from edgesr.model.edge import EdgeSR, build

__all__ = ["EdgeSR", "build"]
