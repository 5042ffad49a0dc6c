"""`edgesr video`: arguments, messages and progress bar. `edgesr.video` does the work."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgesr.commands import picture_flags
from edgesr.commands.console import int_range, printable, say
from edgesr.commands.stopping import ended_by_signals
from edgesr.errors import InputError, UsageError, needs_extra

NO_TEMPORAL_MODEL = (
    "each frame is upscaled by itself, without a temporal model: fine texture can shimmer where the picture moves"
)

EXAMPLES = """\
examples:
  edgesr video clip.mp4 clip_4x.mp4                      AV1, with sound, subtitles and metadata of clip.mp4
  edgesr video clip.mp4 clip_hd.mkv --height 1080        to the height of HD
  edgesr video clip.mp4 clip_4x.mp4 --codec h264         for old players
  edgesr video clip.mp4 clip_4x.mkv --codec ffv1         lossless, to edit further

A run that was stopped or killed continues when the same command is given again; until then its segments lie in OUT.partial.
"""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Define the verb's arguments."""
    verb = verbs.add_parser(
        "video",
        help="upscale a video",
        description="Upscales a video frame by frame. Sound, subtitles, chapters and metadata are copied; colour tags, times of frames\n"
        "and rotation are kept. No temporal model is used.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("input", metavar="IN", type=Path, help="video file")
    verb.add_argument("output", metavar="OUT", type=Path, help="video file: .mp4, .mov, .mkv or .webm")
    picture_flags.add_size(verb)
    files = verb.add_argument_group("files")
    files.add_argument(
        "--codec", default="av1", metavar="C", help="av1, vp9, h264, hevc or ffv1 (lossless) (default: %(default)s)"
    )
    files.add_argument(
        "--crf",
        type=int_range(0),
        metavar="N",
        help="constant rate factor: lower is better and larger (default: av1 24, vp9 24, h264 16, hevc 18)",
    )
    files.add_argument("--overwrite", action="store_true", help="replace an existing OUT")
    files.add_argument(
        "--accept-damaged", action="store_true", help="upscale what can be decoded of a damaged video, with a note"
    )
    machine = picture_flags.add_machine(verb)
    machine.add_argument("--threads", type=int_range(1), metavar="N", help="CPU threads of the network (default: all cores)")
    picture_flags.add_messages(verb)
    return verb


def run(arguments: argparse.Namespace) -> int:
    """Upscale the video; return 0."""
    from edgesr import atomic

    with ended_by_signals(atomic.remove_unfinished):
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    if sys.version_info < (3, 11):
        raise UsageError("edgesr video needs Python 3.11 or newer, as its library PyAV does")
    with needs_extra("video", "edgesr video"):
        import av  # noqa: F401
    from edgesr.upscaling.upscaler import Upscaler
    from edgesr.video.source import opened
    from edgesr.video.upscale import upscale_video

    picture_flags.check_size(arguments)
    with opened(arguments.input, accept_damaged=arguments.accept_damaged):
        pass  # what is no video is reported before the network is loaded
    upscaler = Upscaler(**picture_flags.of_upscaler(arguments), threads=arguments.threads)
    verbose = not (arguments.quiet or arguments.json)
    if verbose:
        say(f"model {upscaler.model}, engine {upscaler.engine}, {upscaler.precision}")
    if not arguments.quiet:
        say(f"note: {NO_TEMPORAL_MODEL}")
    began = time.perf_counter()
    try:
        with _progress_bar(arguments.input, verbose and sys.stderr.isatty()) as progress:
            result = upscale_video(
                arguments.input,
                arguments.output,
                upscaler,
                scale=arguments.scale,
                width=arguments.width,
                height=arguments.height,
                codec=arguments.codec,
                crf=arguments.crf,
                overwrite=arguments.overwrite,
                accept_damaged=arguments.accept_damaged,
                progress=progress,
            )
    except MemoryError:
        raise InputError(
            f"{arguments.input}: not enough memory: use a smaller --tile, such as --tile 64, or a lower --scale"
        ) from None
    seconds = round(time.perf_counter() - began, 3)
    if verbose:
        if result.continued_at:
            say(f"continued at frame {result.continued_at}, where an earlier run had stopped")
        size = f"{result.width}x{result.height}, {result.frames} frames, {seconds:.1f} s"
        say(f"{arguments.input} -> {arguments.output} ({size})")
        for note in result.notes:
            say(f"  {note}")
    if arguments.json:
        document = {
            "model": upscaler.model,
            "fidelity": upscaler.fidelity,
            "engine": upscaler.engine,
            "precision": upscaler.precision,
            "input": str(arguments.input),
            "output": str(arguments.output),
            "codec": arguments.codec,
            **vars(result),
            "seconds": seconds,
        }
        print(json.dumps(document, indent=2))
    return 0


@contextmanager
def _progress_bar(source: Path, shown: bool) -> Iterator[Callable[[float], None] | None]:
    if not shown:
        yield None
        return
    from edgesr.commands.progress import TickingBar

    with TickingBar(1, sys.stderr) as bar:
        bar.set_description_str(printable(source.name), refresh=False)

        def progress(fraction: float) -> None:
            bar.update(fraction - bar.n)

        yield progress
