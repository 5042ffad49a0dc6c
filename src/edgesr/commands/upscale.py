"""`edgesr upscale`: arguments, messages and progress bar. `edgesr.commands.jobs` and `edgesr.commands.batch` handle the files."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

from edgesr.commands.console import complain, int_range, printable, say
from edgesr.commands.stopping import ended_by_signals
from edgesr.errors import UsageError

if TYPE_CHECKING:
    from edgesr.commands.batch import Result
    from edgesr.commands.jobs import Job

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

    result = verb.add_argument_group("size and model")
    result.add_argument(
        "-s", "--scale", type=float, metavar="S", help="output px per input px, 1 to 8, such as 2 or 2.5 (default: 4)"
    )
    result.add_argument(
        "--width",
        type=int_range(1),
        metavar="W",
        help="width of the result in px, also below the input's; with --height: the maximum",
    )
    result.add_argument(
        "--height", type=int_range(1), metavar="H", help="height of the result in px; with --width: the maximum"
    )
    result.add_argument("--model", default="tiny", help="model, listed by `edgesr models` (default: %(default)s)")
    result.add_argument(
        "--weights",
        metavar="FILE",
        help="your own weights: an ONNX file of this model, or a checkpoint folder (engine torch)",
    )
    result.add_argument(
        "--steps",
        type=int_range(1),
        default=1,
        metavar="N",
        help="diffusion steps; more than 1 needs a checkpoint folder as --weights (default: %(default)s)",
    )
    result.add_argument(
        "--fidelity",
        type=float,
        default=0.0,
        metavar="F",
        help="0 for crisp (default) to 1 for faithful to the input; for models with two forms, see `edgesr models`",
    )
    result.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="seed of the noise (default: 0); with `tiny` another one changes a pixel by 0.2 of 255 levels on average",
    )

    files = verb.add_argument_group("files")
    files.add_argument("--format", metavar="F", help="output format, such as png, jpg, webp or tiff (default: the input's)")
    result.add_argument(
        "--only-enlarge", action="store_true", help="with --width or --height: copy images that are large enough, unchanged"
    )
    files.add_argument(
        "--quality",
        type=int_range(1, 100),
        metavar="Q",
        help="quality of lossy formats, 1 to 100 (default: JPEG 95, WebP 90, AVIF 85, HEIC 90, JPEG XL 90)",
    )
    files.add_argument(
        "-r", "--recursive", action="store_true", help="include subfolders; the results keep the folder structure"
    )
    present = files.add_mutually_exclusive_group()
    present.add_argument("--skip-existing", action="store_true", help="skip images whose result exists")
    present.add_argument("--overwrite", action="store_true", help="replace existing results")
    files.add_argument(
        "--max-pixels", type=int_range(1), metavar="N", help="refuse larger inputs, in pixels (default: 134217728)"
    )
    files.add_argument(
        "--accept-damaged", action="store_true", help="upscale what can be decoded of damaged or truncated images, with a note"
    )
    files.add_argument(
        "--strip-metadata",
        action="store_true",
        help="remove EXIF, XMP and text (location, author, camera) from the results",
    )

    machine = verb.add_argument_group("machine")
    machine.add_argument(
        "--engine", default="auto", help="runtime of the network; the first message names it (default: %(default)s)"
    )
    machine.add_argument(
        "--tile",
        default="auto",
        metavar="PX",
        help="tile size in input px: smaller tiles use less memory; or 'blended': 128 px with an overlap of 32 (default: auto)",
    )
    machine.add_argument("--threads", type=int_range(1), metavar="N", help="CPU threads (default: all cores)")

    messages = verb.add_argument_group("messages")
    messages.add_argument("--json", action="store_true", help="print a JSON report to standard output at the end")
    messages.add_argument("--quiet", action="store_true", help="print errors only")
    return verb


def run(arguments: argparse.Namespace) -> int:
    """Upscale every input; return 0 if all succeeded, else 1."""
    from edgesr import atomic

    with ended_by_signals(atomic.remove_unfinished):
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    from edgesr import images
    from edgesr.commands import batch, jobs
    from edgesr.upscaling.engines import most_threads
    from edgesr.upscaling.upscaler import Upscaler, target_size

    if arguments.scale is not None:  # checked once: unlike a width, it does not depend on the image
        target_size(1, 1, arguments.scale, arguments.width, arguments.height)
    if arguments.only_enlarge and not (arguments.width or arguments.height):
        raise UsageError("--only-enlarge needs a target --width or --height")
    format = images.format_for(arguments.format) if arguments.format else None
    planned = jobs.plan(
        arguments.inputs,
        out=arguments.output,
        suffix=_suffix(arguments),
        format=format,
        recursive=arguments.recursive,
    )
    _check_pipes(planned, arguments)
    verbose = not (arguments.quiet or arguments.json)
    if verbose and (arguments.threads or 1) > most_threads():
        say(f"--threads {arguments.threads}: using {most_threads()}, the number of cores of this machine")
    upscaler = Upscaler(
        arguments.model,
        fidelity=arguments.fidelity,
        engine=arguments.engine,
        tile=arguments.tile,
        threads=arguments.threads,
        seed=arguments.seed,
        weights=arguments.weights,
        steps=arguments.steps,
    )
    if verbose:
        form = f" at fidelity {upscaler.fidelity:g}" if upscaler.fidelity else ""
        form += f" in {upscaler.steps} steps" if upscaler.steps > 1 else ""
        say(f"model {upscaler.model}{form}, engine {upscaler.engine}")
    settings = batch.Settings(
        scale=arguments.scale,
        width=arguments.width,
        height=arguments.height,
        format=format,
        quality=arguments.quality,
        max_pixels=arguments.max_pixels,
        accept_damaged=arguments.accept_damaged,
        strip_metadata=arguments.strip_metadata,
        only_enlarge=arguments.only_enlarge,
        skip_existing=arguments.skip_existing,
        overwrite=arguments.overwrite,
    )
    results = []
    with _progress_bar(planned, verbose and sys.stderr.isatty()) as (progress, pause):
        for result in batch.run(planned, upscaler, settings, progress):
            results.append(result)
            with pause():
                _print_result(result, verbose)
    failed = sum(result.status == "failed" for result in results)
    if len(results) > 1 and (failed or verbose):
        done, skipped = (sum(result.status == status for result in results) for status in ("done", "skipped"))
        say(f"{'edgesr: ' if failed else ''}{done} done, {skipped} skipped, {failed} failed")
    if arguments.json:
        document = {
            "model": upscaler.model,
            "fidelity": upscaler.fidelity,
            "steps": upscaler.steps,
            "engine": upscaler.engine,
            "results": [_record(result) for result in results],
        }
        print(json.dumps(document, indent=2))
    return 1 if failed else 0


def _suffix(arguments: argparse.Namespace) -> str:
    """Return the suffix of the results' names; it is chosen before an image is opened, so it may name one side only."""
    if arguments.width and arguments.height:
        return f"_{arguments.width}x{arguments.height}"
    if arguments.width:
        return f"_{arguments.width}w"
    if arguments.height:
        return f"_{arguments.height}h"
    return f"_{arguments.scale or 4:g}x"


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
    """Yield the callback for `batch.run`, and a context in which messages can be printed above the bar."""
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
