"""Whatever is wrong with an input, the person gets one line that names the file and the reason."""

from __future__ import annotations

import io
import re
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from picture_files import camera_exif, chunk, gradient, noise, png, png_file, saved
from PIL import Image
from users import open_folder, unprivileged

from edgesr import images
from edgesr.errors import InputError
from edgesr.images import Picture

CASES = Path(__file__).parents[3] / "shared" / "cases"
SOURCE = Picture(gradient(), "PNG", exif=camera_exif(), dpi=(72.0, 72.0))
VALID = {name: images.encode(SOURCE, name) for name in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF")}
VALID["PNG16"] = images.encode(Picture(gradient(dtype=np.uint16), "PNG"), "PNG")
VALID["TIFF16"] = images.encode(Picture(gradient(dtype=np.uint16), "PNG"), "TIFF")
VALID["TIFF raw"] = saved(Image.fromarray(gradient()), "TIFF")
VALID["GIF"] = saved(Image.fromarray(gradient()[..., 0]), "GIF")
VALID["progressive JPEG"] = saved(Image.fromarray(gradient(64, 64)), "JPEG", progressive=True)
WHOLE = {name: images.read(data).pixels for name, data in VALID.items()}


def refusal(source: object, **options: int) -> str:
    """Return the message an input is refused with, which must be one line."""
    with pytest.raises(InputError) as caught:
        images.read(source, **options)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", VALID)
def test_a_file_cut_short_anywhere_is_refused_or_read_whole(name: str) -> None:
    """Never a picture with a grey end: only what ends behind the pixels may be missing."""
    data = VALID[name]
    for length in sorted({*range(0, len(data), max(1, len(data) // 40)), *range(len(data) - 12, len(data))}):
        try:
            read = images.read(data[:length]).pixels
        except InputError:
            continue
        assert np.array_equal(read, WHOLE[name]), f"{length} of {len(data)} bytes"


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), name=st.sampled_from(sorted(VALID)))
def test_damaged_bytes_never_raise_anything_else(data: st.DataObject, name: str) -> None:
    damaged = bytearray(VALID[name])
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(len(damaged) // 2, len(damaged)))
    try:
        images.read(bytes(damaged[:cut]), max_pixels=10**6)
    except InputError as error:
        assert "\n" not in str(error)


@settings(max_examples=100, deadline=None)
@given(
    head=st.sampled_from(
        [
            *(b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"BM", b"GIF89a"),
            *(b"RIFF\xff\0\0\0WEBPVP8 ", b"\0\0\0\x1cftypavif"),
        ]
    ),
    tail=st.binary(max_size=200),
)
def test_random_bytes_never_raise_anything_else(head: bytes, tail: bytes) -> None:
    with pytest.raises(InputError):
        images.read(head + tail, max_pixels=10**6)


def test_each_message_names_the_file_and_the_reason(tmp_path: Path) -> None:
    empty, text, cut = tmp_path / "empty.jpg", tmp_path / "text.png", tmp_path / "cut.jpg"
    empty.touch()
    text.write_text("Dear diary")
    cut.write_bytes(VALID["JPEG"][: len(VALID["JPEG"]) // 2])
    assert f"{empty}: is empty" in refusal(empty)
    assert f"{text}: unsupported image format" in refusal(text)
    assert f"{cut}: " in refusal(cut)
    assert "truncated" in refusal(cut).lower()
    assert "No such file" in refusal(tmp_path / "missing.png")
    assert "directory" in refusal(tmp_path)
    assert "the picture given" in refusal(b"nothing")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_file_without_permission_is_named() -> None:
    with open_folder() as folder:
        locked = folder / "locked.png"
        locked.write_bytes(VALID["PNG"])
        locked.chmod(0)
        with unprivileged():
            message = refusal(locked)
    assert "Permission denied" in message


def test_format_is_told_by_the_content(tmp_path: Path) -> None:
    misnamed = tmp_path / "really-a-jpeg.png"
    misnamed.write_bytes(VALID["JPEG"])
    picture = images.read(misnamed)
    assert (picture.format, picture.notes) == ("JPEG", ["the file is a JPEG, although its name says otherwise"])
    for name in ("right.JPEG", "none", "other.dat"):
        misnamed = misnamed.rename(tmp_path / name)
        assert not images.read(misnamed).notes


def test_a_bomb_is_refused_by_its_header_with_the_way_out() -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
    message = refusal(png_file(header, chunk(b"IDAT", zlib.compress(b"\0" * 100))))
    assert "50000x50000 = 2,500,000,000 pixels" in message
    assert f"{images.MAX_PIXELS:,}" in message
    assert "--max-pixels 2500000000" in message
    assert "max_pixels=" in message


@pytest.mark.parametrize("name", VALID)
def test_the_limit_counts_pixels_exactly(name: str) -> None:
    height, width = WHOLE[name].shape[:2]
    assert images.read(VALID[name], max_pixels=height * width).pixels.shape == WHOLE[name].shape
    assert f"{width}x{height}" in refusal(VALID[name], max_pixels=height * width - 1)


def test_webp_of_any_kind_states_its_size_before_it_is_decoded() -> None:
    for options in ({"lossless": True}, {"quality": 80}, {"quality": 80, "exif": camera_exif()}):
        data = saved(Image.new("RGB", (300, 200), "red"), "WEBP", **options)
        assert "300x200" in refusal(data, max_pixels=59_999)


def test_pillow_s_own_limit_neither_interferes_nor_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for name, data in VALID.items():
        assert np.array_equal(images.read(data).pixels, WHOLE[name])
    assert Image.MAX_IMAGE_PIXELS == 100


def test_series_of_pictures_are_refused_with_their_number() -> None:
    frames = [Image.fromarray(noise(3, np.uint8) // (index + 1)) for index in range(3)]
    for name in ("GIF", "PNG", "WEBP", "TIFF", "AVIF"):
        data = saved(frames[0], name, save_all=True, append_images=frames[1:])
        message = refusal(data)
        assert re.search(r"\b3 (frames|pages)", message), name
        assert "still pictures" in message


def test_a_tiff_with_a_thumbnail_page_passes() -> None:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as file:
        file.write(gradient(), photometric="rgb")
        file.write(gradient()[::4, ::4].copy(), photometric="rgb", subfiletype=1)
    assert np.array_equal(images.read(stream.getvalue()).pixels, gradient())


@pytest.mark.parametrize("name", ["TIFF", "TIFF16", "TIFF raw"])
def test_a_tiff_whose_pages_go_round_in_a_circle_is_refused_at_once(name: str) -> None:
    data = bytearray(VALID[name])
    first = struct.unpack_from("<I", data, 4)[0]
    entries = struct.unpack_from("<H", data, first)[0]
    struct.pack_into("<I", data, first + 2 + 12 * entries, first)
    assert "form a cycle" in refusal(bytes(data))


def test_compressed_text_and_profile_bombs_are_refused() -> None:
    bomb = zlib.compress(bytes(50_000_000))
    for extra in (chunk(b"zTXt", b"k\0\0" + bomb), chunk(b"iCCP", b"k\0\0" + bomb)):
        assert "too large" in refusal(png(gradient(), extra=extra, depth=8))


def test_warnings_of_the_libraries_stay_inside(capfd: pytest.CaptureFixture[str]) -> None:
    """Also when many threads read at once: every filter is back in place at the end."""
    before = list(warnings.filters)
    broken = saved(Image.fromarray(gradient()), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0abc")
    jobs = [broken, VALID["TIFF"], VALID["TIFF"][:-20], VALID["PNG"]]

    def work() -> None:
        for data in jobs * 5:
            with suppress(InputError):
                images.read(data)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before
    assert capfd.readouterr().err == ""


def test_pillow_logs_nothing_to_the_screen() -> None:
    """In a fresh Python, since pytest takes the log."""
    data = VALID["TIFF raw"].replace(struct.pack("<HHII", 277, 3, 1, 3), struct.pack("<HHII", 277, 3, 1, 9000))
    assert data != VALID["TIFF raw"]
    program = "import sys; from edgesr import images; images.read(sys.stdin.buffer)"
    done = subprocess.run([sys.executable, "-c", program], input=data, capture_output=True, check=False)
    assert b"InputError" in done.stderr
    assert b"More samples per pixel" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Pillow for Windows keeps its libtiff to itself")
@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "lzma", "zstd", "group4", "tiff_ccitt", "jpeg"])
def test_libtiff_prints_nothing_of_its_own(compression: str, capfd: pytest.CaptureFixture[str]) -> None:
    bilevel = compression in ("group4", "tiff_ccitt")
    valid = saved(Image.fromarray(noise(3, np.uint8)).convert("1" if bilevel else "RGB"), "TIFF", compression=compression)
    with tifffile.TiffFile(io.BytesIO(valid)) as file:
        start, length = file.pages.first.dataoffsets[0], file.pages.first.databytecounts[0]
    for value in (0, 0x55, 0xFF):
        with suppress(InputError):
            images.read(valid[: start + length // 2] + bytes([value] * (length // 2)) + valid[start + length // 2 * 2 :])
    assert capfd.readouterr().err == ""


def planar(samples: int, photometric: str, dtype: type, **options: object) -> bytes:
    """A TIFF that keeps each channel in a plane of its own."""
    stream = io.BytesIO()
    pixels = np.ascontiguousarray(np.moveaxis(gradient(channels=4, dtype=dtype)[..., :samples], -1, 0))
    tifffile.imwrite(stream, pixels, photometric=photometric, planarconfig="separate", **options)
    return stream.getvalue()


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_planes_that_would_be_read_wrongly_are_refused(compression: str | None) -> None:
    for data in (
        planar(4, "separated", np.uint16, compression=compression),
        planar(3, "cielab", np.uint8, compression=compression),
        planar(2, "minisblack", np.uint8, compression=compression, extrasamples=["unassalpha"]),
        planar(2, "minisblack", np.uint8, compression=compression, extrasamples=["assocalpha"]),
    ):
        assert "planar channels" in refusal(data)
    for channels in (3, 4):
        extra = ["unassalpha"] if channels == 4 else None
        data = planar(channels, "rgb", np.uint8, compression=compression, extrasamples=extra)
        assert np.array_equal(images.read(data).pixels, gradient(channels=channels))
    assert images.read(planar(4, "separated", np.uint8, compression=compression)).pixels.shape == (24, 40, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_channel_that_is_neither_colour_nor_alpha_is_named(dtype: type) -> None:
    for samples, photometric, extra in ((4, "rgb", ["unspecified"]), (2, "minisblack", ["unspecified"])):
        stream = io.BytesIO()
        pixels = gradient(channels=samples, dtype=dtype)
        tifffile.imwrite(stream, pixels, photometric=photometric, planarconfig="contig", extrasamples=extra)
        try:
            picture = images.read(stream.getvalue())
        except InputError as error:  # Pillow 12.0 knows no mode for some of them
            assert "unknown pixel mode" in str(error)
            continue
        if picture.pixels.shape[2] < samples:
            assert picture.notes == ["a channel that is neither colour nor alpha was dropped"]
        assert (samples, picture.pixels.shape[2]) in ((4, 3), (2, 1), (2, 2))


def cropped(avif: bytes, *numbers: int) -> bytes:
    """The AVIF with a clean aperture: numerator and denominator of width, height, and the offset of its centre."""
    box = struct.pack(">I4sIIIIiIiI", 40, b"clap", *numbers)
    end = avif.index(b"ipco") - 4 + int.from_bytes(avif[avif.index(b"ipco") - 4 :][:4], "big")
    made = bytearray(avif[:end] + box + avif[end:])
    for name in (b"meta", b"iprp", b"ipco"):
        at = made.index(name) - 4
        made[at : at + 4] = (int.from_bytes(made[at : at + 4], "big") + len(box)).to_bytes(4, "big")
    at = made.index(b"iloc") + 8  # two sizes of fields, a count, and 14 bytes an item: 6 of them before its offset in the file
    for item in range(int.from_bytes(made[at + 2 : at + 4], "big")):
        offset = at + 4 + 14 * item + 6
        made[offset : offset + 4] = (int.from_bytes(made[offset : offset + 4], "big") + len(box)).to_bytes(4, "big")
    return bytes(made)


def test_an_avif_is_cropped_as_it_says_before_it_is_turned() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for options, turned in (({}, False), ({"exif": exif}, True)):
        good = saved(Image.fromarray(gradient()), "AVIF", quality=100, **options)  # 24 rows of 40
        whole, part = (images.read(data).pixels for data in (good, cropped(good, 10, 1, 12, 2, -3, 1, 1, 1)))
        if turned:  # a quarter to the right
            whole = np.rot90(whole)
        assert np.array_equal(np.rot90(part) if turned else part, whole[10:16, 12:22])


@pytest.mark.parametrize(
    "numbers",
    [
        *((41, 1, 24, 1, 0, 1, 0, 1), (10, 1, 12, 1, 16, 1, 0, 1), (9, 1, 12, 1, 0, 1, 0, 1)),  # too wide, beyond, half a pixel
        *((0, 1, 12, 1, 0, 1, 0, 1), (10, 0, 12, 1, 0, 1, 0, 1), (10, 1, 12, 1, 0, 1, 2**31 - 1, 1)),
    ],
)
def test_a_crop_that_makes_no_sense_is_refused(numbers: tuple[int, ...]) -> None:
    assert "clean aperture" in refusal(cropped(saved(Image.fromarray(gradient()), "AVIF"), *numbers))


def test_two_crops_are_refused() -> None:
    good = saved(Image.fromarray(gradient()), "AVIF")
    assert "clean aperture" in refusal(cropped(cropped(good, 10, 1, 12, 1, 0, 1, 0, 1), 12, 1, 12, 1, 0, 1, 0, 1))


def test_the_crop_of_another_projects_file_is_applied() -> None:
    if not CASES.is_dir():
        pytest.skip("the files of other projects are not here")
    assert images.read(CASES / "avif_clap_crop.avif").pixels.shape == (100, 180, 4)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("planar_cmyk_16.tif", "planar channels"),
        ("planar_grey_alpha.tiff", "planar channels"),
    ],
)
def test_files_of_other_projects_that_were_read_wrongly_are_refused(name: str, words: str) -> None:
    if not CASES.is_dir():
        pytest.skip("the files of other projects are not here")
    assert words in refusal(CASES / name)


def test_streams_and_pipes_are_read() -> None:
    assert np.array_equal(images.read(io.BytesIO(VALID["PNG"])).pixels, WHOLE["PNG"])
    program = "import sys; from edgesr import images; print(images.read(sys.stdin.buffer).pixels.shape)"
    done = subprocess.run([sys.executable, "-c", program], input=VALID["PNG"], capture_output=True, check=True)
    assert done.stdout.decode().strip() == str(WHOLE["PNG"].shape)
