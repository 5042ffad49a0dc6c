"""Number formats of the report; `page/dom.js` has the same for the plots."""

from __future__ import annotations

import math


def figure(value: float | None) -> str:
    """A metric's figure with 1 to 3 decimals; "n/a" for None."""
    if value is None or math.isnan(value):
        return "n/a"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:.{1 if abs(value) >= 100 else 2 if abs(value) >= 10 else 3}f}"


def significant(value: float | None) -> str:
    """A cost to three significant digits, without an exponent; "n/a" for None."""
    if value is None or not math.isfinite(value):
        return "n/a"
    places = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{round(value, places):.{max(0, places)}f}"


def count(value: int | None) -> str:
    """A number of parameters, in thousands or millions."""
    if value is None:
        return "n/a"
    if value >= 1_000_000:
        return f"{significant(value / 1e6)} M"
    return f"{significant(value / 1e3)} k" if value >= 1000 else str(value)


def share(value: float) -> str:
    """A share as whole per cent."""
    return f"{100 * value:.0f} %"
