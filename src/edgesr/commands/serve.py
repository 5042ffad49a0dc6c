"""`edgesr serve`: its arguments, and the life of the server from the first message to the last request."""

from __future__ import annotations

import argparse
import os
import socket
from ipaddress import ip_address
from pathlib import Path

from edgesr.commands.console import int_range, say
from edgesr.errors import EdgesrError, UsageError, needs_extra, one_line

EXAMPLES = """\
examples:
  edgesr serve                                                  then open http://127.0.0.1:7860
  curl --data-binary @small.jpg -H 'Content-Type: image/jpeg' \\
       'http://127.0.0.1:7860/v1/upscale?scale=2&format=png' -o large.png
  EDGESR_TOKEN=secret edgesr serve --host 0.0.0.0               for other machines, the API with a token
"""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Define the verb's arguments."""
    verb = verbs.add_parser(
        "serve",
        help="serve the page that enlarges pictures in the browser, and an HTTP API",
        description="Serves the page that enlarges pictures inside the browser, and an HTTP API that does it on this machine.\n"
        "Needs pip install 'edgesr[serve]'. Only this machine is answered unless --host says otherwise.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    verb.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name that clients reach this server by, such as that of a proxy; may be given several times "
        "(addresses, localhost and --host are answered in any case)",
    )
    verb.add_argument("--port", type=int_range(0, 65535), default=7860, metavar="N", help="0: any (default: %(default)s)")
    verb.add_argument("--model", default="tiny", help="of the API (default: %(default)s)")
    verb.add_argument("--threads", type=int_range(1), metavar="N", help="CPU threads for each picture (default: every core)")
    secret = verb.add_mutually_exclusive_group()
    secret.add_argument(
        "--token",
        metavar="T",
        help="that the API asks for, as `Authorization: Bearer T`; others see it in the list of processes, so better give it as "
        "EDGESR_TOKEN in the environment, or in a file",
    )
    secret.add_argument("--token-file", metavar="FILE", help="a file that holds the token")
    limits = verb.add_argument_group("limits of the API")
    limits.add_argument(
        "--jobs", type=int_range(1), default=1, metavar="N", help="pictures at the same time (default: %(default)s)"
    )
    limits.add_argument(
        "--queue", type=int_range(1), default=16, metavar="N", help="pictures that wait or run (default: %(default)s)"
    )
    limits.add_argument("--max-megabytes", type=int_range(1), default=32, metavar="N", help="of a file (default: %(default)s)")
    limits.add_argument(
        "--max-pixels", type=int_range(1), default=2**24, metavar="N", help="of a picture as it comes (default: %(default)s)"
    )
    limits.add_argument(
        "--timeout", type=int_range(1), default=120, metavar="S", help="seconds until a result is there (default: %(default)s)"
    )
    return verb


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM; what runs then is finished."""
    with needs_extra("serve", "edgesr serve"):
        import uvicorn

        from edgesr.serve.app import make_app
        from edgesr.serve.connections import Server
    from edgesr.serve import pages
    from edgesr.serve.limits import Limits

    limits = Limits(
        body_bytes=arguments.max_megabytes * 2**20,
        pixels=arguments.max_pixels,
        queue=arguments.queue,
        jobs=arguments.jobs,
        seconds=arguments.timeout,
    )
    token = _token(arguments)
    listening = _listen(arguments.host, arguments.port)
    app = make_app(
        limits,
        model=arguments.model,
        threads=arguments.threads,
        token=token,
        host=arguments.host,
        names=arguments.allow_host,
    )
    if token is None and not _is_loopback(listening.getsockname()[0]):
        say("edgesr: other machines can use the API, without a token: give one in EDGESR_TOKEN or --token-file")
    if not pages.is_built():
        say(f"edgesr: {pages.NOT_BUILT}")
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    say(f"open http://{shown}:{port} in a browser; /docs describes the API; Ctrl-C stops")

    def stopping() -> None:
        app.state.stopping = True

    config = uvicorn.Config(
        app,
        http="h11",
        log_level="warning",
        server_header=False,
        timeout_keep_alive=int(limits.idle_seconds),
        h11_max_incomplete_event_size=16 * 1024,
        timeout_graceful_shutdown=int(limits.seconds + limits.upload_seconds),
    )
    Server(config, idle_seconds=limits.idle_seconds, stopping=stopping).run(sockets=[listening])
    return 0


def _token(arguments: argparse.Namespace) -> str | None:
    """Return the token, None where none is asked for. Raises UsageError for an empty one, which would let everybody in."""
    given, source = os.environ.get("EDGESR_TOKEN"), "EDGESR_TOKEN"
    if arguments.token is not None:
        given, source = arguments.token, "--token"
    elif arguments.token_file is not None:
        source = f"--token-file {arguments.token_file}"
        try:
            given = Path(arguments.token_file).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise UsageError(f"{source}: cannot be read: {getattr(error, 'strerror', None) or 'is no text'}") from None
    if given is None:
        return None
    token = given.strip()
    if not token or not token.isascii() or not token.isprintable():
        raise UsageError(f"{source}: the token is empty, or more than one line of ASCII: give another, or leave it out")
    return token


def _is_loopback(address: str) -> bool:
    return ip_address(address.partition("%")[0]).is_loopback


def _listen(host: str, port: int) -> socket.socket:
    """Open the port before anything else, so that a port in use is one clear line."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        opened = socket.socket(family, kind)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(128)  # so that a client that comes at once waits instead of being refused
    except OSError as error:
        raise EdgesrError(f"cannot listen on {host}:{port}: {one_line(error)}; choose another --host or --port") from None
    return opened
