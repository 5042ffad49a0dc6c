"""An export's folder: there whole or not at all, and never in place of files that are not an earlier export (ours)."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgesr.errors import InputError

MARK = "export.json"  # what the files are; by it a folder is known to be an export


def check(folder: Path, *, overwrite: bool) -> None:
    """Raise InputError if `folder` cannot become an export: call it before the work that leads to it."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise InputError(f"{folder}: exists already and is no folder; name another")
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / MARK).is_file():
            raise InputError(f"{folder}: holds other files; name a new or an empty folder")
        if not overwrite:
            raise InputError(f"{folder}: exists already; use --overwrite to replace it")


@contextmanager
def complete(folder: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a new folder beside `folder` that takes its name, as a whole, when the block ends without an error.

    After any error, or an interruption, `folder` is as before. Raises InputError for what the file system refuses.
    """
    check(folder, overwrite=overwrite)
    token = secrets.token_hex(6)
    partial, old = (folder.parent / f".{folder.name}.{word}-{token}" for word in ("partial", "old"))
    try:
        partial.mkdir(parents=True)
        yield partial
        check(folder, overwrite=overwrite)
        if folder.is_dir():
            folder.rename(old)
        partial.rename(folder)
    except OSError as error:
        raise InputError(f"{folder}: cannot write there: {error.strerror or error}") from error
    finally:  # also on KeyboardInterrupt
        if old.exists() and not folder.exists():
            old.rename(folder)
        for leftover in (partial, old):
            shutil.rmtree(leftover, ignore_errors=True)
