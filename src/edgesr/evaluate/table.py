"""A benchmark's result as text for a terminal: one table for each suite, what is missing and why, and published figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from edgesr.evaluate.results import TIMES_MIXED

Json = dict[str, Any]
NAME_WIDTH = 34


def render(result: Json) -> str:
    """Return the tables, one text."""
    return "\n".join(line.rstrip() for part in (_suites, _costs, _notes, _published) for line in part(result)).strip() + "\n"


def _suites(result: Json) -> Iterator[str]:
    yield "+ higher is better, - lower is better, =1 nearest to 1 is best"
    yield ""
    for suite, systems in result["suites"].items():
        metrics = [name for name in result["metrics"] if any(name in row for row in systems.values())]
        info = result["suite_info"][suite]
        other = "; NOT the pictures behind this project's published figures" if info["as_known"] is False else ""
        mark = f", fingerprint {info['fingerprint']}{other}" if info["fingerprint"] else ""
        yield f"{suite}: {info['pictures']} pictures{mark}"
        rows = [["", *(_heading(result, name) for name in metrics), "s per picture", "n"]]
        for system, row in systems.items():
            figures = [_figure(row.get(name), result["metrics"][name]["unit"]) for name in metrics]
            rows.append([_short(system), *figures, _number(row["seconds"], 2), _count(row)])
        yield from _aligned(rows)
        yield ""


def _costs(result: Json) -> Iterator[str]:
    machine = result["machine"]
    yield f"Cost on {machine['cpu']}, threads: {machine['threads']}; GFLOPs for 128x128 -> 512x512"
    rows = [["", "s per MP out", "peak MB", "parameters, M", "GFLOPs"]]
    for system, facts in result["systems"].items():
        if "skipped" not in facts:
            millions = facts["parameters"] / 1e6 if facts["parameters"] is not None else None
            figures = ((facts["seconds_per_megapixel"], 3), (facts["peak_rss_mb"], 0), (millions, 2), (facts["gflops"], 1))
            rows.append([_short(system), *(_number(*figure) for figure in figures)])
    yield from _aligned(rows)
    if result["times_mixed"]:
        yield TIMES_MIXED
    yield ""


def _notes(result: Json) -> Iterator[str]:
    """What the tables lack."""
    for system, facts in result["systems"].items():
        if "skipped" in facts:
            yield f"skipped: {system}: {facts['skipped']}"
    missing: dict[tuple[str, str], list[str]] = {}  # (metric, reason) -> suites
    for suite, systems in result["suites"].items():
        for row in systems.values():
            for metric, reason in row["unavailable"].items():
                missing.setdefault((metric, reason), []).append(suite)
    for (metric, reason), suites in missing.items():
        where = "" if len(set(suites)) == len(result["suites"]) else f" ({', '.join(dict.fromkeys(suites))})"
        yield f"no {result['metrics'][metric]['title']}{where}: {reason}"
    for suite, systems in result["suites"].items():
        for system, row in systems.items():
            if row["failed"]:
                yield f"failed: {system} on {_failed(row)} of {suite}: {', '.join(row['failed'])}"
        for picture, reason in result["problems"].get(suite, {}).items():
            yield f"not scored: {suite}: {picture}: {reason}"
    yield ""


def _published(result: Json) -> Iterator[str]:
    if not result["published"]:
        return
    yield "PUBLISHED by others, NOT measured here: other suites and code, not comparable with the tables above"
    metrics = list(dict.fromkeys(name for entry in result["published"] for name in entry["figures"]))
    rows = [["", "suite", *(name.upper() for name in metrics), "reported in"]]
    for entry in result["published"]:
        figures = [_number(entry["figures"].get(name), 3 if entry["figures"].get(name, 9) < 1 else 2) for name in metrics]
        rows.append([entry["system"], entry["suite"], *figures, entry["reported_in"]])
    yield from _aligned(rows, left=(0, 1, len(rows[0]) - 1))


def _count(row: Json) -> str:
    return f"{row['n']} of {row['n'] + len(row['failed'])}" if row["failed"] else str(row["n"])


def _failed(row: Json) -> str:
    failed, done = len(row["failed"]), row["n"]
    if not done:
        return f"all {failed} pictures"
    return f"{failed} of {failed + done} pictures (scored on the other {done}: not comparable with other systems)"


def _heading(result: Json, name: str) -> str:
    info = result["metrics"][name]
    sign = f"={info['target']:g}" if info["better"] == "nearest" else "+" if info["better"] == "higher" else "-"
    return f"{info['title']} {sign}"


def _figure(value: float | None, unit: str) -> str:
    return _number(value, 2 if unit == "dB" or (value is not None and value >= 10) else 3)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _short(system: str) -> str:
    return system if len(system) <= NAME_WIDTH else f"{system[:8]}...{system[11 - NAME_WIDTH :]}"


def _aligned(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> Iterator[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = (
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells)
