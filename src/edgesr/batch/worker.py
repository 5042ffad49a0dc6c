"""A worker: loads the network once, then takes units of pictures; what it has done it writes into the ledger itself."""

from __future__ import annotations

import json
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesr import __version__, atomic, images
from edgesr.batch import ledger, weights
from edgesr.batch.plan import Work
from edgesr.batch.storage import Folder
from edgesr.batch.urls import fetch
from edgesr.errors import EdgesrError, one_line
from edgesr.upscaling.file import Options, failure, upscaled
from edgesr.upscaling.upscaler import Upscaler

if TYPE_CHECKING:
    import pyarrow

MOST_DEATHS = 2  # of workers at the same picture, after one that may have died at another of its unit
REPORT = ("input", "status", "error", "seconds")  # of a row, for the one who waits


@dataclass(frozen=True)
class Task:
    """What all workers of a run have to know."""

    run: str  # its name in the ledger
    dest: str  # path or URL
    upscaler: dict[str, Any]  # arguments of Upscaler
    options: Options
    weights: tuple[str, ...]  # SHA-256 of the files of which a worker loads one
    settings: str  # see `ledger.COLUMNS`
    model: str


class Worker:
    """Upscales units of pictures, one unit a call.

    Ray makes one in each process and calls it from several threads, so that files are read and written while the network runs.
    """

    def __init__(self, task: Task) -> None:
        """Raises EdgesrError if the network cannot be loaded, or DEST cannot be reached from this machine."""
        self._task = task
        self._dest = Folder(task.dest)
        self._upscaler = Upscaler(**task.upscaler)
        self._weights = weights.loaded(task.upscaler, self._upscaler.precision)

    def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
        """Take one unit, a table of one row; return what became of its pictures, a row for each."""
        import pyarrow as pa

        (unit,) = batch.to_pylist()
        rows = self.rows_of(unit["unit"], [Work(*work) for work in json.loads(unit["pictures"])])
        return pa.Table.from_pylist(rows, ledger.schema()).select(REPORT)

    def rows_of(self, unit: int, pictures: list[Work]) -> list[dict[str, Any]]:
        """Upscale the pictures of a unit, unless it is in the ledger already: then only its result was lost on the way.

        Raises EdgesrError if the ledger cannot be written.
        """
        part = ledger.part_of(self._task.run, unit)
        try:
            written = self._dest.read(part)
            if written is not None:
                return ledger.decoded(written, part)
            deaths = _Deaths(self._dest, f"{ledger.TRIES}/{self._task.run}-{unit:08d}.json")
            rows = []
            for index, work in enumerate(pictures):
                killed = deaths.count(index)
                rows.append(self._killer(work, killed) if killed >= MOST_DEATHS else self._row(work))
            self._dest.write(part, ledger.encoded(rows))
            deaths.forget()
        except EdgesrError:
            raise
        except Exception as error:  # every storage has exceptions of its own
            raise EdgesrError(f"{self._dest.url}: cannot write the ledger: {one_line(error)}") from error
        return rows

    def _row(self, work: Work) -> dict[str, Any]:
        """Upscale one picture and return its row; a failure is a row too."""
        row, start = self._begun(work), time.perf_counter()
        try:
            row |= self._perform(work)
            row["status"] = "done"
        except Exception as error:
            row["error"] = failure(error, work.input)
        row["seconds"] = round(time.perf_counter() - start, 3)
        row["finished"] = ledger.now()
        return row

    def _begun(self, work: Work) -> dict[str, Any]:
        return {
            **begun(work, self._task),
            "engine": self._upscaler.engine,
            "precision": self._upscaler.precision,
            "weights": self._weights,
            "host": socket.gethostname(),
        }

    def _killer(self, work: Work, deaths: int) -> dict[str, Any]:
        error = (
            f"{work.input}: {deaths + 1} workers died at this picture: it may need more memory than there is; see --max-pixels"
        )
        return {**self._begun(work), "error": error, "finished": ledger.now()}

    def _perform(self, work: Work) -> dict[str, Any]:
        """Upscale one picture; return the columns that only the result tells."""
        source = fetch(work.input)
        if self._dest.local:
            target = self._dest.path_of(work.output)
            target.parent.mkdir(parents=True, exist_ok=True)
            if work.replace or not target.exists():
                return self._written(work, source, target, replace=work.replace)
        with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
            file = Path(folder, Path(work.output).name)
            columns = self._written(work, source, file, replace=False)
            self._dest.put(file, work.output, replace=work.replace)
        return columns

    def _written(self, work: Work, source: Any, target: Path, *, replace: bool) -> dict[str, Any]:
        atomic.check_target(target, overwrite=replace)
        size = work.bytes if isinstance(source, Path) else len(source.getbuffer())
        picture, *_ = upscaled(source, self._upscaler, self._task.options, format=images.format_for(str(target)))
        options = self._task.options
        notes = images.write(
            target,
            picture,
            quality=options.quality,
            strip_metadata=options.strip_metadata,
            overwrite=replace,
            source=source if isinstance(source, Path) else None,
        )
        height, width = picture.pixels.shape[:2]
        return {
            "input_bytes": source.stat().st_size if size is None else size,
            "output_bytes": target.stat().st_size,
            "width": width,
            "height": height,
            "notes": "; ".join([*picture.notes, *notes]) or None,
        }


def begun(work: Work, task: Task) -> dict[str, Any]:
    """Return the columns of a picture that are known before it is tried."""
    return {
        **dict.fromkeys(ledger.COLUMNS),
        "output": work.output,
        "input": work.input,
        "status": "failed",
        "input_bytes": work.bytes,
        "input_stamp": work.stamp,
        "settings": task.settings,
        "version": __version__,
        "run": task.run,
        "model": task.model,
    }


class _Deaths:
    """How often a worker died at each picture of a unit, so that a picture that kills every worker is given up.

    A file in DEST, which outlives the worker: the first try only notes that there was one, further ones note every picture.
    """

    def __init__(self, dest: Folder, name: str) -> None:
        self._dest, self._name = dest, name
        content = dest.read(name)
        self._again = content is not None
        self._counts: dict[str, int] = json.loads(content or b"{}")
        if not self._again:
            dest.write(name, b"{}")

    def count(self, index: int) -> int:
        """Return how often a worker died at this picture, and note that it is tried now."""
        if not self._again:
            return 0
        deaths = self._counts.get(str(index), 0)
        self._dest.write(self._name, json.dumps({**self._counts, str(index): deaths + 1}).encode())
        return deaths

    def forget(self) -> None:
        """The unit is in the ledger."""
        self._dest.remove(self._name)
