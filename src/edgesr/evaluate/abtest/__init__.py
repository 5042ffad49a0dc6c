"""The blind human test: a local page shows the results of two systems for the same pictures without their names, and the votes
give a win rate with its interval."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable
from pathlib import Path

from edgesr.errors import UsageError
from edgesr.evaluate.abtest.server import LOOPBACK, Server
from edgesr.evaluate.abtest.tally import Tally
from edgesr.evaluate.abtest.trials import Session, comparable
from edgesr.evaluate.abtest.votes import Votes

__all__ = ["Tally", "serve_ab", "votes_file"]


def votes_file(suite: str, a: str, b: str) -> Path:
    """The default file of a test's votes, in the current folder: ab-SUITE-A-B.jsonl."""
    names = (re.sub(r"[^\w.@-]+", "-", name).strip("-") for name in (suite, a, b))
    return Path("ab-{}-{}-{}.jsonl".format(*names))


def serve_ab(
    result: dict,
    suite: str,
    a: str,
    b: str,
    *,
    votes: Path,
    port: int = 0,
    announce: Callable[[str], None],
    rng: random.Random | None = None,
) -> Tally:
    """Serve the test on this machine until every picture has a vote, or until Ctrl-C. Return all votes, those of earlier sessions included.

    `result` is the dict of a benchmark that holds the outputs of the systems `a` and `b` on `suite`. `votes` is a file of
    JSON lines that is appended to: pictures that have a vote in it are not shown again. `port` 0 takes any free one;
    `announce` gets the page's address. Raises UsageError for a suite, system, port or file that cannot be used, InputError
    if both systems have no picture in common.
    """
    contest, pairs = comparable(result, suite, a, b)
    session = Session(contest, pairs, Votes(votes, contest), rng or random.SystemRandom())
    if session.trial is None:
        return session.tally()
    try:
        server = Server(port, session)
    except (OSError, OverflowError) as error:
        raise UsageError(f"port {port} of {LOOPBACK} cannot be used ({error}); name another") from error
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        announce(f"http://{LOOPBACK}:{server.server_port}/")
        while not server.finished.wait(0.5):  # a wait without a timeout cannot be interrupted on every system
            pass
    except KeyboardInterrupt:  # stops early: every vote is already in its file
        pass
    finally:
        server.shutdown()
        server.server_close()
    return session.tally()
