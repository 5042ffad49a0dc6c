"""`folder:PATH`: precomputed results, in PATH/SUITE/ or in PATH/, with the file names of the suite."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgesr.data.files import BROKEN, picture_paths, read_rgb
from edgesr.errors import EdgesrError, InputError
from edgesr.evaluate.systems.base import Facts, Loaded, Pixels, Place, listing_digest
from edgesr.evaluate.unavailable import Unavailable, brief

RESULT_SUFFIXES = ("", "_4x", "_x4", "x4", "_out")  # suffixes that programs add to a file name


@dataclass(frozen=True)
class Folder:
    """Results in a folder."""

    path: str

    def facts(self) -> Facts:
        """See System."""
        folder = Path(self.path)
        if not folder.is_dir():
            raise Unavailable(f"{folder}: no such folder")
        pictures = [path for path in folder.rglob("*") if path.is_file()]
        return Facts(f"precomputed results in {folder.name}", listing_digest(pictures), timed=False)

    def load(self, threads: int) -> Loaded:  # nothing is computed
        """See System."""
        return _Loaded(Path(self.path))


class _Loaded:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, lr: Pixels, place: Place) -> Pixels:
        path = self._find(place)
        try:
            return read_rgb(path)
        except BROKEN as error:
            raise InputError(f"{path}: cannot be decoded ({brief(error)})") from None

    def peak_rss_mb(self) -> float | None:
        return None

    def _find(self, place: Place) -> Path:
        stem = Path(place.picture).stem
        for folder in (self._folder / place.suite, self._folder):
            if not folder.is_dir():
                continue
            try:
                pictures = {path.stem: path for path in reversed(picture_paths(folder))}
            except EdgesrError:  # holds none
                continue
            for suffix in RESULT_SUFFIXES:
                if stem + suffix in pictures:
                    return pictures[stem + suffix]
        raise InputError(f"no picture called {stem} in {self._folder / place.suite} or {self._folder}")
