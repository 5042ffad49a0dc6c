"""What was made and measured before: pictures by system and input, scores by the pictures compared. Each file is whole or
absent, so that a run that was stopped, however, goes on where it was (ours)."""

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
    """Where the cache lies unless another folder is named: $XDG_CACHE_HOME/edgesr/evaluate, ~/.cache without that."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "edgesr", "evaluate")


def pixels_hash(pixels: np.ndarray) -> str:
    """Fingerprint of a picture's pixels, whatever file they came from: 24 hexadecimal digits."""
    return hashlib.sha256(f"{pixels.shape}{pixels.dtype}".encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()[:24]


class Cache:
    """A folder with `made/SYSTEM/INPUT.png` and `.json`, and `scores/PICTURES.json`; any file in it may be deleted.

    Two runs may share it: what both make is the same.
    """

    def __init__(self, folder: Path) -> None:
        """Make the folder if it is not there; raises UsageError if it cannot be used."""
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--cache {folder}: cannot be used as a folder ({one_line(error)}); name another") from None

    def output(self, system: str, name: str, lr: str) -> Path:
        """Return where the picture that a system makes of an input belongs; its folder is made.

        `system` is the fingerprint of the system and of what its time depends on, `name` a word to know the folder by, `lr` the
        input's `pixels_hash`.
        """
        known = "".join(letter if letter.isalnum() else "-" for letter in name)[:40]
        folder = self.folder / "made" / f"{known}-{system}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{lr}.png"

    def made(self, output: Path) -> dict[str, Any] | None:
        """Return what `keep_made` kept with a picture that is there; None if it must be made."""
        return _read(output.with_suffix(".json")) if output.is_file() else None

    def keep_made(self, output: Path, record: dict[str, Any]) -> None:
        """Keep what was measured while `output` was made: that it was written whole is thereby known."""
        _write(output.with_suffix(".json"), record)

    def scores(self, pictures: str) -> dict[str, float]:
        """Return the scores known of `pictures` (the hashes of output, reference and input), by metric and version."""
        known = _read(self._scores(pictures)) or {}
        return {key: float(value) for key, value in known.items() if isinstance(value, float | int) and math.isfinite(value)}

    def keep_scores(self, pictures: str, scores: dict[str, float]) -> None:
        """Keep scores, in place of those kept before."""
        path = self._scores(pictures)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, scores)

    def _scores(self, pictures: str) -> Path:
        return self.folder / "scores" / pictures[:2] / f"{pictures}.json"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):  # absent, or not what was written: measured again
        return None
    return record if isinstance(record, dict) else None


def _write(path: Path, record: dict[str, Any]) -> None:
    with atomic_write(path, overwrite=True) as stream:
        stream.write(json.dumps(record).encode())
