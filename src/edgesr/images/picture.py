"""The picture as the rest of the program sees it: upright pixels, and the metadata of the file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from edgesr.images.bands import Bands

MAX_PIXELS = 2**27  # default limit of an input's pixels, read from its header: 10,000 x 10,000 passes

Pixels = TypeVar("Pixels", np.ndarray, Bands)
Others = TypeVar("Others", np.ndarray, Bands)


@dataclass
class Picture(Generic[Pixels]):
    """One still picture, upright, with the metadata that describes it; a Picture[Bands] while it is written."""

    pixels: Pixels  # (H, W, C) uint8 or uint16; C: 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA; alpha is straight
    format: str  # of the file it came from, by Pillow's name: "PNG", "JPEG", "WEBP", "TIFF", "BMP", "AVIF", "HEIF", ...
    icc: bytes | None = None  # ICC profile that describes `pixels`; None: sRGB, or grey with the sRGB curve
    exif: bytes | None = None  # TIFF-structured block without the "Exif\0\0" prefix; orientation 1, no thumbnail
    xmp: bytes | None = None  # XMP packet; orientation 1
    text: dict[str, str] = field(default_factory=dict)  # a PNG's text by its keywords; a JPEG's as "Comment"
    segments: list[tuple[bytes, bytes]] = field(default_factory=list)  # of a JPEG, kept as they are: see `images.segments`
    dpi: tuple[float, float] | None = None  # horizontal and vertical, pixels per inch
    notes: list[str] = field(default_factory=list)  # one-line remarks for the user

    def with_pixels(self, pixels: Others) -> Picture[Others]:
        """Return the same picture with other pixels."""
        return Picture(**{**vars(self), "pixels": pixels})
