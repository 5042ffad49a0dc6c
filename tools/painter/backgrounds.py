"""Backgrounds of painted text and drawings: plain colours, gradients, paper, and mottle as in photographs.

All are smooth over a few px: per-pixel grain cannot be restored, and would teach the network to invent grain.
"""

from __future__ import annotations

import math
import random

import numpy as np
from PIL import Image, ImageChops

from painter.canvas import WHITE, Canvas, Colour, any_colour, luma, mix, paper_colour

COARSE = 64  # px a side of the small pictures that are enlarged to a background


def paint_background(canvas: Canvas) -> None:
    """Cover the canvas with one of the backgrounds and set its `paper` to the overall colour."""
    rng = canvas.rng
    canvas.paper = paper_colour(rng)
    draw = rng.random()
    if draw < 0.5:
        canvas.fill(canvas.paper)
    elif draw < 0.68:
        canvas.fill(_gradient(canvas, canvas.paper))
    elif draw < 0.85:
        canvas.fill(_paper(canvas, canvas.paper))
    else:
        canvas.fill(_mottle(canvas, canvas.paper))


def light_unevenly(canvas: Canvas) -> None:
    """Darken the picture towards one side, like a page photographed under a lamp."""
    shade = _ramp(canvas, WHITE, mix(WHITE, any_colour(canvas.rng), canvas.rng.uniform(0.2, 0.5)))
    canvas.fill(ImageChops.multiply(canvas.image, shade))


def _ramp(canvas: Canvas, start: Colour, end: Colour) -> Image.Image:
    """A linear gradient from one colour to the other in any direction."""
    angle = canvas.rng.uniform(0, 2 * math.pi)
    across = np.linspace(-1, 1, COARSE)
    share = (math.cos(angle) * across[None] + math.sin(angle) * across[:, None]) / 2.9 + 0.5  # (COARSE, COARSE) in 0..1
    pixels = np.array(start) + share[..., None] * (np.array(end) - np.array(start))
    return _enlarged(canvas, Image.fromarray(pixels.round().astype(np.uint8)))


def _gradient(canvas: Canvas, colour: Colour) -> Image.Image:
    """A gradient from `colour` to another of similar luma, so that the same ink is legible everywhere."""
    return _ramp(canvas, colour, _near(canvas.rng, colour, 45))


def _paper(canvas: Canvas, colour: Colour) -> Image.Image:
    """`colour` with faint stains and fibres."""
    depth = canvas.rng.uniform(2, 8)  # grey levels
    return _cloud(canvas, colour, cells=(4, COARSE), spread=depth, channels=1)


def _mottle(canvas: Canvas, colour: Colour) -> Image.Image:
    """Soft blotches of several sizes around `colour`, like out-of-focus areas of a photograph."""
    return _cloud(canvas, colour, cells=(3, 7, 19), spread=canvas.rng.uniform(15, 45), channels=3)


def _cloud(canvas: Canvas, colour: Colour, *, cells: tuple[int, ...], spread: float, channels: int) -> Image.Image:
    """Random fields with the given numbers of cells a side, each with the standard deviation `spread`, blended together."""
    noise = np.random.Generator(np.random.PCG64(canvas.rng.getrandbits(64)))
    picture = Image.new("RGB", (COARSE, COARSE), colour)
    for order, count in enumerate(cells):
        pixels = (np.array(colour) + noise.normal(0, spread, (count, count, channels))).clip(0, 255).astype(np.uint8)
        layer = Image.fromarray(pixels).resize(picture.size, Image.Resampling.BICUBIC)
        picture = Image.blend(picture, layer, 1 if order == 0 else 0.45)
    return _enlarged(canvas, picture)


def _near(rng: random.Random, colour: Colour, reach: float) -> Colour:
    """A colour whose luma is within `reach` of that of `colour`, and otherwise the most different of six tries."""
    for _ in range(6):
        other = any_colour(rng)
        if abs(luma(other) - luma(colour)) < reach:
            return other
    return mix(colour, (128, 128, 128), 0.2)


def _enlarged(canvas: Canvas, small: Image.Image) -> Image.Image:
    """`small`, smoothly enlarged to the whole canvas."""
    return small.resize(canvas.image.size, Image.Resampling.BILINEAR)
