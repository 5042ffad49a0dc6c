"""The benchmark's report: one self-contained HTML file that needs no network.

The tables are HTML, readable without scripts; `page/` has the JavaScript for sorting, the plots and the viewer. File names, reasons
and the command are escaped as text. A content security policy allows only the page's own script and style, by their hashes, and
embedded pictures.
"""

from __future__ import annotations

from pathlib import Path

from edgesr.atomic import atomic_write, check_target
from edgesr.errors import InputError, UsageError
from edgesr.evaluate.report.document import GENERATOR, render

__all__ = ["IMAGES", "check_report", "write_report"]

IMAGES = 12  # default number of embedded pictures of each suite


def check_report(path: Path) -> None:
    """Raise UsageError if no report can be written to `path`: call it before the hours of work that lead to it.

    An older report there may be replaced; any other file may not.
    """
    try:
        check_target(path, overwrite=True)
        start = _start(path)
    except (InputError, OSError) as error:
        raise UsageError(str(error)) from error
    if start and GENERATOR.encode() not in start:
        raise UsageError(f"{path}: exists and is not a report of `edgesr evaluate`; choose another file")


def write_report(result: dict, path: Path, *, images: int = IMAGES) -> None:
    """Write the results of a benchmark as one HTML page, whole or not at all; an older report at `path` is replaced.

    `result` is the dict that `--json` writes. All figures are shown; of each suite the pixels of at most `images` pictures
    are embedded (0: none). The page says how many, and which pictures could not be read.
    Raises UsageError if `path` cannot be written, InputError if writing fails.
    """
    check_report(path)
    with atomic_write(path, overwrite=True) as stream:
        for part in render(result, images):
            stream.write(part.encode())


def _start(path: Path) -> bytes:
    if not path.exists():
        return b""
    with path.open("rb") as stream:
        return stream.read(4096)
