"""The protocol of a system: facts that are cheap to get, and a function once it is loaded."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edgesr.evaluate.memory import peak_rss_mb

Pixels = NDArray[np.uint8]  # (h, w, 3) RGB


@dataclass(frozen=True)
class Facts:
    """What the tables show of a system, and its fingerprint in the cache."""

    description: str  # what actually runs, for people
    fingerprint: str  # of everything that decides its pixels: weights, code, versions
    parameters: int | None = None
    gflops: float | None = None  # 2 x multiply-accumulates / 1e9 for 128x128 -> 512x512
    timed: bool = True  # False: precomputed results


class Place(NamedTuple):
    """Where a picture comes from."""

    suite: str
    picture: str  # file name


class Loaded(Protocol):
    """A system ready to work, in a process of its own."""

    def __call__(self, lr: Pixels, place: Place) -> Pixels:
        """Return `lr` (h, w, 3) enlarged, (4h, 4w, 3); raises EdgesrError, or whatever a library raises."""
        ...

    def peak_rss_mb(self) -> float | None:
        """The most memory that one of the system's processes has held so far, MB; None where it is not known."""
        ...


class System(Protocol):
    """A system by its specification on the command line. Its constructor checks the spelling only."""

    def facts(self) -> Facts:
        """Facts, without loading anything heavy; raises Unavailable if the system cannot run here."""
        ...

    def load(self, threads: int) -> Loaded:
        """Load it for `threads` threads; called in the system's own process. Raises EdgesrError if it cannot be."""
        ...


class InProcess:
    """Base of the systems that compute in the worker itself."""

    def peak_rss_mb(self) -> float | None:
        """See Loaded."""
        return peak_rss_mb()


def digest(*parts: str | bytes | Path) -> str:
    """Fingerprint of texts, bytes and the contents of files, 16 hexadecimal digits; raises OSError for an unreadable file."""
    total = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part.encode() if isinstance(part, str) else part
        total.update(hashlib.sha256(data).digest())
    return total.hexdigest()[:16]


def code(path: Path) -> bytes:
    """Return a Python file's syntax tree without docstrings, for `digest`: comments and the file's name do not count either."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return ast.dump(tree).encode()


def listing_digest(paths: Iterable[Path]) -> str:
    """Fingerprint of the names, sizes and times of files."""
    states = ((path, path.stat()) for path in sorted(paths))
    return digest(*(f"{path}\0{state.st_size}\0{state.st_mtime_ns}" for path, state in states))
