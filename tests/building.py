"""The build of the page."""

from __future__ import annotations

import runpy
import subprocess
from importlib.util import find_spec
from pathlib import Path

from command_line import SOURCE

ROOT = Path(__file__).parents[1]
PAGE = SOURCE / "edgesr/serve/page"
BUILD_SECONDS = 280


def page_is_fresh() -> bool:
    """Whether the page was built after the last change of its sources, as by the installation of the package."""
    return find_spec("hatchling") is not None and runpy.run_path(str(ROOT / "hatch_build.py"))["is_fresh"](ROOT)


def build_page():
    """Build the page, and first install what that needs, if that is not installed or has changed."""
    wanted, installed = ROOT / "web/package-lock.json", ROOT / "web/node_modules/.package-lock.json"
    fresh = installed.is_file() and installed.stat().st_mtime >= wanted.stat().st_mtime
    for words in ([] if fresh else [["ci"]]) + [["run", "build"]]:
        command = ["npm", "--prefix", str(ROOT / "web"), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
