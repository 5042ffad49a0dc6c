"""Checksums of the released files, in a list as `sha256sum` writes it, verified when a file is loaded."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edgesr.errors import EdgesrError

LIST = "SHA256SUMS"


def check(path: Path, *, installed: bool = True) -> None:
    """Raise EdgesrError if `path` differs from its checksum in the list beside it; an unlisted file passes.

    `installed` says whether it came with this package.
    """
    stated = _read(path.parent).get(path.name)
    if stated is not None and digest(path) != stated:
        remedy = "reinstall edgesr" if installed else "download it again"
        raise EdgesrError(f"{path}: damaged: its checksum is not that of the released file; {remedy}")


def check_all(folder: Path) -> None:
    """Raise EdgesrError if a file of a folder is not there or differs from its checksum in the folder's list, if it has one."""
    for name in _read(folder):
        if not (folder / name).is_file():
            raise EdgesrError(f"{folder}: {name} is missing, which its {LIST} lists; download it again")
        check(folder / name, installed=False)


def write(folder: Path) -> None:
    """Write the list of all files in a folder of model files."""
    _write(folder, {path.name: digest(path) for path in folder.iterdir() if path.suffix in (".onnx", ".npz")})


def renew(path: Path) -> None:
    """Update the checksum of a file in the list beside it, if there is one."""
    if (path.parent / LIST).is_file():
        _write(path.parent, {**_read(path.parent), path.name: digest(path)})


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read(folder: Path) -> dict[str, str]:
    try:
        lines = (folder / LIST).read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {name: value for value, _, name in (line.partition("  ") for line in lines)}


def _write(folder: Path, sums: dict[str, str]) -> None:
    (folder / LIST).write_text("".join(f"{value}  {name}\n" for name, value in sorted(sums.items())), encoding="utf-8")
