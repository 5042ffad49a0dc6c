"""Rendered text: paragraphs, posters, tables, scattered strings, signs."""

from __future__ import annotations

import math
import random

from painter.backgrounds import light_unevenly, paint_background
from painter.canvas import Canvas, Colour, any_colour, ink, mix
from painter.words import code, number, phrase

LEAST_CAP, GREATEST_CAP = 8.0, 60.0  # HR px, heights of capitals; a quarter of that in the LR


def cap_height(rng: random.Random, low: float = LEAST_CAP, high: float = GREATEST_CAP) -> float:
    """A capital height in HR px, log-uniformly distributed."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def paragraph(canvas: Canvas) -> None:
    """Lines of one size from edge to edge, in one or two columns, with some words in another colour or highlighted."""
    paint_background(canvas)
    rng, side = canvas.rng, canvas.side
    face, cap, colour = canvas.face(), cap_height(rng, high=40), ink(rng, canvas.paper)
    accent, emphasis = ink(rng, canvas.paper), canvas.face()
    columns = rng.choice((1, 1, 2))
    leading = cap * rng.uniform(1.45, 2.4)
    indent = rng.uniform(-2 * cap, 3 * cap)
    width = side / columns
    for column in range(columns):
        y = rng.uniform(-cap, 3 * cap)
        while y < side + cap:
            draw = rng.random()
            bold = draw < 0.08
            x = column * width + indent
            text = phrase(rng, (emphasis if bold else face).characters, int(width / cap * rng.choice((1.3, 1.3, 1.3, 0.6))))
            if 0.08 < draw < 0.14:  # highlighted
                canvas.rectangle(x, y - 1.2 * cap, width / 2, 1.6 * cap, fill=mix(canvas.paper, accent, 0.25))
            if columns == 2 and column == 0:
                text = canvas.fitting(text, face, cap, width - indent - cap)
            canvas.text(x, y, text, emphasis if bold else face, cap, colour=accent if bold else colour)
            if 0.14 < draw < 0.2:
                canvas.rule(x, y + 0.25 * cap, width * rng.random(), colour, stroke=max(1, cap / 12))
            y += leading * (1.8 if draw > 0.93 else 1)
    if rng.random() < 0.2:
        light_unevenly(canvas)


def poster(canvas: Canvas) -> None:
    """One to five large lines, plain, bold, outlined or with a shadow."""
    paint_background(canvas)
    rng, side = canvas.rng, canvas.side
    face, colour = canvas.face(), ink(rng, canvas.paper)
    style = rng.choice(("plain", "plain", "bold", "outlined", "shadow"))
    anchor, x = rng.choice((("ms", side / 2), ("ls", rng.uniform(-10, 30)), ("rs", side + rng.uniform(-30, 10))))
    y = rng.uniform(0, side / 3)
    for _ in range(rng.randint(1, 5)):
        cap = cap_height(rng, low=14)
        y += cap * rng.uniform(1.3, 2)
        text = phrase(rng, face.characters, rng.randint(1, max(2, int(1.2 * side / cap))))
        if style == "outlined":
            canvas.text(x, y, text, face, cap, colour=ink(rng, colour), anchor=anchor, stroke=max(1, cap / 14))
        elif style == "shadow":
            offset = max(1, cap / 14)
            canvas.text(x + offset, y + offset, text, face, cap, colour=mix(canvas.paper, ink(rng, colour), 0.6), anchor=anchor)
        canvas.text(x, y, text, face, cap, colour=colour, anchor=anchor, stroke=cap / 30 if style == "bold" else 0)


def table(canvas: Canvas) -> None:
    """Rows and columns of words and numbers, with some of the usual rules and fills."""
    paint_background(canvas)
    rng, side = canvas.rng, canvas.side
    face, heading, colour = canvas.face(), canvas.face(), ink(rng, canvas.paper)
    cap = cap_height(rng, high=30)
    height, stroke = round(cap * rng.uniform(1.8, 3)), rng.choice((1, 1, 2))
    rules, zebra = rng.choice(("both", "level", "none")), rng.random() < 0.4
    rule_colour, tint = mix(canvas.paper, colour, rng.uniform(0.25, 1)), mix(canvas.paper, colour, 0.12)
    lefts = [-rng.randint(0, 40)]
    while lefts[-1] < side:
        lefts.append(lefts[-1] + round(cap * rng.uniform(3.5, 11)))
    numeric = [rng.random() < 0.6 for _ in lefts]
    for row, top in enumerate(range(-rng.randint(0, height), side, height)):
        if zebra and row % 2:
            canvas.rectangle(0, top, side, height, fill=tint)
        if rules != "none":
            canvas.rule(0, top, side, rule_colour, stroke=stroke)
        for left, right, is_number in zip(lefts, lefts[1:], numeric, strict=False):
            letters = heading if row == 1 else face
            text = number(rng, letters.characters) if is_number and row != 1 else phrase(rng, letters.characters, 5)
            text = canvas.fitting(text, letters, cap, right - left - cap)
            place = (right - cap / 2, "rs") if is_number else (left + cap / 2, "ls")
            canvas.text(place[0], top + (height + cap) / 2, text, letters, cap, colour=colour, anchor=place[1])
    if rules == "both":
        for left in lefts:
            canvas.rule(left, 0, side, rule_colour, upright=True, stroke=stroke)


def scatter(canvas: Canvas) -> None:
    """Scattered short strings of all sizes and colours, some vertical."""
    paint_background(canvas)
    rng, side = canvas.rng, canvas.side
    count, area = 0, 0.0
    while count < 4 or area < 0.6 * side * side:
        face, cap = canvas.face(), cap_height(rng)
        text = rng.choice((code(rng, face.characters), number(rng, face.characters), phrase(rng, face.characters, 6)))
        x, y = rng.uniform(-2 * cap, side - cap), rng.uniform(0, side + cap / 2)
        if rng.random() < 0.15:
            canvas.upright_text(x, y, text, face, cap, colour=ink(rng, canvas.paper))
        else:
            canvas.text(x, y, text, face, cap, colour=ink(rng, canvas.paper), stroke=cap / 25 * (rng.random() < 0.15))
        area += 2 * cap * canvas.width_of(text, face, cap)
        count += 1


def signs(canvas: Canvas) -> None:
    """Plates, labels and buttons with a word or a number on them."""
    paint_background(canvas)
    rng, side = canvas.rng, canvas.side
    top = rng.uniform(-20, 20)
    while top < side:
        cap = cap_height(rng, low=9, high=45)
        height = cap * rng.uniform(1.7, 2.6)
        left = rng.uniform(-20, side / 4)
        while left < side:
            left += _sign(canvas, left, top, height, cap) + rng.uniform(4, 20)
        top += height + rng.uniform(3, 16)


def _sign(canvas: Canvas, left: float, top: float, height: float, cap: float) -> float:
    """One plate; returns its width."""
    rng = canvas.rng
    face, plate = canvas.face(), any_colour(rng)
    colour = ink(rng, plate)
    text = rng.choice((code(rng, face.characters), number(rng, face.characters), phrase(rng, face.characters, 8)))
    width = canvas.width_of(text, face, cap) + cap * rng.uniform(0.8, 2)
    frame: Colour | None = rng.choice((None, colour, ink(rng, plate)))
    radius = rng.choice((0, 0.15, 0.5)) * height
    canvas.rectangle(left, top, width, height, fill=plate, outline=frame, stroke=rng.choice((1, 2, 3)), radius=radius)
    canvas.text(left + width / 2, top + (height + cap) / 2, text, face, cap, colour=colour, anchor="ms")
    return width


PAINTERS = (paragraph, paragraph, poster, table, scatter, signs)
