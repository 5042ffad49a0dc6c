"""The tables of docs/benchmarks.md from a result of `edgesr evaluate ... --json FILE`: `python benchmarks/peers.py FILE`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from edgesr.evaluate.direction import arrow, merit

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- tables: benchmarks/peers.py -->", "<!-- end of tables -->"
COLUMNS = {"psnr": 2, "ssim": 3, "sqd": 3, "epd": 3, "sharpness": 2, "niqe": 2, "consistency": 2, "colour_shift": 2}  # digits
DISTANCES = ("sqd", "epd")  # shown as shares of bicubic's too
BLIND_TO = "bicubic"  # whose distances the ratios are of


def bold(cells: list[str], values: list[float | None], info: dict[str, Any]) -> list[str]:
    merits = [None if value is None else merit(value, info) for value in values]
    best = max((each for each in merits if each is not None), default=None)
    return [f"**{cell}**" if each is not None and each == best else cell for cell, each in zip(cells, merits, strict=True)]


def suite(result: dict[str, Any], name: str) -> str:
    rows = result["suites"][name]
    heads, columns = ["system"], [list(rows)]
    for metric, digits in COLUMNS.items():
        values = [row.get(metric) for row in rows.values()]
        if all(value is None for value in values):
            continue
        info = result["metrics"][metric]
        heads.append(f"{info['title']}{', ' + info['unit'] if info['unit'] else ''} {arrow(info)}")
        columns.append(bold(["-" if v is None else f"{v:.{digits}f}" for v in values], values, info))
        if metric in DISTANCES:
            base = rows[BLIND_TO][metric]
            heads.append("of bicubic's")
            columns.append(["-" if v is None else f"{v / base:.2f}" for v in values])
    heads.append("n")
    columns.append([str(row["n"]) for row in rows.values()])
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    return f"### {name}\n\n" + "\n".join([*lines, *(f"| {' | '.join(cells)} |" for cells in zip(*columns, strict=True))])


def costs(result: dict[str, Any]) -> str:
    lines = ["| system | what ran | parameters | GFLOPs | s a megapixel out | peak RSS, MB |", "|---|---|---|---|---|---|"]
    for name, facts in result["systems"].items():
        if reason := facts.get("skipped"):
            lines.append(f"| {name} | left out: {reason} | | | | |")
            continue
        size = "-" if facts["parameters"] is None else f"{facts['parameters'] / 1e6:.2f} M"
        figures = [(facts["gflops"], "{:.1f}"), (facts["seconds_per_megapixel"], "{:.2f}"), (facts["peak_rss_mb"], "{:.0f}")]
        cells = ["-" if value is None else form.format(value) for value, form in figures]
        lines.append(f"| {name} | {facts['description']} | {size} | {' | '.join(cells)} |")
    machine = result["machine"]
    where = f"{machine['cpu']}, {machine['threads']} threads, {machine['os']}, Python {machine['python']}"
    lines += ["", f"{where}; all systems took turns, picture by picture."]
    if result["times_mixed"]:
        lines.append("The times are of different runs.")
    return "\n".join(lines)


def unavailable(result: dict[str, Any]) -> str:
    reasons: dict[str, str] = {}
    rows = [row for rows in result["suites"].values() for row in rows.values()]
    for row in rows:
        for metric, reason in row["unavailable"].items():
            if all(metric not in other for other in rows):
                reasons.setdefault(result["metrics"][metric]["title"], reason)
    return "\n".join(f"- {title}: {reason}" for title, reason in reasons.items())


def published(result: dict[str, Any]) -> str:
    names = sorted({metric for entry in result["published"] for metric in entry["figures"]})
    lines = [f"| system | suite | {' | '.join(names)} | protocol | source |", "|---" * (len(names) + 4) + "|"]
    for entry in result["published"]:
        cells = [str(entry["figures"].get(name, "-")) for name in names]
        source = entry.get("reported_in") or entry["source"]
        lines.append(f"| {entry['system']} | {entry['suite']} | {' | '.join(cells)} | {entry['protocol']} | {source} |")
    return "\n".join(lines)


def main() -> None:
    result = json.loads(Path(sys.argv[1]).read_text())
    parts = [
        "## Cost\n\n" + costs(result),
        "## Quality\n\n" + "\n\n".join(suite(result, name) for name in result["suites"]),
        "### Metrics that could not be had\n\n" + unavailable(result),
        "## Published figures of others, not measured here\n\n" + published(result),
    ]
    text = PAGE.read_text()
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    body = "\n\n".join(parts)
    PAGE.write_text(f"{before}{BEGIN}\n{body}\n{END}{after}")


if __name__ == "__main__":
    main()
