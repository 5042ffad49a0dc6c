"""`edgesr batch`: arguments, messages and progress. `edgesr.batch` does the work."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from edgesr.commands import picture_flags
from edgesr.commands.console import complain, int_range, say
from edgesr.errors import UsageError, needs_extra

if TYPE_CHECKING:
    from edgesr.batch.source import Source
    from edgesr.batch.storage import Folder
    from edgesr.commands.progress import TickingBar

EXAMPLES = """\
examples:
  edgesr batch photos/ large/                                    a folder and its subfolders, on all cores of this machine
  edgesr batch s3://bucket/photos s3://bucket/large --address auto      on a running Ray cluster, from and to object storage
  edgesr batch list.parquet large/ --column url                  the pictures that a manifest lists
  edgesr batch photos/ large/ --retry-failed                     again what failed; what is done is never done twice

Run the same command again to go on after an interruption. The ledger, DEST/.edgesr/ledger, tells of every picture.
exit codes: 0 all done, 1 some inputs failed (each named on standard error), 2 the command line is wrong
"""
_NAMED = 20  # failures on standard error; the ledger has all
_LINE_SECONDS = 60.0  # between two lines of progress where standard error is no terminal


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Define the verb's arguments."""
    verb = verbs.add_parser(
        "batch",
        help="upscale any number of images, on one machine or a Ray cluster",
        description="Upscales any number of images on one machine or a Ray cluster, from and to local folders, object storage or\n"
        "servers. Can be interrupted and run again: what is done stays done. Needs pip install 'edgesr[ray]'.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument(
        "source",
        metavar="SOURCE",
        help="folder (with its subfolders), pattern such as 'photos/**/*.jpg', or a .parquet, .csv or .txt manifest of paths or URLs; "
        "local or a URL such as s3://bucket/photos",
    )
    verb.add_argument("dest", metavar="DEST", help="folder for the results and the ledger, local or a URL")
    verb.add_argument(
        "--column", metavar="NAME", help="column of the manifest with the paths or URLs (default: url, path, ...)"
    )

    flags = picture_flags.add(verb)
    flags.files.add_argument("--retry-failed", action="store_true", help="try again what failed in an earlier run")
    present = flags.files.add_mutually_exclusive_group()
    present.add_argument(
        "--skip-existing", action="store_true", help="skip images whose result exists, although the ledger does not know it"
    )
    present.add_argument(
        "--overwrite", action="store_true", help="replace results of other settings, and files that the ledger does not know"
    )

    cluster = verb.add_argument_group("cluster")
    cluster.add_argument(
        "--address", metavar="A", help="a running Ray cluster: auto, HOST:PORT or ray://HOST:PORT (default: this machine alone)"
    )
    cluster.add_argument(
        "--concurrency", type=int_range(1), metavar="N", help="workers (default: as many as there is room for now)"
    )
    cluster.add_argument(
        "--cpus-per-worker", type=int_range(1), default=1, metavar="N", help="cores of each worker (default: %(default)s)"
    )
    cluster.add_argument(
        "--gpus-per-worker",
        type=float,
        default=0.0,
        metavar="N",
        help="GPUs of each worker, 0.5 if two share one; with an --engine such as cuda (default: none)",
    )
    verb.add_argument("--quiet", action="store_true", help="print errors only")
    return verb


def run(arguments: argparse.Namespace) -> int:
    """Upscale what is to be done; return 0 if nothing failed, now or earlier, else 1."""
    with needs_extra("ray", "edgesr batch"):
        import fsspec  # noqa: F401
        import pyarrow  # noqa: F401
    from edgesr.batch import cluster
    from edgesr.batch.plan import Plan
    from edgesr.batch.session import Session, task_for
    from edgesr.upscaling.file import Options

    verbose = not arguments.quiet
    source, dest = _places(arguments)
    options = Options(**picture_flags.of_pictures(arguments))
    upscaler = {**picture_flags.of_upscaler(arguments), "threads": arguments.cpus_per_worker}
    resources = cluster.Resources(arguments.cpus_per_worker, arguments.gpus_per_worker)
    cluster.check(arguments.address, resources)
    task = task_for(dest, upscaler, options)
    if arguments.address is None:
        _check_network(upscaler)
    with Plan() as plan:
        session = Session(plan, source, dest, task)
        counts = session.decide(
            overwrite=arguments.overwrite, skip_existing=arguments.skip_existing, retry_failed=arguments.retry_failed
        )
        report = _Report(verbose)
        for row in session.blocked():
            report.add(row)
        total = counts.get("do", 0) + counts.get("replace", 0)
        kept, failed = counts.get("kept", 0), counts.get("failed", 0)
        if verbose:
            earlier = f", {failed} failed before (--retry-failed tries them again)" if failed else ""
            say(f"{total} images to upscale, {kept} done before{earlier}")
        if total:
            with cluster.connected(arguments.address, resources):
                workers = arguments.concurrency or cluster.room(resources)
                with session.work(workers) as units, report.progress(total):
                    for rows in cluster.results(units, task, resources, workers):
                        for row in rows:
                            report.add(row)
        else:
            with session.work(1):
                pass
    report.end(dest.url)
    return 1 if failed or report.counts["failed"] else 0


def _places(arguments: argparse.Namespace) -> tuple[Source, Folder]:
    """Return SOURCE and DEST. Raises UsageError for whatever can be seen of them before anything is listed."""
    from edgesr import images
    from edgesr.batch.source import Source
    from edgesr.batch.storage import Folder

    picture_flags.check_size(arguments)
    if not arguments.dest:
        raise UsageError("DEST is empty: name a folder")
    if not arguments.gpus_per_worker >= 0:
        raise UsageError(f"--gpus-per-worker {arguments.gpus_per_worker:g}: give 0 or more")
    format = images.format_for(arguments.format) if arguments.format else None
    source = Source(arguments.source, suffix=picture_flags.suffix(arguments), format=format, column=arguments.column)
    dest = Folder(arguments.dest)
    if not source.is_manifest and (dest in source.folder or source.folder in dest):
        raise UsageError(f"DEST {dest.url} and SOURCE {source.folder.url} lie one inside the other: choose another DEST")
    dest.prepare()
    return source, dest


def _check_network(upscaler: dict[str, Any]) -> None:
    """Raise as `Upscaler` does, before anything is listed: the workers are on this machine."""
    from edgesr.upscaling.upscaler import Upscaler

    Upscaler(**upscaler)


class _Report:
    """What the user sees of a run."""

    def __init__(self, verbose: bool) -> None:
        self.counts = {"done": 0, "failed": 0, "skipped": 0}
        self._verbose, self._start = verbose, time.monotonic()
        self._bar: TickingBar | None = None
        self._said = self._start
        self._total = self.before = 0

    def add(self, row: dict[str, Any]) -> None:
        """Count a picture; name it if it failed."""
        self.counts[row["status"]] += 1
        if row["status"] == "failed" and self.counts["failed"] <= _NAMED:
            with self._above_the_bar():
                error = row["error"]
                complain(error if error.startswith(row["input"]) else f"{row['input']}: {error}")
        self._show()

    @contextmanager
    def progress(self, total: int) -> Iterator[None]:
        """Show how far the run is and how long it will take."""
        self._start = self._said = time.monotonic()
        self._total = total
        self.before = sum(self.counts.values())
        if not (self._verbose and sys.stderr.isatty()):
            yield
            return
        from edgesr.commands.progress import TickingBar

        with TickingBar(total, sys.stderr) as self._bar:
            yield
        self._bar = None

    def end(self, dest: str) -> None:
        """Print the totals."""
        failed = self.counts["failed"]
        if failed > _NAMED:
            complain(f"and {failed - _NAMED} more failed: see the column error of {dest}/.edgesr/ledger")
        if self._verbose:
            seconds = time.monotonic() - self._start
            numbers = ", ".join(f"{number} {status}" for status, number in self.counts.items())
            say(f"{numbers} in {seconds:.0f} s; ledger: {dest}/.edgesr/ledger")

    def _show(self) -> None:
        finished, seconds = sum(self.counts.values()) - self.before, time.monotonic() - self._start
        text = f"{finished}/{self._total} images, {finished / max(seconds, 1e-3):.1f}/s, {self.counts['failed']} failed"
        if self._bar is not None:
            self._bar.set_description_str(text, refresh=False)
            self._bar.update(1)
        elif self._verbose and self._total and time.monotonic() - self._said >= _LINE_SECONDS:
            self._said = time.monotonic()
            left = seconds / finished * (self._total - finished)
            say(f"{text}, {left / 60:.0f} min left")

    def _above_the_bar(self) -> AbstractContextManager[None]:
        if self._bar is None:
            return nullcontext()
        from tqdm import tqdm

        return tqdm.external_write_mode(file=sys.stderr)
