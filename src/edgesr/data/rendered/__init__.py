"""Training crops drawn by code: text, line art and screens, of which photographs hold little (ours)."""

from edgesr.data.rendered.crops import RenderedConfig, rendered_crops

__all__ = ["RenderedConfig", "rendered_crops"]
