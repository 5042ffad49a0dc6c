"""What the cache keeps, and that nothing half-written in it is ever taken for a result."""

from __future__ import annotations

import numpy as np

from edgesr.evaluate.cache import Cache, pixels_hash


def test_a_picture_counts_as_made_when_both_its_files_are_whole(tmp_path):
    cache = Cache(tmp_path)
    output = cache.output("abc", "edgesr:tiny@openvino", "123")
    assert output == tmp_path / "made" / "edgesr-tiny-openvino-abc" / "123.png"
    assert cache.made(output) is None
    output.write_bytes(b"a picture")
    assert cache.made(output) is None  # stopped before what was measured was kept
    cache.keep_made(output, {"seconds": 1.5})
    assert cache.made(output) == {"seconds": 1.5}
    output.with_suffix(".json").write_bytes(b'{"seconds": 1')
    assert cache.made(output) is None
    cache.keep_made(output, {"seconds": 1.5})
    output.unlink()
    assert cache.made(output) is None


def test_scores_are_kept_and_damage_is_measured_again(tmp_path):
    cache = Cache(tmp_path)
    assert cache.scores("abcd") == {}
    cache.keep_scores("abcd", {"psnr 1": 30.25})
    assert Cache(tmp_path).scores("abcd") == {"psnr 1": 30.25}
    assert cache.scores("abce") == {}
    (tmp_path / "scores" / "ab" / "abcd.json").write_text('{"psnr 1": "high", "ssim 1": 0.5, "x": NaN}')
    assert cache.scores("abcd") == {"ssim 1": 0.5}


def test_a_picture_is_known_by_its_pixels_and_its_shape():
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert pixels_hash(pixels) == pixels_hash(pixels[::1].copy())
    assert len({pixels_hash(each) for each in (pixels, pixels[::-1], pixels.reshape(2, 8, 3))}) == 3
