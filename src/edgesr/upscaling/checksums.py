"""The checksums of the released files: `sha256sum`'s list beside them, checked when one is loaded (ours)."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edgesr.errors import EdgesrError

LIST = "SHA256SUMS"


def check(path: Path) -> None:
    """Raise EdgesrError if `path` is not the file that the list beside it names; a file that is not listed passes."""
    stated = _read(path.parent).get(path.name)
    if stated is not None and _sum(path) != stated:
        raise EdgesrError(f"{path}: is damaged: it is not the file that was released; reinstall edgesr")


def renew(path: Path) -> None:
    """Set the checksum of a file that has just been written, if there is a list beside it."""
    if (path.parent / LIST).is_file():
        sums = {**_read(path.parent), path.name: _sum(path)}
        (path.parent / LIST).write_text("".join(f"{value}  {name}\n" for name, value in sorted(sums.items())), encoding="utf-8")


def _read(folder: Path) -> dict[str, str]:
    try:
        lines = (folder / LIST).read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {name: value for value, _, name in (line.partition("  ") for line in lines)}


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
