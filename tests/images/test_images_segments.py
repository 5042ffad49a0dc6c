"""What a JPEG holds in segments of its own beside EXIF, XMP and profile: IPTC by Photoshop, and what an XMP packet had no room for."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from picture_files import gradient, saved
from PIL import Image

from edgesr import images

CASES = Path(__file__).parents[3] / "shared" / "cases"
PHOTOSHOP = b"Photoshop 3.0\0"
EXTENDED = b"http://ns.adobe.com/xmp/extension/\0"


def resource(number: int, data: bytes) -> bytes:
    return b"8BIM" + struct.pack(">H", number) + b"\0\0" + struct.pack(">I", len(data)) + data + b"\0" * (len(data) % 2)


IPTC = resource(0x0404, b"\x1c\x02\x50\x00\x06author")
THUMBNAIL = resource(0x040C, b"a thumbnail of the old pixels" * 9)


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def with_segments(*segments: bytes) -> bytes:
    good = saved(Image.fromarray(gradient()), "JPEG")
    return good[:20] + b"".join(segments) + good[20:]  # behind JFIF's


def resources(data: bytes) -> bytes:
    """Everything that a JPEG's Photoshop segments hold, joined."""
    applist = Image.open(io.BytesIO(data)).applist  # type: ignore[attr-defined]
    return b"".join(content.removeprefix(PHOTOSHOP) for name, content in applist if name == "APP13")


def extension(data: bytes) -> bytes:
    applist = Image.open(io.BytesIO(data)).applist  # type: ignore[attr-defined]
    return b"".join(content for name, content in applist if name == "APP1" and content.startswith(EXTENDED))


def test_iptc_of_a_jpeg_is_kept_in_a_jpeg_without_the_thumbnail() -> None:
    picture = images.read(with_segments(segment(0xED, PHOTOSHOP + IPTC + THUMBNAIL + resource(0x0425, b"digest"))))
    assert resources(images.encode(picture, "JPEG")) == IPTC + resource(0x0425, b"digest")
    assert resources(images.encode(picture, "JPEG", strip_metadata=True)) == b""
    assert not images.fit(picture, "JPEG").notes


def test_iptc_longer_than_a_segment_is_kept_whole() -> None:
    long = resource(0x0404, b"\x1c\x02\x78" + b"caption" * 15_000)
    joined = IPTC + long
    parts = [segment(0xED, PHOTOSHOP + joined[at : at + 65_000]) for at in range(0, len(joined), 65_000)]
    picture = images.read(with_segments(*parts))
    assert resources(images.encode(picture, "JPEG")) == joined


def test_iptc_that_is_cut_off_is_kept_as_it_is() -> None:
    picture = images.read(with_segments(segment(0xED, PHOTOSHOP + IPTC + resource(0x0425, b"x" * 400)[:200])))
    assert resources(images.encode(picture, "JPEG")).startswith(IPTC)


def test_extended_xmp_of_a_jpeg_is_kept_in_a_jpeg() -> None:
    more = [EXTENDED + b"A" * 32 + struct.pack(">II", 120_000, at) + b"<depth/>" * 7_500 for at in (0, 60_000)]
    picture = images.read(with_segments(*(segment(0xE1, each) for each in more)))
    assert extension(images.encode(picture, "JPEG")) == b"".join(more)
    assert extension(images.encode(picture, "JPEG", strip_metadata=True)) == b""


def test_formats_without_a_place_for_them_say_so() -> None:
    picture = images.read(with_segments(segment(0xED, PHOTOSHOP + IPTC), segment(0xE1, EXTENDED + bytes(40))))
    for name in ("PNG", "WEBP", "TIFF", "BMP"):
        notes = images.fit(picture, name).notes
        assert any("IPTC" in note and name in note for note in notes), notes
        assert any("extended XMP" in note for note in notes), notes
    assert not images.fit(picture, "PNG", strip_metadata=True).notes


@pytest.mark.parametrize("name", ["iptc.jpg", "app13_multiple.jpg"])
def test_iptc_of_other_programs_is_kept(name: str) -> None:
    if not CASES.is_dir():
        pytest.skip("the files of other projects are not here")
    before = (CASES / name).read_bytes()
    after = images.encode(images.read(before), "JPEG")
    kept, had = (Image.open(io.BytesIO(data)).info["photoshop"] for data in (after, before))
    assert {number: kept.get(number) for number in had if number not in (0x0409, 0x040C)} == {
        number: content for number, content in had.items() if number not in (0x0409, 0x040C)
    }
    assert kept[0x0404]
