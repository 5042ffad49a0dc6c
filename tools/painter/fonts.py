"""The typefaces of painted pictures: Pillow's own, and those of a folder."""

from __future__ import annotations

import importlib.util
import logging
import string
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

from edgesr.errors import UsageError
from painter.words import ALPHABET

logger = logging.getLogger(__name__)

PROBE = 40  # px, size at which a typeface is examined
SMALL_LETTERS, CAPITALS = "acemnorsuvwxz", "BDEFHIKLMNPRTXZ"  # letters of equal height in a text typeface


@dataclass(frozen=True, eq=False)
class Typeface:
    """A font file at any size."""

    name: str
    base: ImageFont.FreeTypeFont
    characters: frozenset[str]  # those of `words.ALPHABET` that it has
    cap: float  # height of a capital relative to the size
    monospaced: bool

    def at(self, cap: float) -> ImageFont.FreeTypeFont:
        """The typeface with capitals `cap` px high, rounded to a whole size."""
        return _sized(self, max(4, round(cap / self.cap)))


@lru_cache(maxsize=256)  # opening a font takes longer than drawing a word with it
def _sized(face: Typeface, size: int) -> ImageFont.FreeTypeFont:
    return face.base.font_variant(size=size)


@lru_cache(maxsize=4)
def load_typefaces(folder: str) -> tuple[Typeface, ...]:
    """Pillow's embedded typeface (Aileron), then those of the .ttf and .otf files of `folder`, sorted by name.

    "" means matplotlib's font folder (DejaVu, STIX, Computer Modern), if matplotlib is installed. Files that are not
    fonts, and symbol fonts, are skipped. Raises UsageError if the folder is missing or has no font with Latin letters.
    """
    found = _from_folder(Path(folder) if folder else _matplotlib_fonts())
    if folder and not found:
        raise UsageError(f"{folder}: holds no .ttf or .otf font with Latin letters; name a folder of text fonts")
    if not found:
        logger.warning("painted text is set in one typeface only: install matplotlib, or name a folder of fonts")
    embedded = ImageFont.load_default(PROBE)
    assert isinstance(embedded, ImageFont.FreeTypeFont)  # Pillow returns another type only when no size is given
    aileron = _examine("Aileron", embedded.font_variant(layout_engine=ImageFont.Layout.BASIC))
    return (aileron, *found) if aileron else found


def _matplotlib_fonts() -> Path | None:
    spec = importlib.util.find_spec("matplotlib")  # finds the package without importing it
    return Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" if spec and spec.origin else None


def _from_folder(folder: Path | None) -> tuple[Typeface, ...]:
    if folder is None:
        return ()
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder of fonts; name one with .ttf or .otf files")
    faces = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in (".ttf", ".otf"):
            continue
        try:
            font = ImageFont.truetype(str(path), PROBE, layout_engine=ImageFont.Layout.BASIC)
        except OSError:
            continue
        if face := _examine(path.stem, font):
            faces.append(face)
    return tuple(faces)


def _examine(name: str, font: ImageFont.FreeTypeFont) -> Typeface | None:
    """The properties of `font`; None if it is not a text font.

    Symbol fonts lack letters or the space, draw several letters identically, or have letters of unequal height.
    """
    missing = _ink(font, "\U0010fffe")  # no font has this character, so this is the glyph for missing ones
    inks = {c: ink for c in ALPHABET if (ink := _ink(font, c)) not in (missing, None)}
    basic = [inks.get(c) for c in string.ascii_letters + string.digits]
    if None in basic or len(set(basic)) < len(basic) or font.getlength(" ") <= 0:
        return None
    for letters in (SMALL_LETTERS, CAPITALS):
        heights = [_height(font, c) for c in letters]
        if max(heights) > 1.4 * min(heights):  # the tail of an italic z counts
            return None
    monospaced = font.getlength("i") == font.getlength("M")
    return Typeface(name, font, frozenset(inks), _height(font, "H") / PROBE, monospaced)


def _ink(font: ImageFont.FreeTypeFont, character: str) -> tuple[tuple[int, int], bytes] | None:
    """The image of a character; None if it is blank."""
    mask = font.getmask(character)
    pixels = bytes(mask)
    return (mask.size, pixels) if any(pixels) else None


def _height(font: ImageFont.FreeTypeFont, character: str) -> float:
    _, top, _, bottom = font.getbbox(character, anchor="ls")
    return bottom - top
