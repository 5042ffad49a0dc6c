"""The size of a result."""

from __future__ import annotations

from numbers import Integral, Real

from edgesr.errors import UsageError
from edgesr.presets import SCALE
from edgesr.upscaling import checks

MIN_SCALE, MAX_SCALE = 1.0, 8.0


def target_size(
    width: int, height: int, scale: float | None = None, target_width: int | None = None, target_height: int | None = None
) -> tuple[int, int]:
    """Return the output's (width, height) in px for an input of `width` x `height` px.

    Give `scale` from 1 to 8 (default 4), or a target width, height or both: the largest size within them that keeps the aspect
    ratio, which may be smaller than the input. Raises UsageError if both ways are used, or if the scale is out of range.
    """
    checks.check_numbers(Real, scale=scale)
    checks.check_numbers(Integral, width=target_width, height=target_height)
    least = MIN_SCALE
    if target_width is None and target_height is None:
        factor = float(SCALE) if scale is None else scale
    elif scale is not None:
        raise UsageError("give either a scale or a target width or height, not both")
    else:
        least, sides = 0.0, ((target_width, width), (target_height, height))
        factor = min(target / side for target, side in sides if target is not None)
    if not (least <= factor <= MAX_SCALE and factor > 0):  # also catches NaN
        raise UsageError(f"scale {factor:g} is out of range: give {MIN_SCALE:g} to {MAX_SCALE:g}")
    return max(1, round(width * factor)), max(1, round(height * factor))
