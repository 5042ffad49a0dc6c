"""Write a file so that it is there whole or not at all, and never in place of another that was to be kept."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from edgesr.errors import InputError


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
def atomic_write(target: Path, overwrite: bool) -> Iterator[BinaryIO]:
    """Yield a temporary file beside `target`, open for writing and reading, that becomes `target` when the block ends.

    The file is synced to the disk and its size checked first. If the block raises, or is interrupted, the temporary
    file is removed and `target` is as before. With `overwrite` false an existing `target` is never replaced, even one
    that appeared meanwhile. A replaced file keeps its permissions; a link stays and the file it points to is replaced.
    Raises InputError, naming file, folder and reason, for whatever the file system refuses.
    """
    check_target(target, overwrite=overwrite)
    final = Path(os.path.realpath(target)) if overwrite else target
    temporary = final.parent / f".edgesr-{secrets.token_hex(6)}.tmp"
    try:
        with temporary.open("x+b") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            written = stream.seek(0, os.SEEK_END)
        if temporary.stat().st_size != written:
            raise InputError(f"{target}: the disk kept fewer bytes than were written; is the folder's disk full?")
        _publish(temporary, final, overwrite=overwrite)
    except FileExistsError as error:
        raise _exists(target) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{target}: cannot write into the folder {final.parent}: {reason}") from error
    finally:  # also on KeyboardInterrupt
        with suppress(FileNotFoundError):
            temporary.unlink()


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


def _exists(target: Path) -> InputError:
    return InputError(f"{target}: exists already; use --overwrite to replace it or --skip-existing to keep it")
