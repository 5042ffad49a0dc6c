"""Folders on local disks, object stores and servers: named by a path or URL, their files written whole or not at all."""

from __future__ import annotations

import filecmp
import os
import posixpath
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgesr import atomic
from edgesr.batch.urls import NotReachableError, again, host_of, is_local, opened, reachable, schemes, stamp_of
from edgesr.errors import EdgesrError

# A PUT appears as a whole or not at all on these; elsewhere a file is written under another name, and renamed.
_OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oci", "oss", "memory"}
_TEMPORARY = ".edgesr-"


@dataclass(frozen=True)
class Entry:
    """A file in a folder."""

    name: str  # relative to the folder, with /
    bytes: int | None
    stamp: str | None  # changes when the file does: its ETag, or time of modification


class Folder:
    """A folder by path or URL; names in it are relative and use "/"."""

    def __init__(self, url: str) -> None:
        """Raises UsageError if the URL's scheme is unknown, its package is missing, or its server cannot be reached."""
        self._opened = url
        fs, path = opened(url)
        self.local = is_local(fs)
        self._path = path.rstrip("/") or "/"
        self.url = self._path if self.local else url.rstrip("/")
        self._whole = bool(schemes(fs) & _OBJECT_STORES)

    @property
    def _fs(self) -> Any:
        """The file system, one for each thread: fsspec keeps them, and that of SFTP can serve only one."""
        return opened(self._opened)[0]

    def __contains__(self, other: Folder) -> bool:
        """Whether the folder is `other` or holds it."""
        if schemes(self._fs).isdisjoint(schemes(other._fs)) or host_of(self._fs) != host_of(other._fs):
            return False
        paths = [os.path.realpath(each._path) if each.local else each._path for each in (self, other)]
        return posixpath.commonpath([paths[0], paths[1]]) == paths[0]

    def url_of(self, name: str) -> str:
        """Return the path or URL of a file in the folder."""
        return f"{self.url.rstrip('/')}/{name}"

    def path_of(self, name: str) -> Path:
        """Return the path of a file in a local folder."""
        return Path(self._join(name))

    def prepare(self) -> None:
        """Create the folder; raises NotReachableError if it cannot be written to."""
        with reachable(self.url):
            if self._whole:
                self._fs.ls(self._path.split("/")[0])  # a bucket is never created
            else:
                self._fs.makedirs(self._path, exist_ok=True)
        probe = f".edgesr/{_TEMPORARY}{secrets.token_hex(6)}"
        with reachable(self.url):
            self.write(probe, b"")
            self.remove(probe)

    def check_readable(self) -> None:
        """Raise NotReachableError if there is no such folder or bucket."""
        with reachable(self.url):
            if self._fs.info(self._path)["type"] == "file":
                raise NotReachableError(f"{self.url} is a file: name a folder, a pattern, or a .parquet, .csv or .txt manifest")

    def files(self) -> Iterator[Entry]:
        """Yield the files in the folder and its subfolders, hidden ones excepted. Raises EdgesrError if one cannot be listed."""
        with reachable(self.url, EdgesrError):
            yield from self._walked("")

    def _walked(self, below: str) -> Iterator[Entry]:
        if self.local:
            yield from _scanned(Path(self._path), Path(self._join(below)))
            return
        try:
            found = self._fs.ls(self._join(below), detail=True)
        except (FileNotFoundError, NotADirectoryError):  # nothing was written yet, or it has vanished
            return
        for info in found:
            path = info["name"].rstrip("/")
            name = posixpath.basename(path)
            if not name or name.startswith(".") or path == self._join(below):  # the last: the marker of an empty folder
                continue
            if info["type"] == "directory":
                yield from self._walked(posixpath.join(below, name))
            else:
                yield Entry(posixpath.join(below, name), info.get("size"), stamp_of(info))

    def matching(self, pattern: str) -> Iterator[Entry]:
        """Yield the files that match a pattern such as "**/*.jpg", hidden ones excepted."""
        with reachable(self.url_of(pattern), EdgesrError):
            found = self._fs.glob(self._join(pattern), detail=True)
        start = len(self._path.rstrip("/")) + 1
        for path, info in sorted(found.items()):
            relative = path[start:]
            if info["type"] != "directory" and not any(part.startswith(".") for part in relative.split("/")):
                yield Entry(relative, info.get("size"), stamp_of(info))

    def names(self, below: str, ending: str) -> list[str]:
        """List the names of files directly below a subfolder; [] if there is none."""
        self._fs.invalidate_cache()
        try:
            found = self._fs.ls(self._join(below), detail=False)
        except FileNotFoundError:
            return []
        return sorted(posixpath.join(below, posixpath.basename(each)) for each in found if each.endswith(ending))

    def open(self, name: str) -> Any:
        """Open a file for reading."""
        return self._fs.open(self._join(name), "rb")

    def read(self, name: str) -> bytes | None:
        """Return a file's content; None if there is none."""
        try:
            content: bytes = self._fs.cat_file(self._join(name))
        except FileNotFoundError:
            return None
        return content

    def write(self, name: str, content: bytes) -> None:
        """Write a file, in place of one there, whole or not at all."""
        if self.local:
            path = self.path_of(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_whole(path, content)
            return
        again(lambda: self._publish(name, lambda path: self._fs.pipe_file(path, content)))

    def put(self, file: Path, name: str, *, replace: bool) -> None:
        """Store a local file under `name`, whole or not at all.

        Without `replace` a file there is kept: the same content is as good as written, another raises atomic.ExistsError.
        """
        if not replace and self.exists(name):
            if not self.same(file, name):
                raise atomic.ExistsError(f"{self.url_of(name)}: exists already; use --overwrite to replace it")
            return
        again(lambda: self._publish(name, lambda path: self._fs.put_file(str(file), path)))

    def same(self, file: Path, name: str) -> bool:
        """Whether a local file and the file called `name` have the same content."""
        if self.local:
            return filecmp.cmp(file, self.path_of(name), shallow=False)
        return self.read(name) == file.read_bytes()

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""
        self._fs.invalidate_cache()
        return bool(self._fs.exists(self._join(name)))

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        with suppress(FileNotFoundError):
            self._fs.rm_file(self._join(name))

    def remove_abandoned(self, below: str = "") -> None:
        """Remove what killed processes left half written in the folder and its subfolders."""
        if self._whole:
            return
        if self.local:
            for place, _, _ in os.walk(self._join(below)):
                atomic.remove_abandoned(Path(place))
            return
        hour_ago = time.time() - 3600
        for place, _, files in self._fs.walk(self._join(below), detail=True):
            for name, info in files.items():
                changed = info.get("mtime")
                if name.startswith(_TEMPORARY) and hasattr(changed, "timestamp") and changed.timestamp() < hour_ago:
                    with suppress(OSError):
                        self._fs.rm_file(posixpath.join(place, name))

    def _publish(self, name: str, write: Callable[[str], object]) -> None:
        final = self._join(name)
        if self._whole:
            write(final)
            return
        place = posixpath.dirname(final)
        with suppress(FileExistsError):
            self._fs.makedirs(place, exist_ok=True)
        temporary = posixpath.join(place, f"{_TEMPORARY}{secrets.token_hex(6)}.tmp")
        try:
            write(temporary)
            self._fs.mv(temporary, final)
        except BaseException:
            with suppress(Exception):
                self._fs.rm_file(temporary)
            raise

    def _join(self, name: str) -> str:
        return posixpath.join(self._path, name) if name else self._path


def _scanned(root: Path, folder: Path) -> Iterator[Entry]:
    """Yield the files below a local folder one by one: a listing of it as a whole would grow with it."""
    try:
        found = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with found:
        for each in found:
            if each.name.startswith("."):
                continue
            if each.is_dir(follow_symlinks=False):
                yield from _scanned(root, Path(each.path))
                continue
            name = Path(each.path).relative_to(root).as_posix()
            try:
                status = each.stat()
            except OSError:  # such as a broken link: it fails with its reason when it is to be read
                yield Entry(name, None, None)
            else:
                if not stat.S_ISDIR(status.st_mode):
                    yield Entry(name, status.st_size, str(status.st_mtime))
