"""One export as a job, and one format as a record of what it can do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from edgesr.errors import EdgesrError, one_line
from edgesr.export.parity import Array
from edgesr.model import EdgeSR
from edgesr.presets import SCALE


class Job(NamedTuple):
    """One export."""

    name: str  # of the preset; also the name of the model file
    model: EdgeSR
    precision: str  # fp32, fp16 or int8
    size: tuple[int, int] | None  # LR px, width and height of the fixed tile size; None: any size
    metadata: dict[str, str]
    lr: Array  # a real tile, to trace and to compare with
    eps: Array
    calibration: list[dict[str, Array]]  # tiles lr and eps from photographs, for int8
    single: bool = False  # one input of any size, the noise at its mean

    @property
    def stem(self) -> str:
        """The name of the model file; programs with one input read the scale from it."""
        return f"edgesr-{self.name}-{SCALE}x" if self.single else self.name


class Format(NamedTuple):
    """One format of model files."""

    title: str
    extra: str  # of pyproject.toml, which installs the converter
    precisions: tuple[str, ...]
    any_size: bool  # whether it supports inputs of any size, not only one tile size
    write: Callable[[Job, Path], None]  # writes the files into an empty folder
    run: Callable[[Job, Path], Array] | None  # the output for lr and eps; None: no runtime on this system
    inspect: Callable[[Job, Path], str] | None  # checks the files where there is no runtime
    names: tuple[str, str, str]  # of lr, eps and hr in the file
    notes: str  # for the README
    language: str
    single_names: tuple[str, str] | None  # of input and output of a file with one input; None: not supported
    snippet: str  # with the placeholders FILE, BIN, HEIGHT, WIDTH, CHANNELS, ROWS and COLUMNS


def converter_error(format: str, error: Exception) -> EdgesrError:
    """Return the error, of one line, for whatever a converter raised."""
    return EdgesrError(f"{format}: the converter failed ({one_line(error, 300)}); please report it with the output of --debug")
