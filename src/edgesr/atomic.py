"""Write files and folders atomically: complete or not at all. Imports the standard library only, for machines that only train."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from edgesr.errors import InputError, one_line

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be removed
    fcntl = None  # type: ignore[assignment]

_NAME = ".edgesr-*.tmp"
_NEW_SECONDS = 60.0  # where there are no locks, the age from which a file counts as abandoned
_unfinished: set[Path] = set()  # temporary files of this process


class ExistsError(InputError):
    """The file to be written exists already, or appeared meanwhile."""


def check_target(target: Path, *, overwrite: bool) -> None:
    """Raise InputError if `target` cannot be written: call it before the work that leads to it."""
    folder = target.parent
    if not folder.is_dir():
        raise InputError(f"{target}: the folder {folder} does not exist; create it first")
    if target.is_dir():
        raise InputError(f"{target}: is a folder; name a file")
    if os.path.lexists(target):
        if not overwrite:
            raise _exists(target)
        if target.exists() and not target.is_file():
            raise InputError(f"{target}: is not a regular file; name another")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{target}: cannot write into the folder {folder}: permission denied")


@contextmanager
def atomic_write(target: Path, overwrite: bool, *, source: Path | None = None) -> Iterator[BinaryIO]:
    """Yield a temporary file beside `target`, open for writing and reading, that becomes `target` when the block ends.

    As `new_file`, but the target is checked first, and whatever the file system refuses becomes an InputError that names file,
    folder and reason.
    """
    check_target(target, overwrite=overwrite)
    try:
        with new_file(target, overwrite=overwrite, source=source) as stream:
            yield stream
    except FileExistsError as error:
        raise _exists(target) from error
    except OSError as error:
        raise InputError(
            f"{target}: cannot write into the folder {_final(target, overwrite).parent}: {one_line(error)}"
        ) from error


def write_whole(target: Path, content: bytes) -> None:
    """Write `content` to `target`, in place of a file there. Raises OSError; `target` is then as before."""
    with new_file(target) as stream:
        stream.write(content)


@contextmanager
def new_file(target: Path, *, overwrite: bool = True, source: Path | None = None) -> Iterator[BinaryIO]:
    """Yield a temporary file beside `target`, open for writing and reading, that becomes `target` when the block ends.

    The file is synced to the disk and its size checked first. If the block raises, or is interrupted, the temporary
    file is removed and `target` is as before. With `overwrite` false an existing `target` is never replaced, even one
    that appeared meanwhile. A new file gets no more permissions than `source`; a replaced file keeps its own;
    a link stays and the file it points to is replaced.
    Raises OSError for whatever the file system refuses, FileExistsError where `target` may not be replaced.
    """
    final = _final(target, overwrite)

    def publish() -> None:
        if temporary.stat().st_size != written:
            raise OSError("the disk kept fewer bytes than were written; is it full?")
        _publish(temporary, final, overwrite=overwrite)

    with _locked_file(final.parent) as (temporary, stream):
        with stream:
            if source is not None:
                _hide_like(source, temporary)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            written = stream.seek(0, os.SEEK_END)
            if fcntl is not None:  # while the lock keeps others from removing it
                publish()
        if fcntl is None:
            publish()


@contextmanager
def _locked_file(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Yield the name of a new temporary file and the file, open and locked; it is removed when the block ends."""
    while True:
        temporary = folder / _NAME.replace("*", secrets.token_hex(6))
        _unfinished.add(temporary)
        try:
            with temporary.open("x+b") as stream:
                with suppress(OSError):  # not every file system has locks; then nobody removes what a killed process left
                    lock(stream)
                if temporary.exists():  # else `remove_abandoned` of another process was there before the lock
                    yield temporary, stream
                    return
        finally:  # also on KeyboardInterrupt
            with suppress(FileNotFoundError):
                temporary.unlink()
            _unfinished.discard(temporary)


@contextmanager
def new_folder(folder: Path, *, token: str = "") -> Iterator[Path]:
    """Yield a new, empty folder beside `folder` that takes its place, as a whole, when the block ends.

    After any error, or an interruption, `folder` is as before. A process killed between the two renames leaves the previous
    content at `beside(folder, "old")`. A `token` separates processes that write the same folder at once. Raises OSError.
    """
    partial, old = beside(folder, f"partial{token}"), beside(folder, f"old{token}")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        partial.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:  # also on KeyboardInterrupt
        if old.exists() and not folder.exists():
            old.rename(folder)
        shutil.rmtree(partial, ignore_errors=True)


def beside(path: Path, word: str) -> Path:
    """Return the name beside `path` for its partial or old content: out -> out.partial, out.old."""
    return path.with_name(f"{path.name}.{word}")


def remove_unfinished() -> None:
    """Remove the temporary files of this process, which is about to end without unwinding."""
    for temporary in [*_unfinished]:
        with suppress(OSError):
            temporary.unlink()


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files of killed processes; those of running processes are locked."""
    for path in folder.glob(_NAME):
        with suppress(OSError):
            if not path.is_file() or path.is_symlink():
                continue
            if fcntl is None and time.time() - path.stat().st_mtime < _NEW_SECONDS:
                continue
            with path.open("r+b") as stream:  # NFS locks only what is open for writing
                lock(stream)
                if fcntl is not None:
                    path.unlink()
            if fcntl is None:
                path.unlink()


def _hide_like(source: Path, temporary: Path) -> None:
    """Remove permissions of group and others that `source` does not give them."""
    with suppress(OSError):  # a source that has vanished, a file system without permissions
        temporary.chmod(temporary.stat().st_mode & (source.stat().st_mode | 0o600))


def lock(stream: BinaryIO) -> None:
    """Lock a file for as long as it is open, where the system can; raises OSError if another process has it locked."""
    if fcntl is not None:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _publish(temporary: Path, final: Path, *, overwrite: bool) -> None:
    if overwrite:
        if final.exists():
            shutil.copymode(final, temporary)
        temporary.replace(final)
        return
    try:
        os.link(temporary, final)  # fails if `final` exists, in one step
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):  # a file system without hard links
        final.open("xb").close()  # claims the name, in one step
        temporary.replace(final)


def _final(target: Path, overwrite: bool) -> Path:
    return Path(os.path.realpath(target)) if overwrite else target


def _exists(target: Path) -> ExistsError:
    return ExistsError(f"{target}: exists already; use --overwrite to replace it or --skip-existing to keep it")
