"""Contact sheets of training data: HR crops and degraded versions of them, each captioned with its random parameters."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from edgesr.data.degradation import degrade
from edgesr.data.plan import DegradationConfig, LastRound, Plan, Round, draw_plans
from edgesr.presets import SCALE

GAP, LINE, TITLE, LETTERS = 6, 13, 24, 11  # px: between cells, a line of a caption, the heading, the size of its letters
LINES = 6  # of a caption


def contact_sheet(hr: torch.Tensor, columns: int, generator: torch.Generator, config: DegradationConfig) -> Image.Image:
    """One row for each HR crop of (rows, 3, S, S) in [0, 1]: the crop, then `columns` degraded LR of it, enlarged to S px.

    The LR is enlarged with nearest-neighbour interpolation. Raises what `degrade` raises.
    """
    rows, side = len(hr), hr.shape[-1]
    sheet = Image.new("RGB", (GAP + (columns + 1) * (side + GAP), TITLE + rows * (side + LINES * LINE + GAP)), "white")
    heading = f"LR, every pixel {SCALE} times as large, and what was drawn"
    for left, text in ((GAP, "HR"), (GAP + side + GAP, heading)):
        sheet.paste(_caption([text], sheet.width - left), (left, LINE // 3))
    repeated = hr.repeat_interleave(columns, dim=0)
    plans, lr = _degraded(repeated, generator, config)
    for row in range(rows):
        top = TITLE + row * (side + LINES * LINE + GAP)
        sheet.paste(_picture(hr[row]), (GAP, top))
        for column in range(columns):
            left, index = GAP + (column + 1) * (side + GAP), row * columns + column
            sheet.paste(_picture(lr[index]).resize((side, side), Image.Resampling.NEAREST), (left, top))
            sheet.paste(_caption(describe(plans[index]), side + GAP), (left, top + side))
    return sheet


def _caption(lines: list[str], width: int) -> Image.Image:
    """Lines of text, truncated at `width` px."""
    strip = Image.new("RGB", (width, len(lines) * LINE + 3), "white")  # room for the last line's descenders
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default(LETTERS)
    for number, text in enumerate(lines):
        draw.text((0, 1 + number * LINE), text, "black", font)
    return strip


def _degraded(hr: torch.Tensor, generator: torch.Generator, config: DegradationConfig) -> tuple[list[Plan], torch.Tensor]:
    """The plan of each crop, with separate resizes, and the LR."""
    config = dataclasses.replace(config, group=1)
    state = generator.get_state()
    plans = draw_plans(len(hr), config, generator)
    generator.set_state(state)  # `degrade` draws the plans first, so it now draws the same ones
    return plans, degrade(hr, scale=SCALE, generator=generator, config=config)


def describe(plan: Plan) -> list[str]:
    """A description of one sample's plan, in at most LINES short lines.

    A blur is given by the standard deviations of its kernel in px, a resize by mode and factor, noise by its standard
    deviation in grey levels of 255 or by its factor on shot noise, JPEG by its quality.
    """
    return [*_first_rounds(plan), *([text] if plan.last is not None and (text := _last_round(plan.last)) else [])]


def _last_round(drawn: LastRound) -> str:
    """The last round in one line, empty if it does not change the sample."""
    strength, impulses, quality = (part[0].item() for part in (drawn.strength, drawn.impulses, drawn.quality))
    parts = [
        *([_kernel(drawn.kernels)] if drawn.kernels.max() < 1 else []),
        *([f"{'colour' if drawn.colour[0] else 'pixel'} noise {strength * 255:.0f}"] if strength else []),
        *([f"impulses {100 * impulses:.1f} %"] if impulses else []),
        *([f"JPEG {quality:.0f}"] if quality else []),
    ]
    return f"3: {', '.join(parts)}" if parts else ""


def _first_rounds(plan: Plan) -> list[str]:
    if plan.light:
        faint = dataclasses.replace(plan.first, strength=plan.first.strength / 3)
        return ["light: one bicubic reduction", *([f"{_noise(faint)}, JPEG {_quality(faint)}"] if plan.jpeg_last else [])]
    last = [f"{plan.final_mode} to size", *(["sinc"] if _kernel(plan.final_kernels) != "no blur" else [])]
    order = [*last, f"JPEG {_quality(plan.second)}"] if plan.jpeg_last else [f"JPEG {_quality(plan.second)}", *last]
    return [
        f"1: {_kernel(plan.first.kernels)}, {_resize(plan.first)},",
        f"   {_noise(plan.first)}, JPEG {_quality(plan.first)}",
        f"2: {_kernel(plan.second.kernels)}, {_resize(plan.second)},",
        f"   {_noise(plan.second)},",
        f"   {', '.join(order)}",
    ]


def _kernel(kernels: torch.Tensor) -> str:
    """A kernel (1, K, K), described by its standard deviations along its axes, in px."""
    kernel = kernels[0].double().numpy()
    if kernel.min() < 0:  # only sinc kernels have negative weights
        return "sinc"
    if kernel.max() == 1:
        return "no blur"
    y, x = np.mgrid[: kernel.shape[0], : kernel.shape[1]] - kernel.shape[0] // 2
    covariance = np.array([[(kernel * a * b).sum() for a in (x, y)] for b in (x, y)])
    narrow, wide = (math.sqrt(max(0, variance)) for variance in np.linalg.eigvalsh(covariance))
    return f"blur {wide:.1f}" if wide - narrow < 0.05 else f"blur {wide:.1f} x {narrow:.1f}"


def _resize(drawn: Round) -> str:
    return "same size" if drawn.factor == 1 else f"{drawn.mode} {drawn.factor:.2f}"


def _noise(drawn: Round) -> str:
    strength = drawn.strength[0].item()
    kind = f"noise {strength * 255:.0f}" if drawn.gaussian[0] else f"shot noise {strength:.1f}"
    return f"grey {kind}" if drawn.grey[0] else kind


def _quality(drawn: Round) -> str:
    return f"{drawn.quality[0].item():.0f}"


def _picture(pixels: torch.Tensor) -> Image.Image:
    """(3, H, W) in [0, 1] as a picture."""
    return Image.fromarray((pixels * 255).round().byte().permute(1, 2, 0).numpy())
