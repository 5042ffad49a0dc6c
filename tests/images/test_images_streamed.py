"""Files written band by band are the files that the whole picture gives; a picture that fails half way leaves none."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from picture_files import camera_exif, gradient, noise, profile
from PIL import Image

from edgesr import images
from edgesr.errors import InputError
from edgesr.images import Picture
from edgesr.images.bands import Bands

HEIGHTS = [1, 3, 100, 0, 7, 260]


def in_bands(pixels: np.ndarray, heights: list[int]) -> Bands:
    edges = [0, *np.cumsum(heights), len(pixels)]
    rows = (pixels[top:bottom] for top, bottom in pairwise(edges))
    height, width, channels = pixels.shape
    return Bands((height, width, channels), pixels.dtype, rows)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["PNG", "TIFF", "JPEG", "WEBP", "BMP"])
def test_the_file_has_the_same_bytes_however_its_rows_come(name: str, channels: int, dtype: type) -> None:
    pixels = noise(channels, dtype, 700, 33)
    whole = Picture(pixels, "JPEG", exif=camera_exif(), xmp=b"<x/>", dpi=(300.0, 300.0), icc=profile())
    assert images.encode(whole.with_pixels(in_bands(pixels, HEIGHTS)), name) == images.encode(whole, name)
    assert images.fit(whole.with_pixels(in_bands(pixels, HEIGHTS)), name).notes == images.fit(whole, name).notes


@pytest.mark.parametrize("height", [1, 8, 63, 64, 65, 129, 700])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_shows_what_pillow_s_own_shows(channels: int, height: int) -> None:
    """More than 8 strips, so that the markers between them have gone round; not a multiple of 8, so that a block is cut."""
    pixels = gradient(height, 90, channels)
    pixels[::3] = noise(channels, np.uint8, height, 90)[::3]
    data = images.encode(Picture(pixels, "PNG"), "JPEG", quality=90)
    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(stream, "JPEG", quality=90, subsampling=0)
    want = np.asarray(Image.open(stream))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), want)
    by_opencv = [cv2.imdecode(np.frombuffer(d, np.uint8), cv2.IMREAD_UNCHANGED) for d in (data, stream.getvalue())]
    assert np.array_equal(*by_opencv)
    assert len(data) < 1.02 * len(stream.getvalue()) + 40


def test_a_jpeg_holds_its_metadata_once() -> None:
    picture = Picture(
        gradient(300, 40), "JPEG", exif=camera_exif(), icc=profile(), text={"Comment": "summer"}, dpi=(300.0, 300.0)
    )
    data = images.encode(picture, "JPEG")
    assert data.count(b"CameraCo.") == data.count(b"summer") == data.count(b"ICC_PROFILE") == data.count(b"JFIF") == 1


def failing(error: BaseException) -> Iterator[np.ndarray]:
    yield noise(3, np.uint8, 400, 300)
    raise error


@pytest.mark.parametrize("extension", [".png", ".tif", ".jpg", ".webp"])
@pytest.mark.parametrize(
    "error",
    [RuntimeError("the network"), ValueError("the network"), MemoryError("the network"), KeyboardInterrupt("the network")],
)
def test_a_failure_half_way_is_told_as_what_it_is_and_leaves_what_was_there(
    tmp_path: Path, extension: str, error: BaseException
) -> None:
    target = tmp_path / f"out{extension}"
    target.write_text("precious")
    picture = Picture(Bands((800, 300, 3), np.uint8, failing(error)), "PNG")
    with pytest.raises(type(error), match="the network"):
        images.write(target, picture, overwrite=True)
    assert target.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [target]


def test_a_picture_no_encoder_takes_is_still_the_encoder_s_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("encoder error -2")

    monkeypatch.setattr(Image.Image, "save", refuse)
    with pytest.raises(InputError, match="cannot be encoded as JPEG: encoder error -2"):
        images.write(tmp_path / "out.jpg", Picture(gradient(), "PNG"))
    assert not list(tmp_path.iterdir())
