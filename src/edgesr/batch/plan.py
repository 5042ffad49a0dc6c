"""What a run has to do: inputs, ledger and DEST compared in a database on disk, so that memory does not grow with their number."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from edgesr.batch import ledger
from edgesr.batch.source import Input
from edgesr.batch.storage import Entry
from edgesr.errors import UsageError

_CHUNK = 10_000  # rows, of a transaction
UNIT_PICTURES, UNIT_BYTES = 32, 4 * 2**20  # at most, of a unit of work; one larger picture is a unit of its own
_UNITS_A_WORKER = 16  # at least, so that the last units end at about the same time

_TABLES = f"""
CREATE TABLE inputs (output TEXT PRIMARY KEY, input TEXT UNIQUE, bytes INTEGER, stamp TEXT);
CREATE TABLE present (output TEXT PRIMARY KEY, bytes INTEGER) WITHOUT ROWID;
CREATE TABLE intended (output TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE ledger (output TEXT PRIMARY KEY, {", ".join(name for name in ledger.COLUMNS if name != "output")});
"""
# The first case that holds decides. `own`: the file in DEST is the one that the ledger tells of.
_DECISION = """
CREATE TABLE decided AS SELECT output, input, bytes, stamp, CASE
    WHEN own AND mine AND changed THEN 'replace'
    WHEN own AND mine AND same THEN 'kept'
    WHEN own AND mine THEN CASE WHEN :overwrite THEN 'replace' ELSE 'other' END
    WHEN there AND :overwrite THEN 'replace'
    WHEN there AND output IN intended THEN 'do'
    WHEN there THEN CASE WHEN :skip_existing THEN 'skipped' ELSE 'blocked' END
    WHEN status = 'failed' AND mine AND same AND NOT changed AND NOT :retry_failed THEN 'failed'
    ELSE 'do' END AS state
  FROM (
    SELECT i.*, l.status, l.input = i.input AS mine, p.output IS NOT NULL AS there,
      l.settings = :settings AND l.weights IN (SELECT value FROM json_each(:weights)) AS same,
      i.stamp IS NOT NULL AND (l.input_stamp IS NOT i.stamp OR l.input_bytes IS NOT i.bytes) AS changed,
      l.status = 'done' AND p.output IS NOT NULL AND coalesce(p.bytes = l.output_bytes, 1) AS own
    FROM inputs i LEFT JOIN ledger l ON l.output = i.output LEFT JOIN present p ON p.output = i.output ORDER BY i.rowid
  )
"""


class Work(NamedTuple):
    """One picture of a unit of work."""

    input: str
    output: str
    bytes: int | None
    stamp: str | None
    replace: bool  # whether a file of that name in DEST may be replaced


class Plan:
    """The inputs and what becomes of each; use it as a context manager, its database is removed at the end."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="edgesr-plan-")
        self._database = sqlite3.connect(Path(self._folder.name, "plan.sqlite"))
        self._database.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + _TABLES)

    def __enter__(self) -> Plan:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()
        self._folder.cleanup()

    def add_inputs(self, inputs: Iterable[Input]) -> None:
        """Add inputs; one that is named twice counts once. Raises UsageError if two have the same result."""
        statement = "INSERT INTO inputs (input, output, bytes, stamp) VALUES (?, ?, ?, ?) ON CONFLICT (input) DO NOTHING"
        each = None
        try:
            for each in inputs:
                self._database.execute(statement, (each.url, each.output, each.bytes, each.stamp))
        except sqlite3.IntegrityError:
            assert each is not None
            (other,) = self._one("SELECT input FROM inputs WHERE output = ?", each.output)
            raise UsageError(
                f"{other} and {each.url} have the same result, {each.output}: omit --format, rename one, or run them apart"
            ) from None
        self._database.commit()

    def check_inputs(self, dest: str) -> None:
        """Raise UsageError if there are no inputs, or if the result of one, below `dest`, would be another."""
        if self._one("SELECT 1 FROM inputs LIMIT 1") is None:
            raise UsageError("no images in SOURCE")
        both = self._one("SELECT a.input, b.input FROM inputs a JOIN inputs b ON b.input = ? || a.output LIMIT 1", dest)
        if both is not None:
            raise UsageError(f"the result of {both[0]} would overwrite the input {both[1]}: choose another DEST")

    def add_present(self, entries: Iterable[Entry]) -> None:
        """Add the files that are in DEST."""
        self._insert("INSERT OR IGNORE INTO present VALUES (?, ?)", ((each.name, each.bytes) for each in entries))

    def add_intended(self, outputs: Iterable[str]) -> None:
        """Add the results that runs which did not end were to write."""
        self._insert("INSERT OR IGNORE INTO intended VALUES (?)", ((each,) for each in outputs))

    def add_ledger(self, rows: Iterable[dict[str, Any]], *, keep_done: bool = False) -> None:
        """Add rows of the ledger; of two with the same output, the last finished counts, or with `keep_done` one that is done."""
        names = list(ledger.COLUMNS)
        updates = ", ".join(f"{name} = excluded.{name}" for name in names)
        statement = (
            f"INSERT INTO ledger ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) "
            f"ON CONFLICT (output) DO UPDATE SET {updates} WHERE excluded.finished >= ledger.finished"
            + (" AND ledger.status != 'done'" if keep_done else "")
        )
        self._insert(statement, (tuple(row[name] for name in names) for row in rows))

    def decide(
        self, *, settings: str, weights: Sequence[str], overwrite: bool, skip_existing: bool, retry_failed: bool
    ) -> dict[str, int]:
        """Decide on every input and return how many there are of each kind.

        do, replace: to be done; kept: done before; failed: before, and not tried again; other: done before with other settings or
        weights; blocked, skipped: a file of unknown origin is in the way.
        """
        self._database.execute(
            _DECISION,
            {
                "settings": settings,
                "weights": json.dumps(weights),
                "overwrite": overwrite,
                "skip_existing": skip_existing,
                "retry_failed": retry_failed,
            },
        )
        self._database.commit()
        return dict(self._database.execute("SELECT state, count(*) FROM decided GROUP BY state"))

    def of_state(self, state: str) -> Iterator[Work]:
        """Yield the inputs of one kind."""
        for row in self._database.execute("SELECT input, output, bytes, stamp FROM decided WHERE state = ?", (state,)):
            yield Work._make((*row, False))

    def to_do(self) -> Iterator[Work]:
        """Yield the pictures to be done, in the order in which they were listed."""
        statement = (
            "SELECT input, output, bytes, stamp, state = 'replace' FROM decided WHERE state IN ('do', 'replace') ORDER BY rowid"
        )
        for row in self._database.execute(statement):
            yield Work._make((*row[:-1], bool(row[-1])))

    def units(self, workers: int) -> Iterator[list[Work]]:
        """Yield the pictures to be done in units: few enough that workers share them evenly, and limited in pictures and bytes."""
        (count,) = self._one("SELECT count(*) FROM decided WHERE state IN ('do', 'replace')")
        most = max(1, min(UNIT_PICTURES, count // (_UNITS_A_WORKER * workers)))
        unit: list[Work] = []
        held = 0
        for work in self.to_do():
            size = work.bytes or 0
            if unit and (len(unit) >= most or held + size > UNIT_BYTES):
                yield unit
                unit, held = [], 0
            unit.append(work)
            held += size
        if unit:
            yield unit

    def ledger_rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of the ledger, one for each output."""
        names = list(ledger.COLUMNS)
        for row in self._database.execute(f"SELECT {', '.join(names)} FROM ledger ORDER BY rowid"):
            yield dict(zip(names, row, strict=True))

    def _one(self, statement: str, *values: object) -> Any:
        return self._database.execute(statement, values).fetchone()

    def _insert(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        ahead = iter(rows)
        while some := list(islice(ahead, _CHUNK)):
            self._database.executemany(statement, some)
            self._database.commit()
