"""Which values of a metric are better: higher, lower, or nearest to a target.

`report/page/state.js` does the same for the plots.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Better = Literal["higher", "lower", "nearest"]
Metric = Mapping[str, Any]  # of a result: "better", and "target" where that is "nearest"


def merit(value: float, metric: Metric) -> float:
    """Return a number that is larger for a better `value`; with a target, 0 at the target and negative elsewhere."""
    if metric["better"] == "nearest":
        return -abs(value - metric["target"])
    return value if metric["better"] == "higher" else -value


def arrow(metric: Metric) -> str:
    """The direction as a sign: ↑, ↓, or → and the target."""
    return f"→ {metric['target']:g}" if metric["better"] == "nearest" else {"higher": "↑", "lower": "↓"}[metric["better"]]


def phrase(metric: Metric) -> str:
    """The direction in words, as in "lower is better"."""
    return f"nearest to {metric['target']:g} is best" if metric["better"] == "nearest" else f"{metric['better']} is better"
