"""Run the command as people do, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import edgesr

SOURCE = Path(edgesr.__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")])}
COMMAND = [sys.executable, "-m", "edgesr"]


def edgesr_(*words: str, stdin: bytes = b"", **options: Any) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run([*COMMAND, *words], input=stdin, capture_output=True, env=ENVIRONMENT, check=False, **options)
    assert b"Traceback" not in done.stderr
    return done


def error_of(*words: str, code: int = 2, **options: Any) -> str:
    """Run a command that must fail with nothing but one line on standard error; return the line."""
    done = edgesr_(*words, **options)
    assert (done.returncode, done.stdout) == (code, b"")
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("edgesr: ")
    return lines[0]
