"""Small files that claim much more than they hold: read, or refused, within a fixed amount of memory."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable

import pytest
from command_line import ENVIRONMENT
from picture_files import chunk, gradient, saved
from PIL import Image

MIB = 2**20
ALLOWED = 300 * MIB  # address space beyond that of a program that has read one small picture

# Reads a file under a limit of its address space, and tells how that went.
PROGRAM = """
import re, resource, sys
from pathlib import Path
from edgesr import images
from edgesr.errors import InputError

images.read(Path(sys.argv[2]))
held = 1024 * int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
resource.setrlimit(resource.RLIMIT_AS, (held + int(sys.argv[3]),) * 2)
try:
    print("read", images.read(Path(sys.argv[1])).pixels.shape)
except InputError as error:
    print("refused", error)
"""


def tiff_directory(entries: list[tuple[int, int, int, int]], following: int) -> bytes:
    packed = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return struct.pack("<H", len(entries)) + packed + struct.pack("<I", following)


def tiff_bomb(pages: int, tags: int, *, in_first: bool) -> bytes:
    """A TIFF of 16x16 grey pixels whose directories have `tags` values of 1 MiB each, all of them the same bytes of the file."""
    pixels, shared = 8, 8 + 256
    body = b"II*\0" + struct.pack("<I", shared + MIB) + bytes(range(256)) + b"A" * MIB
    claims = [(40000 + number, 1, MIB, shared) for number in range(tags)]
    first = [(256, 3, 1, 16), (257, 3, 1, 16), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, pixels)]
    first += [(277, 3, 1, 1), (278, 3, 1, 16), (279, 4, 1, 256), *(claims if in_first else [])]
    for number in range(pages):
        entries = first if number == 0 else [(254, 4, 1, 1), *claims]
        following = len(body) + len(tiff_directory(entries, 0)) if number < pages - 1 else 0
        body += tiff_directory(entries, following)
    return body


def strips_bomb() -> bytes:
    """A TIFF that claims five million strips, whose places and lengths are the same bytes of the file."""
    count = 5_000_000
    entries = [(256, 3, 1, 16), (257, 3, 1, 16), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, count, 8)]
    entries += [(277, 3, 1, 1), (278, 3, 1, 1), (279, 4, count, 8)]
    return b"II*\0" + struct.pack("<I", 8 + 4 * count) + struct.pack("<I", 8) * count + tiff_directory(entries, 0)


def exif_bomb() -> bytes:
    """An EXIF block of 8 MB whose directory and sub-directory claim thousands of values, each nearly all of the block."""
    claims = [(1000 + number, 1, 6 * MIB, 8) for number in range(3000)]
    exif = tiff_directory(claims, 0)
    pointer = (34665, 4, 1, 8)
    return b"II*\0" + struct.pack("<I", 8 + len(exif)) + exif + tiff_directory([*claims, pointer], 0) + bytes(8 * MIB)


def avif_bomb() -> bytes:
    """An AVIF with three million empty properties after those that its picture needs."""
    good = saved(Image.fromarray(gradient()), "AVIF")
    more = b"\0\0\0\x08free" * 3_000_000
    for kind in (b"ipco", b"iprp", b"meta"):  # each lies in the next
        at = good.index(kind) - 4
        length = int.from_bytes(good[at : at + 4], "big")
        good = good[:at] + struct.pack(">I", length + len(more)) + good[at + 4 :]
    end = good.index(b"ipco") - 4 + int.from_bytes(good[good.index(b"ipco") - 4 :][:4], "big") - len(more)
    data = struct.pack(">I", good.index(b"mdat") + 4)
    assert good.count(data) == 1  # where the picture's data lie, as the file says it
    return good[:end].replace(data, struct.pack(">I", good.index(b"mdat") + 4 + len(more))) + more + good[end:]


def png_bomb() -> bytes:
    """A PNG with three million empty chunks before its pixels."""
    good = saved(Image.fromarray(gradient()), "PNG")
    at = good.index(b"IDAT") - 4
    return good[:at] + chunk(b"prVt", b"") * 3_000_000 + good[at:]


def jpeg_bomb() -> bytes:
    """A JPEG with eight million empty segments before its pixels."""
    good = saved(Image.fromarray(gradient()), "JPEG")
    return good[:2] + b"\xff\xe9\0\x02" * 8_000_000 + good[2:]


BOMBS: dict[str, Callable[[], bytes]] = {
    "many pages of a TIFF": lambda: tiff_bomb(60, 63, in_first=False),
    "very many pages of a TIFF": lambda: tiff_bomb(999, 63, in_first=False),
    "one page of a TIFF": lambda: tiff_bomb(1, 3000, in_first=True),
    "strips of a TIFF": strips_bomb,
    "EXIF of a PNG": lambda: saved(Image.fromarray(gradient()), "PNG", exif=exif_bomb()),
    "EXIF of a WebP": lambda: saved(Image.fromarray(gradient()), "WEBP", exif=exif_bomb()),
    "boxes of an AVIF": avif_bomb,
    "chunks of a PNG": png_bomb,
    "segments of a JPEG": jpeg_bomb,
}


def read_within(data: bytes, allowed: int, tmp_path) -> str:
    """Read a file in a process of so much memory more than it has; return what it says, "read" or "refused" first."""
    bomb, small = tmp_path / "bomb", tmp_path / "small"
    bomb.write_bytes(data)
    small.write_bytes(saved(Image.fromarray(gradient()), "TIFF"))
    words = [sys.executable, "-c", PROGRAM, str(bomb), str(small), str(allowed)]
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="limits of memory as Linux has them")  # noqa: PTH110
@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_takes_little_memory_whatever_it_claims(name: str, tmp_path) -> None:
    told = read_within(BOMBS[name](), ALLOWED, tmp_path)
    assert told.startswith(("read", "refused"))
    assert "memory" not in told
