"""PNG: the same pixels with either compressor, and rows filtered as the standard defines."""

from __future__ import annotations

import builtins
import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from edgesr import images
from edgesr.images.bands import Bands
from edgesr.images.png_writer import _paeth
from edgesr.images.threads import Ahead, in_threads

PIXELS = np.random.default_rng(0).integers(0, 256, (900, 700, 3), np.uint8)
PIXELS[:450] = np.arange(700, dtype=np.uint8)[:, None]


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_a_png_without_the_fast_compressor_shows_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("isal")
    fast = images.encode(images.Picture(PIXELS, "PNG"), "PNG")
    real = builtins.__import__

    def without_isal(name, *rest, **kept):
        if name == "isal":
            raise ImportError(name)
        return real(name, *rest, **kept)

    monkeypatch.setattr(builtins, "__import__", without_isal)
    plain = images.encode(images.Picture(PIXELS, "PNG"), "PNG")
    assert fast != plain
    assert len(fast) < 1.2 * len(plain)
    assert np.array_equal(decoded(fast), PIXELS)
    assert np.array_equal(decoded(plain), PIXELS)


def test_the_prediction_is_that_of_the_standard() -> None:
    """Every pair of neighbours, with three values of the third, against the standard's own words."""
    a, b = (plane.astype(np.uint8).reshape(-1) for plane in np.meshgrid(np.arange(256), np.arange(256)))
    for corner in (0, 100, 255):
        left, up, upper_left = a.astype(int), b.astype(int), np.full(a.shape, corner)
        estimate = left + up - upper_left
        distances = [abs(estimate - each) for each in (left, up, upper_left)]
        want = np.choose(np.argmin(distances, axis=0), [left, up, upper_left])  # argmin takes the first of equals
        assert np.array_equal(_paeth(a, b, np.full_like(a, corner)), want)


def test_threads_keep_the_order_and_pass_errors_on() -> None:
    assert list(in_threads(lambda x: x * x, range(50))) == [x * x for x in range(50)]
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda x: 1 // x, [2, 1, 0, 1]))


def test_only_a_few_strips_are_in_memory() -> None:
    drawn = 0

    def rows():
        nonlocal drawn
        for top in range(0, 900, 10):
            drawn += 1
            yield PIXELS[top : top + 10]

    parts = in_threads(len, Bands(PIXELS.shape, np.uint8, rows()))
    next(parts)
    assert drawn < 10


def test_work_ahead_is_one_item_ahead_and_passes_errors_on() -> None:
    made: list[int] = []

    def items():
        for number in range(4):
            made.append(number)
            yield number
        raise ValueError("at the end")

    with ThreadPoolExecutor(1) as pool:
        ahead = Ahead(items(), pool)
        for number in range(4):
            assert next(ahead) == number
            assert len(made) <= number + 2
        for _ in range(2):
            with pytest.raises(ValueError, match="at the end"):
                next(ahead)
        cut = Ahead(items(), pool)
        next(cut)
        cut.close()  # or leaving the block would wait for ever
