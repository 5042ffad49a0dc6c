"""Check that the weights that an engine loaded belong to the model that the user named."""

from __future__ import annotations

import os
from typing import NamedTuple

from edgesr.errors import UsageError
from edgesr.presets import Preset
from edgesr.upscaling.engines.base import Contents


class Fit(NamedTuple):
    """Properties that the weights determine."""

    latent_channels: int  # of the noise
    tile: tuple[int, int] | None  # (width, height) in LR px of the fixed tile size; None: any size


def fit(preset: Preset, contents: Contents, name: str | os.PathLike[str]) -> Fit:
    """Return the properties of the weights called `name`; raise UsageError if they do not belong to the preset.

    For files without metadata only the shapes of the inputs are compared.
    """
    inputs, metadata = contents
    if not {"lr", "eps"} <= inputs.keys():
        have = ", ".join(inputs) or "none"
        raise UsageError(f"{name}: not a model file of edgesr: its inputs are {have}, expected lr and eps")
    if (named := metadata.get("preset", preset.name)) != preset.name:
        raise UsageError(f"{name}: contains the model '{named}', not '{preset.name}': use --model {named}, or other weights")
    said = metadata.get("latent_channels", "")
    channels, wanted = _side(inputs["eps"], 1), int(said) if said.isdecimal() else preset.latent_channels
    if channels not in (None, wanted):
        raise UsageError(f"{name}: its noise has {channels} channels, expected {wanted} for '{preset.name}': use other weights")
    height, width = _side(inputs["lr"], 2), _side(inputs["lr"], 3)
    return Fit(wanted, None if height is None or width is None else (width, height))


def _side(shape: tuple[int | None, ...], axis: int) -> int | None:
    return shape[axis] if len(shape) == 4 else None
