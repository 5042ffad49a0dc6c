"""An export's folder: there whole or not at all, and never in place of files that are not an earlier export (ours)."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgesr.atomic import new_folder
from edgesr.errors import InputError, one_line

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
    try:
        with new_folder(folder, token=f"-{secrets.token_hex(6)}") as partial:
            yield partial
            check(folder, overwrite=overwrite)
    except OSError as error:
        raise InputError(f"{folder}: cannot write there: {one_line(error)}") from error
