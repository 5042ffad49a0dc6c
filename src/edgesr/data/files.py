"""Find and decode the pictures of a folder, for the image bank and the evaluation suites."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from edgesr.errors import UsageError

BROKEN = (
    OSError,
    ValueError,
    SyntaxError,
    Image.DecompressionBombError,
)  # what Pillow raises for files it cannot decode


def picture_paths(folder: Path) -> list[Path]:
    """The files of `folder` with an image extension, sorted by name. Raises UsageError if the folder is missing or has
    none."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; name a folder of pictures")
    known = Image.registered_extensions()
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in known and not path.name.startswith("."))
    if not paths:
        raise UsageError(f"{folder}: holds no pictures; name a folder with PNG, JPEG, AVIF or similar files")
    return paths


def read_rgb(path: Path | BinaryIO) -> np.ndarray:
    """The upright picture as (h, w, 3) uint8; grey becomes RGB, alpha is dropped. Raises one of BROKEN."""
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
