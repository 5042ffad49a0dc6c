"""Batches of painted pictures: the kind of each picture, its zoom, rotation and reduction."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from edgesr.errors import UsageError
from painter import diagrams, line_art, screens, text
from painter.canvas import Canvas
from painter.fonts import Typeface, load_typefaces

LEAST_SIDE = 32  # HR px; a word does not fit on less
PAINTERS = {"text": text.PAINTERS, "line_art": line_art.PAINTERS + diagrams.PAINTERS, "screens": screens.PAINTERS}
ZOOMS = {"text": (1,), "line_art": (1, 1, 2, 3), "screens": (1, 1, 2, 2, 3, 4)}  # width in HR px of a line of one px
FINENESS = {"text": (1, 1, 2, 2, 3), "line_art": (1, 1, 2, 2, 3), "screens": (1, 1, 1, 2)}  # canvas px per HR px
TURNED = {"text": 0.3, "line_art": 0.3, "screens": 0.15}  # share of the crops that are rotated
LEAST_CANVAS = 40  # px, minimum side of a zoomed picture before zooming


@dataclass(frozen=True)
class PaintConfig:
    """The frequency of each kind of picture, and the fonts."""

    text: float = 0.5  # weight of text
    line_art: float = 0.25  # weight of drawings, charts and maps
    screens: float = 0.25  # weight of windows, code, spreadsheets and terminals
    fonts: str = ""  # folder of .ttf and .otf files; "" is matplotlib's, if installed


def paint(count: int, size: int, generator: torch.Generator, config: PaintConfig) -> torch.Tensor:
    """Pictures drawn by code: (count, 3, size, size) float32 in [0, 1], multiples of 1/255, on the CPU.

    `generator` is a CPU generator; the same seed gives the same bytes with the same fonts and Pillow. Raises UsageError
    if the folder of fonts is missing or holds none, `size` is below 32 px, or the three weights are invalid.
    """
    if size < LEAST_SIDE:
        raise UsageError(f"pictures of {size} px are too small to paint on: choose {LEAST_SIDE} or more")
    weights = [getattr(config, kind) for kind in PAINTERS]
    if min(weights) < 0 or sum(weights) <= 0:
        raise UsageError(f"the weights of {', '.join(PAINTERS)} want 0 or more each, and not all 0")
    faces = load_typefaces(config.fonts)
    seeds = torch.randint(2**62, (count,), generator=generator).tolist()
    crops = np.empty((count, size, size, 3), np.uint8)
    for crop, seed in zip(crops, seeds, strict=True):
        rng = random.Random(seed)
        (kind,) = rng.choices(list(PAINTERS), weights)
        crop[:] = np.asarray(_render(kind, size, rng, faces))
    return torch.from_numpy(crops).permute(0, 3, 1, 2).float().div_(255).contiguous()


def _render(kind: str, size: int, rng: random.Random, faces: Sequence[Typeface]) -> Image.Image:
    """One picture of `size` px a side."""
    zoom = min(rng.choice(ZOOMS[kind]), max(1, size // LEAST_CANVAS))
    fineness, angle = rng.choice(FINENESS[kind]), 0.0
    if rng.random() < TURNED[kind]:
        angle = math.radians(rng.choice((rng.gauss(0, 2), rng.gauss(0, 6), rng.uniform(-45, 45))))
        fineness = min(fineness, 2)  # rotation smooths too
    side = math.ceil(size * (abs(math.cos(angle)) + abs(math.sin(angle))) / zoom)
    canvas = Canvas(side, zoom * fineness, rng, faces)
    rng.choice(PAINTERS[kind])(canvas)
    # Bilinear is sufficient, since the result is reduced afterwards.
    resample = Image.Resampling.BICUBIC if fineness == 1 else Image.Resampling.BILINEAR
    return _middle(canvas.image, angle, size * fineness, resample).reduce(fineness)


def _middle(image: Image.Image, angle: float, side: int, resample: Image.Resampling) -> Image.Image:
    """The central `side` px of a picture rotated by `angle` radians."""
    if not angle:
        corner = (image.width - side) // 2
        return image.crop((corner, corner, corner + side, corner + side))
    cosine, sine = math.cos(angle), math.sin(angle)
    centre, middle = image.width / 2, side / 2
    matrix = (cosine, sine, centre - (cosine + sine) * middle, -sine, cosine, centre - (cosine - sine) * middle)
    return image.transform((side, side), Image.Transform.AFFINE, matrix, resample)
