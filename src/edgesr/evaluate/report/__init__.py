"""The benchmark's report: one self-contained HTML page that opens from a file, with no network and nothing beside it (ours).

The tables are written here, so that they can be read without scripts; `page/` holds what makes them sortable, the plots and the
viewer, in plain JavaScript. Whatever comes from outside (file names, reasons, the command) reaches the page as text only, and a
content security policy admits this page's own script and style by their hashes, and pictures inside the page, and nothing else.
"""

from __future__ import annotations

from pathlib import Path

from edgesr.atomic import atomic_write, check_target
from edgesr.errors import InputError, UsageError
from edgesr.evaluate.report.document import GENERATOR, render

__all__ = ["IMAGES", "check_report", "write_report"]

IMAGES = 12  # pictures a suite whose pixels go into the page, unless asked otherwise


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
        raise UsageError(f"{path}: exists and is no report of `edgesr evaluate`, so it is not replaced; name another file")


def write_report(result: dict, path: Path, *, images: int = IMAGES) -> None:
    """Write the results of a benchmark as one HTML page, whole or not at all; an older report at `path` is replaced.

    `result` is the dict that `--json` writes. All figures are shown; of each suite the pixels of at most `images` pictures
    are embedded (0: none), which the page says. A picture that cannot be read is left out, which the page shows too.
    Raises UsageError if `path` cannot be a report's, InputError if writing fails.
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
