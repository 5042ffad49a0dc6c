"""Folders on local disks, object stores and servers, through fsspec: named by a path or URL, written whole or not at all."""

from __future__ import annotations

import filecmp
import io
import os
import posixpath
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from edgesr import atomic
from edgesr.errors import EdgesrError, InputError, UsageError, missing_package, one_line

T = TypeVar("T")

# The package that reads a scheme, and the extra that installs it.
_EXTRAS = {"s3": ("s3fs", "s3"), "s3a": ("s3fs", "s3"), "gs": ("gcsfs", "gcs"), "gcs": ("gcsfs", "gcs")}
_EXTRAS |= {
    "sftp": ("paramiko", "sftp"),
    "ssh": ("paramiko", "sftp"),
    "http": ("aiohttp", "http"),
    "https": ("aiohttp", "http"),
}
# A PUT appears as a whole or not at all on these; elsewhere a file is written under another name, and renamed.
_OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oci", "oss", "memory"}
_TEMPORARY = ".edgesr-"
_TRIES, _PAUSE_SECONDS = 3, 1.0  # of a transfer that the network broke
_FINAL = (FileNotFoundError, PermissionError, FileExistsError, IsADirectoryError, NotADirectoryError)
_STAMPS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "modified", "updated")


@dataclass(frozen=True)
class Entry:
    """A file in a folder."""

    name: str  # relative to the folder, with /
    bytes: int | None
    stamp: str | None  # changes when the file does: its ETag, or time of modification


class NotReachableError(UsageError):
    """A storage that cannot be opened: no such bucket, no credentials, no such server."""


class Folder:
    """A folder by path or URL; names in it are relative and use "/"."""

    def __init__(self, url: str) -> None:
        """Raises UsageError if the URL's scheme is unknown, its package is missing, or its server cannot be reached."""
        self._opened = url
        fs, path = opened(url)
        self.local = _is_local(fs)
        self._path = path.rstrip("/") or "/"
        self.url = self._path if self.local else url.rstrip("/")
        self._whole = bool(_schemes(fs) & _OBJECT_STORES)

    @property
    def _fs(self) -> Any:
        """The file system, one for each thread: fsspec keeps them, and that of SFTP can serve only one."""
        return opened(self._opened)[0]

    def __contains__(self, other: Folder) -> bool:
        """Whether the folder is `other` or holds it."""
        if _schemes(self._fs).isdisjoint(_schemes(other._fs)) or _host(self._fs) != _host(other._fs):
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
        with _reachable(self.url):
            if self._whole:
                self._fs.ls(self._path.split("/")[0])  # a bucket is never created
            else:
                self._fs.makedirs(self._path, exist_ok=True)
        probe = f".edgesr/{_TEMPORARY}{secrets.token_hex(6)}"
        with _reachable(self.url):
            self.write(probe, b"")
            self.remove(probe)

    def check_readable(self) -> None:
        """Raise NotReachableError if there is no such folder or bucket."""
        with _reachable(self.url):
            if self._fs.info(self._path)["type"] == "file":
                raise NotReachableError(f"{self.url} is a file: name a folder, a pattern, or a .parquet, .csv or .txt manifest")

    def files(self) -> Iterator[Entry]:
        """Yield the files in the folder and its subfolders, hidden ones excepted. Raises EdgesrError if one cannot be listed."""
        with _reachable(self.url, EdgesrError):
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
        with _reachable(self.url_of(pattern), EdgesrError):
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


class NamedBytes(io.BytesIO):
    """A file in memory whose errors name where it came from."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


def fetch(url: str) -> Path | NamedBytes:
    """Return a local file's path, or the content of one elsewhere. Raises InputError if it cannot be read."""
    try:
        fs, path = opened(url)
        return Path(path) if _is_local(fs) else NamedBytes(again(lambda: fs.cat_file(path)), url)
    except FileNotFoundError as error:
        raise InputError(f"{url}: no such file") from error
    except EdgesrError:
        raise
    except Exception as error:  # every storage has exceptions of its own
        raise InputError(f"{url}: cannot be read: {one_line(error)}") from error


def info_of(url: str) -> tuple[int | None, str | None]:
    """Return size in bytes and stamp of a file; (None, None) if it has none, or cannot be reached."""
    try:
        fs, path = opened(url)
        info = fs.info(path)
    except Exception:  # it fails with its reason when it is to be read
        return None, None
    return info.get("size"), stamp_of(info)


def stamp_of(info: dict[str, Any]) -> str | None:
    """Return what changes when a file does, from its description by fsspec."""
    return next((str(info[key]) for key in _STAMPS if info.get(key)), None)


def opened(url: str) -> tuple[Any, str]:
    """Return the file system of a path or URL, and the path in it. Raises UsageError."""
    import fsspec

    scheme = url.partition("://")[0] if "://" in url else "file"
    if scheme != "file" and (parts := urlsplit(url)).password:
        shown = url.replace(f":{parts.password}@", ":...@", 1)
        raise UsageError(
            f"{shown}: the ledger would keep the password: give it by FSSPEC_{scheme.upper()}_PASSWORD in the environment"
        )
    try:
        fs, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        if scheme in _EXTRAS:
            package, extra = _EXTRAS[scheme]
            raise UsageError(missing_package(f"{scheme}://", package, extra)) from error
        raise UsageError(f"{url}: {one_line(error)}") from error
    except ValueError as error:
        raise UsageError(
            f"{url}: unknown kind of storage '{scheme}'; use a path, s3://, gs://, sftp:// or another of fsspec's"
        ) from error
    except Exception as error:  # such as a server that refuses the connection
        raise NotReachableError(f"{url}: cannot be reached: {one_line(error)}") from error
    return fs, path


def again(transfer: Callable[[], T], left: int = _TRIES - 1) -> T:
    """Repeat a transfer that the network broke; what cannot succeed is raised at once."""
    try:
        return transfer()
    except (OSError, EOFError) as error:
        if not left or isinstance(error, _FINAL):
            raise
    time.sleep(_PAUSE_SECONDS * (_TRIES - left))
    return again(transfer, left - 1)


class _reachable:  # noqa: N801 (a context manager, used like a function)
    """Turn every exception of a storage into one line that names it."""

    def __init__(self, url: str, kind: type[EdgesrError] = NotReachableError) -> None:
        self._url, self._kind = url, kind

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if error is None or isinstance(error, (EdgesrError, GeneratorExit)) or not isinstance(error, Exception):
            return
        if isinstance(error, FileNotFoundError):
            reason = "no such folder or bucket"
        elif type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError"):
            reason = "no credentials: set those of your provider in the environment (docs/scale.md)"
        else:
            reason = one_line(error)
        raise self._kind(f"{self._url}: {reason}") from error


def _schemes(fs: Any) -> set[str]:
    return {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)


def _is_local(fs: Any) -> bool:
    return "file" in _schemes(fs)


def _host(fs: Any) -> object:
    return getattr(fs, "host", None)
