"""Damaged files are refused, also where their decoders would say nothing, unless what is left of them is asked for."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from picture_files import gradient, noise, saved
from PIL import Image, ImageFile

from edgesr import images
from edgesr.images import DamagedError

CASES = Path(__file__).parents[3] / "shared" / "cases"


def jpeg(**options: object) -> bytes:
    return saved(Image.fromarray(np.tile(gradient(96, 160), (2, 2, 1))), "JPEG", quality=90, **options)


def flipped(data: bytes, at: int, count: int = 24) -> bytes:
    """Invert some bytes in the middle, and leave no marker among them."""
    return data[:at] + bytes(each ^ 0x5A for each in data[at : at + count]).replace(b"\xff", b"\xfe") + data[at + count :]


def damaged_files() -> dict[str, bytes]:
    whole, progressive = jpeg(), jpeg(progressive=True)
    png = saved(Image.fromarray(noise(3, np.uint8)), "PNG")
    checksum = png.index(b"IEND") - 8
    deflated = saved(Image.fromarray(noise(3, np.uint8, 200, 200)), "TIFF", compression="tiff_adobe_deflate")
    return {
        "JPEG cut and ended": whole[: len(whole) // 2] + b"\xff\xd9",
        "JPEG with wrong codes": flipped(whole, len(whole) // 2),
        "progressive JPEG with wrong codes": flipped(progressive, len(progressive) // 2),
        "PNG with a wrong checksum": png[:checksum] + bytes([png[checksum] ^ 1]) + png[checksum + 1 :],
        "deflated TIFF": flipped(deflated, len(deflated) // 2),
        "JPEG cut": whole[: len(whole) // 2],
        "PNG cut": png[: len(png) // 2],
        "GIF cut": saved(Image.fromarray(noise(1, np.uint8)[..., 0]), "GIF")[:-200],
    }


@pytest.mark.parametrize("name", damaged_files())
def test_damage_is_an_error_unless_it_is_accepted(name: str) -> None:
    data = damaged_files()[name]
    with pytest.raises(DamagedError):
        images.read(data)
    if name == "deflated TIFF":  # libtiff goes on only where the checksum lies beyond what it reads
        return
    picture = images.read(data, accept_damaged=True)
    assert picture.notes[-1].startswith("damaged file, decoded in part: ")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"subsampling": 2}, {"subsampling": 1}, {"quality": 5}]
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_whole_files_pass(mode: str, options: dict[str, object]) -> None:
    pixels = Image.fromarray(np.tile(noise(3, np.uint8), (9, 9, 1))).convert(mode)
    for size in (pixels.size, (1, 1), (1500, 1200)):
        data = saved(pixels.resize(size), "JPEG", **options)
        assert not any("damaged" in note for note in images.read(data, accept_damaged=True).notes)


def test_a_whole_jpeg_with_bytes_too_many_passes() -> None:
    """As some cameras write them."""
    good = jpeg()
    for data in (good + b"trailer", good[:-2] + b"\0\0\0" + good[-2:]):
        assert np.array_equal(images.read(data).pixels, images.read(good).pixels)


def test_a_large_jpeg_that_is_cut_and_ended_is_refused() -> None:
    """More blocks than a restart interval can span."""
    data = saved(Image.fromarray(noise(1, np.uint8, 2100, 2100)[..., 0]), "JPEG", quality=30)
    assert images.read(data).pixels.shape == (2100, 2100, 1)
    with pytest.raises(DamagedError):
        images.read(data[: len(data) // 2] + b"\xff\xd9")


@pytest.mark.parametrize("name", ["cut_with_eoi.jpg", "corrupt_middle.jpg", "corrupt.tif", "bad_idat_crc.png"])
def test_files_that_were_accepted_once_are_refused(name: str) -> None:
    if not CASES.is_dir():
        pytest.skip("the files are not here")
    with pytest.raises(DamagedError, match=name):
        images.read(CASES / name)
    assert images.read(CASES / name, accept_damaged=True).pixels.shape[2] == 3


def test_streams_are_checked_too() -> None:
    with pytest.raises(DamagedError):
        images.read(io.BytesIO(damaged_files()["JPEG with wrong codes"]))


def test_the_name_of_a_damaged_chunk_stays_on_the_line_and_commands_no_terminal() -> None:
    data = saved(Image.fromarray(gradient()), "PNG")
    for name in (b"\r\nND", b"I\x1b[m"):
        with pytest.raises(DamagedError) as error:
            images.read(data[:-8] + name + data[-4:])
        assert str(error.value).isprintable()
