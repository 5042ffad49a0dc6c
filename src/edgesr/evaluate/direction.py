"""Which figures of a metric are better: the higher ones, the lower ones, or those nearest to a target (ours).

`report/page/state.js` does the same for the plots.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Better = Literal["higher", "lower", "nearest"]
Metric = Mapping[str, Any]  # of a result: "better", and "target" where that is "nearest"


def merit(value: float, metric: Metric) -> float:
    """Return a number that is the larger the better `value` is: 0 at the target, below 0 elsewhere, for a metric that has one."""
    if metric["better"] == "nearest":
        return -abs(value - metric["target"])
    return value if metric["better"] == "higher" else -value


def arrow(metric: Metric) -> str:
    """The direction as a sign: ↑, ↓, or → and the target."""
    return f"→ {metric['target']:g}" if metric["better"] == "nearest" else {"higher": "↑", "lower": "↓"}[metric["better"]]


def phrase(metric: Metric) -> str:
    """The direction in words, as in "lower is better"."""
    return f"nearest to {metric['target']:g} is best" if metric["better"] == "nearest" else f"{metric['better']} is better"
