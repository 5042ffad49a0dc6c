"""Make docs/before-after.png, each example beside what the shipped model makes of it: `python examples/before_after.py`."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from edgesr import Upscaler

HERE = Path(__file__).parent
WIDTH, HEIGHT, GAP, HEADER = 480, 400, 8, 34  # px of a panel, between panels, of the titles


def panel(image: Image.Image) -> Image.Image:
    """Cut the middle out, at the size it has."""
    left, top = (image.width - WIDTH) // 2, (image.height - HEIGHT) // 2
    return image.crop((left, top, left + WIDTH, top + HEIGHT))


def main() -> None:
    """Write the picture."""
    upscaler = Upscaler("tiny")
    sources = [Image.open(HERE / f"{name}.jpg").convert("RGB") for name in ("cat", "coffee", "astronaut")]
    sheet = Image.new("RGB", (2 * WIDTH + GAP, HEADER + len(sources) * (HEIGHT + GAP) - GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(("bicubic, 4x", "edgesr tiny, 4x")):
        draw.text((column * (WIDTH + GAP) + 6, 5), title, fill="black", font=ImageFont.load_default(20))
    for row, source in enumerate(sources):
        size = (4 * source.width, 4 * source.height)
        for column, image in enumerate((source.resize(size, Image.Resampling.BICUBIC), upscaler(source))):
            sheet.paste(panel(image), (column * (WIDTH + GAP), HEADER + row * (HEIGHT + GAP)))
    sheet.save(HERE.parent / "docs" / "before-after.png", optimize=True)


if __name__ == "__main__":
    main()
