"""Evaluation suites: a folder with HR/ and LR/ (same file names, HR four times the size), or with LR/ alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgesr.data.files import BROKEN, picture_paths, read_rgb
from edgesr.errors import UsageError
from edgesr.presets import SCALE


@dataclass(frozen=True)
class Pair:
    """One test picture."""

    name: str  # file name
    lr: np.ndarray  # (h, w, 3) uint8
    hr: np.ndarray | None  # (4h, 4w, 3) uint8; None where the suite has no reference


def load_suite(folder: Path) -> list[Pair]:
    """All pictures of a suite by name, grey ones as RGB.

    Raises UsageError naming the file if LR/ is missing or empty, a picture has no partner in the other folder, cannot
    be decoded, or an HR is not exactly four times its LR.
    """
    if not (folder / "LR").is_dir():
        raise UsageError(f"{folder}: no LR folder in it; a suite holds LR/, and HR/ with the same file names")
    low = {path.name: path for path in picture_paths(folder / "LR")}
    if not (folder / "HR").exists():
        return [Pair(name, _read(path), None) for name, path in low.items()]
    high = {path.name: path for path in picture_paths(folder / "HR")}
    for path in [*low.values(), *high.values()]:
        if path.name not in low or path.name not in high:
            other = "HR" if path.parent.name == "LR" else "LR"
            raise UsageError(f"{path}: no picture of this name in {other}; add it or remove this one")
    return [_pair(low[name], high[name]) for name in low]


def _pair(low: Path, high: Path) -> Pair:
    lr, hr = _read(low), _read(high)
    wanted = tuple(SCALE * side for side in lr.shape[:2])
    if hr.shape[:2] != wanted:
        raise UsageError(f"{high}: is {_size(hr.shape)} px, but its LR asks for {_size(wanted)} px; crop or replace it")
    return Pair(low.name, lr, hr)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"


def _read(path: Path) -> np.ndarray:
    try:
        return read_rgb(path)
    except BROKEN as error:
        raise UsageError(f"{path}: cannot be decoded ({error}); replace it") from error
