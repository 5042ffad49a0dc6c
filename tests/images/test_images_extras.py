"""HEIC and JPEG XL, each by an extra that may be missing."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import ENVIRONMENT
from picture_files import camera_exif, gradient, profile

from edgesr import images
from edgesr.errors import InputError, install_command
from edgesr.images import Picture

HEIC_HEAD = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
JXL_HEAD = b"\xff\x0a\0\0"
JXL_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0\0\0\x14ftypjxl \0\0\0\0jxl "


def test_heic_round_trip_is_upright_with_profile_and_exif() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    picture = Picture(gradient(64, 96), "JPEG", exif=camera_exif(), icc=profile())
    read = images.read(images.encode(picture, "HEIF"))
    assert (read.format, read.icc) == ("HEIF", profile())
    assert np.abs(read.pixels.astype(int) - picture.pixels).mean() < 3
    assert read.exif is not None
    assert b"CameraCo." in read.exif
    stream = io.BytesIO()
    heif = pillow_heif.from_pillow(images.to_pil(picture))
    heif.save(stream, exif=b"Exif\0\0" + camera_exif(6))
    assert images.read(stream.getvalue()).pixels.shape == (96, 64, 3)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is told by Linux alone")
def test_heic_of_ten_bits_is_read_in_little_more_memory_than_it_takes(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    height, width = 1600, 2000
    pixels = np.broadcast_to(gradient(1, width, dtype=np.uint16), (height, width, 3))
    pillow_heif.from_bytes(mode="RGB;16", size=(width, height), data=pixels.tobytes()).save(tmp_path / "a.heic", quality=50)
    program = """
import sys
from pathlib import Path
from edgesr import images
from edgesr.evaluate.memory import peak_rss_mb

before = peak_rss_mb()
picture = images.read(Path(sys.argv[1]))
print(picture.pixels.dtype, picture.notes, peak_rss_mb() - before)
"""
    words = [sys.executable, "-c", program, str(tmp_path / "a.heic")]
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    kind, notes, growth = done.stdout.split()
    assert (kind, notes) == ("uint16", "[]")
    assert float(growth) * 1e6 / (height * width) < 26  # bytes a pixel, of which its three samples take 6


def test_jxl_round_trip_is_lossless_at_100_and_keeps_exif() -> None:
    pytest.importorskip("pillow_jxl")
    picture = Picture(gradient(), "JPEG", exif=camera_exif())
    read = images.read(images.encode(picture, "JXL", quality=100))
    assert np.array_equal(read.pixels, picture.pixels)
    assert read.exif is not None
    assert b"CameraCo." in read.exif


@pytest.mark.parametrize("size", [(40, 24), (256, 256), (8, 8), (1000, 3), (160, 90), (3000, 2000)])
def test_jxl_states_its_size_before_it_is_decoded(size: tuple[int, int]) -> None:
    pytest.importorskip("pillow_jxl")
    data = images.encode(Picture(np.zeros((size[1], size[0], 3), np.uint8), "PNG", exif=camera_exif()), "JXL")
    with pytest.raises(InputError, match=f"has {size[0]}x{size[1]} "):
        images.read(data, max_pixels=size[0] * size[1] - 1)
    assert images.read(data, max_pixels=size[0] * size[1]).pixels.shape == (size[1], size[0], 3)


class Bits:
    """Writes numbers bit by bit, the lowest bit first, as JPEG XL does."""

    def __init__(self) -> None:
        self.value, self.length = 0, 0

    def put(self, *fields: tuple[int, int]) -> Bits:
        for number, width in fields:
            self.value |= number << self.length
            self.length += width
        return self

    def data(self) -> bytes:
        return b"\xff\x0a" + self.value.to_bytes(64, "little")


SIZE = ((0, 1), (0, 2), (99, 9), (1, 3))  # 100x100
NO_MORE = ((0, 1), (1, 1), (0, 3))  # not all by default; further fields; upright


@pytest.mark.parametrize(
    "between",
    [
        ((0, 1), (0, 1)),  # neither an intrinsic size nor a preview
        ((1, 1), *SIZE, (0, 1)),
        ((0, 1), (1, 1), (1, 1), (2, 2), (5, 5), (1, 3)),  # a preview, of a multiple of 8
        ((1, 1), *SIZE, (1, 1), (0, 1), (3, 2), (5, 12), (0, 3), (0, 2), (7, 6)),
    ],
)
def test_animated_jxl_is_refused_by_its_header(between: tuple[tuple[int, int], ...]) -> None:
    pytest.importorskip("pillow_jxl")
    for animated in (1, 0):
        data = Bits().put(*SIZE, *NO_MORE, *between, (animated, 1)).data()
        for file in (data, JXL_CONTAINER + struct.pack(">I", 8 + len(data)) + b"jxlc" + data):
            with pytest.raises(InputError) as caught:
                images.read(file)
            assert ("is an animation" in str(caught.value)) == bool(animated)


def test_animated_jxl_of_another_project_is_refused() -> None:
    pytest.importorskip("pillow_jxl")
    file = Path(__file__).parents[3] / "shared" / "cases" / "animation.jxl"
    if not file.is_file():
        pytest.skip("the files of other projects are not here")
    with pytest.raises(InputError, match="is an animation"):
        images.read(file)


@pytest.mark.parametrize("head", [HEIC_HEAD, JXL_HEAD])
def test_damaged_files_are_refused(head: bytes) -> None:
    with pytest.raises(InputError):
        images.read(head + bytes(100))


def test_a_missing_extra_is_named() -> None:
    """In a Python that cannot find the two packages."""
    program = f"""
import importlib.abc, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("pillow_heif", "pillow_jxl"):
            raise ModuleNotFoundError(name)
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in ("pillow_heif", "pillow_jxl") else found(name, *rest)
sys.meta_path.insert(0, Absent())
from edgesr import images
from edgesr.errors import EdgesrError
for action in (
    lambda: images.read({HEIC_HEAD!r}),
    lambda: images.read({JXL_HEAD!r}),
    lambda: images.format_for("a.heic"),
    lambda: images.format_for("jxl"),
):
    try:
        action()
    except EdgesrError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [install_command("heic") in line for line in lines] == [True, False, True, False]
    assert [install_command("jxl") in line for line in lines] == [False, True, False, True]


@pytest.mark.parametrize(("quality", "chroma", "profile"), [(None, 1, 1), (100, 3, 4)])
def test_heic_is_written_for_every_viewer_unless_full_quality_is_asked_for(quality, chroma, profile):
    """The decoder's configuration states 4:2:0 and the profile Main (or Main Still Picture), else 4:4:4 and Range Extensions."""
    pytest.importorskip("pillow_heif")
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = images.encode(Picture(pixels, "HEIF"), "HEIF", quality=quality)
    configuration = data[data.index(b"hvcC") + 4 :]
    assert configuration[16] & 3 == chroma  # chroma_format_idc of ISO/IEC 14496-15, 8.3.3.1.2
    assert (configuration[1] & 31 in (1, 3)) if profile == 1 else (configuration[1] & 31 == profile)
