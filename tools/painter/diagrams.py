"""Rendered diagrams: engineering drawings, street maps, charts, flow charts."""

from __future__ import annotations

import math

from painter.backgrounds import paint_background
from painter.canvas import Canvas, Colour, Points, any_colour, ink, luma, mix
from painter.fonts import Typeface
from painter.line_art import bent, blob, hatch
from painter.words import number, phrase


def drawing(canvas: Canvas) -> None:
    """Parts in thin and thick lines, section hatching, dash-dotted axes, dimensions with arrowheads."""
    paint_background(canvas)
    rng, side = canvas.rng, canvas.side
    line, face, cap = ink(rng, canvas.paper), canvas.face(), rng.uniform(7.5, 12)
    thin = mix(canvas.paper, line, rng.uniform(0.6, 1))
    thick = rng.choice((1, 2, 2, 3))
    for _ in range(rng.randint(3, 7)):
        x, y = rng.uniform(0, side), rng.uniform(0, side)
        width, height = round(rng.uniform(20, 110)), round(rng.uniform(15, 80))
        if rng.random() < 0.5:
            left, top = round(x - width / 2), round(y - height / 2)
            if rng.random() < 0.5:
                hatch(
                    canvas, (left, top, left + width, top + height), math.pi / 4, pitch=rng.uniform(4, 9), colour=thin, stroke=1
                )
            canvas.rectangle(left, top, width, height, outline=line, stroke=thick, radius=rng.choice((0, 0, 6)))
            _dimension(canvas, (left, top - 12), (left + width, top - 12), face=face, cap=cap, colour=thin)
        else:
            radius = width / 2
            for reach in sorted(rng.uniform(0.2, 1) * radius for _ in range(rng.randint(1, 4))):
                canvas.ellipse(x, y, reach, reach, outline=line, stroke=thick)
            for bolt in range(rng.choice((0, 0, 4, 6, 8))):
                turn = bolt * math.pi / 4
                canvas.ellipse(x + radius * 0.8 * math.cos(turn), y + radius * 0.8 * math.sin(turn), 3, 3, outline=line)
            canvas.text(x + radius + 3, y - radius, f"R{radius:.1f}", face, cap, colour=thin)
        reach = width / 2 + 10
        for ends in (((x - reach, y), (x + reach, y)), ((x, y - reach), (x, y + reach))):
            canvas.dashes(*ends, thin, stroke=1, dash=rng.choice((3, 5, 8)))


def _dimension(
    canvas: Canvas, start: tuple[float, float], end: tuple[float, float], *, face: Typeface, cap: float, colour: Colour
) -> None:
    """A horizontal dimension between two points: line, arrowheads, extension lines, number."""
    (left, y), (right, _) = start, end
    canvas.rule(left, y, right - left, colour)
    for x, inward in ((left, 5), (right, -5)):
        canvas.polygon(((x, y), (x + inward, y - 2), (x + inward, y + 2)), fill=colour)
        canvas.rule(x, y - 3, 14, colour, upright=True)
    canvas.text((left + right) / 2, y - 3, f"{(right - left) / 2:.1f}", face, cap, colour=colour, anchor="ms")


def street_map(canvas: Canvas) -> None:
    """Areas, a river, streets with edges, railways, names, markers."""
    rng, side = canvas.rng, canvas.side
    canvas.paper = mix((242, 239, 233), any_colour(rng), 0.15)
    canvas.fill(canvas.paper)
    for _ in range(rng.randint(2, 6)):
        area = mix(any_colour(rng), canvas.paper, 0.5)
        canvas.polygon(blob(rng, rng.uniform(0, side), rng.uniform(0, side), rng.uniform(20, 90)), fill=area)
    canvas.line(bent(rng, side), mix((120, 170, 220), any_colour(rng), 0.2), rng.uniform(4, 20))
    pitch, turn = rng.uniform(24, 60), rng.uniform(-0.3, 0.3)
    streets: list[Points] = [[(-20, i * pitch), (side + 20, i * pitch + side * turn)] for i in range(-2, int(side / pitch) + 3)]
    streets += [[(i * pitch, -20), (i * pitch - side * turn, side + 20)] for i in range(-2, int(side / pitch) + 3)]
    streets = [street for street in streets if rng.random() < 0.6] + [bent(rng, side) for _ in range(rng.randint(0, 3))]
    edge, widths = mix(canvas.paper, (90, 90, 90), rng.uniform(0.4, 1)), [rng.choice((2, 3, 4, 7)) for _ in streets]
    for street, width in zip(streets, widths, strict=True):
        canvas.line(street, edge, width + 2)
    fills = [rng.choice(((255, 255, 255), (255, 255, 255), (252, 214, 120), (240, 170, 140))) for _ in streets]
    for street, width, fill in zip(streets, widths, fills, strict=True):
        canvas.line(street, fill, width)
    canvas.dashes(
        (-9, rng.uniform(0, side)), (side + 9, rng.uniform(0, side)), (70, 70, 70), stroke=rng.choice((1, 2, 3)), dash=6
    )
    for _ in range(rng.randint(3, 9)):
        face, cap = canvas.face(), rng.choice((7.5, 8, 9, 11, 14))
        x, y, name = rng.uniform(-10, side), rng.uniform(0, side), phrase(rng, face.characters, rng.randint(4, 12))
        colour = ink(rng, canvas.paper)
        if rng.random() < 0.5:
            canvas.text(x, y, name, face, cap, colour=(255, 255, 255) if luma(colour) < 128 else (0, 0, 0), stroke=1)
        canvas.text(x, y, name, face, cap, colour=colour)
        canvas.ellipse(x - 6, y - 4, 3, 3, fill=any_colour(rng), outline=colour)


def chart(canvas: Canvas) -> None:
    """Axes with ticks and numbers, a grid, and bars, lines, points or a pie; a heading, sometimes a legend."""
    paint_background(canvas)
    rng, side = canvas.rng, canvas.side
    face, cap, colour = canvas.face(), rng.uniform(7.5, 11), ink(rng, canvas.paper)
    left, bottom = rng.uniform(15, 45), side - rng.uniform(15, 40)
    grid, stroke = mix(canvas.paper, colour, rng.uniform(0.1, 0.4)), rng.choice((1, 1, 2))
    for y in range(round(bottom), 20, -max(round(2.2 * cap), rng.randint(18, 40))):
        canvas.rule(left - 4, y, side if rng.random() < 0.8 else 4, grid)
        canvas.text(left - 6, y + cap / 2, number(rng, face.characters)[:6], face, cap, colour=colour, anchor="rs")
    series = [ink(rng, canvas.paper) for _ in range(rng.randint(1, 4))]
    rng.choice((_bars, _lines, _points, _pie))(canvas, series, left, bottom)
    canvas.rule(left, 0, bottom, colour, upright=True, stroke=stroke)
    canvas.rule(left, bottom, side, colour, stroke=stroke)
    for x in range(round(left) + 15, side, rng.randint(24, 50)):
        canvas.rule(x, bottom, 4, colour, upright=True)
        canvas.text(x, bottom + 6 + cap, phrase(rng, face.characters, 3)[:5], face, cap, colour=colour, anchor="ms")
    canvas.text(side / 2, 12, phrase(rng, face.characters, 16), face, cap * 1.3, colour=colour, anchor="ms")
    if rng.random() < 0.4:
        canvas.upright_text(10, side * 0.7, phrase(rng, face.characters, 9), face, cap, colour=colour)
    if rng.random() < 0.5:
        for row, shade in enumerate(series):
            top = 25 + row * cap * 1.8
            canvas.rectangle(side * 0.7, top, cap, cap, fill=shade)
            canvas.text(side * 0.7 + 1.5 * cap, top + cap, phrase(rng, face.characters, 5), face, cap, colour=colour)


def _bars(canvas: Canvas, series: list[Colour], left: float, bottom: float) -> None:
    width = canvas.rng.randint(3, 14)
    x = round(left) + 5
    while x < canvas.side:
        for colour in series:
            height = round(canvas.rng.uniform(0.05, 0.9) * bottom)
            canvas.rectangle(x, round(bottom) - height, width, height, fill=colour)
            x += width
        x += width


def _lines(canvas: Canvas, series: list[Colour], left: float, bottom: float) -> None:
    rng = canvas.rng
    for colour in series:
        y, step, points = rng.uniform(0.2, 0.9) * bottom, rng.uniform(3, 25), []
        for index in range(int((canvas.side - left) / step) + 2):
            y += rng.gauss(0, step)
            points.append((left + index * step, y))
        canvas.line(points, colour, rng.choice((1, 1.5, 2, 3)))
        if step > 10:
            for x, y in points:
                canvas.ellipse(x, y, 2.5, 2.5, fill=colour)


def _points(canvas: Canvas, series: list[Colour], left: float, bottom: float) -> None:
    rng = canvas.rng
    for colour in series:
        mark, reach = rng.choice(("dot", "ring", "cross")), rng.uniform(1.5, 4)
        for _ in range(rng.randint(10, 50)):
            x, y = left + rng.random() * (canvas.side - left), rng.random() * bottom
            if mark == "cross":
                canvas.line(((x - reach, y - reach), (x + reach, y + reach)), colour)
                canvas.line(((x - reach, y + reach), (x + reach, y - reach)), colour)
            else:
                canvas.ellipse(x, y, reach, reach, fill=colour if mark == "dot" else None, outline=colour)


def _pie(canvas: Canvas, series: list[Colour], left: float, bottom: float) -> None:
    rng, radius = canvas.rng, canvas.rng.uniform(0.2, 0.4) * canvas.side
    x, y, turn = (left + canvas.side) / 2, bottom / 2, rng.uniform(0, 2 * math.pi)
    for colour in [*series, *(any_colour(rng) for _ in range(3))]:
        sweep = rng.uniform(0.4, 1.4)
        arc = [(x + radius * math.cos(turn + sweep * i / 12), y + radius * math.sin(turn + sweep * i / 12)) for i in range(13)]
        canvas.polygon([(x, y), *arc], fill=colour, outline=canvas.paper)
        turn += sweep


def flow_chart(canvas: Canvas) -> None:
    """Boxes of words, connected by right-angled arrows."""
    paint_background(canvas)
    rng, side = canvas.rng, canvas.side
    face, cap, colour = canvas.face(), rng.uniform(7.5, 12), ink(rng, canvas.paper)
    fill, stroke, radius = (
        rng.choice((None, mix(canvas.paper, any_colour(rng), 0.4))),
        rng.choice((1, 2)),
        rng.choice((0, 5, 12)),
    )
    wide, high = rng.randint(70, 120), rng.randint(44, 80)
    width, height = round(wide * 0.7), round(high * 0.5)
    for top in range(-rng.randint(0, high), side, high):
        for left in range(-rng.randint(0, wide), side, wide):
            x, y = left + width // 2, top + height
            canvas.rule(x, y, high - height, colour, upright=True, stroke=stroke)
            canvas.polygon(((x - 3, top + high - 6), (x + 4, top + high - 6), (x + 0.5, top + high)), fill=colour)
            if rng.random() < 0.5:
                canvas.rule(left + width, top + height // 2, wide - width, colour, stroke=stroke)
            canvas.rectangle(left, top, width, height, fill=fill, outline=colour, stroke=stroke, radius=radius)
            words = phrase(rng, face.characters, int(width / cap))[: int(1.3 * width / cap)]
            text_colour = colour if fill is None else ink(rng, fill)
            canvas.text(left + width / 2, top + (height + cap) / 2, words, face, cap, colour=text_colour, anchor="ms")


PAINTERS = (drawing, street_map, chart, flow_chart)
