"""The engine that `edgesr bench --choose` found to be the fastest on this machine, kept in the user's cache folder."""

from __future__ import annotations

import json
import os
from pathlib import Path


def write(engine: str, version: str) -> Path:
    """Keep an engine and the version that was measured; return the file."""
    path = _file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"engine": engine, "version": version}) + "\n", encoding="utf-8")
    return path


def read() -> tuple[str, str] | None:
    """Return engine and version; None if none was chosen, or the file is damaged."""
    try:
        found = json.loads(_file().read_text(encoding="utf-8"))
        return str(found["engine"]), str(found["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _file() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "edgesr", "engine.json")
