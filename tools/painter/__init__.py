"""Pictures drawn by code: text, line art and screens, of which photographs hold little."""

from painter.crops import PaintConfig, paint

__all__ = ["PaintConfig", "paint"]
