"""Pack downloaded pictures into WebDataset shards, which training streams: `python tools/make_shards.py DOWNLOADS... OUT`.

DOWNLOADS are folders, with their subfolders, .zip, .tar or .tar.gz files as the data sets are published, or folders of such files. The
pictures go unchanged, in order, into OUT/000000.tar and so on, with names of their own; OUT/index.json says how many each shard holds.
Left out are pictures smaller than --least-side, and folders whose names say that they hold low-resolution pictures (LR, X2, X4...) or
pictures for validation or tests, on which nobody may train. docs/training.md lists data sets and their licences.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from PIL import Image

from edgesr.atomic import new_file, write_whole
from edgesr.data.files import BROKEN
from edgesr.errors import EdgesrError, UsageError, one_line

LEFT_OUT = re.compile(r"(^|[_-])(lr|x[2348]|valid|validation|val\d?|test)([_-]|$)", re.IGNORECASE)  # a part of a path
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")


class Named(NamedTuple):
    """A picture file."""

    name: str  # within its download, with /
    content: bytes


def pictures(download: Path) -> Iterator[Named]:
    """Yield the pictures of a folder or an archive in the order of their names, in a tar file in its own. Raises UsageError."""
    if download.is_dir():
        for path in sorted(path for path in download.rglob("*") if path.is_file()):
            if path.name.endswith(ARCHIVES):
                yield from pictures(path)
            elif _wanted(path.relative_to(download).as_posix()):
                yield Named(path.relative_to(download).as_posix(), path.read_bytes())
        return
    try:
        if download.suffix == ".zip":
            with zipfile.ZipFile(download) as archive:
                for name in sorted(filter(_wanted, archive.namelist())):
                    yield Named(name, archive.read(name))
            return
        with tarfile.open(download, "r|*") as stream:
            for member in stream:
                if member.isfile() and _wanted(member.name) and (file := stream.extractfile(member)):
                    yield Named(member.name, file.read())
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise UsageError(f"{download}: is no folder, .zip or .tar file, or damaged: {one_line(error)}") from error


def _wanted(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = path.name.startswith(".") or "__MACOSX" in path.parts
    picture = path.suffix.lower() in Image.registered_extensions()
    return picture and not hidden and not any(LEFT_OUT.search(part) for part in path.parts[:-1])


def write(found: Iterator[Named], out: Path, *, shard_bytes: int, least_side: int) -> tuple[list[int], int]:
    """Write the shards and their index; return how many pictures each holds, and how many were broken or too small."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: is not an empty folder; name a new one")
    out.mkdir(parents=True, exist_ok=True)
    counts: list[int] = []
    left_out = 0
    ahead = next(found, None)
    while ahead is not None:
        count, size = 0, 0
        with new_file(out / f"{len(counts):06d}.tar") as stream, tarfile.open(fileobj=stream, mode="w") as shard:
            while ahead is not None and (not count or size + len(ahead.content) <= shard_bytes):
                if _side(ahead.content) < least_side:
                    left_out += 1
                else:
                    member = tarfile.TarInfo(f"{sum(counts) + count:09d}{PurePosixPath(ahead.name).suffix.lower()}")
                    member.size = len(ahead.content)
                    shard.addfile(member, io.BytesIO(ahead.content))
                    count, size = count + 1, size + member.size
                ahead = next(found, None)
        if count:
            counts.append(count)
    if not counts:
        (out / "000000.tar").unlink(missing_ok=True)
        raise UsageError("no pictures there that are large enough; name the downloaded folder or archives")
    shards = [{"url": f"{number:06d}.tar", "nsamples": count} for number, count in enumerate(counts)]
    write_whole(out / "index.json", json.dumps({"wids_version": 1, "shardlist": shards}, indent=1).encode())
    return counts, left_out


def _side(content: bytes) -> int:
    """The shorter side in px by the header; 0 if there is none to read."""
    try:
        with Image.open(io.BytesIO(content)) as picture:
            return min(picture.size)
    except BROKEN:
        return 0


def main() -> int:
    """Pack; 2 for a wrong command line, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("downloads", type=Path, nargs="+", metavar="DOWNLOADS", help="folders or archives")
    parser.add_argument("out", type=Path, metavar="OUT", help="a new or an empty folder")
    parser.add_argument("--shard-mb", type=int, default=200, metavar="MB", help="size of a shard (default: %(default)s)")
    parser.add_argument(
        "--least-side", type=int, default=256, metavar="PX", help="of the pictures taken (default: %(default)s)"
    )
    arguments = parser.parse_args()
    found = (picture for download in arguments.downloads for picture in pictures(download))
    try:
        counts, left_out = write(
            found, arguments.out, shard_bytes=arguments.shard_mb * 1_000_000, least_side=arguments.least_side
        )
    except (EdgesrError, OSError) as error:
        print(f"make_shards: {one_line(error)}", file=sys.stderr)
        return 2
    print(f"{arguments.out}: {sum(counts)} pictures in {len(counts)} shards; {left_out} too small or broken left out")
    return 0


if __name__ == "__main__":
    sys.exit(main())
