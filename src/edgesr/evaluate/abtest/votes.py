"""The file of votes: one JSON line for each, appended and synced to disk before the next pair is shown."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from edgesr.errors import UsageError, one_line

LEFT, RIGHT, SAME = "left", "right", "same"
START = b'{"time": "'  # of every vote


@dataclass(frozen=True)
class Contest:
    """What is compared: only votes with the same values count."""

    suite: str
    a: str
    b: str
    fingerprints: dict[str, str]  # of both systems, so that votes on the outputs of older weights do not count


class Votes:
    """The votes of one contest, in a file that may also contain other contests."""

    def __init__(self, path: Path, contest: Contest) -> None:
        """Read the votes of earlier sessions. Raises UsageError if `path` cannot be written or is not a file of votes."""
        self.path, self.contest = path, contest
        self.winners: dict[str, str | None] = {}  # image -> system, None for "no difference"; the last vote counts
        try:
            with path.open("a+b") as stream:
                stream.seek(0)
                text = stream.read()
        except OSError as error:
            raise UsageError(f"{path}: votes cannot be stored there ({one_line(error)}); name another file") from error
        for number, line in enumerate(text.splitlines(), 1):
            self._count(self._parse(line, number))

    def cast(self, image: str, left: str, right: str, choice: str) -> None:
        """Append a vote. Raises OSError if it cannot be stored; it then does not count."""
        vote = {
            "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "suite": self.contest.suite,
            "image": image,
            "left": left,
            "right": right,
            "choice": choice,
            "fingerprints": self.contest.fingerprints,
        }
        line = json.dumps(vote, ensure_ascii=False).encode() + b"\n"
        with self.path.open("a+b") as stream:
            if stream.seek(0, os.SEEK_END):
                stream.seek(-1, os.SEEK_END)
                line = line if stream.read(1) == b"\n" else b"\n" + line
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())
        self._count(vote)

    def _parse(self, line: bytes, number: int) -> dict:
        """Parse one vote; {} for an empty line, or a truncated vote after a crash or on a full disk."""
        if not line.strip():
            return {}
        try:
            vote = json.loads(line)
        except ValueError:
            if line.startswith(START[: len(line)]):
                return {}
            vote = None
        if isinstance(vote, dict) and {"suite", "image", "left", "right", "choice"} <= vote.keys():
            return vote
        raise UsageError(f"{self.path}: line {number} is not a vote; name a new file, or one that an earlier test wrote")

    def _count(self, vote: dict) -> None:
        contest = self.contest
        if (
            vote.get("suite") == contest.suite
            and {vote.get("left"), vote.get("right")} == {contest.a, contest.b}
            and vote.get("fingerprints") == contest.fingerprints
        ):
            self.winners[vote["image"]] = None if vote["choice"] == SAME else vote[vote["choice"]]
