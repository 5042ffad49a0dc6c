"""`edgesr upscale`: arguments, messages and progress bar. `edgesr.commands.jobs` and `edgesr.commands.running` handle the files."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

from edgesr.commands import picture_flags
from edgesr.commands.console import complain, int_range, printable, say
from edgesr.commands.stopping import ended_by_signals
from edgesr.errors import UsageError

if TYPE_CHECKING:
    from edgesr.commands.jobs import Job
    from edgesr.commands.running import Result
    from edgesr.upscaling.upscaler import Upscaler

EXAMPLES = """\
examples:
  edgesr upscale photo.jpg                          writes photo_4x.jpg beside it
  edgesr upscale photo.jpg --scale 2 -o big.png     2x, as PNG
  edgesr upscale photo.jpg --width 3840             to the width of a 4K screen
  edgesr upscale *.jpg -o big/                      several images into a folder
  edgesr upscale holiday --recursive                a folder and its subfolders, into holiday_4x
  edgesr upscale holiday --skip-existing            continue an interrupted run
  edgesr upscale - < small.png > big.png            standard input to standard output

exit codes: 0 all done, 1 some inputs failed (each named on standard error), 2 the command line is wrong
"""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Define the verb's arguments."""
    verb = verbs.add_parser(
        "upscale",
        help="upscale images",
        description="Upscales images. The result of a file is written beside it, that of a folder into a folder beside it,\n"
        "unless -o is given. Inputs are never overwritten.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="image file, folder, pattern such as '*.jpg', or - for standard input",
    )
    verb.add_argument(
        "-o", "--output", metavar="OUT", help="output file (its extension sets the format), folder, or - for standard output"
    )

    flags = picture_flags.add(verb)
    flags.size.add_argument(
        "--only-enlarge", action="store_true", help="with --width or --height: copy images that are large enough, unchanged"
    )
    flags.files.add_argument(
        "-r", "--recursive", action="store_true", help="include subfolders; the results keep the folder structure"
    )
    present = flags.files.add_mutually_exclusive_group()
    present.add_argument("--skip-existing", action="store_true", help="skip images whose result exists")
    present.add_argument("--overwrite", action="store_true", help="replace existing results")
    flags.machine.add_argument("--threads", type=int_range(1), metavar="N", help="CPU threads (default: all cores)")
    picture_flags.add_messages(verb)
    return verb


def run(arguments: argparse.Namespace) -> int:
    """Upscale every input; return 0 if all succeeded, else 1."""
    from edgesr import atomic

    with ended_by_signals(atomic.remove_unfinished):
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    from edgesr import images
    from edgesr.commands import jobs, running
    from edgesr.upscaling.engines import available_cores

    picture_flags.check_size(arguments)
    if arguments.only_enlarge and not (arguments.width or arguments.height):
        raise UsageError("--only-enlarge needs a target --width or --height")
    format = images.format_for(arguments.format) if arguments.format else None
    planned = jobs.plan(
        arguments.inputs,
        out=arguments.output,
        suffix=picture_flags.suffix(arguments),
        format=format,
        recursive=arguments.recursive,
    )
    _check_pipes(planned, arguments)
    verbose = not (arguments.quiet or arguments.json)
    if verbose and (arguments.threads or 1) > available_cores():
        say(f"--threads {arguments.threads}: using {available_cores()}, the number of cores that it may use")
    settings = running.Settings(
        **picture_flags.of_pictures(arguments),
        only_enlarge=arguments.only_enlarge,
        format=format,
        skip_existing=arguments.skip_existing,
        overwrite=arguments.overwrite,
    )
    began = time.perf_counter()
    results = []
    with running.Run(planned, settings) as started:  # reads the first image while the engine is loaded
        upscaler = _loaded(arguments, verbose)
        with _progress_bar(planned, verbose and sys.stderr.isatty()) as (progress, pause):
            for result in started.results(upscaler, progress):
                results.append(result)
                with pause():
                    _print_result(result, verbose)
    busy = started.network_seconds / (time.perf_counter() - began)
    failed = sum(result.status == "failed" for result in results)
    if len(results) > 1 and (failed or verbose):
        done, skipped = (sum(result.status == status for result in results) for status in ("done", "skipped"))
        share = f"; network busy {busy:.0%} of the time" if verbose and done > 1 else ""
        say(f"{'edgesr: ' if failed else ''}{done} done, {skipped} skipped, {failed} failed{share}")
    if arguments.json:
        document = {
            "model": upscaler.model,
            "fidelity": upscaler.fidelity,
            "steps": upscaler.steps,
            "engine": upscaler.engine,
            "precision": upscaler.precision,
            "sharpness": upscaler.sharpness(settings.sharpness),
            "network_busy": round(busy, 3),
            "results": [_record(result) for result in results],
        }
        print(json.dumps(document, indent=2))
    return 1 if failed else 0


def _loaded(arguments: argparse.Namespace, verbose: bool) -> Upscaler:
    """The upscaler, once it and the engine are announced."""
    from edgesr.upscaling.engines import hint
    from edgesr.upscaling.upscaler import Upscaler

    upscaler = Upscaler(**picture_flags.of_upscaler(arguments), threads=arguments.threads)
    if verbose:
        form = f" at fidelity {upscaler.fidelity:g}" if upscaler.fidelity else ""
        form += f" in {upscaler.steps} steps" if upscaler.steps > 1 else ""
        say(f"model {upscaler.model}{form}, engine {upscaler.engine}, {upscaler.precision}")
    if verbose and sys.stderr.isatty() and (arguments.engine, arguments.precision) == ("auto", "auto") and (gain := hint()):
        say(gain)
    return upscaler


def _check_pipes(jobs: list[Job], arguments: argparse.Namespace) -> None:
    for job in jobs:
        if job.source is None and sys.stdin.isatty():
            raise UsageError(
                "standard input is a terminal: redirect an image to it, as in `edgesr upscale - < in.png > out.png`"
            )
        if job.target is not None or job.problem:
            continue
        if arguments.json:
            raise UsageError("--json and the image both go to standard output: name a file with -o")
        if sys.stdout.isatty():
            raise UsageError(
                "refusing to write image data to a terminal: redirect standard output to a file, or name one with -o"
            )


@contextmanager
def _progress_bar(
    jobs: list[Job], shown: bool
) -> Iterator[tuple[Callable[[int, float], None] | None, Callable[[], AbstractContextManager[None]]]]:
    """Yield the callback for `running.run`, and a context in which messages can be printed above the bar."""
    if not shown:
        yield None, nullcontext
        return
    from tqdm import tqdm

    from edgesr.commands.progress import TickingBar

    with TickingBar(len(jobs), sys.stderr) as bar:

        def progress(index: int, fraction: float) -> None:
            source = jobs[index].source
            name = "standard input" if source is None else printable(source.name)
            bar.set_description_str(f"{index + 1}/{len(jobs)} {name}" if len(jobs) > 1 else name, refresh=False)
            bar.update(index + fraction - bar.n)

        yield progress, partial(tqdm.external_write_mode, file=sys.stderr)


def _print_result(result: Result, verbose: bool) -> None:
    if result.error is not None:
        name = "<stdin>" if result.input == "-" else result.input
        complain(result.error if result.error.startswith(name) else f"{name}: {result.error}")
    elif verbose and result.status == "done":
        say(f"{result.input} -> {result.output} ({result.width}x{result.height}, {result.seconds:.1f} s)")
    elif verbose:
        say(f"{result.input} skipped")
    if verbose:
        for note in result.notes:
            say(f"  {note}")


def _record(result: Result) -> dict[str, object]:
    record = vars(result).copy()
    if result.error is None:
        del record["error"]
    return record
