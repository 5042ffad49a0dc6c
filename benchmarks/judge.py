"""Compare candidates: one table over both blind suites, Set5, Set14 and RealSRSet, SQD first.

    python benchmarks/judge.py edgesr:tiny candidate.onnx runs/tiny/checkpoint --suites-dir SUITES --weights DIR

Takes any system of `edgesr evaluate`, an .onnx file (of the preset that it names) or a checkpoint folder (its averaged weights).
Bicubic is always included: distances are shown as shares of its own. Results and scores are cached as in `edgesr evaluate`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from edgesr.errors import EdgesrError, UsageError, one_line
from edgesr.evaluate.benchmark import evaluate
from edgesr.evaluate.cache import Cache, default_folder
from edgesr.evaluate.direction import arrow
from edgesr.evaluate.results import NO_REFERENCE, assemble, failures
from edgesr.evaluate.scoring import Scoring
from edgesr.evaluate.suites import find_suite
from edgesr.evaluate.systems import Named, parse
from edgesr.upscaling.engines import available_cores

SUITES = ["Set14-blind", "BSD50-blind", "Set5", "Set14", "RealSRSet"]
COLUMNS = {"psnr": 2, "sqd": 3, "epd": 3, "sharpness": 2, "colour_shift": 2}  # digits
SHARES = ("sqd", "epd")  # shown as shares of what BASE has
BASE = "bicubic"


def system(text: str, folder: Path) -> Named:
    """Read [NAME=]SYSTEM, where SYSTEM may also be an .onnx file or a checkpoint folder, which is exported into `folder`."""
    label = re.fullmatch(r"([\w.+-]+)=(.+)", text)
    name, path = label.groups() if label else (text, text)
    if path.startswith("folder:") or not (path.endswith(".onnx") or Path(path).is_dir()) or ":" in path:
        return parse(text)
    preset, file = _exported(Path(path), folder) if Path(path).is_dir() else (_preset(Path(path)), Path(path))
    return Named(name, *parse(f"edgesr:{preset}:weights={file}")[1:])


def _exported(checkpoint: Path, folder: Path) -> tuple[str, Path]:
    from edgesr.export.onnx import to_onnx
    from edgesr.export.source import load

    found = load(str(checkpoint))
    file = folder / f"{len(list(folder.iterdir()))}.onnx"
    file.write_bytes(to_onnx(found.model, None, found.metadata))
    return found.name, file


def _preset(file: Path) -> str:
    import onnxruntime

    if not file.is_file():
        raise UsageError(f"{file}: no such file")
    try:
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class
        raise EdgesrError(f"{file}: cannot be read as an ONNX model ({one_line(error)})") from None
    preset = session.get_modelmeta().custom_metadata_map.get("preset", "")
    if not preset:
        raise UsageError(f"{file}: names no preset; write edgesr:PRESET:weights={file}")
    return str(preset)


def table(result: dict[str, Any]) -> str:
    """The result of `edgesr evaluate` as one Markdown table, a row for each suite and system."""
    heads = ["suite", "system", *(_head(result["metrics"][metric], metric) for metric in COLUMNS), "n"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for suite, rows in result["suites"].items():
        for name, row in rows.items():
            cells = [_cell(row, rows[BASE], metric) for metric in COLUMNS]
            all_of_them = row["n"] + len(row["failed"])
            count = f"{row['n']} of {all_of_them}" if row["failed"] else str(row["n"])
            lines.append(f"| {' | '.join([suite, name, *cells, count])} |")
    return "\n".join(lines)


def figures(result: dict[str, Any]) -> dict[str, Any]:
    """The figures behind the table, without pictures and times: suite -> system -> metric -> mean, and n."""
    keys = [*COLUMNS, "n"]
    return {
        suite: {name: {key: row[key] for key in keys if row.get(key) is not None} for name, row in rows.items()}
        for suite, rows in result["suites"].items()
    }


def _head(info: dict[str, Any], metric: str) -> str:
    title = f"{info['title']} of {BASE}'s" if metric in SHARES else ", ".join(filter(None, (info["title"], info["unit"])))
    return f"{title} {arrow(info)}"


def _cell(row: dict[str, Any], base: dict[str, Any], metric: str) -> str:
    value, of = row.get(metric), base.get(metric) if metric in SHARES else 1
    return f"{value / of:.{COLUMNS[metric]}f}" if value is not None and of else "-"


def judge(arguments: argparse.Namespace) -> dict[str, Any]:
    threads, metrics = arguments.threads or available_cores(), list(COLUMNS)
    if arguments.weights is not None and not arguments.weights.is_dir():
        raise UsageError(f"--weights {arguments.weights}: no such folder")
    cache = Cache(arguments.cache or default_folder())
    with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
        texts = [BASE, *(text for text in arguments.systems if text != BASE)]
        systems = [system(text, Path(folder)) for text in dict.fromkeys(texts)]
        suites = [find_suite(text, arguments.suites_dir) for text in arguments.suites]
        outcome = evaluate(
            suites,
            systems,
            Scoring(metrics, arguments.weights, cache),
            cache,
            threads=threads,
            timeout=600,
            report=lambda line: print(line, file=sys.stderr),
        )
    return assemble(outcome, suites, metrics, command=" ".join(sys.argv), threads=threads, limit=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "systems", nargs="+", metavar="SYSTEM", help="a system of `edgesr evaluate`, an .onnx file or a checkpoint folder"
    )
    parser.add_argument("--suites", nargs="+", default=SUITES, metavar="SUITE", help="folders or names (default: %(default)s)")
    parser.add_argument("--suites-dir", type=Path, metavar="DIR", help="folder that contains the known suites")
    parser.add_argument("--weights", type=Path, metavar="DIR", help="folder with SqueezeNet's weights, for SQD")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the figures of the table to this file, for tools/results.py"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads for each system (default: every core)")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="cache folder (default: ~/.cache/edgesr/evaluate)")
    arguments = parser.parse_args()
    try:
        result = judge(arguments)
    except EdgesrError as error:
        sys.exit(f"judge: {error}")
    print(table(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures(result), indent=1) + "\n")
    reasons = {
        (metric, reason)
        for suite, rows in result["suites"].items()
        for row in rows.values()
        for metric, reason in row["unavailable"].items()
        if reason != NO_REFERENCE
    }
    for metric, reason in sorted(reasons):
        print(f"no {result['metrics'][metric]['title']}: {reason}", file=sys.stderr)
    sys.exit(1 if failures(result) else 0)


if __name__ == "__main__":
    main()
