"""One run of `edgesr batch`, from the comparison of SOURCE, DEST and ledger to the merged ledger."""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

from edgesr.batch import ledger, weights
from edgesr.batch.plan import Plan, Work
from edgesr.batch.source import Source
from edgesr.batch.storage import Folder
from edgesr.batch.worker import Task, begun
from edgesr.errors import UsageError
from edgesr.upscaling.checks import BLENDED
from edgesr.upscaling.file import Options

_PICTURES = ("scale", "width", "height", "sharpness", "quality", "strip_metadata")  # options that decide a result's bytes
_NETWORK = ("model", "fidelity", "precision", "seed", "steps")


def task_for(dest: Folder, upscaler: dict[str, Any], options: Options) -> Task:
    """Return what the workers have to know. Raises UsageError for weights that cannot be read."""
    settings = {name: getattr(options, name) for name in _PICTURES} | {name: upscaler[name] for name in _NETWORK}
    settings["blended"] = upscaler["tile"] in BLENDED
    return Task(
        run=secrets.token_hex(6),
        dest=dest.url,
        upscaler=upscaler,
        options=options,
        weights=weights.possible(upscaler),
        settings=json.dumps(settings, sort_keys=True),
        model=upscaler["model"],
    )


class Session:
    """The plan of a run and its marks in DEST."""

    def __init__(self, plan: Plan, source: Source, dest: Folder, task: Task) -> None:
        """Compare SOURCE, ledger and DEST.

        Raises UsageError if there are no inputs, two have the same result, or the ledger is damaged or of another version.
        """
        self._plan, self._dest, self._task = plan, dest, task
        self._parts = ledger.files(dest)  # read first: a later edgesr's ledger is refused before anything is listed
        for rows in ledger.rows(dest, self._parts):
            plan.add_ledger(rows)
        plan.add_inputs(source.inputs())
        plan.check_inputs(dest.url_of(""))
        dest.remove_abandoned()
        plan.add_present(dest.files())
        self._intentions = dest.names(ledger.PLANS, ".parquet")
        for name in self._intentions:
            plan.add_intended(_read_outputs(dest, name))

    def decide(self, *, overwrite: bool, skip_existing: bool, retry_failed: bool) -> dict[str, int]:
        """Decide on every input; returns the counts, see `Plan.decide`. Raises UsageError for results of other settings."""
        counts = self._plan.decide(
            settings=self._task.settings,
            weights=self._task.weights,
            overwrite=overwrite,
            skip_existing=skip_existing,
            retry_failed=retry_failed,
        )
        if other := counts.get("other"):
            example = next(self._plan.of_state("other"))
            raise UsageError(
                f"{other} results in {self._dest.url}, such as {example.output}, were made with other settings or weights: "
                "use --overwrite to make them again, or another DEST"
            )
        return counts

    def blocked(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of the inputs whose result is in DEST already, and note them in the ledger."""
        reason = "exists already, and the ledger does not know it: use --overwrite to replace it, or --skip-existing to keep it"
        for work in self._plan.of_state("blocked"):
            yield self._noted(work, "failed", f"{self._dest.url_of(work.output)}: {reason}")
        for work in self._plan.of_state("skipped"):
            yield self._noted(work, "skipped", None)

    @contextmanager
    def work(self, workers: int) -> Iterator[Iterator[list[Work]]]:
        """Yield the units of work. What they will write is noted in DEST first; when the block ends the ledger is merged."""
        outputs = (work.output for work in self._plan.to_do())
        number = 0
        while some := list(islice(outputs, ledger.ROWS)):
            name = f"{ledger.PLANS}/{self._task.run}-{number:04d}.parquet"
            self._dest.write(name, _outputs(some))
            self._intentions.append(name)
            number += 1
        yield self._plan.units(workers)
        self._merge()
        for name in [*self._intentions, *self._dest.names(ledger.TRIES, ".json")]:
            self._dest.remove(name)
        self._dest.remove_abandoned(ledger.FOLDER)  # by workers that were killed meanwhile

    def _merge(self) -> None:
        ours = [name for name in ledger.files(self._dest) if f"-{self._task.run}-" in name]
        for rows in ledger.rows(self._dest, ours):
            self._plan.add_ledger(rows)
        if ours or len(self._parts) > 1:
            ledger.merge(self._dest, [*self._parts, *ours], self._plan.ledger_rows())

    def _noted(self, work: Work, status: str, error: str | None) -> dict[str, Any]:
        row = {**begun(work, self._task), "status": status, "error": error, "finished": ledger.now()}
        self._plan.add_ledger([row], keep_done=True)
        return row


def _outputs(names: list[str]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    pq.write_table(pa.table({"output": names}), stream)
    return stream.getvalue()


def _read_outputs(dest: Folder, name: str) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = dest.read(name)
    names: list[str] = [] if content is None else pq.read_table(pa.BufferReader(content)).column("output").to_pylist()
    return names
