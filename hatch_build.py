"""Builds the page into the package before it is installed or made into a wheel, if npm is at hand.

EDGESR_PAGE=skip leaves it out, EDGESR_PAGE=require makes a page that cannot be built an error; otherwise that is one line of warning.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PAGE = "src/edgesr/serve/page"
SOURCES = ("web", "examples", "src/edgesr/weights")


class PageHook(BuildHookInterface):
    """Runs before each wheel, also that of an editable installation."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the page unless it is there and newer than its sources; raises RuntimeError if it is required and fails."""
        wish = os.environ.get("EDGESR_PAGE", "")
        if wish == "skip" or self.target_name != "wheel" or is_fresh(Path(self.root)):
            return
        problem = build(Path(self.root))
        if problem and wish == "require":
            raise RuntimeError(f"the page was not built: {problem}")
        if problem:
            self.app.display_warning(f"the page was not built: {problem}; the package works without it")


def is_fresh(root: Path) -> bool:
    """Whether the page was built after the last change of its sources."""
    built = root / PAGE / "index.html"
    return built.is_file() and built.stat().st_mtime > max(path.stat().st_mtime for path in sources(root))


def sources(root: Path) -> list[Path]:
    """Return the files from which the page is made."""
    found = []
    for name in SOURCES:
        for folder, folders, files in os.walk(root / name):
            folders[:] = [each for each in folders if each != "node_modules"]
            found += [Path(folder, file) for file in files]
    return found


def build(root: Path) -> str | None:
    """Install what the page is built with, and build it; return what went wrong, None if nothing did."""
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not here (install Node 20.19 or newer)"
    for words in (["ci"], ["run", "build"]):
        done = subprocess.run([npm, "--prefix", str(root / "web"), *words], capture_output=True, text=True, check=False)
        if done.returncode:
            lines = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()
            return f"npm {' '.join(words)} failed ({lines[-1][:200]})"
    return None
