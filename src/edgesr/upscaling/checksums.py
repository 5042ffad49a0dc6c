"""Checksums of the released files, in a list as `sha256sum` writes it, verified when a file is loaded."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edgesr.errors import EdgesrError

LIST = "SHA256SUMS"


def check(path: Path) -> None:
    """Raise EdgesrError if `path` differs from its checksum in the list beside it; an unlisted file passes."""
    stated = _read(path.parent).get(path.name)
    if stated is not None and _sum(path) != stated:
        raise EdgesrError(f"{path}: damaged: its checksum is not that of the released file; reinstall edgesr")


def renew(path: Path) -> None:
    """Update the checksum of a file in the list beside it, if there is one."""
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
