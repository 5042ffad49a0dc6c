"""Checks of the arguments of the Python interface: each wrong one is a UsageError of one line."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesr.errors import UsageError

MIN_TILE = 16  # LR px
OVERSHOOT = 0.05  # beyond [0, 1], which floating-point arrays may have from an earlier resize; it is clipped
BLENDED = ("blended", "paper")  # the plan of overlapping tiles; "paper" is an alias


def check_numbers(kind: type, **values: object) -> None:
    """Raise UsageError if one of the values is neither None nor a number of that kind, Real or Integral."""
    for name, value in values.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, kind)):
            raise UsageError(f"{name} {value!r}: give a {'whole ' if kind is Integral else ''}number")


def check_name(**values: object) -> None:
    """Raise UsageError if one of the values is not a string."""
    for name, value in values.items():
        if not isinstance(value, str):
            raise UsageError(f"{name} {value!r}: give a name")


def checked_seed(seed: int) -> int:
    """Return a seed as an int."""
    check_numbers(Integral, seed=seed)
    if seed is None:
        raise UsageError("seed None: give a whole number")
    return int(seed)


def checked_fidelity(fidelity: float) -> float:
    """Return a fidelity, 0 to 1, as a float."""
    if isinstance(fidelity, bool) or not (isinstance(fidelity, Real) and 0 <= fidelity <= 1):  # also catches NaN
        raise UsageError(f"fidelity '{fidelity}': give a number from 0 (crisp) to 1 (true to the input)")
    return float(fidelity)


def checked_sharpness(sharpness: float) -> float:
    """Return a sharpness, 0 to 1, as a float."""
    if isinstance(sharpness, bool) or not (isinstance(sharpness, Real) and 0 <= sharpness <= 1):  # also catches NaN
        raise UsageError(f"sharpness '{sharpness}': give a number from 0 (off) to 1")
    return float(sharpness)


def checked_tile(tile: int | str) -> int | None:
    """Return a tile's side in LR px; None for "auto"."""
    if tile == "auto":
        return None
    try:
        side = int(tile)
    except (TypeError, ValueError, OverflowError):
        side = 0
    if side < MIN_TILE:
        raise UsageError(f"tile '{tile}': give 'auto', 'blended' or a whole number of LR pixels, at least {MIN_TILE}")
    return side


def checked_array(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array as pixels (H, W, C), if the model takes such."""
    if not (array.dtype in (np.uint8, np.uint16) or np.issubdtype(array.dtype, np.floating)):
        raise UsageError(f"an array of {array.dtype}: give uint8, uint16, or floating point in [0, 1]")
    pixels = array[:, :, None] if array.ndim == 2 else array
    if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4 or 0 in pixels.shape:
        raise UsageError(f"an array of shape {array.shape}: give (height, width) or (height, width, 1 to 4 channels)")
    if np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())  # NaN where there is one
        if not (math.isfinite(low) and math.isfinite(high)):
            raise UsageError("an array with values that are not finite (NaN or infinity): replace them first")
        if low < -OVERSHOOT or high > 1 + OVERSHOOT:
            raise UsageError(
                f"a floating-point array with values from {low:g} to {high:g}: the expected range is [0, 1]; divide or clip it first"
            )
    return pixels
