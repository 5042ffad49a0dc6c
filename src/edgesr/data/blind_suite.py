"""Make a blind evaluation suite from photographs: HR/ cropped to multiples of 4 px, and LR/ degraded by the training pipeline
(arXiv 2107.10833), with independent random parameters for each picture."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image

from edgesr.atomic import write_whole
from edgesr.data.degradation import degrade
from edgesr.data.files import BROKEN, picture_paths, read_rgb
from edgesr.errors import InputError, UsageError, one_line
from edgesr.presets import SCALE


def make_suite(photographs: Path, out: Path, seed: int) -> Iterator[tuple[Path, InputError | None]]:
    """Write PNG files to `out`/HR and `out`/LR; yields each photograph when it is done, with the error if it could not be used.

    The degradation depends only on the seed and the picture's name. Raises UsageError, before any work, if
    `photographs` has no pictures, two of them would have the same name, or `out` is not empty.
    """
    paths = picture_paths(photographs)
    stems = [path.stem for path in paths]
    for path in paths:
        if stems.count(path.stem) > 1:
            raise UsageError(f"{path}: another picture has the same name ({path.stem}); rename one")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: is not an empty folder; choose a new one")
    for name in ("HR", "LR"):
        (out / name).mkdir(parents=True, exist_ok=True)
    return ((path, _degraded(path, out, seed)) for path in paths)


def _degraded(path: Path, out: Path, seed: int) -> InputError | None:
    try:
        pixels = read_rgb(path)
    except BROKEN as error:
        return InputError(f"{path}: cannot be decoded ({error})")
    height, width = (side // SCALE * SCALE for side in pixels.shape[:2])
    hr = pixels[:height, :width].copy()
    number = int.from_bytes(hashlib.sha256(f"{seed} {path.stem}".encode()).digest()[:7], "big")
    tensor = torch.from_numpy(hr).permute(2, 0, 1)[None] / 255
    try:
        lr = degrade(tensor, scale=SCALE, generator=torch.Generator().manual_seed(number))
    except UsageError as error:  # too small
        return InputError(f"{path}: {error}")
    reduced = (lr[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    for folder, picture in (("HR", hr), ("LR", reduced)):
        data = io.BytesIO()
        Image.fromarray(picture).save(data, "PNG")
        target = out / folder / f"{path.stem}.png"
        try:
            write_whole(target, data.getvalue())
        except OSError as error:
            raise InputError(f"{target}: cannot be written: {one_line(error)}") from error
    return None
