"""Pictures drawn by code: text, line art and screens, which are rare in photographs."""

from painter.crops import PaintConfig, paint

__all__ = ["PaintConfig", "paint"]
