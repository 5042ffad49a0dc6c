"""The output folder of an export: written atomically, and it only replaces an earlier export."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgesr.atomic import new_folder
from edgesr.errors import InputError, one_line

MARK = "export.json"  # describes the files, and marks the folder as an export


def check(folder: Path, *, overwrite: bool) -> None:
    """Raise InputError if `folder` cannot be written; call it before the export starts."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise InputError(f"{folder}: exists and is not a folder; name another")
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / MARK).is_file():
            raise InputError(f"{folder}: contains other files; name a new or an empty folder")
        if not overwrite:
            raise InputError(f"{folder}: already exists; use --overwrite to replace it")


@contextmanager
def complete(folder: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary folder that replaces `folder` when the block ends without an error.

    After an error or an interruption, `folder` is as before. Raises InputError for errors of the file system.
    """
    check(folder, overwrite=overwrite)
    try:
        with new_folder(folder, token=f"-{secrets.token_hex(6)}") as partial:
            yield partial
            check(folder, overwrite=overwrite)
    except OSError as error:
        raise InputError(f"{folder}: cannot write there: {one_line(error)}") from error
