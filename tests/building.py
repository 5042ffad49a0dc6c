"""The build of the page."""

from __future__ import annotations

import subprocess
from pathlib import Path

from command_line import SOURCE

ROOT = Path(__file__).parents[1]
PAGE = SOURCE / "edgesr/serve/page"
BUILD_SECONDS = 280


def build_page():
    """Build the page, and first install what that needs, if that is not installed or has changed."""
    wanted, installed = ROOT / "web/package-lock.json", ROOT / "web/node_modules/.package-lock.json"
    fresh = installed.is_file() and installed.stat().st_mtime >= wanted.stat().st_mtime
    for words in ([] if fresh else [["ci"]]) + [["run", "build"]]:
        command = ["npm", "--prefix", str(ROOT / "web"), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
