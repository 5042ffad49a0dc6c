"""The benchmark: run every system on every picture of every suite and score the results. The systems take turns on each picture,
so that a busy machine slows all of them alike."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edgesr.data.files import BROKEN, read_rgb
from edgesr.errors import EdgesrError, InputError
from edgesr.evaluate.bench import cpu_name
from edgesr.evaluate.cache import Cache, pixels_hash
from edgesr.evaluate.scoring import Compared, Reasons, Scores, Scoring
from edgesr.evaluate.suites import Picture, Suite
from edgesr.evaluate.systems import Facts, Named
from edgesr.evaluate.systems.base import digest
from edgesr.evaluate.unavailable import brief
from edgesr.evaluate.workers import Worker, WorkerError
from edgesr.presets import SCALE

Report = Callable[[str], None]  # of one line


@dataclass
class Entry:
    """One system's result for one picture."""

    output: Path
    seconds: float | None
    peak_rss_mb: float | None
    run: str | None  # when the run began in which it was timed; "" of a run before such a record was kept
    scores: Scores
    reasons: Reasons
    key: str  # of the pictures compared


@dataclass
class Row:
    """One picture of a suite, by all systems."""

    picture: Picture
    width: int  # of the output, px
    height: int
    hashes: str
    entries: dict[str, Entry] = field(default_factory=dict)  # by system
    failed: dict[str, str] = field(default_factory=dict)  # reason by system


class Task(NamedTuple):
    """One picture to make: the row it belongs to, and its pixels (h, w, 3) uint8."""

    suite: str
    row: Row
    lr: np.ndarray
    hr: np.ndarray | None


@dataclass
class Outcome:
    """All that was measured."""

    facts: dict[str, Facts]  # by system, those that run here
    skipped: dict[str, str]  # reason by system
    rows: dict[str, list[Row]]  # by suite
    whole: dict[str, dict[str, tuple[Scores, Reasons]]]  # scores of whole suites, by suite and system


class Keep(NamedTuple):
    """The cache and the current run."""

    cache: Cache
    run: str  # when it began
    again: bool  # whether results of other runs are ignored

    def made(self, output: Path) -> dict[str, Any] | None:
        """Return the record of a picture in the cache; None if the picture must be made."""
        record = self.cache.made(output)
        return None if record is not None and self.again and record.get("run") != self.run else record


class Contestant:
    """A system that can run here, with its process."""

    def __init__(self, named: Named, facts: Facts, threads: int, timeout: float) -> None:
        self.name, self.facts = named.name, facts
        # Times depend on the number of threads and the processor.
        self.key = digest(facts.fingerprint, str(threads), cpu_name()) if facts.timed else facts.fingerprint
        self.worker = Worker(named.spec, threads, timeout)


def evaluate(
    suites: list[Suite],
    systems: list[Named],
    scoring: Scoring,
    cache: Cache,
    *,
    threads: int,
    timeout: float,
    report: Report,
    again: bool = False,
) -> Outcome:
    """Run and score; `report` gets one line for each failure, which is left out of the means.

    `threads` is for each system, `timeout` seconds for each picture. Results in `cache` are not
    made again, unless `again`: then every picture is made and timed in this run; scores of equal pictures are reused.
    Raises EdgesrError if no system can run.
    """
    keep = Keep(cache, datetime.now(timezone.utc).isoformat(), again=again)
    contestants, skipped = _contestants(systems, threads, timeout, report)
    outcome = Outcome({each.name: each.facts for each in contestants}, skipped, {}, {})
    with contextlib.ExitStack() as stack, _progress(suites, len(contestants)) as step:
        for each in contestants:
            stack.callback(each.worker.close)
        for suite in suites:
            rows = outcome.rows[suite.name] = []
            for name, reason in suite.problems.items():
                report(f"{suite.name}: {name}: {reason}")
            for picture in list(suite.pictures):
                try:
                    lr, hr = suite.read(picture)
                except InputError as error:
                    suite.problems[picture.name] = str(error)
                    report(f"{suite.name}: {error}")
                    step("", len(contestants))
                    continue
                hashes = pixels_hash(lr) + (pixels_hash(hr) if hr is not None else "")
                row = Row(picture, SCALE * lr.shape[1], SCALE * lr.shape[0], hashes)
                rows.append(row)
                for each in contestants:
                    step(f"{suite.name} {each.name}", 0)
                    try:
                        row.entries[each.name] = _entry(each, Task(suite.name, row, lr, hr), scoring, keep)
                    except (WorkerError, InputError) as error:
                        row.failed[each.name] = str(error)
                        report(f"{suite.name}: {picture.name}: {each.name}: {error}")
                    step("", 1)
            outcome.whole[suite.name] = {each.name: _whole(each.name, rows, scoring) for each in contestants}
    return outcome


def _contestants(systems: list[Named], threads: int, timeout: float, report: Report) -> tuple[list[Contestant], dict[str, str]]:
    contestants, skipped = [], {}
    for named in systems:
        try:
            contestants.append(Contestant(named, named.system.facts(), threads, timeout))
        except Exception as error:  # noqa: PERF203 (each on its own: what a system's damaged files raise must not end the others)
            skipped[named.name] = str(error) if isinstance(error, EdgesrError) else brief(error)
            report(f"{named.name} is skipped: {skipped[named.name]}")
    if not contestants:
        raise EdgesrError("no system can run on this machine")
    return contestants, skipped


def _entry(contestant: Contestant, task: Task, scoring: Scoring, keep: Keep) -> Entry:
    """Make a picture, or take it from the cache, and score it; raises WorkerError or InputError."""
    output = keep.cache.output(contestant.key, contestant.name, pixels_hash(task.lr))
    kept = keep.made(output)
    record = kept or {
        **contestant.worker.upscale(task.row.picture.lr, task.suite, task.row.picture.name, output),
        "run": keep.run,
    }
    result = _read_result(output, task.row)
    if kept is None:
        keep.cache.keep_made(output, record)
    key = digest(pixels_hash(result), task.row.hashes)
    scores, reasons = scoring.picture(Compared(result, task.lr, task.hr, key))
    timed = contestant.facts.timed
    seconds, memory, run = (record["seconds"], record["peak_rss_mb"], record.get("run", "")) if timed else (None, None, None)
    return Entry(output, seconds, memory, run, scores, reasons, key)


def _read_result(output: Path, row: Row) -> np.ndarray:
    try:
        result = read_rgb(output)
    except BROKEN as error:
        output.unlink(missing_ok=True)
        raise InputError(f"{output}: cannot be read back ({error})") from None
    height, width = result.shape[:2]
    if (width, height) != (row.width, row.height):
        output.unlink()
        raise InputError(f"the output is {width}x{height} px, not {row.width}x{row.height}")
    return result


def _whole(name: str, rows: list[Row], scoring: Scoring) -> tuple[Scores, Reasons]:
    done = [row for row in rows if name in row.entries]
    entries = [row.entries[name] for row in done]
    return scoring.suite(
        [entry.output for entry in entries], [row.picture.hr for row in done], [entry.key for entry in entries]
    )


@contextlib.contextmanager
def _progress(suites: list[Suite], systems: int) -> Iterator[Callable[[str, int], Any]]:
    """Show a bar on a terminal; yields a function that takes what is being done now, and how many pictures were."""
    from tqdm import tqdm

    total = systems * sum(len(suite.pictures) for suite in suites)
    with tqdm(total=total, file=sys.stderr, disable=None, leave=False, dynamic_ncols=True, unit="picture") as bar:

        def step(now: str, count: int) -> None:
            if now:
                bar.set_postfix_str(now, refresh=False)
            bar.update(count)

        yield step
