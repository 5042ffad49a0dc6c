"""`edgesr serve`: arguments, start and shutdown of the server."""

from __future__ import annotations

import argparse
import os
import re
import socket
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from edgesr.commands.console import PRECISION_HELP, int_range, say
from edgesr.errors import EdgesrError, UsageError, needs_extra, one_line

EXAMPLES = """\
examples:
  edgesr serve                                                  open http://127.0.0.1:7860 afterwards
  curl -F file=@small.jpg 'http://127.0.0.1:7860/v1/upscale?scale=2&format=png' -o large.png
  EDGESR_TOKEN=secret edgesr serve --host 0.0.0.0               reachable from other machines, API with a token
"""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Define the verb's arguments."""
    verb = verbs.add_parser(
        "serve",
        help="serve the web page, which upscales in the browser, and an HTTP API",
        description="Serves the web page, which upscales in the browser, and an HTTP API, which upscales on this machine.\n"
        "Needs pip install 'edgesr[serve]'. Only reachable from this machine unless --host is given.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    verb.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="additional host name under which clients reach this server, such as a proxy's; may be repeated "
        "(IP addresses, localhost and --host are always allowed)",
    )
    verb.add_argument(
        "--cors",
        action="append",
        default=[],
        type=_origin,
        metavar="ORIGIN",
        help="additional site whose pages may use the API, such as https://example.org; may be repeated (default: none)",
    )
    verb.add_argument(
        "--port", type=int_range(0, 65535), default=7860, metavar="N", help="port, 0 for any free one (default: %(default)s)"
    )
    verb.add_argument("--model", default="tiny", help="model of the API (default: %(default)s)")
    verb.add_argument("--precision", default="auto", metavar="P", help=PRECISION_HELP)
    verb.add_argument(
        "--threads", type=int_range(1), metavar="N", help="CPU threads for each image (default: all, or a worker's share)"
    )
    verb.add_argument(
        "--access-log", action="store_true", help="write a line of JSON for every request to standard output (default: no log)"
    )
    secret = verb.add_mutually_exclusive_group()
    secret.add_argument(
        "--token",
        metavar="T",
        help="require `Authorization: Bearer T` for the API; the process list shows it to other users, so prefer the environment "
        "variable EDGESR_TOKEN, or --token-file",
    )
    secret.add_argument("--token-file", metavar="FILE", help="read the token from a file")
    limits = verb.add_argument_group("limits of the API")
    at_once = limits.add_mutually_exclusive_group()
    at_once.add_argument(
        "--jobs", type=int_range(1), default=1, metavar="N", help="images processed at the same time (default: %(default)s)"
    )
    at_once.add_argument(
        "--workers",
        type=int_range(1),
        default=0,
        metavar="N",
        help="process images in N processes instead, one each, which share the cores; one that dies is replaced, and its image tried again",
    )
    limits.add_argument(
        "--queue", type=int_range(1), default=16, metavar="N", help="images waiting or running (default: %(default)s)"
    )
    limits.add_argument(
        "--max-memory",
        type=int_range(1),
        metavar="MB",
        help="memory (RSS) of all processes together; images are processed in --workers (default 1), and the two limits below follow "
        "unless given (default: no limit)",
    )
    limits.add_argument(
        "--max-megabytes", type=int_range(1), metavar="N", help="file size (default: 32, or less with --max-memory)"
    )
    limits.add_argument(
        "--max-pixels",
        type=int_range(1),
        metavar="N",
        help="pixels of the input (default: 16777216, or less with --max-memory)",
    )
    limits.add_argument(
        "--timeout", type=int_range(1), default=120, metavar="S", help="seconds for one image (default: %(default)s)"
    )
    limits.add_argument(
        "--max-jobs",
        type=int_range(1),
        default=16,
        metavar="N",
        help="jobs that wait, run or keep a result (default: %(default)s)",
    )
    limits.add_argument(
        "--job-timeout", type=int_range(1), default=3600, metavar="S", help="seconds for one job (default: %(default)s)"
    )
    limits.add_argument(
        "--job-expiry",
        type=int_range(1),
        default=3600,
        metavar="S",
        help="seconds that a job's result is kept (default: %(default)s)",
    )
    return verb


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM; running requests are finished first."""
    with needs_extra("serve", "edgesr serve"):
        import uvicorn

        from edgesr.serve.app import make_app
        from edgesr.serve.connections import Server
    from edgesr.serve import pages
    from edgesr.serve.limits import Limits

    workers, sizes = _sizes(arguments)
    limits = Limits(
        **sizes,
        queue=arguments.queue,
        jobs=arguments.jobs,
        seconds=arguments.timeout,
        stored_jobs=arguments.max_jobs,
        job_seconds=arguments.job_timeout,
        job_keep_seconds=arguments.job_expiry,
    )
    token = _token(arguments)
    listening = _listen(arguments.host, arguments.port)
    app = make_app(
        limits,
        model=arguments.model,
        precision=arguments.precision,
        threads=arguments.threads,
        token=token,
        host=arguments.host,
        names=arguments.allow_host,
        origins=arguments.cors,
        access_log=arguments.access_log,
        workers=workers,
    )
    if arguments.max_memory is not None:
        say(f"edgesr: --max-memory: files of up to {limits.body_bytes >> 20} MB, images of up to {limits.pixels:,} pixels")
    if token is None and not _is_loopback(listening.getsockname()[0]):
        say("edgesr: the API is open to other machines without a token: set EDGESR_TOKEN or --token-file")
    if not pages.is_built():
        say(f"edgesr: {pages.NOT_BUILT}")
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    say(f"open http://{shown}:{port} in a browser; API documentation at /docs; Ctrl-C stops")

    config = uvicorn.Config(
        app,
        http="h11",
        log_level="warning",
        server_header=False,
        timeout_keep_alive=int(limits.idle_seconds),
        h11_max_incomplete_event_size=16 * 1024,
        timeout_graceful_shutdown=int(limits.seconds + limits.upload_seconds),
    )
    Server(config, idle_seconds=limits.idle_seconds, stopping=app.state.stop).run(sockets=[listening])
    return 0


def _sizes(arguments: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    """Return the number of workers, and the limits that depend on memory. Raises UsageError if it does not suffice."""
    from edgesr.serve import memory

    megabytes, pixels, limit = arguments.max_megabytes, arguments.max_pixels, arguments.max_memory
    if limit is None:
        sizes = {"body_bytes": (megabytes or memory.LARGEST_FILE) * 2**20, "pixels": pixels or memory.MOST_PIXELS}
        return arguments.workers, sizes
    if arguments.jobs > 1:
        raise UsageError("--max-memory limits processes: give --workers instead of --jobs")
    workers = arguments.workers or 1
    shares = memory.shares(limit, workers, arguments.queue, megabytes, pixels)
    return workers, {"body_bytes": shares.megabytes * 2**20, "pixels": shares.pixels, "process_memory": shares.process}


def _origin(text: str) -> str:
    """Return an origin in the form in which browsers send it. Raises ArgumentTypeError if it has a path, or is no web address."""
    origin = text.lower().removesuffix("/")
    if not re.fullmatch(r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:\d+)?", origin):
        raise argparse.ArgumentTypeError(f"{text!r} is not an origin: give scheme and host, such as https://example.org")
    scheme, _, _ = origin.partition("://")
    return origin.removesuffix({"http": ":80", "https": ":443"}[scheme])


def _token(arguments: argparse.Namespace) -> str | None:
    """Return the token, None if the API needs none. Raises UsageError for an empty one, which would allow everybody."""
    given, source = os.environ.get("EDGESR_TOKEN"), "EDGESR_TOKEN"
    if arguments.token is not None:
        given, source = arguments.token, "--token"
    elif arguments.token_file is not None:
        source = f"--token-file {arguments.token_file}"
        try:
            given = Path(arguments.token_file).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise UsageError(f"{source}: cannot be read: {getattr(error, 'strerror', None) or 'not a text file'}") from None
    if given is None:
        return None
    token = given.strip()
    if not token or not token.isascii() or not token.isprintable():
        raise UsageError(f"{source}: the token is empty, or not one line of ASCII: give another, or omit it")
    return token


def _is_loopback(address: str) -> bool:
    return ip_address(address.partition("%")[0]).is_loopback


def _listen(host: str, port: int) -> socket.socket:
    """Open the port first, so that a port in use is reported in one line."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        opened = socket.socket(family, kind)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(128)  # so that early clients wait instead of being refused
    except OSError as error:
        raise EdgesrError(f"cannot listen on {host}:{port}: {one_line(error)}; choose another --host or --port") from None
    return opened
