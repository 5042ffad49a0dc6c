"""Paint training pictures of text, line art and screens into a folder, for `data.folders` of a recipe.

python tools/paint.py runs/painted [--pictures 4000] [--size 256] [--seed 0] [--fonts FOLDER]

The fonts are matplotlib's unless a folder of .ttf and .otf files is given.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

import torch
from painter import PaintConfig, paint
from PIL import Image
from tqdm import tqdm

from edgesr.atomic import write_whole
from edgesr.errors import EdgesrError, UsageError, one_line

BATCH = 16  # pictures drawn at once


def main(words: list[str] | None = None) -> int:
    """Paint the requested number of pictures; existing ones are kept and counted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("out", type=Path, help="folder for the pictures: a new one, an empty one, or one to go on with")
    parser.add_argument("--pictures", type=int, default=4000, help="(default: %(default)s)")
    parser.add_argument("--size", type=int, default=256, help="px a side; crops are taken of it (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another one paints other pictures (default: %(default)s)")
    for kind, weight in (("text", 0.5), ("line-art", 0.25), ("screens", 0.25)):
        parser.add_argument(f"--{kind}", type=float, default=weight, metavar="W", help="weight of these (default: %(default)s)")
    parser.add_argument("--fonts", default="", metavar="FOLDER", help="of .ttf and .otf files (default: matplotlib's)")
    arguments = parser.parse_args(words)
    config = PaintConfig(arguments.text, arguments.line_art, arguments.screens, arguments.fonts)
    try:
        _paint(arguments.out, arguments.pictures, arguments.size, arguments.seed, config)
    except EdgesrError as error:
        print(f"paint: {error}", file=sys.stderr)
        return 2
    return 0


def _paint(out: Path, pictures: int, size: int, seed: int, config: PaintConfig) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        if strange := next((path for path in out.iterdir() if not path.name.startswith("painted-")), None):
            raise UsageError(f"{out}: holds other files ({strange.name}); choose another folder")
        for first in tqdm(range(0, pictures, BATCH), unit_scale=BATCH, unit="picture", disable=None, leave=False):
            paths = [out / f"painted-{number:06d}.png" for number in range(first, min(first + BATCH, pictures))]
            if all(path.exists() for path in paths):
                continue
            # Each batch has its own seed, so that an interrupted run continues with the same pictures.
            drawn = paint(len(paths), size, torch.Generator().manual_seed(seed * 1_000_003 + first), config)
            for path, pixels in zip(paths, (drawn * 255).round().byte().permute(0, 2, 3, 1).numpy(), strict=True):
                stream = io.BytesIO()
                Image.fromarray(pixels).save(stream, "PNG")
                write_whole(path, stream.getvalue())
    except OSError as error:
        raise EdgesrError(f"{out}: cannot write there: {one_line(error)}") from None
    print(f"{out}: {pictures} pictures of {size} px")


if __name__ == "__main__":
    raise SystemExit(main())
