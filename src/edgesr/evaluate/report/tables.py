"""The report's tables as HTML, with all text of the result escaped."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import datetime, timezone
from html import escape

from edgesr.evaluate.direction import Metric, arrow, merit, phrase
from edgesr.evaluate.report.figures import count, figure, share, significant
from edgesr.evaluate.results import TIMES_MIXED

FEW = 5  # more lines are collapsed
HIGHER, LOWER = {"better": "higher"}, {"better": "lower"}
COSTS = {  # field of a system -> title, unit
    "seconds_per_megapixel": ("Time", "s/MP"),
    "peak_rss_mb": ("Memory", "MB"),
    "parameters": ("Parameters", ""),
    "gflops": ("Work", "GFLOPs"),
}


def contents(result: dict) -> str:
    """Links to the tables of the suites."""
    return "".join(f'<li><a href="#suite-{i}">{escape(name)}</a></li>' for i, name in enumerate(result["suites"], 1))


def moment(iso: str) -> str:
    """A time such as "2026-01-31 12:00 UTC"; any other text unchanged."""
    try:
        return f"{datetime.fromisoformat(iso).astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return iso


def machine(machine: dict) -> str:
    """The machine in one line."""
    threads, cores = machine["threads"], machine["cores"]
    return f"{machine['cpu']}, {threads} of {cores} cores used, {machine['os']}, Python {machine['python']}"


def suite(result: dict, name: str) -> str:
    """One suite's section: measured quality and cost of every system that ran, and what could not be measured."""
    scored, number = result["suites"][name], list(result["suites"]).index(name) + 1
    metrics = {key: info for key, info in result["metrics"].items() if any(row.get(key) is not None for row in scored.values())}
    head = [_head("System")]
    head += [_head(info["title"], info["unit"], info) for info in metrics.values()]
    head += [_head(title, unit, LOWER) for title, unit in COSTS.values()]
    head += [_head("Pictures", direction=HIGHER, sign=False)]
    rows = [_row(result, name, system, metrics) for system in scored]
    table = _table(f"{name}: measured on this machine, {_pictures(result, name)}", head, rows, f"table-{number}")
    left_out = result["problems"].get(name, {})
    out = [f"Left out: {reason if image in reason else f'{image}: {reason}'}" for image, reason in left_out.items()]
    mixed = [TIMES_MIXED] if result["times_mixed"] else []
    fewer = [
        f"{system} was scored on {row['n']} of {len(result['images'][name])} pictures: its figures are not comparable with the others"
        for system, row in scored.items()
        if row["failed"] and row["n"]
    ]
    notes = _list([*mixed, *fewer, *out, *_missing(result["metrics"], scored)]) + _failures(scored)
    return f'<section class="suite" id="suite-{number}"><h3>{escape(name)}</h3>{table}{notes}</section>'


def systems(result: dict) -> str:
    """What was compared, and what was left out and why."""
    rows = []
    for name, system in result["systems"].items():
        state = f"skipped: {system['skipped']}" if system.get("skipped") else _state(result, name)
        cells = [_name(name), _text(system["description"]), _text(state), _text(system.get("fingerprint") or "n/a", "code")]
        rows.append("".join(cells))
    head = [_head(title, text=True) for title in ("System", "Description", "State", "Fingerprint")]
    return _table("The systems compared", head, rows, "table-systems")


def _state(result: dict, system: str) -> str:
    rows = [row[system] for row in result["suites"].values() if system in row]
    failed, done = sum(len(row["failed"]) for row in rows), sum(row["n"] for row in rows)
    if not failed:
        return "measured"
    return f"measured; failed on {failed} of {failed + done} pictures" if done else f"failed on all {failed} pictures"


def published(result: dict) -> str:
    """Figures that others published, in a table of their own."""
    entries = result["published"]
    if not entries:
        return "<p>None.</p>"
    known = result["metrics"]
    names = list(dict.fromkeys(metric for entry in entries for metric in entry["figures"]))
    head = [_head("System"), _head("Suite", text=True)]
    head += [_head(name.upper(), direction=known.get(name)) for name in names]  # papers rarely say which variant
    head += [_head("Protocol", text=True), _head("Paper of the system", text=True), _head("Reported in", text=True)]
    rows = []
    for entry in entries:
        cells = [_name(entry["system"]), _text(entry["suite"])]
        cells += [_number(entry["figures"].get(name), figure(entry["figures"].get(name))) for name in names]
        rows.append("".join([*cells, *(_text(entry[key]) for key in ("protocol", "source", "reported_in"))]))
    return _table("Published by others, not measured here", head, rows, "table-published")


def metrics(metrics: dict) -> str:
    """What each metric is."""
    rows = []
    for info in metrics.values():
        unit = f" ({info['unit']})" if info["unit"] else ""
        needs = "a reference" if info["needs_reference"] else "no reference"
        cells = (phrase(info), needs, info["source"], info["note"])
        rows.append(_name(info["title"] + unit) + "".join(_text(cell) for cell in cells))
    head = [_head(title, text=True) for title in ("Metric", "Direction", "Needs", "Source", "Note")]
    return _table("The metrics", head, rows, "table-metrics")


def _pictures(result: dict, suite: str) -> str:
    """The number of pictures, and whether they are those of the known suite."""
    scored, info = len(result["images"][suite]), result["suite_info"][suite]
    known = {True: "; the same pictures as the known suite", False: "; other pictures than the known suite of this name"}
    return f"mean over {scored} of {info['pictures']} pictures{known.get(info['as_known'], '')}"


def _row(result: dict, suite: str, system: str, metrics: dict) -> str:
    scored, costs = result["suites"][suite], result["systems"][system]
    pictures = len(result["images"][suite])
    whole = scored[system]["n"] == pictures
    cells = [_name(system)]
    for metric, info in metrics.items():
        value = scored[system].get(metric)
        # Means over different pictures are not comparable.
        values = [row[metric] for row in scored.values() if row.get(metric) is not None and row["n"] == pictures]
        best = whole and len(values) > 1 and merit(value, info) == max(merit(each, info) for each in values)
        low_high = scored[system]["intervals"].get(metric)
        wins = result["win_rates"].get(suite, {}).get(metric, {}).get(system, {}).values()
        extra = f'<small class="interval">{figure(low_high[0])} to {figure(low_high[1])}</small>' if low_high else ""
        if wins:
            extra += f'<small class="wins">wins {share(sum(wins) / len(wins))}</small>'
        cells.append(_number(value, figure(value), extra, best=best))
    for field in COSTS:
        shown = count(costs[field]) if field == "parameters" else significant(costs[field])
        cells.append(_number(costs[field], shown))
    failed = len(scored[system]["failed"])
    extra = f'<small class="bad">of {pictures}: {failed} failed</small>' if failed else ""
    return "".join([*cells, _number(scored[system]["n"], str(scored[system]["n"]), extra)])


def _missing(metrics: dict, scored: dict[str, dict]) -> list[str]:
    """One line for each reason for missing figures, with its metrics, and its systems unless it is all of them."""
    without: dict[tuple[str, str], list[str]] = {}
    for system, row in scored.items():
        for metric, reason in row["unavailable"].items():
            without.setdefault((metric, reason), []).append(system)
    lines: dict[tuple[str, ...], list[str]] = {}
    for (metric, reason), systems in without.items():
        lines.setdefault((reason, *([] if len(systems) == len(scored) else systems)), []).append(metrics[metric]["title"])
    notes = []
    for (reason, *systems), titles in lines.items():
        whose = f" by {', '.join(systems)}" if systems else ""
        notes.append(f"No figure for {', '.join(titles)}{whose}: {reason}")
    return notes


def _failures(scored: dict[str, dict]) -> str:
    """The pictures that systems failed on, collapsed if there are many."""
    lines = [f"{system} failed on {image}: {why}" for system, row in scored.items() for image, why in row["failed"].items()]
    listed = _list(lines)
    return listed if len(lines) <= FEW else f"<details><summary>{len(lines)} failures</summary>{listed}</details>"


def _list(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<ul class="notes">{items}</ul>' if items else ""


def _table(caption: str, head: list[str], rows: list[str], identity: str) -> str:
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-labelledby="{identity}"><table class="sortable">'
        f'<caption id="{identity}">{escape(caption)}</caption>'
        f"<thead><tr>{''.join(head)}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _head(title: str, unit: str = "", direction: Metric | None = None, *, sign: bool = True, text: bool = False) -> str:
    under = " ".join(filter(None, (unit, arrow(direction) if direction and sign else "")))
    small = f"<small>{escape(under)}</small>" if under else ""
    kind = ' class="text"' if text else ""
    better = f' data-better="{escape(direction["better"])}"' if direction else ""
    if direction and direction["better"] == "nearest":
        better += f' data-target="{direction["target"]:g}"'
    return f'<th scope="col"{kind}{better}>{escape(title)}{small}</th>'


def _name(text: str) -> str:
    """The head of a row; long names of systems may break after their punctuation."""
    breakable = re.sub("([-_:/@])", r"\1<wbr>", escape(text))
    return f'<th scope="row">{breakable}</th>'


def _text(text: str, kind: str = "text") -> str:
    return f'<td class="{kind}">{escape(text)}</td>'


def _number(value: float | None, shown: str, extra: str = "", *, best: bool = False) -> str:
    sort, kind = "", "missing"
    if value is not None and not math.isnan(value):
        sort = f' data-value="{float(value)}"'.replace("inf", "Infinity")  # as JavaScript's Number reads it
        kind = "best" if best else "number"
    mark = '<span class="hidden"> (best)</span>' if best else ""
    return f'<td class="{kind}"{sort}><span>{escape(shown)}</span>{mark}{extra}</td>'
