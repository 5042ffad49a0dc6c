"""Synthetic photographs and the smallest recipes that train on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

# 74 HR px is the least crop that the largest blur kernel fits into; 96 is the next multiple of 16 with some room.
RECIPE = """
stage = "{stage}"
preset = "tiny"
init = "{init}"
[data]
folder = "{folder}/photographs"
cache = "{folder}/bank"
held_out = 2
hr_size = 96
batch = 2
uses = 2
block = 4
[optimizer]
steps = 6
learning_rate = 1e-3
warmup = 2
ema = 0.5
[log]
every = 1
validate = 4
crops = 4
checkpoint = 3
least_latent_db = -inf # a handful of steps leaves the latent path dead
"""


def photograph(seed: int, side: int = 144) -> Image.Image:
    """Clouds of every scale with hard-edged bars across: something to blur, and something to align."""
    rng = np.random.default_rng(seed)
    clouds = np.zeros((side, side, 3))
    for octave in (3, 9, 36, side):
        layer = Image.fromarray(rng.integers(0, 256, (octave, octave, 3), np.uint8))
        clouds += np.asarray(layer.resize((side, side), Image.Resampling.BICUBIC), float) / octave**0.5
    clouds *= 255 / clouds.max()
    for _ in range(12):
        top, left = rng.integers(0, side - 12, 2)
        clouds[top : top + rng.integers(4, 40), left : left + rng.integers(4, 40)] = rng.integers(0, 256, 3)
    return Image.fromarray(clouds.astype(np.uint8))


def make_folder(folder: Path, count: int = 6) -> Path:
    """Write photographs to `folder`/photographs; return `folder`."""
    (folder / "photographs").mkdir()
    for seed in range(count):
        photograph(seed).save(folder / "photographs" / f"{seed}.png")
    return folder


def write_recipe(folder: Path, stage: str, init: Path | str = "", more: str = "") -> Path:
    """Write the recipe of a stage, with `more` TOML at its end, to `folder`; return its path."""
    path = folder / f"{stage}.toml"
    path.write_text(RECIPE.format(stage=stage, init=init, folder=folder) + more)
    return path
