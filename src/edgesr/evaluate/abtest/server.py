"""The web server of the blind test. It listens on the loopback address, checks the Host header against DNS rebinding, and accepts
votes only from its own page."""

from __future__ import annotations

import json
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files

from edgesr.data.files import BROKEN
from edgesr.errors import one_line
from edgesr.evaluate.abtest.trials import Session
from edgesr.evaluate.report.document import asset

LOOPBACK = "127.0.0.1"
LONGEST = 1000  # bytes of a vote
_PAGE = files("edgesr.evaluate.abtest") / "page"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Server(ThreadingHTTPServer):
    """Serves one session; `finished` is set after the answer to the last vote."""

    daemon_threads = True

    def __init__(self, port: int, session: Session) -> None:
        """Listen on `port`, 0 for any free one. Raises OSError if it is taken."""
        self.session = session
        self.finished = threading.Event()
        own = (_PAGE / "ab.js").read_text(encoding="utf-8")
        self.static = {
            "/": ("text/html", (_PAGE / "ab.html").read_bytes()),
            "/page.css": ("text/css", (asset("page.css") + (_PAGE / "ab.css").read_text(encoding="utf-8")).encode()),
            "/page.js": ("text/javascript", "\n".join([asset("dom.js"), asset("views.js"), own]).encode()),
        }
        super().__init__((LOOPBACK, port), _Handler)

    @property
    def hosts(self) -> tuple[str, str]:
        """What the Host header may say."""
        return f"{LOOPBACK}:{self.server_port}", f"localhost:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        """The page, its script and style, the current pair, or one of its pictures."""
        if self.headers.get("Host") not in self.server.hosts:
            self._refuse(HTTPStatus.FORBIDDEN, "this server accepts requests to its own address only")
        elif self.path in self.server.static:
            kind, body = self.server.static[self.path]
            self._answer(HTTPStatus.OK, f"{kind}; charset=utf-8", body)
        elif self.path == "/trial":
            self._tell(HTTPStatus.OK)
        elif self.path.startswith("/picture/"):
            self._show(self.path.removeprefix("/picture/"))
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "not found")

    def do_POST(self) -> None:
        """A vote; answers with the next pair, or the result."""
        body = self._body()
        if self.headers.get("Host") not in self.server.hosts or not self._from_own_page():
            self._refuse(HTTPStatus.FORBIDDEN, "votes are accepted from this server's page only")
            return
        try:
            vote = json.loads(body or b"")
            token, choice = str(vote["pair"]), str(vote["choice"])
        except (ValueError, KeyError, TypeError):
            self._refuse(HTTPStatus.BAD_REQUEST, "invalid vote")
            return
        try:
            counted = self.path == "/vote" and self.server.session.vote(token, choice)
        except OSError as error:
            self._refuse(HTTPStatus.INSUFFICIENT_STORAGE, f"the vote could not be stored: {one_line(error)}")
            return
        self._tell(HTTPStatus.OK if counted else HTTPStatus.CONFLICT)

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing."""

    def _from_own_page(self) -> bool:
        own = [f"http://{host}" for host in self.server.hosts]
        return self.headers.get("Origin") in own and self.headers.get_content_type() == "application/json"

    def _body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) <= LONGEST:
            return self.rfile.read(int(length))
        self.close_connection = True  # the unread body must not be parsed as the next request
        return None

    def _tell(self, status: HTTPStatus) -> None:
        """Answer with the state of the session, without the names of the systems before the last vote."""
        session = self.server.session
        trial, tally = session.trial, session.tally()
        state: dict[str, object] = {"votes": tally.votes, "total": tally.pictures}
        if trial is not None:
            pictures = {place: f"/picture/{token}" for place, token in trial.places.items()}
            state |= {"pair": trial.token, "width": trial.pair.width, "height": trial.pair.height, **pictures}
        else:
            names = {"a": tally.a, "b": tally.b, "winsA": tally.wins_a, "winsB": tally.wins_b, "same": tally.same}
            state |= {"result": {**names, "winRate": tally.win_rate, "interval": tally.interval}}
        self._answer(status, "application/json", json.dumps(state).encode())
        if trial is None:
            self.server.finished.set()

    def _show(self, token: str) -> None:
        try:
            picture = self.server.session.picture(token)
        except BROKEN:
            picture = None
        if picture is None:
            self._refuse(HTTPStatus.NOT_FOUND, "not a picture of the current pair, or it cannot be read")
        else:
            self._answer(HTTPStatus.OK, "image/png", picture)

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        self._answer(status, "text/plain; charset=utf-8", reason.encode())

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
