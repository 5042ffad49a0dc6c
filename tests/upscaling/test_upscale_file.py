"""The Python interface and files: metadata survives Pillow's save, a file becomes a file as by the command, types are known."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.ExifTags import Base

from edgesr import upscale, upscale_file
from edgesr.atomic import ExistsError
from edgesr.errors import InputError, UsageError
from edgesr.images import DamagedError

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture
def photo(tmp_path) -> Path:
    """A JPEG with a profile, a camera, 300 dpi, and stored on its side."""
    exif = Image.Exif()
    exif[Base.Make], exif[Base.Orientation] = "Camera", 6
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    image = Image.fromarray(pixels).resize((28, 20), Image.Resampling.BICUBIC)
    image.save(tmp_path / "photo.jpg", icc_profile=PROFILE, exif=exif, dpi=(300, 300), quality=95)
    return tmp_path / "photo.jpg"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_pillows_save_keeps_profile_and_exif_of_a_result(photo, format):
    stream = io.BytesIO()
    upscale(photo).save(stream, format)
    saved = Image.open(stream)
    assert saved.size == (80, 112)
    assert saved.info["icc_profile"] == PROFILE
    assert saved.getexif()[Base.Make] == "Camera"
    assert saved.getexif().get(Base.Orientation, 1) == 1, "the result is upright"


def test_what_save_is_given_wins(photo, tmp_path):
    exif = Image.Exif()
    exif[Base.Make] = "Mine"
    upscale(photo).save(tmp_path / "a.jpg", icc_profile=None, exif=exif)
    saved = Image.open(tmp_path / "a.jpg")
    assert "icc_profile" not in saved.info
    assert saved.getexif()[Base.Make] == "Mine"


def test_a_file_becomes_what_the_command_makes_of_it(photo, tmp_path):
    assert upscale_file(photo) == tmp_path / "photo_4x.jpg"
    words = [sys.executable, "-m", "edgesr", "upscale", str(photo), "-o", str(tmp_path / "command.jpg"), "--quiet"]
    subprocess.run(words, check=True, timeout=120)
    assert (tmp_path / "photo_4x.jpg").read_bytes() == (tmp_path / "command.jpg").read_bytes()


def test_format_size_and_metadata_are_as_asked(photo, tmp_path):
    made = upscale_file(str(photo), tmp_path / "a.png", width=40, strip_metadata=True)
    with Image.open(made) as image:
        assert (image.format, image.size) == ("PNG", (40, 56))
        assert not image.getexif()


def test_nothing_is_overwritten_unless_asked(photo, tmp_path):
    before = photo.read_bytes()
    target = upscale_file(photo, scale=1)
    with pytest.raises(ExistsError):
        upscale_file(photo, scale=2)
    assert Image.open(upscale_file(photo, scale=2, overwrite=True)).size == (40, 56)
    with pytest.raises(UsageError, match="the input itself"):
        upscale_file(photo, tmp_path / "." / "photo.jpg", overwrite=True)
    assert photo.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photo.jpg", target.name], "nothing half done is left"


def test_mistakes_are_named(photo, tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        upscale_file(photo, tmp_path / "gone" / "a.png")
    with pytest.raises(InputError, match=r"nowhere\.png"):
        upscale_file(tmp_path / "nowhere.png")
    with pytest.raises(UsageError, match="unsupported"):
        upscale_file(photo, tmp_path / "a.xyz")
    (tmp_path / "half.jpg").write_bytes(photo.read_bytes()[:-300])
    with pytest.raises(DamagedError):
        upscale_file(tmp_path / "half.jpg")
    assert upscale_file(tmp_path / "half.jpg", accept_damaged=True).is_file()


@pytest.mark.parametrize("factor", [255, 1.2, -1])
def test_a_float_array_out_of_range_is_an_error_that_names_the_range(factor):
    array = np.linspace(0, factor, 4 * 4 * 3, dtype=np.float32).reshape(4, 4, 3)
    with pytest.raises(UsageError, match=r"the expected range is \[0, 1\]"):
        upscale(array)


def test_a_float_array_with_the_overshoot_of_a_resize_is_clipped():
    array = np.full((8, 8, 3), 1.01, np.float32)
    assert upscale(array).max() <= 1.0


USER = """
from pathlib import Path

import numpy as np
from PIL import Image

import edgesr

image: Image.Image = edgesr.upscale("a.png")
array = edgesr.upscale(np.zeros((4, 4, 3), np.uint8), scale=2)
shape: tuple[int, ...] = array.shape
path: Path = edgesr.upscale_file("a.png", overwrite=True)
upscaler = edgesr.Upscaler("tiny", fidelity=0.5)
again: Image.Image = upscaler(image, width=100)
names: list[str] = [str(record["name"]) for record in edgesr.list_models()]
"""


def test_a_users_program_type_checks_strictly(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "user.py").write_text(USER)
    words = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "user.py"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout
    (tmp_path / "user.py").write_text(USER + 'wrong: int = edgesr.upscale("a.png")\n')
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 1, "the types are known, not Any"
