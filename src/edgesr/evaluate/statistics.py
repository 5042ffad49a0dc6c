"""Confidence intervals of means by the percentile bootstrap (Efron 1979), and paired win rates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

RESAMPLES = 2000
LEVEL = 0.95


def interval(values: Sequence[float], *, seed: int = 0) -> tuple[float, float] | None:
    """Return the bootstrap interval of the mean of `values`, one a picture, at LEVEL; None for fewer than two.

    The same values give the same interval.
    """
    if len(values) < 2:
        return None
    samples = np.random.default_rng(seed).choice(np.asarray(values, np.float64), (RESAMPLES, len(values)))
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(samples.mean(axis=1), [tail, 100 - tail])
    return float(low), float(high)


def win_rates(scores: Mapping[str, Mapping[str, float]], merit: Callable[[float], float]) -> dict[str, dict[str, float]]:
    """Return, for systems A and B, the share of their common pictures on which A has the greater `merit`; a tie counts half.

    `scores` is by system, then by picture; pairs without a picture in common are left out.
    """
    rates: dict[str, dict[str, float]] = {}
    for a, of_a in scores.items():
        for b, of_b in scores.items():
            common = [picture for picture in of_a if picture in of_b]
            if a == b or not common:
                continue
            gains = np.array([merit(of_a[picture]) - merit(of_b[picture]) for picture in common])
            rates.setdefault(a, {})[b] = float((gains > 0).mean() + (gains == 0).mean() / 2)
    return rates
