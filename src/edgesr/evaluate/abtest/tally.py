"""Count the votes of a blind test: the win rate and its Wilson interval (Wilson 1927)."""

from __future__ import annotations

import math
from dataclasses import dataclass

Z = 1.959963984540054  # the normal quantile that leaves 2.5 % on each side


@dataclass(frozen=True)
class Tally:
    """The votes of a test between the systems `a` and `b`."""

    a: str
    b: str
    wins_a: int
    wins_b: int
    same: int  # votes for "no difference"; in none of the rates
    pictures: int  # that the test has in all

    @property
    def votes(self) -> int:
        """Votes cast, those for "no difference" included."""
        return self.wins_a + self.wins_b + self.same

    @property
    def win_rate(self) -> float | None:
        """Share of the decided votes that `a` got, in [0, 1]; None before the first."""
        decided = self.wins_a + self.wins_b
        return self.wins_a / decided if decided else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval of the win rate; None before the first decided vote."""
        decided = self.wins_a + self.wins_b
        return wilson(self.wins_a, decided) if decided else None

    def __str__(self) -> str:
        head = f"{self.votes} of {self.pictures} pictures judged"
        if self.win_rate is None or self.interval is None:
            return f"{head}, {self.same} without a difference: no win rate yet"
        low, high = self.interval
        return (
            f"{head}: {self.a} {self.wins_a}, {self.b} {self.wins_b}, no difference {self.same}; {self.a} wins "
            f"{100 * self.win_rate:.0f} % of the decided (95 % interval {100 * low:.0f} to {100 * high:.0f} %)"
        )


def wilson(wins: int, decided: int) -> tuple[float, float]:
    """Wilson's score interval, 95 %, of a rate of `wins` out of `decided` > 0."""
    rate, part = wins / decided, Z * Z / decided
    centre = (rate + part / 2) / (1 + part)
    half = Z / (1 + part) * math.sqrt(rate * (1 - rate) / decided + part / (4 * decided))
    return max(0.0, centre - half), min(1.0, centre + half)
