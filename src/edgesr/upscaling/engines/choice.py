"""The engine and precision that `edgesr bench --choose` found to be the fastest on this machine, kept in the user's cache folder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple


class Choice(NamedTuple):
    """What was measured fastest."""

    engine: str
    version: str  # of the engine's package that was measured
    precision: str  # "auto" where precisions were not compared


def write(choice: Choice) -> Path:
    """Keep a choice; return the file."""
    path = folder() / "engine.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(choice._asdict()) + "\n", encoding="utf-8")
    return path


def read() -> Choice | None:
    """Return the choice; None if there is none, or the file is damaged."""
    try:
        found = json.loads((folder() / "engine.json").read_text(encoding="utf-8"))
        return Choice(str(found["engine"]), str(found["version"]), str(found.get("precision", "auto")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def folder() -> Path:
    """Return the user's cache folder of edgesr, whether or not it exists."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "edgesr")
