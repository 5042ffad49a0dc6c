"""Whether the weights that an engine loaded are those of the model that the user named, and what they fix of it."""

from __future__ import annotations

import os
from typing import NamedTuple

from edgesr.errors import UsageError
from edgesr.presets import Preset
from edgesr.upscaling.engines.base import Contents


class Fit(NamedTuple):
    """What the weights decide."""

    latent_channels: int  # of the noise
    tile: tuple[int, int] | None  # (width, height) in LR px of the one tile that the file takes; None: any


def fit(preset: Preset, contents: Contents, name: str | os.PathLike[str]) -> Fit:
    """Return what the weights called `name` decide; raise UsageError where they are not the preset's.

    Files without metadata are judged by the shapes of their inputs.
    """
    inputs, metadata = contents
    if not {"lr", "eps"} <= inputs.keys():
        have = ", ".join(inputs) or "none"
        raise UsageError(f"{name}: no model file of edgesr: its inputs are {have}, and should be lr and eps")
    if (named := metadata.get("preset", preset.name)) != preset.name:
        raise UsageError(f"{name}: holds the model '{named}', not '{preset.name}': use --model {named}, or other weights")
    said = metadata.get("latent_channels", "")
    channels, wanted = _side(inputs["eps"], 1), int(said) if said.isdecimal() else preset.latent_channels
    if channels not in (None, wanted):
        raise UsageError(f"{name}: its noise has {channels} channels, and that of '{preset.name}' {wanted}: use other weights")
    height, width = _side(inputs["lr"], 2), _side(inputs["lr"], 3)
    return Fit(wanted, None if height is None or width is None else (width, height))


def _side(shape: tuple[int | None, ...], axis: int) -> int | None:
    return shape[axis] if len(shape) == 4 else None
