"""The result of a benchmark as one dict, also the JSON file: means with intervals, win rates, costs, and every picture."""

from __future__ import annotations

import functools
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgesr.evaluate.bench import cpu_name
from edgesr.evaluate.benchmark import Entry, Outcome, Row
from edgesr.evaluate.direction import merit
from edgesr.evaluate.registry import METRICS
from edgesr.evaluate.statistics import interval, win_rates
from edgesr.evaluate.suites import Suite, fingerprint
from edgesr.evaluate.unavailable import Unavailable, need

TIMES_MIXED = (
    "Times come from different runs, so the load of the machine may differ between systems; use --again to time all in one run."
)
NO_REFERENCE = "the suite has no reference pictures"
PUBLISHED = Path(__file__).with_name("published.toml")
Json = dict[str, Any]


def assemble(
    outcome: Outcome, suites: Sequence[Suite], metrics: Sequence[str], *, command: str, threads: int, limit: int | None
) -> Json:
    """Return the dict; unknown figures are null, or missing with their reason in `unavailable`."""
    return {
        "version": 1,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": command,
        "machine": {
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "threads": threads,
            "os": platform.platform(),
            "python": platform.python_version(),
        },
        "metrics": {name: _metric(name) for name in metrics},
        "systems": _systems(outcome),
        "times_mixed": _times_mixed(outcome),
        "suites": {suite.name: _suite(outcome, suite.name, metrics) for suite in suites},
        "suite_info": {suite.name: _info(suite, outcome.rows[suite.name], limit) for suite in suites},
        "problems": {suite.name: suite.problems for suite in suites if suite.problems},
        "win_rates": {suite.name: _win_rates(outcome.rows[suite.name], metrics) for suite in suites},
        "images": {suite.name: {row.picture.name: _image(row) for row in outcome.rows[suite.name]} for suite in suites},
        "published": published(),
    }


def published() -> list[Json]:
    """Return published figures of others, with source and protocol; empty without a TOML parser."""
    try:
        toml = need("tomllib" if sys.version_info >= (3, 11) else "tomli", "evaluate")
    except Unavailable:  # a missing parser must not lose the results
        return []
    entries: list[Json] = toml.loads(PUBLISHED.read_text(encoding="utf-8"))["figures"]
    return entries


def failures(result: Json) -> int:
    """Return how many pictures could not be scored, because of the suite or of a system."""
    failed = sum(len(row["failed"]) for rows in result["suites"].values() for row in rows.values())
    return failed + sum(map(len, result["problems"].values()))


def _metric(name: str) -> Json:
    info = METRICS[name]
    return {key: getattr(info, key) for key in ("title", "unit", "better", "target", "needs_reference", "source", "note")}


def _systems(outcome: Outcome) -> Json:
    nothing: Json = dict.fromkeys(
        ("description", "parameters", "gflops", "peak_rss_mb", "seconds_per_megapixel", "fingerprint")
    )
    nothing["timed_in"] = []
    systems = {name: nothing | {"description": "", "skipped": reason} for name, reason in outcome.skipped.items()}
    for name, facts in outcome.facts.items():
        rows = [row for rows in outcome.rows.values() for row in rows if name in row.entries]
        timed = [row for row in rows if row.entries[name].seconds is not None]
        seconds = sum(row.entries[name].seconds or 0 for row in timed)
        megapixels = sum(row.width * row.height for row in timed) / 1e6
        peaks = [peak for row in rows if (peak := row.entries[name].peak_rss_mb) is not None]
        systems[name] = {
            "description": facts.description,
            "parameters": facts.parameters,
            "gflops": facts.gflops,
            "peak_rss_mb": max(peaks, default=None),
            "seconds_per_megapixel": seconds / megapixels if megapixels else None,
            "timed_in": sorted({row.entries[name].run or "" for row in timed}),
            "fingerprint": facts.fingerprint,
        }
    return systems


def _times_mixed(outcome: Outcome) -> bool:
    """Whether the systems were timed on the same picture in different runs. A resumed run does not count as another one."""
    rows = (row for rows in outcome.rows.values() for row in rows)
    return any(len({entry.run for entry in row.entries.values() if entry.run is not None}) > 1 for row in rows)


def _suite(outcome: Outcome, suite: str, metrics: Sequence[str]) -> Json:
    rows = outcome.rows[suite]
    return {name: _row(name, rows, *outcome.whole[suite][name], metrics) for name in outcome.facts}


def _row(
    name: str, rows: Sequence[Row], scores: Mapping[str, float], reasons: Mapping[str, str], metrics: Sequence[str]
) -> Json:
    entries = {row.picture.name: row.entries[name] for row in rows if name in row.entries}
    unavailable = dict(reasons)
    means, intervals = dict(scores), {}
    for metric in metrics:
        values = [entry.scores[metric] for entry in entries.values() if metric in entry.scores]
        if values and len(values) == len(entries):
            means[metric] = sum(values) / len(values)
            if (bounds := interval(values)) is not None:
                intervals[metric] = list(bounds)
        elif entries and metric not in scores and metric not in reasons:
            unavailable[metric] = _why(metric, entries)
    seconds = [entry.seconds for entry in entries.values() if entry.seconds is not None]
    return {
        **{metric: means[metric] for metric in metrics if metric in means},
        "seconds": sum(seconds) / len(seconds) if seconds else None,
        "n": len(entries),
        "intervals": intervals,
        "unavailable": unavailable,
        "failed": {row.picture.name: row.failed[name] for row in rows if name in row.failed},
    }


def _why(metric: str, entries: Mapping[str, Entry]) -> str:
    """Why a metric has no mean: a mean over some of the pictures would not be comparable."""
    missing = {picture: entry.reasons[metric] for picture, entry in entries.items() if metric in entry.reasons}
    if not missing:
        return NO_REFERENCE
    picture, reason = next(iter(missing.items()))
    return reason if len(missing) == len(entries) else f"{picture}: {reason}"


def _info(suite: Suite, rows: Sequence[Row], limit: int | None) -> Json:
    """The pictures of a suite; with a fingerprint if none is left out."""
    known = suite.benchmark.fingerprint if suite.benchmark else ""
    whole = limit is None and not suite.problems
    found = fingerprint(row.hashes for row in rows) if whole else None
    return {
        "pictures": len(suite.pictures) + len(suite.problems),
        "fingerprint": found,
        "as_known": found == known if found and known else None,
    }


def _win_rates(rows: Sequence[Row], metrics: Sequence[str]) -> Json:
    rates = {}
    for metric in metrics:
        info = _metric(metric)
        scores: dict[str, dict[str, float]] = {}
        for row in rows:
            for system, entry in row.entries.items():
                if metric in entry.scores:
                    scores.setdefault(system, {})[row.picture.name] = entry.scores[metric]
        if found := win_rates(scores, functools.partial(merit, metric=info)):
            rates[metric] = found
    return rates


def _image(row: Row) -> Json:
    return {
        "width": row.width,
        "height": row.height,
        "lr": str(row.picture.lr.resolve()),
        "hr": str(row.picture.hr.resolve()) if row.picture.hr else None,
        "systems": {
            name: {"metrics": entry.scores, "seconds": entry.seconds, "run": entry.run, "output": str(entry.output.resolve())}
            for name, entry in row.entries.items()
        },
    }
