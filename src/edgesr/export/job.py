"""One export as a job, and one format as a record of what it can do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from edgesr.errors import EdgesrError, one_line
from edgesr.export.parity import Array
from edgesr.model import EdgeSR


class Job(NamedTuple):
    """One export."""

    name: str  # of the preset; the model file is called by it
    model: EdgeSR
    precision: str  # fp32, fp16 or int8
    size: tuple[int, int] | None  # LR px, width and height of the one tile that the file takes; None: any
    metadata: dict[str, str]
    lr: Array  # a real tile, to trace and to compare with
    eps: Array
    calibration: list[dict[str, Array]]  # tiles lr and eps of photographs, for int8


class Format(NamedTuple):
    """One kind of model file."""

    title: str
    extra: str  # of pyproject.toml: what brings the converter
    precisions: tuple[str, ...]
    any_size: bool  # whether it can take LR pictures of any size, not tiles of one alone
    write: Callable[[Job, Path], None]  # the files, into an empty folder
    run: Callable[[Job, Path], Array] | None  # the result for lr and eps by the files just written; None: no runtime here
    inspect: Callable[[Job, Path], str] | None  # what can be checked without one
    names: tuple[str, str, str]  # lr, eps and hr in the file
    notes: str  # for its README
    language: str
    snippet: str  # with FILE in place of the file's name, and NOISE, WIDTH... in place of sizes


def converter_error(format: str, error: Exception) -> EdgesrError:
    """Return the error, of one line, for whatever a converter raised."""
    return EdgesrError(f"{format}: the converter failed ({one_line(error, 300)}); run again with --debug, and report it")
