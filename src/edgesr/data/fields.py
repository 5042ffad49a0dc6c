"""Bounds for the numbers of a config, declared with the field: `weight: float = bounded(0.5, "0 or more")`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

from edgesr.errors import UsageError

BOUNDS: dict[str, Callable[[float], bool]] = {
    "any": lambda _: True,
    "1 or more": lambda value: value >= 1,
    "0 or more": lambda value: value >= 0,
    "more than 0": lambda value: value > 0,
    "0 to 1": lambda value: 0 <= value <= 1,
    "0 to less than 1": lambda value: 0 <= value < 1,
    "more than 0 and at most 1": lambda value: 0 < value <= 1,
}


def bounded(default: float, wanted: str, *, infinity: float | None = None) -> Any:
    """A dataclass field for a number within one of the ranges of BOUNDS; `infinity` is the infinite value allowed, if any."""
    return dataclasses.field(default=default, metadata={"wanted": wanted, "infinity": infinity})


def check_bounds(config: Any, where: str = "") -> None:
    """Raise UsageError for the first number of a nested dataclass that is not finite or is out of bounds."""
    for name, value, metadata in _numbers(config, where):
        if not math.isfinite(value) and metadata.get("infinity") != value:
            raise UsageError(f"recipe: the field '{name}' must be a finite number, not {value}")
        wanted = metadata.get("wanted")
        if wanted and not BOUNDS[wanted](value):
            raise UsageError(f"recipe: the field '{name}' must be {wanted}, not {value}")


def _numbers(config: Any, where: str) -> Iterator[tuple[str, float, Any]]:
    """Every number of a nested dataclass, with the name and the metadata of its field."""
    for part in dataclasses.fields(config):
        name, value = f"{where}{part.name}", getattr(config, part.name)
        for item in value if isinstance(value, tuple) else (value,):
            if dataclasses.is_dataclass(item):
                yield from _numbers(item, f"{name}.")
            elif isinstance(item, int | float):
                yield name, item, part.metadata
