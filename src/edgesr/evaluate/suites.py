"""The suites that are scored: any folder with HR/ and LR/, or LR/ alone, and known benchmarks by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgesr.data.files import BROKEN, picture_paths, read_rgb
from edgesr.errors import InputError, UsageError
from edgesr.evaluate.systems.base import digest
from edgesr.evaluate.unavailable import brief
from edgesr.presets import SCALE

# Folders of LR and HR in the published archives of the benchmarks.
LAYOUTS = (
    ("LR", "HR"),
    ("LR_bicubic/X4", "HR"),
    ("LRbicx4", "GTmod12"),
    ("test_LR", "test_HR"),
    ("lq", "gt"),
)
MARKS = re.compile(r"[_-]?(LR4?|HR|x[14])$", re.IGNORECASE)  # by which archives distinguish the two names of a pair


@dataclass(frozen=True)
class Benchmark:
    """A suite known by name."""

    name: str
    pictures: int
    where: str  # to get it
    folder: str = ""  # its name in the archive, if it differs
    flat: bool = False  # pictures without a folder LR
    fingerprint: str = ""  # of the pictures that this project's figures come from, where there are any


_CLASSIC = "the file benchmark.tar that the README of github.com/sanghyun-son/EDSR-PyTorch names"
_STABLESR = "huggingface.co/datasets/Iceclear/StableSR-TestSets"
_UNPUBLISHED = "the authors of this project (not published; `edgesr data degrade` makes similar suites)"
BENCHMARKS = {
    benchmark.name.lower(): benchmark
    for benchmark in (
        Benchmark("Set5", 5, _CLASSIC, fingerprint="0ba85d5b1662bca5"),
        Benchmark("Set14", 14, _CLASSIC, fingerprint="9f77ad2e13fb5765"),
        Benchmark("BSD100", 100, _CLASSIC, folder="B100"),
        Benchmark("Urban100", 100, _CLASSIC),
        Benchmark("Manga109", 109, "www.manga109.org, after asking there; make LR by MATLAB's imresize"),
        Benchmark("div2k-val", 3000, _STABLESR, folder="DIV2K_V2_val"),
        Benchmark("realsr", 100, _STABLESR, folder="RealSRVal_crop128"),
        Benchmark("drealsr", 93, _STABLESR, folder="DrealSRVal_crop128"),
        Benchmark("RealSRSet", 20, "testsets/RealSRSet in github.com/cszn/BSRGAN", flat=True, fingerprint="870800bc49da2f94"),
        Benchmark("Set14-blind", 14, _UNPUBLISHED, fingerprint="fef4bb3f442fbd39"),
        Benchmark("BSD50-blind", 50, _UNPUBLISHED, fingerprint="30ee1c8728263140"),
    )
}


class Picture(NamedTuple):
    """One test picture; nothing is read yet."""

    name: str  # file name of the LR
    lr: Path
    hr: Path | None


@dataclass
class Suite:
    """Pictures to score, and those that cannot be."""

    name: str
    pictures: list[Picture]
    benchmark: Benchmark | None = None
    problems: dict[str, str] = field(default_factory=dict)  # picture -> reason

    def read(self, picture: Picture) -> tuple[np.ndarray, np.ndarray | None]:
        """LR (h, w, 3) and HR (4h, 4w, 3) or None, uint8; raises InputError that says what is wrong with the picture.

        An HR of a known benchmark may be up to 3 px larger; it is cropped at the right and the bottom, as is usual.
        """
        lr = _read(picture.lr)
        if picture.hr is None:
            return lr, None
        hr = _read(picture.hr)
        height, width = (SCALE * side for side in lr.shape[:2])
        cropped = without_spare(hr, width, height)
        if cropped is None or (cropped.shape != hr.shape and not self.benchmark):
            raise InputError(
                f"{picture.hr}: is {hr.shape[1]}x{hr.shape[0]} px, expected {width}x{height} px (4x its LR); crop or replace it"
            )
        return lr, np.ascontiguousarray(cropped)


def find_suite(text: str, folder: Path | None) -> Suite:
    """Return the suite in the folder `text`, or of that name in `folder`.

    Raises UsageError if there is none, with where to get it if it is a known one, or if it holds no pictures.
    """
    benchmark = BENCHMARKS.get(Path(text).name.lower())
    places = [Path(text)]
    if folder is not None:
        places += [folder / name for name in (text, *((benchmark.name, benchmark.folder) if benchmark else ())) if name]
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        raise UsageError(_nowhere(text, folder, BENCHMARKS.get(text.lower())))
    name = benchmark.name if benchmark else found.resolve().name
    for lr, hr in LAYOUTS:
        if (found / lr).is_dir() and (found / hr).is_dir():
            return _paired(Suite(name, [], benchmark), found / lr, found / hr, exact=(lr, hr) == LAYOUTS[0])
    flat = benchmark is not None and benchmark.flat and not (found / "LR").is_dir()
    if not flat and not (found / "LR").is_dir():
        raise UsageError(f"{found}: no LR folder; a suite contains LR/, and HR/ with the same file names")
    alone = picture_paths(found if flat else found / "LR")
    return Suite(name, [Picture(path.name, path, None) for path in alone], benchmark)


class Pair(NamedTuple):
    """The pixels of one test picture."""

    name: str  # file name of the LR
    lr: np.ndarray  # (h, w, 3) uint8
    hr: np.ndarray | None  # (4h, 4w, 3) uint8; None where the suite has no reference


def load_suite(folder: Path) -> list[Pair]:
    """Return every picture of the suite in `folder`; raises UsageError or InputError for the first that cannot be scored."""
    suite = find_suite(str(folder), None)
    for problem in suite.problems.values():
        raise InputError(problem)
    return [Pair(picture.name, *suite.read(picture)) for picture in suite.pictures]


def without_spare(hr: np.ndarray, width: int, height: int) -> np.ndarray | None:
    """Crop up to 3 px of `hr` (h, w, 3) at the right and the bottom to get width x height px; None for any other size."""
    spare = (hr.shape[0] - height, hr.shape[1] - width)
    return hr[:height, :width] if all(0 <= rest < SCALE for rest in spare) else None


def fingerprint(hashes: Iterable[str]) -> str:
    """Checksum of a suite from the hashes of its pictures' pixels, independent of order and file names."""
    return digest("\n".join(sorted(hashes)))


def _paired(suite: Suite, low: Path, high: Path, *, exact: bool) -> Suite:
    key = (lambda path: path.name) if exact else (lambda path: MARKS.sub("", path.stem))
    lr, hr = (_by_key(suite, picture_paths(folder), key) for folder in (low, high))
    for name in sorted(lr.keys() | hr.keys()):
        if name in lr and name in hr:
            suite.pictures.append(Picture(lr[name].name, lr[name], hr[name]))
        else:
            there, missing = (lr[name], high) if name in lr else (hr[name], low)
            suite.problems[there.name] = f"{there}: no picture of this name in {missing}; add it or remove this one"
    return suite


def _by_key(suite: Suite, paths: list[Path], key: Callable[[Path], str]) -> dict[str, Path]:
    """Return the pictures by `key`; of those that share one, the first, the others are problems of the suite."""
    found: dict[str, Path] = {}
    for path in paths:
        first = found.setdefault(key(path), path)
        if first is not path:
            suite.problems[path.name] = f"{path}: has the same partner as {first.name}; rename or remove one of them"
    return found


def _nowhere(text: str, folder: Path | None, benchmark: Benchmark | None) -> str:
    if benchmark is None:
        return f"{text}: no such folder, and no known suite; known: {', '.join(each.name for each in BENCHMARKS.values())}"
    place = f"{folder} (--suites-dir)" if folder else "the folder of --suites-dir"
    return f"{benchmark.name} not found: get it from {benchmark.where} and save it as {benchmark.folder or benchmark.name} in {place}"


def _read(path: Path) -> np.ndarray:
    try:
        return read_rgb(path)
    except BROKEN as error:
        raise InputError(f"{path}: cannot be decoded ({brief(error)}); replace it") from None
