"""Rendered line art: strokes, hatching, geometric figures, comics."""

from __future__ import annotations

import math
import random
from itertools import pairwise

from painter.backgrounds import paint_background
from painter.canvas import BLACK, WHITE, Canvas, Colour, Points, any_colour, ink, mix
from painter.words import phrase


def stroke_width(rng: random.Random, greatest: float = 6) -> float:
    """A line width in px, mostly thin."""
    return float(rng.choice((1, 1, 1, 1.5, 2, 2, 3, rng.uniform(1, greatest))))


def blob(rng: random.Random, x: float, y: float, radius: float, corners: int = 24) -> list[tuple[float, float]]:
    """A closed wavy outline around (x, y)."""
    waves = [(rng.randint(2, 5), rng.uniform(0, 0.2), rng.uniform(0, 2 * math.pi)) for _ in range(3)]
    points = []
    for corner in range(corners):
        angle = 2 * math.pi * corner / corners
        reach = radius * (1 + sum(depth * math.sin(count * angle + phase) for count, depth, phase in waves))
        points.append((x + reach * math.cos(angle), y + reach * math.sin(angle)))
    return points


def bent(rng: random.Random, side: float, steps: int = 24) -> list[tuple[float, float]]:
    """A cubic Bezier curve across a square of `side` px and slightly beyond."""
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = ((rng.uniform(-0.2, 1.2) * side, rng.uniform(-0.2, 1.2) * side) for _ in range(4))
    points = []
    for step in range(steps + 1):
        t = step / steps
        a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
        points.append((a * x0 + b * x1 + c * x2 + d * x3, a * y0 + b * y1 + c * y2 + d * y3))
    return points


def regular(rng: random.Random, x: float, y: float, radius: float) -> list[tuple[float, float]]:
    """A regular polygon or a star around (x, y)."""
    corners, inner = rng.randint(3, 8), rng.choice((1.0, 1.0, rng.uniform(0.3, 0.7)))
    start, count = rng.uniform(0, math.pi), corners * (1 if inner == 1 else 2)
    turns = [(start + 2 * math.pi * i / count, radius * (inner if i % 2 else 1)) for i in range(count)]
    return [(x + reach * math.cos(turn), y + reach * math.sin(turn)) for turn, reach in turns]


def curves(canvas: Canvas) -> None:
    """Strokes, bundles of parallel ones, spirals, waves."""
    paint_background(canvas)
    rng, side = canvas.rng, canvas.side
    one = rng.choice((None, ink(rng, canvas.paper)))
    for _ in range(rng.randint(4, 14)):
        colour, stroke = one or ink(rng, canvas.paper), stroke_width(rng)
        kind = rng.randrange(4)
        if kind == 0:
            canvas.line(bent(rng, side), colour, stroke)
        elif kind == 1:
            points, gap = bent(rng, side), rng.uniform(2, 7) * stroke
            for copy in range(rng.randint(2, 7)):
                canvas.line([(x + copy * gap, y + copy * gap / 2) for x, y in points], colour, stroke)
        elif kind == 2:
            x, y, pitch = rng.uniform(0, side), rng.uniform(0, side), rng.uniform(0.4, 1.2) + stroke / 3
            canvas.line(
                [(x + pitch * t * math.cos(t), y + pitch * t * math.sin(t)) for t in _steps(0, 25, 100)], colour, stroke
            )
        else:
            y, height, length = rng.uniform(0, side), rng.uniform(2, 30), rng.uniform(1, 12)
            canvas.line([(x, y + height * math.sin(x / length)) for x in _steps(0, side, 120)], colour, stroke)


def hatching(canvas: Canvas) -> None:
    """Patches of parallel lines, crossed lines, dots or rings, at pitches that cause moire in small pictures."""
    rng, side = canvas.rng, canvas.side
    paint_background(canvas)
    edges = [0.0, rng.uniform(0.3, 0.7) * side, side]
    for left, right in pairwise(edges):
        for top, bottom in pairwise(edges):
            colour, stroke = ink(rng, canvas.paper), rng.choice((1, 1, 1.5, 2))
            pitch = stroke * rng.uniform(2, 7)
            box = (left, top, right, bottom)
            kind = rng.randrange(5)
            if kind < 3:
                angle = rng.choice((0, math.pi / 2, math.pi / 4, rng.uniform(0, math.pi)))
                for turn in (angle, angle + rng.choice((math.pi / 2, math.pi / 3)))[: rng.randint(1, 2)]:
                    hatch(canvas, box, turn, pitch=pitch, colour=colour, stroke=stroke)
            elif kind == 3:
                halftone(canvas, box, pitch + 1, colour)
            else:
                radius = 0.0
                while radius < right - left:
                    radius += pitch
                    canvas.ellipse((left + right) / 2, (top + bottom) / 2, radius, radius, outline=colour, stroke=stroke)


def hatch(
    canvas: Canvas, box: tuple[float, float, float, float], angle: float, *, pitch: float, colour: Colour, stroke: float
) -> None:
    """Parallel lines at `angle` radians, `pitch` px apart, clipped to a box (left, top, right, bottom)."""
    left, top, right, bottom = box
    x, y = (left + right) / 2, (top + bottom) / 2
    reach, (along, across) = math.hypot(right - left, bottom - top) / 2, (math.cos(angle), math.sin(angle))
    for index in range(-int(reach / pitch), int(reach / pitch) + 1):
        a, b = x - across * index * pitch, y + along * index * pitch
        ends = [_where(a, along, left, right), _where(b, across, top, bottom)]
        start, end = max(low for low, _ in ends), min(high for _, high in ends)
        if start < end:
            canvas.line(((a + along * start, b + across * start), (a + along * end, b + across * end)), colour, stroke)


def halftone(canvas: Canvas, box: tuple[float, float, float, float], pitch: float, colour: Colour) -> None:
    """Rows of dots that grow from left to right, with every other row shifted."""
    left, top, right, bottom = box
    for row in range(int((bottom - top) / pitch)):
        for column in range(int((right - left) / pitch)):
            x = left + (column + row % 2 / 2 + 0.5) * pitch
            radius = pitch * (0.15 + 0.3 * (x - left) / (right - left))
            canvas.ellipse(x, top + (row + 0.5) * pitch, radius, radius, fill=colour)


def figures(canvas: Canvas) -> None:
    """Overlapping circles, polygons, stars, rectangles and blobs with flat fills, outlines or both."""
    paint_background(canvas)
    rng, side = canvas.rng, canvas.side
    edge, stroke = rng.choice((None, BLACK, ink(rng, canvas.paper))), stroke_width(rng)
    for _ in range(rng.randint(5, 18)):
        x, y, radius = rng.uniform(0, side), rng.uniform(0, side), rng.uniform(6, side / 3)
        fill = any_colour(rng) if edge is None or rng.random() < 0.7 else None
        if rng.random() < 0.35:
            canvas.ellipse(
                x, y, radius, radius * rng.choice((1, 1, rng.uniform(0.3, 1))), fill=fill, outline=edge, stroke=stroke
            )
        elif rng.random() < 0.3:
            canvas.rectangle(round(x), round(y), radius, radius * rng.uniform(0.2, 1.2), fill=fill, outline=edge, stroke=stroke)
        else:
            points = regular(rng, x, y, radius) if rng.random() < 0.7 else blob(rng, x, y, radius)
            canvas.polygon(points, fill=fill, outline=edge, stroke=stroke)


def comic(canvas: Canvas) -> None:
    """Flat colours within thick outlines, halftone, speed lines, faces, and a balloon with capitals."""
    rng, side = canvas.rng, canvas.side
    canvas.fill(any_colour(rng))
    stroke, line = rng.uniform(1.5, 4), mix(BLACK, any_colour(rng), rng.choice((0, 0, 0.2)))
    if rng.random() < 0.4:
        halftone(canvas, (0, 0, side, side * rng.uniform(0.3, 1)), rng.uniform(4, 9), any_colour(rng))
    if rng.random() < 0.3:
        x, y = rng.uniform(0, side), rng.uniform(0, side)
        for _ in range(40):
            turn, near, width = rng.uniform(0, 2 * math.pi), rng.uniform(0.3, 0.6) * side, rng.uniform(0.005, 0.03)
            far = [(x + 2 * side * math.cos(turn + w), y + 2 * side * math.sin(turn + w)) for w in (-width, width)]
            canvas.polygon([(x + near * math.cos(turn), y + near * math.sin(turn)), *far], fill=line)
    for _ in range(rng.randint(2, 6)):
        _figure(canvas, line, stroke)
    _balloon(canvas, line, stroke)


def _figure(canvas: Canvas, line: Colour, stroke: float) -> None:
    """A blob with a shadow, eyes and hair."""
    rng = canvas.rng
    x, y, radius = rng.uniform(0, canvas.side), rng.uniform(0, canvas.side), rng.uniform(15, canvas.side / 3)
    skin = any_colour(rng)
    canvas.polygon(blob(rng, x, y, radius, 48), fill=skin, outline=line, stroke=stroke)
    canvas.polygon(blob(rng, x + radius * 0.3, y + radius * 0.4, radius * 0.4), fill=mix(skin, BLACK, 0.25))
    for eye in (x - radius * 0.3, x + radius * 0.3):
        canvas.ellipse(eye, y - radius * 0.1, radius * 0.16, radius * 0.22, fill=WHITE, outline=line, stroke=stroke / 2)
        canvas.ellipse(eye + radius * 0.05, y - radius * 0.05, radius * 0.06, radius * 0.09, fill=line)
    for _ in range(rng.randint(0, 12)):
        turn = rng.uniform(-math.pi, 0)
        ends = [
            (x + reach * radius * math.cos(turn), y + reach * radius * math.sin(turn)) for reach in (0.8, rng.uniform(1, 1.3))
        ]
        canvas.line(ends, line, stroke * 0.7)


def _balloon(canvas: Canvas, line: Colour, stroke: float) -> None:
    rng = canvas.rng
    face, cap = canvas.face(), rng.uniform(8, 14)
    lines = [phrase(rng, face.characters, rng.randint(5, 14)).upper() for _ in range(rng.randint(1, 4))]
    width = max(canvas.width_of(text, face, cap) for text in lines) * 0.65 + cap
    height = cap * 1.2 * len(lines) + cap
    x, y = rng.uniform(0.2, 0.8) * canvas.side, rng.uniform(0.2, 0.8) * canvas.side
    tail: Points = ((x - 8, y), (x + 8, y), (x + rng.uniform(-1, 1) * width, y + height * 1.5))
    canvas.polygon(tail, fill=WHITE, outline=line, stroke=stroke)
    canvas.ellipse(x, y, width, height, fill=WHITE, outline=line, stroke=stroke)
    for row, text in enumerate(lines):
        canvas.text(x, y + cap * (1.7 * (row - (len(lines) - 1) / 2) + 0.5), text, face, cap, colour=BLACK, anchor="ms")


def _where(start: float, step: float, low: float, high: float) -> tuple[float, float]:
    """The smallest and largest t with low <= start + t * step <= high."""
    if abs(step) < 1e-9:
        return (-math.inf, math.inf) if low <= start <= high else (1, 0)
    first, last = (low - start) / step, (high - start) / step
    return min(first, last), max(first, last)


def _steps(low: float, high: float, count: int) -> list[float]:
    return [low + (high - low) * i / count for i in range(count + 1)]


PAINTERS = (curves, hatching, figures, comic)
