"""The cache of earlier runs: results by system and input, scores by the pictures compared. Files are written whole, so that an
interrupted run can resume."""

from __future__ import annotations

import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from edgesr.atomic import atomic_write
from edgesr.errors import UsageError, one_line


def default_folder() -> Path:
    """Return the default folder: $XDG_CACHE_HOME/edgesr/evaluate, or ~/.cache/edgesr/evaluate."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "edgesr", "evaluate")


def pixels_hash(pixels: np.ndarray) -> str:
    """Return a fingerprint of the pixels alone: 24 hexadecimal digits."""
    return hashlib.sha256(f"{pixels.shape}{pixels.dtype}".encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()[:24]


class Cache:
    """A folder with `made/SYSTEM/INPUT.png` and `.json`, and `scores/PICTURES.json`; any file in it may be deleted.

    Several runs may share it: they write the same content.
    """

    def __init__(self, folder: Path) -> None:
        """Make the folder if it does not exist; raises UsageError if it cannot be used."""
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--cache {folder}: cannot be used as a folder ({one_line(error)}); name another") from None

    def output(self, system: str, name: str, lr: str) -> Path:
        """Return the path of a system's result for an input; its folder is made.

        `system` is the fingerprint of the system and of what its time depends on, `name` makes the folder recognisable, `lr` the
        input's `pixels_hash`.
        """
        known = "".join(letter if letter.isalnum() else "-" for letter in name)[:40]
        folder = self.folder / "made" / f"{known}-{system}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{lr}.png"

    def made(self, output: Path) -> dict[str, Any] | None:
        """Return the record that `keep_made` stored with a result; None if it must be made."""
        return _read(output.with_suffix(".json")) if output.is_file() else None

    def keep_made(self, output: Path, record: dict[str, Any]) -> None:
        """Store what was measured while `output` was made. The record also marks the result as complete."""
        _write(output.with_suffix(".json"), record)

    def scores(self, pictures: str) -> dict[str, float]:
        """Return the stored scores of `pictures` (the hashes of output, reference and input), by metric and version."""
        known = _read(self._scores(pictures)) or {}
        return {key: float(value) for key, value in known.items() if isinstance(value, float | int) and math.isfinite(value)}

    def keep_scores(self, pictures: str, scores: dict[str, float]) -> None:
        """Store scores, replacing earlier ones."""
        path = self._scores(pictures)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, scores)

    def _scores(self, pictures: str) -> Path:
        return self.folder / "scores" / pictures[:2] / f"{pictures}.json"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):  # missing or damaged: measured again
        return None
    return record if isinstance(record, dict) else None


def _write(path: Path, record: dict[str, Any]) -> None:
    with atomic_write(path, overwrite=True) as stream:
        stream.write(json.dumps(record).encode())
