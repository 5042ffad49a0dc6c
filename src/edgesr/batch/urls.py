"""Files by path or URL, through fsspec: opened, read whole, described; failures of the network are repeated, others are one line."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

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
_TRIES, _PAUSE_SECONDS = 3, 1.0  # of a transfer that the network broke
_FINAL = (FileNotFoundError, PermissionError, FileExistsError, IsADirectoryError, NotADirectoryError)
_STAMPS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "modified", "updated")


class NotReachableError(UsageError):
    """A storage that cannot be opened: no such bucket, no credentials, no such server."""


class NamedBytes(io.BytesIO):
    """A file in memory whose errors name where it came from."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


def fetch(url: str) -> Path | NamedBytes:
    """Return a local file's path, or the content of one elsewhere. Raises InputError if it cannot be read."""
    try:
        fs, path = opened(url)
        return Path(path) if is_local(fs) else NamedBytes(again(lambda: fs.cat_file(path)), url)
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


class reachable:  # noqa: N801 (a context manager, used like a function)
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


def schemes(fs: Any) -> set[str]:
    """Return the URL schemes of a file system."""
    return {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)


def is_local(fs: Any) -> bool:
    """Whether a file system is this machine's."""
    return "file" in schemes(fs)


def host_of(fs: Any) -> object:
    """Return the server of a file system; None if it has none."""
    return getattr(fs, "host", None)
