"""The canvas for painted pictures: coordinates are in picture px, each of which is drawn as one or several canvas px."""

from __future__ import annotations

import colorsys
import random
from collections.abc import Sequence

from PIL import Image, ImageDraw

from painter.fonts import Typeface

Colour = tuple[int, int, int]  # 0..255 each
Points = Sequence[tuple[float, float]]

BLACK, WHITE = (0, 0, 0), (255, 255, 255)
NARROW = 0.35  # average letter width of the narrowest words, relative to the height of a capital
LEGIBLE = 70  # minimum difference in luma, grey levels of 255, between a drawing and its background


def luma(colour: Colour) -> float:
    """BT.601 luma, 0..255."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def any_colour(rng: random.Random) -> Colour:
    """Any colour, including greys."""
    saturation = rng.choice((0.0, rng.random(), rng.random() ** 0.4))
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), saturation, rng.random() ** 0.6)
    return round(255 * red), round(255 * green), round(255 * blue)


def paper_colour(rng: random.Random) -> Colour:
    """A page colour: white, nearly white, dark, or any colour."""
    draw = rng.random()
    if draw < 0.35:
        return WHITE
    if draw < 0.6:
        tint = rng.randint(225, 255)
        return tint, max(0, tint - rng.randint(0, 12)), max(0, tint - rng.randint(0, 35))
    if draw < 0.75:
        shade = rng.randint(0, 45)
        return shade, shade + rng.randint(0, 10), shade + rng.randint(0, 25)
    return any_colour(rng)


def ink(rng: random.Random, paper: Colour) -> Colour:
    """A colour that is legible on `paper`: black, white or any other."""
    darkest = BLACK if luma(paper) > 127 else WHITE
    if rng.random() < 0.4:
        return darkest
    for _ in range(6):
        colour = any_colour(rng)
        if abs(luma(colour) - luma(paper)) > LEGIBLE:
            return colour
    return darkest


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """The colour `share` of the way from `a` to `b`."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


class Canvas:
    """A square RGB picture of `side` px; all lengths and positions are in these px and may be fractional.

    The canvas, `image`, is `unit` times as large, and is antialiased when it is reduced afterwards. `rng` is the source
    of everything random in the picture.
    """

    def __init__(self, side: int, unit: int, rng: random.Random, faces: Sequence[Typeface]) -> None:
        self.side, self.unit, self.rng, self.faces = side, unit, rng, faces
        self.paper: Colour = WHITE  # drawings must be legible on this colour
        self.image = Image.new("RGB", (side * unit, side * unit), WHITE)
        self.draw = ImageDraw.Draw(self.image)

    def fill(self, background: Image.Image | Colour) -> None:
        """Cover the whole canvas with a colour or a picture."""
        self.image.paste(background, (0, 0, *self.image.size))

    def face(self, monospaced: bool = False) -> Typeface:
        """One of the typefaces; a monospaced one if requested and available."""
        if monospaced and (faces := [face for face in self.faces if face.monospaced]):
            return self.rng.choice(faces)
        return self.rng.choice(self.faces)

    def rectangle(
        self,
        left: float,
        top: float,
        width: float,
        height: float,
        *,
        fill: Colour | None = None,
        outline: Colour | None = None,
        stroke: float = 1,
        radius: float = 0,
    ) -> None:
        """Draw a rectangle; nothing if it is narrower than a canvas px."""
        box = (*self._pixel(left, top), *(x - 1 for x in self._pixel(left + width, top + height)))
        if box[2] < box[0] or box[3] < box[1]:
            return
        thickness = self._thickness(stroke)
        if radius:
            self.draw.rounded_rectangle(box, radius * self.unit, fill, outline, thickness)
        else:
            self.draw.rectangle(box, fill, outline, thickness)

    def rule(self, left: float, top: float, length: float, colour: Colour, *, upright: bool = False, stroke: float = 1) -> None:
        """Draw a horizontal or vertical line that covers whole px if its position and `stroke` are integers."""
        width, height = (stroke, length) if upright else (length, stroke)
        self.rectangle(left, top, width, height, fill=colour)

    def line(self, points: Points, colour: Colour, stroke: float = 1) -> None:
        """Draw a polyline with rounded joints."""
        thickness = self._thickness(stroke)
        self.draw.line(self._scaled(points), colour, thickness, joint="curve" if thickness > 2 else None)

    def dashes(
        self, start: tuple[float, float], end: tuple[float, float], colour: Colour, *, stroke: float, dash: float
    ) -> None:
        """Draw a line from `start` to `end` with dashes as long as the gaps between them."""
        (x0, y0), (x1, y1) = start, end
        steps = max(1, int(((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5 / dash))
        places = [(x0 + (x1 - x0) * i / steps, y0 + (y1 - y0) * i / steps) for i in range(steps + 1)]
        for a, b in zip(places[::2], places[1::2], strict=False):
            self.line((a, b), colour, stroke)

    def polygon(self, points: Points, *, fill: Colour | None = None, outline: Colour | None = None, stroke: float = 1) -> None:
        """Draw a polygon with a closed outline."""
        if fill is not None:
            self.draw.polygon(self._scaled(points), fill)
        if outline is not None:
            self.line([*points, points[0], points[1]], outline, stroke)

    def ellipse(
        self,
        x: float,
        y: float,
        across: float,
        down: float,
        *,
        fill: Colour | None = None,
        outline: Colour | None = None,
        stroke: float = 1,
    ) -> None:
        """Draw an ellipse around (x, y) with the radii `across` and `down`."""
        box = (*self._pixel(x - across, y - down), *self._pixel(x + across, y + down))
        self.draw.ellipse(box, fill, outline, self._thickness(stroke))

    def text(
        self,
        x: float,
        y: float,
        text: str,
        face: Typeface,
        cap: float,
        *,
        colour: Colour,
        anchor: str = "ls",
        stroke: float = 0,
    ) -> None:
        """Draw one line of text with capitals `cap` px high; (x, y) is the position of the `anchor`, as in Pillow.

        A `stroke` makes the letters bolder on every side.
        """
        if anchor == "ls":  # letters beyond the edge take as long to draw as visible ones
            text = text[: 2 + max(0, int((self.side - x) / (NARROW * cap)))]
        font = face.at(cap * self.unit)
        self.draw.text(self._pixel(x, y), text, colour, font, anchor, stroke_width=stroke * self.unit)

    def upright_text(self, x: float, y: float, text: str, face: Typeface, cap: float, *, colour: Colour) -> None:
        """Draw one line of text that reads upwards, with its lower left corner at (x, y)."""
        font = face.at(cap * self.unit)
        left, top, right, bottom = (round(edge) for edge in font.getbbox(text))
        mask = Image.new("L", (max(1, right - left), max(1, bottom - top)))
        ImageDraw.Draw(mask).text((-left, -top), text, 255, font)
        turned = mask.transpose(Image.Transpose.ROTATE_90)
        column, row = self._pixel(x, y)
        self.draw.bitmap((column - turned.width, row - turned.height), turned, colour)

    def width_of(self, text: str, face: Typeface, cap: float) -> float:
        """The width of a line of text in px."""
        return face.at(cap * self.unit).getlength(text) / self.unit

    def fitting(self, text: str, face: Typeface, cap: float, width: float) -> str:
        """The longest beginning of `text` that fits into `width` px."""
        while text and self.width_of(text, face, cap) > width:
            text = text[:-1]
        return text

    def _pixel(self, x: float, y: float) -> tuple[int, int]:
        return round(x * self.unit), round(y * self.unit)

    def _scaled(self, points: Points) -> list[tuple[float, float]]:
        return [(x * self.unit, y * self.unit) for x, y in points]

    def _thickness(self, stroke: float) -> int:
        return max(1, round(stroke * self.unit))
