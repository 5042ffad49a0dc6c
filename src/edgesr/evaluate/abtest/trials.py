"""The pairs of a blind test, in random order and on random sides. The page sees random tokens only."""

from __future__ import annotations

import io
import random
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from edgesr.data.files import BROKEN, read_rgb
from edgesr.errors import InputError, UsageError
from edgesr.evaluate.abtest.tally import Tally
from edgesr.evaluate.abtest.votes import LEFT, RIGHT, SAME, Contest, Votes


@dataclass(frozen=True)
class Pair:
    """One picture of the suite and the two results."""

    image: str
    width: int
    height: int
    lr: Path
    outputs: dict[str, Path]  # by system


@dataclass(frozen=True)
class Trial:
    """A pair as the page sees it: tokens in place of names."""

    pair: Pair
    token: str
    sides: dict[str, str]  # LEFT, RIGHT -> system
    pictures: dict[str, Path]  # token -> file
    places: dict[str, str]  # LEFT, RIGHT, "input" -> token


class Session:
    """Goes once through the pairs that have no vote yet. Thread-safe."""

    def __init__(self, contest: Contest, pairs: list[Pair], votes: Votes, rng: random.Random) -> None:
        self._contest, self._pairs, self._votes, self._rng = contest, pairs, votes, rng
        self._lock = threading.Lock()
        self._waiting = [pair for pair in pairs if pair.image not in votes.winners]
        rng.shuffle(self._waiting)
        self._trial = self._next()

    @property
    def trial(self) -> Trial | None:
        """The current pair, which waits for its vote; None after the last one."""
        return self._trial

    def vote(self, token: str, choice: str) -> bool:
        """Store the vote for the current pair and go on; False if `token` or `choice` is not valid.

        Raises OSError if the vote cannot be stored; the pair then stays the current one.
        """
        with self._lock:
            trial = self._trial
            if trial is None or token != trial.token or choice not in (LEFT, RIGHT, SAME):
                return False
            self._votes.cast(trial.pair.image, trial.sides[LEFT], trial.sides[RIGHT], choice)
            self._trial = self._next()
            return True

    def picture(self, token: str) -> bytes | None:
        """Return a picture of the current pair, encoded as PNG again because metadata could reveal its system; or None."""
        trial = self._trial
        if trial is None or token not in trial.pictures:
            return None
        stream = io.BytesIO()
        Image.fromarray(read_rgb(trial.pictures[token])).save(stream, "png", compress_level=1)
        return stream.getvalue()

    def tally(self) -> Tally:
        """The votes so far, earlier sessions' included."""
        a, b = self._contest.a, self._contest.b
        images = {pair.image for pair in self._pairs}
        winners = [winner for image, winner in self._votes.winners.items() if image in images]
        return Tally(a, b, winners.count(a), winners.count(b), winners.count(None), len(self._pairs))

    def _next(self) -> Trial | None:
        if not self._waiting:
            return None
        pair = self._waiting.pop()
        first, second = self._rng.sample([self._contest.a, self._contest.b], 2)
        files = {LEFT: pair.outputs[first], RIGHT: pair.outputs[second], "input": pair.lr}
        places = {place: secrets.token_urlsafe(12) for place in files}
        pictures = {places[place]: path for place, path in files.items()}
        return Trial(pair, secrets.token_urlsafe(12), {LEFT: first, RIGHT: second}, pictures, places)


def comparable(result: dict, suite: str, a: str, b: str) -> tuple[Contest, list[Pair]]:
    """Return the contest of two systems on a suite of the result dict, and the pictures that both have in the right size.

    Raises UsageError if the suite or a system is not in `result` or both are one, InputError if there is no such picture.
    """
    if a == b:
        raise UsageError(f"a blind test compares two systems; {a} is named twice")
    if suite not in result["images"]:
        raise UsageError(f"{suite}: no such suite was evaluated; there are {', '.join(result['images']) or 'none'}")
    for system in (a, b):
        skipped = result["systems"].get(system, {"skipped": "it was not evaluated"}).get("skipped")
        if skipped:
            raise UsageError(f"{system}: cannot be in a blind test: {skipped}")
    pairs = []
    for image, entry in result["images"][suite].items():
        made = entry["systems"]
        if a in made and b in made:
            outputs = {system: Path(made[system]["output"]) for system in (a, b)}
            if all(_size(path) == (entry["width"], entry["height"]) for path in outputs.values()):
                pairs.append(Pair(image, entry["width"], entry["height"], Path(entry["lr"]), outputs))
    if not pairs:
        raise InputError(f"{suite}: {a} and {b} have no picture of the right size in common")
    return Contest(suite, a, b, {system: result["systems"][system]["fingerprint"] for system in (a, b)}), pairs


def _size(path: Path) -> tuple[int, int] | None:
    try:
        with Image.open(path) as image:
            return image.size
    except BROKEN:
        return None
