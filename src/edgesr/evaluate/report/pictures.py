"""Pictures in the report, as data URLs; large ones are cropped to the window where the systems differ most."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from edgesr.data.files import BROKEN, read_rgb
from edgesr.evaluate.suites import without_spare

SIDE = 768  # HR px; larger pictures are cropped to a window of this side
QUALITY = 92  # of JPEG, colour at full resolution


def embed(image: dict, add: Callable[[str], str]) -> dict:
    """What the page's viewer needs of one picture of the result dict.

    `add` takes the data URL of a picture and returns the name under which the page keeps it. Returns width and height (HR
    px) of what is shown, `window` (its x, y, or None if it is the whole picture), and the names of `lr`, `hr` and each
    system's `outputs`; None for a picture that is not there or cannot be read.
    """
    width, height = image["width"], image["height"]
    outputs = {system: _output(entry.get("output"), (width, height)) for system, entry in image["systems"].items()}
    hr, lr = _decoded(image["hr"]), _decoded(image["lr"])
    hr = None if hr is None else without_spare(hr, width, height)
    box = window([pixels for pixels in outputs.values() if pixels is not None], width, height)
    left, top, right, bottom = box
    cut = (slice(top, bottom), slice(left, right))
    if lr is not None:
        scale = max(1, round(width / lr.shape[1]))
        lr = lr[top // scale : -(-bottom // scale), left // scale : -(-right // scale)]

    def shown(pixels: np.ndarray | None) -> str | None:
        return None if pixels is None else add(jpeg(pixels[cut]))

    return {
        "width": right - left,
        "height": bottom - top,
        "window": None if (right - left, bottom - top) == (width, height) else [left, top],
        "lr": None if lr is None else add(png(lr)),
        "hr": shown(hr),
        "outputs": {system: shown(pixels) for system, pixels in outputs.items()},
    }


def window(pictures: list[np.ndarray], width: int, height: int, side: int = SIDE) -> tuple[int, int, int, int]:
    """The box (left, top, right, bottom) of at most `side` px a side in which the (height, width, 3) uint8 pictures
    differ most, by the sum of their deviation from each other; its corners lie on the pixels of the LR, 4 px apart."""
    across, down = min(width, side), min(height, side)
    if (across, down) == (width, height) or len(pictures) < 2:
        left, top = (width - across) // 8 * 4, (height - down) // 8 * 4
        return left, top, left + across, top + down
    grey = np.stack([pixels.mean(axis=2, dtype=np.float32) for pixels in pictures])
    sums = np.pad(grey.std(axis=0), ((1, 0), (1, 0))).cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    inside = sums[down:, across:] - sums[:-down, across:] - sums[down:, :-across] + sums[:-down, :-across]
    row, column = np.unravel_index(np.argmax(inside[::4, ::4]), inside[::4, ::4].shape)
    left, top = 4 * int(column), 4 * int(row)
    return left, top, left + across, top + down


def jpeg(pixels: np.ndarray) -> str:
    """A data URL of (h, w, 3) uint8 pixels, visually lossless."""
    return _url(pixels, "jpeg", quality=QUALITY, subsampling=0, optimize=True)


def png(pixels: np.ndarray) -> str:
    """A data URL of (h, w, 3) uint8 pixels, lossless."""
    return _url(pixels, "png", optimize=True)


def _url(pixels: np.ndarray, format: str, **options: int | bool) -> str:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, format, **options)
    return f"data:image/{format};base64,{base64.b64encode(stream.getvalue()).decode()}"


def _output(path: str | None, size: tuple[int, int]) -> np.ndarray | None:
    """Pixels of a file as `_decoded`, or None if it is not of `size` (width, height)."""
    pixels = _decoded(path)
    return pixels if pixels is not None and pixels.shape[1::-1] == size else None


def _decoded(path: str | None) -> np.ndarray | None:
    """Pixels of a file, or None if there is none, or it cannot be read."""
    if path is None:
        return None
    try:
        return read_rgb(Path(path))
    except BROKEN:
        return None
