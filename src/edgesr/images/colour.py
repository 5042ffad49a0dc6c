"""Convert pixels: to sRGB, onto white, to 8 bits, from a transparent colour to alpha."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageCms

from edgesr.images.bands import Bands


def to_srgb(image: Image.Image, icc: bytes | None, notes: list[str]) -> Image.Image:
    """Convert a CMYK or LAB image to sRGB by its embedded profile, or naively without one; adds a note."""
    if image.mode == "LAB":
        notes.append("LAB converted to sRGB")
        return _through(image, ImageCms.createProfile("LAB"))
    if icc and icc[16:20] == b"CMYK":
        try:
            converted = _through(image, ImageCms.ImageCmsProfile(io.BytesIO(icc)))
        except (ImageCms.PyCMSError, OSError):
            notes.append("CMYK converted to RGB without a colour profile: the embedded one is damaged")
            return image.convert("RGB")
        notes.append("CMYK converted to sRGB by its embedded profile")
        return converted
    notes.append("CMYK converted to RGB without a colour profile: the file has none, so colours are approximate")
    return image.convert("RGB")


def to_srgb_from(icc: bytes) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return a function that converts rows of 8-bit RGB or RGBA pixels from a profile to sRGB; None if they are sRGB already.

    Raises ValueError for a profile that cannot be used.
    """
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        if "srgb" in ImageCms.getProfileDescription(profile).lower():
            return None
        _through(Image.new("RGB", (1, 1)), profile)
    except (ImageCms.PyCMSError, OSError) as error:
        raise ValueError("unusable colour profile") from error

    def convert(rows: np.ndarray) -> np.ndarray:
        converted = np.asarray(_through(Image.fromarray(np.ascontiguousarray(rows[..., :3])), profile))
        return np.concatenate([converted, rows[..., 3:]], axis=2)

    return convert


def _through(image: Image.Image, profile: ImageCms.ImageCmsProfile | ImageCms.core.CmsProfile) -> Image.Image:
    converted = ImageCms.profileToProfile(
        image,
        profile,
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    if converted is None:  # only an in-place conversion returns nothing
        raise ValueError("no conversion")
    return converted


def to_eight_bit(rows: np.ndarray) -> np.ndarray:
    """Reduce uint16 pixels (h, W, C) to uint8, rounded: v * 255 / 65535."""
    return ((rows.astype(np.uint32) * 255 + 32895) >> 16).astype(np.uint8)


def flatten(rows: np.ndarray) -> np.ndarray:
    """Composite 8-bit pixels with alpha, (h, W, 2 or 4), onto white: (h, W, 1 or 3)."""
    colour, alpha = rows[..., :-1].astype(np.uint32), rows[..., -1:].astype(np.uint32)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def with_key(pixels: np.ndarray, key: int | tuple[int, ...]) -> np.ndarray:
    """Append straight alpha to pixels (H, W, 1 or 3): transparent where they equal `key`, opaque elsewhere."""
    opaque = np.iinfo(pixels.dtype).max
    alpha = np.where((pixels == np.array(key)).all(axis=2, keepdims=True), 0, opaque).astype(pixels.dtype)
    return np.concatenate([pixels, alpha], axis=2)


def unassociated(pixels: np.ndarray) -> np.ndarray:
    """Convert 16-bit pixels (H, W, 2 or 4) from premultiplied to straight alpha; 0 where alpha is 0."""

    def straight(rows: np.ndarray) -> np.ndarray:
        alpha = rows[..., -1:].astype(np.uint64)
        divided = (rows[..., :-1].astype(np.uint64) * 65535 + alpha // 2) // np.maximum(alpha, 1)
        return np.concatenate([np.where(alpha > 0, np.minimum(divided, 65535), 0), alpha], axis=2)

    return Bands.of(pixels).map(straight).whole()
