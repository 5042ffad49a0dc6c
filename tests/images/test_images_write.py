"""A file is there whole or not at all, nothing is replaced unasked, and what cannot be written is said beforehand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from picture_files import gradient, noise
from users import open_folder, unprivileged

from edgesr import atomic, images
from edgesr.errors import InputError, UsageError
from edgesr.images import Picture

PICTURE = Picture(gradient(), "PNG")


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".tif", ".bmp", ".avif"])
def test_the_extension_says_the_format(tmp_path: Path, extension: str) -> None:
    target = tmp_path / f"out{extension.upper()}"
    images.write(target, PICTURE)
    assert images.read(target).format == images.format_for(extension)
    assert names(tmp_path) == [target.name]


def test_a_format_given_wins_over_the_extension(tmp_path: Path) -> None:
    images.write(tmp_path / "out.dat", PICTURE, format="PNG")
    assert images.read(tmp_path / "out.dat").format == "PNG"


def test_an_existing_file_is_kept_unless_asked(tmp_path: Path) -> None:
    target = tmp_path / "out.png"
    target.write_text("precious")
    with pytest.raises(InputError, match=r"out\.png: exists already; use --overwrite .* or --skip-existing"):
        images.write(target, PICTURE)
    assert target.read_text() == "precious"
    images.write(target, PICTURE, overwrite=True)
    assert images.read(target).pixels.shape == (24, 40, 3)


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not links:  # as on a file system without hard links

        def refuse(*_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(atomic.os, "link", refuse)
    target = tmp_path / "out.png"
    with pytest.raises(InputError, match="exists already"), atomic.atomic_write(target, overwrite=False) as stream:
        stream.write(b"late")
        target.write_text("first")
    assert target.read_text() == "first"
    assert names(tmp_path) == ["out.png"]
    with atomic.atomic_write(tmp_path / "other.png", overwrite=False) as stream:
        stream.write(b"alone")
    assert (tmp_path / "other.png").read_bytes() == b"alone"


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_leaves_nothing_behind(tmp_path: Path, interruption: type[BaseException]) -> None:
    target = tmp_path / "out.png"
    target.write_text("precious")
    with pytest.raises(interruption), atomic.atomic_write(target, overwrite=True) as stream:
        stream.write(b"half")
        raise interruption
    assert target.read_text() == "precious"
    assert names(tmp_path) == ["out.png"]


def test_a_missing_folder_and_a_folder_as_target_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"the folder {tmp_path / 'no'} does not exist"):
        images.write(tmp_path / "no" / "out.png", PICTURE)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        images.write(tmp_path / "folder.png", PICTURE, overwrite=True)


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="no devices here")
def test_a_device_is_not_replaced_by_a_file() -> None:
    with pytest.raises(InputError, match="not a regular file"):
        images.write(Path("/dev/null"), PICTURE, format="PNG", overwrite=True)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_read_only_folder_is_named() -> None:
    with open_folder() as folder:
        folder.chmod(0o555)
        with unprivileged(), pytest.raises(InputError, match=f"cannot write into the folder {folder}"):
            images.write(folder / "out.png", PICTURE)
        assert not list(folder.iterdir())
        folder.chmod(0o755)


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limit to set")
@pytest.mark.parametrize("name", ["out.png", "out.jpg", "out.tif", "out.webp"])
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    """The system refuses the write for real: the process may not write files beyond 4 kB."""
    program = f"""
import resource, sys
from pathlib import Path
import numpy as np
from edgesr import atomic, images
from edgesr.errors import InputError
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
pixels = np.random.default_rng(0).integers(0, 256, (80, 80, 3)).astype(np.uint8)
try:
    images.write(Path({str(tmp_path / name)!r}), images.Picture(pixels, "PNG"))
except InputError as error:
    sys.exit(str(error))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "File too large" in done.stderr
    assert f"cannot write into the folder {tmp_path}" in done.stderr
    assert "Traceback" not in done.stderr
    assert names(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_permissions_follow_the_umask_and_a_replaced_file_keeps_its_own(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        images.write(tmp_path / "new.png", PICTURE)
    finally:
        os.umask(before)
    assert (tmp_path / "new.png").stat().st_mode & 0o777 == 0o640
    (tmp_path / "new.png").chmod(0o604)
    images.write(tmp_path / "new.png", PICTURE, overwrite=True)
    assert (tmp_path / "new.png").stat().st_mode & 0o777 == 0o604


def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real.png").write_text("old")
    (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
    images.write(tmp_path / "link.png", PICTURE, overwrite=True)
    assert (tmp_path / "link.png").is_symlink()
    assert images.read(tmp_path / "real.png").format == "PNG"


@pytest.mark.parametrize(("name", "side"), [("JPEG", 65500), ("WEBP", 16383), ("AVIF", 65536)])
def test_a_side_too_long_is_refused_before_the_work(name: str, side: int, tmp_path: Path) -> None:
    images.check_size(name, side, side)
    with pytest.raises(InputError, match=f"{name} is limited to {side} pixels a side.*use PNG or TIFF"):
        images.check_size(name, side + 1, 1)
    target = tmp_path / ("out" + images.extension_for(name))
    with pytest.raises(InputError, match="use PNG or TIFF"):
        images.write(target, Picture(np.zeros((1, side + 1, 3), np.uint8), "PNG"))
    assert names(tmp_path) == []


@pytest.mark.parametrize(("name", "side"), [("JPEG", 65500), ("WEBP", 16383)])
def test_the_longest_side_allowed_can_be_written(name: str, side: int) -> None:
    data = images.encode(Picture(np.zeros((1, side, 3), np.uint8), "PNG"), name)
    assert images.read(data).pixels.shape == (1, side, 3)


def test_a_tiff_that_may_pass_4_gib_gets_the_form_that_can() -> None:
    from edgesr.images.tiff import needs_big

    assert not needs_big(3 * 30_000 * 40_000)
    assert needs_big(3 * 40_000 * 40_000)
    assert images.encode(PICTURE, "TIFF")[:4] == b"II*\0"


def test_quality_changes_the_size_and_must_be_sensible() -> None:
    picture = Picture(noise(3, np.uint8, 64, 64), "PNG")
    for name in ("JPEG", "WEBP", "AVIF"):
        sizes = [len(images.encode(picture, name, quality=quality)) for quality in (30, 95)]
        assert sizes[0] < sizes[1]
        for quality in (0, 101):
            with pytest.raises(UsageError, match=f"quality {quality} is out of range: use 1 to 100"):
                images.encode(picture, name, quality=quality)


def test_webp_of_quality_100_is_lossless() -> None:
    pixels = noise(4, np.uint8)
    assert np.array_equal(images.read(images.encode(Picture(pixels, "PNG"), "WEBP", quality=100)).pixels, pixels)


def test_extensions() -> None:
    assert [images.format_for(text) for text in (".jpg", "JPG", "a/b.jpeg", "png", "x.TIF", "TIFF", "webp")] == [
        *("JPEG", "JPEG", "JPEG", "PNG", "TIFF", "TIFF", "WEBP")
    ]
    assert images.extension_for("JPEG") == ".jpg"
    for text in (".gif", "x.txt", "png.zip", "", "jpgg"):
        with pytest.raises(UsageError, match=r"\.png"):
            images.format_for(text)
    named = ["a.JPG", "b.heic", "c.gif", "d.txt", "png", ".png"]
    assert [name for name in named if images.is_picture_name(Path(name))] == ["a.JPG", "b.heic", "c.gif"]


@pytest.mark.skipif(sys.platform == "win32", reason="measures resident memory the POSIX way")
@pytest.mark.parametrize("name", ["out.jpg", "out.png", "out.tif"])
def test_writing_holds_a_few_rows_beside_the_picture(tmp_path: Path, name: str) -> None:
    """12 megapixels: 36 MB of pixels, of which no copy is made, and what the encoder needs."""
    program = f"""
import resource
from pathlib import Path
import numpy as np
from edgesr import atomic, images
for name in ("JPEG", "PNG", "TIFF"):
    images.encode(images.Picture(np.zeros((8, 8, 3), np.uint8), "PNG"), name)
pixels = np.zeros((3000, 4000, 3), np.uint8)
pixels[:] = np.arange(4000, dtype=np.uint8)[None, :, None]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
images.write(Path({str(tmp_path / name)!r}), images.Picture(pixels, "PNG"))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    kilobytes = int(done.stdout) // (1024 if sys.platform == "darwin" else 1)
    assert kilobytes < 12_000, f"{kilobytes} kB on {psutil.virtual_memory().total} bytes of memory"
